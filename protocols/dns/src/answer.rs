//! What a look-up found: from a message, along its aliases. Performs no I/O and reads no clock.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::error::Failure;
use crate::limits::Limits;
use crate::message::Question;

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// What the answer is.
    pub kind: Kind,
    /// The aliases (CNAME) that lead from the name that was asked for to the one that has the records, and those records.
    pub records: Vec<Record>,
    /// With a negative answer, the SOA record of the zone that says so, if it came.
    pub authority: Option<Record>,
    /// Who gave the answer, or its last part; `None` if nobody had to be asked.
    pub server: Option<SocketAddr>,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There are records.
    Found,
    /// The name exists, but has no records of the type (NODATA).
    NoData,
    /// There is no such name (NXDOMAIN).
    NoSuchName,
}

impl Answer {
    /// The name that has the records: that of the question, or where its aliases lead.
    pub fn canonical_name(&self) -> &Name {
        let last = self.records.iter().rev().find_map(alias);
        match self.question.record_type() {
            RecordType::CNAME | RecordType::ANY => self.question.name(),
            _ => last.map_or(self.question.name(), |(_, target)| target),
        }
    }

    /// The contents of the records of the type that was asked for, without the aliases.
    pub fn data(&self) -> impl Iterator<Item = &RData> {
        let wanted = self.question.record_type();
        self.records
            .iter()
            .filter(move |record| wanted == RecordType::ANY || record.record_type() == wanted)
            .map(|record| &record.data)
    }

    /// The addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data().filter_map(|data| data.ip_addr())
    }

    /// How long it may be kept: as long as the shortest-lived of its records, within the limits. Negative ones follow their
    /// SOA record, and are not kept without (RFC 2308, section 5).
    pub(crate) fn time_to_live(&self, limits: &Limits) -> Duration {
        let seconds = match (self.kind, &self.authority) {
            (Kind::Found, _) => self.records.iter().map(time_to_live).min().unwrap_or(0),
            (_, Some(authority)) => {
                let RData::SOA(soa) = &authority.data else {
                    return Duration::ZERO;
                };
                let aliases = self.records.iter().map(time_to_live);
                aliases
                    .chain([time_to_live(authority), soa.minimum])
                    .min()
                    .unwrap_or(0)
            }
            (_, None) => return Duration::ZERO,
        };
        let max = match self.kind {
            Kind::Found => limits.max_ttl,
            Kind::NoData | Kind::NoSuchName => limits.max_negative_ttl.min(limits.max_ttl),
        };
        Duration::from_secs(seconds.into())
            .max(limits.min_ttl)
            .min(max)
    }

    /// The same, as it is after it was kept for so long.
    pub(crate) fn aged(mut self, age: Duration) -> Self {
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        for record in self.records.iter_mut().chain(&mut self.authority) {
            record.ttl = time_to_live(record).saturating_sub(age);
        }
        self
    }
}

/// The highest bit has no meaning: with it, it is none (RFC 2181, section 8).
pub(crate) fn time_to_live(record: &Record) -> u32 {
    match record.ttl {
        ttl if ttl > i32::MAX as u32 => 0,
        ttl => ttl,
    }
}

fn alias(record: &Record) -> Option<(&Name, &Name)> {
    match &record.data {
        RData::CNAME(target) => Some((&record.name, &target.0)),
        _ => None,
    }
}

/// Where the aliases in a message lead.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The aliases, in order, and the records at their end. Nothing else of the message.
    pub(crate) records: Vec<Record>,
    pub(crate) end: End,
}

#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Found,
    /// Nothing of the type at this name, to which aliases may have led.
    Nothing(Name),
}

/// Follows the aliases from the question's name. Records of other names are not believed; they are not even looked at.
///
/// # Errors
/// There are more aliases than `most`.
pub(crate) fn follow(
    question: &Question,
    answers: &[Record],
    most: usize,
) -> Result<Followed, Failure> {
    let wanted = question.record_type();
    let mut name = question.name().clone();
    let mut records = Vec::new();
    loop {
        let before = records.len();
        records.extend(
            answers
                .iter()
                .filter(|record| {
                    record.dns_class == DNSClass::IN
                        && record.name == name
                        && (wanted == RecordType::ANY || record.record_type() == wanted)
                })
                .cloned(),
        );
        if records.len() > before {
            return Ok(Followed {
                records,
                end: End::Found,
            });
        }
        let next = answers.iter().find_map(|record| {
            let (owner, target) = alias(record)?;
            (record.dns_class == DNSClass::IN && *owner == name).then_some((record, target))
        });
        let Some((record, target)) = next else {
            return Ok(Followed {
                records,
                end: End::Nothing(name),
            });
        };
        if records.len() >= most {
            return Err(Failure::TooManyAliases(most));
        }
        name = target.clone();
        name.set_fqdn(true);
        records.push(record.clone());
    }
}

/// What one message says about a question.
#[derive(Debug)]
pub(crate) enum Said {
    Answer(Box<Answer>),
    /// Aliases lead to a name of which nothing is said.
    Further {
        aliases: Vec<Record>,
        name: Name,
    },
}

/// Reads an answer of a server that does the whole work: the stub's side.
///
/// # Errors
/// It is none.
pub(crate) fn read(
    question: &Question,
    message: &Message,
    server: Option<SocketAddr>,
    most_aliases: usize,
) -> Result<Said, Failure> {
    let no_such_name = match message.metadata.response_code {
        ResponseCode::NoError => false,
        ResponseCode::NXDomain => true,
        code => return Err(Failure::Said(code)),
    };
    let Followed { records, end } = follow(question, &message.answers, most_aliases)?;
    let answer = |kind, authority| {
        Ok(Said::Answer(Box::new(Answer {
            question: question.clone(),
            kind,
            records: records.clone(),
            authority,
            server,
        })))
    };
    let End::Nothing(name) = end else {
        return answer(Kind::Found, None);
    };
    let authority = soa_above(&name, &message.authorities);
    if no_such_name {
        answer(Kind::NoSuchName, authority)
    } else if authority.is_some() {
        answer(Kind::NoData, authority)
    } else if !records.is_empty() {
        Ok(Said::Further {
            aliases: records,
            name,
        })
    } else if !message.metadata.authoritative && !message.metadata.recursion_available {
        // A referral, or nothing at all: it does not do what a stub needs.
        Err(Failure::Lame)
    } else {
        answer(Kind::NoData, None)
    }
}

/// The SOA record of a zone that `name` is in.
pub(crate) fn soa_above(name: &Name, records: &[Record]) -> Option<Record> {
    let found = records.iter().find(|record| {
        record.record_type() == RecordType::SOA
            && record.dns_class == DNSClass::IN
            && record.name.zone_of(name)
    });
    found.cloned()
}
