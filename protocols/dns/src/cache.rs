//! Answers, for as long as they may be kept. Reads no clock.

use std::time::{Duration, Instant};

use grapeshot::sync::LruCache;
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::answer::Answer;
use crate::limits::Limits;
use crate::message::Question;

/// Memory that one kept answer may take, roughly. Those that are larger are not kept: a server chooses how large, and the
/// number of answers times this is what all of them can take.
const MAX_KEPT: usize = 32 << 10;

#[derive(Debug)]
pub(crate) struct Cache {
    kept: LruCache<Question, Kept>,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    since: Instant,
    until: Instant,
}

impl Cache {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            kept: LruCache::new(limits.cache_entries),
        }
    }

    /// The answer, with the time that its records still have.
    pub(crate) fn get(&self, question: &Question, now: Instant) -> Option<Answer> {
        let kept = self.kept.get(question)?;
        if kept.until <= now {
            return None;
        }
        let age = now.saturating_duration_since(kept.since);
        Some(kept.answer.clone().aged(age))
    }

    /// Keeps an answer for as long as it says.
    pub(crate) fn keep(&self, answer: &Answer, now: Instant, limits: &Limits) {
        let time_to_live = answer.time_to_live(limits);
        if time_to_live == Duration::ZERO || cost(answer) > MAX_KEPT {
            return;
        }
        let Some(until) = now.checked_add(time_to_live) else {
            return;
        };
        let kept = Kept {
            answer: answer.clone(),
            since: now,
            until,
        };
        // Nothing is ever pinned.
        let _ = self.kept.insert(answer.question.clone(), kept);
    }

    pub(crate) fn clear(&self) {
        self.kept.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.statistics().len
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.kept.statistics().evictions
    }
}

fn cost(answer: &Answer) -> usize {
    let records = answer.records.iter().chain(&answer.authority);
    let mut wire = Vec::new();
    let mut encoder = BinEncoder::new(&mut wire);
    let mut cost = 0;
    for record in records {
        cost += size_of::<Record>();
        if record.emit(&mut encoder).is_err() {
            return usize::MAX;
        }
    }
    cost + wire.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Kind;
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, RData, RecordType};
    use std::net::Ipv4Addr;

    fn question() -> Question {
        Question::parse("www.example.org", RecordType::A).unwrap()
    }

    fn found(ttls: &[u32]) -> Answer {
        let record = |ttl| {
            Record::from_rdata(
                question().name().clone(),
                ttl,
                RData::A(A(Ipv4Addr::LOCALHOST)),
            )
        };
        Answer {
            question: question(),
            kind: Kind::Found,
            records: ttls.iter().copied().map(record).collect(),
            authority: None,
            server: None,
        }
    }

    fn nothing(kind: Kind, ttl: u32, minimum: u32) -> Answer {
        let zone = Name::from_ascii("example.org.").unwrap();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, minimum);
        Answer {
            kind,
            authority: Some(Record::from_rdata(zone, ttl, RData::SOA(soa))),
            ..found(&[])
        }
    }

    /// How many seconds it is kept.
    fn kept_for(answer: &Answer, limits: &Limits) -> u64 {
        let (cache, now) = (Cache::new(limits), Instant::now());
        cache.keep(answer, now, limits);
        let at = |seconds| cache.get(&question(), now + Duration::from_secs(seconds));
        let kept = (0..200_000)
            .step_by(50)
            .take_while(|&s| at(s).is_some())
            .count();
        (kept * 50) as u64
    }

    #[test]
    fn answers_are_kept_as_long_as_they_say_within_limits() {
        let mut limits = Limits::default();
        assert_eq!(kept_for(&found(&[300, 100, 200]), &limits), 100);
        assert_eq!(kept_for(&found(&[0]), &limits), 0);
        assert_eq!(kept_for(&found(&[1 << 30]), &limits), 86_400);
        // With the highest bit, it is none.
        assert_eq!(kept_for(&found(&[u32::MAX]), &limits), 0);
        limits.min_ttl = Duration::from_secs(50);
        assert_eq!(kept_for(&found(&[0]), &limits), 50);
    }

    #[test]
    fn negative_answers_follow_the_zone() {
        let limits = Limits::default();
        for kind in [Kind::NoData, Kind::NoSuchName] {
            // The lesser of the record's own time and its last field.
            assert_eq!(kept_for(&nothing(kind, 900, 300), &limits), 300);
            assert_eq!(kept_for(&nothing(kind, 200, 300), &limits), 200);
            assert_eq!(kept_for(&nothing(kind, 1 << 30, 1 << 30), &limits), 3_600);
            let mut without = nothing(kind, 900, 300);
            without.authority = None;
            assert_eq!(kept_for(&without, &limits), 0);
        }
    }

    #[test]
    fn records_grow_old() {
        let (limits, now) = (Limits::default(), Instant::now());
        let cache = Cache::new(&limits);
        cache.keep(&found(&[300, 100]), now, &limits);
        let answer = cache
            .get(&question(), now + Duration::from_millis(60_900))
            .unwrap();
        let left: Vec<u32> = answer.records.iter().map(|record| record.ttl).collect();
        assert_eq!(left, [240, 40]);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let limits = Limits::default();
        assert_eq!(kept_for(&found(&[100; 50]), &limits), 100);
        assert_eq!(kept_for(&found(&[100; 2_000]), &limits), 0);
    }
}
