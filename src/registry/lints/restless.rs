//! Coroutines that look again and again whether something has happened, instead of waiting for it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Lint, LintKind, lint, place_of};
use crate::context::cycles;
use crate::sched::record::{CoroRef, NOWHERE};

/// Resumes between two checks, at least.
const OFTEN: u64 = 1000;
/// And what each of them took, at most: who computes between two yields does well.
const IDLE: Duration = Duration::from_micros(10);
/// Coroutines that are remembered.
const REMEMBERED: usize = 4096;

/// Those that did not wait at the latest check.
#[derive(Default)]
pub(super) struct Restless {
    at: Option<Instant>,
    seen: HashMap<u64, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    switches: u64,
    cpu: u64,
    /// Waits so far.
    waits: u64,
}

impl Restless {
    /// One that was resumed very often since the latest check, and has not waited.
    pub(super) fn look(&mut self, all: &[CoroRef], now: Instant) -> Option<Lint> {
        let stirs = |it: &&CoroRef| {
            let head = &it.head;
            head.word.current().is_none()
                && head.home.load(Ordering::Relaxed) != NOWHERE
                && !head.has_ended()
        };
        let mut seen = HashMap::new();
        let mut found: Option<(u64, &CoroRef)> = None;
        for coroutine in all.iter().filter(stirs).take(REMEMBERED) {
            let head = &coroutine.head;
            let at_present = Seen {
                switches: head.switches.load(Ordering::Relaxed),
                cpu: head.cpu.load(Ordering::Relaxed),
                waits: head.word.waits(),
            };
            if let Some(before) = self.seen.get(&head.id)
                && let Some(resumes) = at_present.resumes_since(before)
                && found.is_none_or(|(most, _)| most < resumes)
            {
                found = Some((resumes, coroutine));
            }
            seen.insert(head.id, at_present);
        }
        self.seen = seen;
        let past = now.saturating_duration_since(self.at.replace(now)?);
        let (resumes, coroutine) = found?;
        let what = format!(
            "it was resumed {resumes} times in {past:.1?} and waited for nothing meanwhile"
        );
        Some(lint(
            LintKind::WakesItself,
            coroutine,
            place_of(coroutine),
            what,
        ))
    }
}

impl Seen {
    /// How often it was resumed, if that was often and for nothing.
    fn resumes_since(&self, before: &Self) -> Option<u64> {
        let resumes = self.switches.saturating_sub(before.switches);
        let cpu = cycles::scale().nanos(self.cpu.saturating_sub(before.cpu));
        let each = Duration::from_nanos(cpu / resumes.max(1));
        (resumes >= OFTEN && self.waits == before.waits && each <= IDLE).then_some(resumes)
    }
}
