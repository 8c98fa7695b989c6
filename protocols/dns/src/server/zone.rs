//! The records of a zone, and what they say to a question. Performs no I/O.

use std::collections::BTreeMap;
use std::ops::Bound;

use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::Parser;

use crate::message::{Question, parse_name};

/// Aliases that are followed inside of a zone.
const MAX_ALIASES: usize = 16;

/// A zone: the records of a domain and of what is below it, without what is delegated.
///
/// ```
/// use grapeshot_dns::server::Zone;
///
/// let zone = Zone::parse(
///     "example.org.",
///     "$TTL 300
/// @    IN SOA ns hostmaster 1 3600 600 86400 60
///      IN NS  ns
/// ns   IN A   192.0.2.53
/// www  IN A   192.0.2.80
/// *    IN CNAME www",
/// )?;
/// # drop(zone);
/// # Ok::<(), grapeshot_dns::server::ZoneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Zone {
    origin: Name,
    /// In the order of DNSSEC: what is below a name follows it.
    names: BTreeMap<Name, Sets>,
}

type Sets = BTreeMap<RecordType, Vec<Record>>;

/// Why records make no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// The file cannot be read as one.
    #[error("the zone file of {origin} cannot be read: {why}")]
    Syntax {
        /// The zone.
        origin: String,
        /// What is wrong.
        why: String,
    },
    /// `$INCLUDE` would read other files.
    #[error("line {line} of the zone file includes another; put its records in place")]
    Include {
        /// Where.
        line: usize,
    },
    /// There is no SOA record at the top, or more than one.
    #[error("the zone {origin} has {count} SOA records; it needs one, at its top")]
    Soa {
        /// The zone.
        origin: String,
        /// How many there are.
        count: usize,
    },
    /// A record of another domain.
    #[error("{name} is not in the zone {origin}")]
    Foreign {
        /// The zone.
        origin: String,
        /// The record's name.
        name: String,
    },
    /// A name with an alias has nothing else (RFC 1034, section 3.6.2).
    #[error("{name} has a CNAME record, and others besides")]
    AliasWithOthers {
        /// The name.
        name: String,
    },
}

/// What a zone says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Says {
    /// Aliases, and the records at their end; without those, the end is in another zone.
    Records(Vec<Record>),
    /// Aliases, to a name without such records.
    NoData(Vec<Record>),
    /// Aliases, to a name that does not exist.
    NoSuchName(Vec<Record>),
    /// Aliases, to a name in a zone that others serve: its NS records.
    Referral(Vec<Record>, Vec<Record>),
}

/// What there is at one name.
enum Found<'a> {
    Sets(&'a Sets),
    Wildcard(&'a Sets),
    Delegated(&'a [Record]),
    Empty,
    Nothing,
}

impl Zone {
    /// A zone of these records.
    ///
    /// # Errors
    /// They make no zone: it needs one SOA record.
    pub fn new(origin: Name, records: impl IntoIterator<Item = Record>) -> Result<Self, ZoneError> {
        let mut zone = Self {
            origin,
            names: BTreeMap::new(),
        };
        zone.origin.set_fqdn(true);
        for mut record in records {
            record.name.set_fqdn(true);
            if !zone.origin.zone_of(&record.name) {
                return Err(ZoneError::Foreign {
                    origin: zone.origin.to_string(),
                    name: record.name.to_string(),
                });
            }
            let sets = zone.names.entry(record.name.clone()).or_default();
            let set = sets.entry(record.record_type()).or_default();
            // The records of a set have one time to live (RFC 2181, section 5.2).
            let ttl = set
                .first()
                .map_or(record.ttl, |first: &Record| first.ttl.min(record.ttl));
            record.ttl = ttl;
            set.iter_mut().for_each(|other| other.ttl = ttl);
            if !set.contains(&record) {
                set.push(record);
            }
        }
        zone.check()?;
        Ok(zone)
    }

    fn check(&self) -> Result<(), ZoneError> {
        let soas = self
            .names
            .get(&self.origin)
            .and_then(|sets| sets.get(&RecordType::SOA));
        let count = soas.map_or(0, Vec::len);
        if count != 1 {
            return Err(ZoneError::Soa {
                origin: self.origin.to_string(),
                count,
            });
        }
        for (name, sets) in &self.names {
            let aliases = sets.get(&RecordType::CNAME).map_or(0, Vec::len);
            if aliases > 1 || (aliases == 1 && sets.len() > 1) {
                return Err(ZoneError::AliasWithOthers {
                    name: name.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Reads a master file (RFC 1035, section 5). `$INCLUDE` is refused: nothing is read but `text`.
    ///
    /// # Errors
    /// It is none, or its records make no zone.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ZoneError> {
        let syntax = |why: String| ZoneError::Syntax {
            origin: origin.to_owned(),
            why,
        };
        let name = parse_name(origin).map_err(|error| syntax(error.to_string()))?;
        let included = text.lines().position(|line| {
            let start = line.trim_start().as_bytes();
            start.len() >= 8 && start[..8].eq_ignore_ascii_case(b"$include")
        });
        if let Some(index) = included {
            return Err(ZoneError::Include { line: index + 1 });
        }
        // The parser wants the last line to end.
        let text = format!("{text}\n");
        let (_, sets) = Parser::new(text, None, Some(name.clone()))
            .parse()
            .map_err(|error| syntax(error.to_string()))?;
        let records = sets
            .values()
            .flat_map(|set| set.records_without_rrsigs().cloned());
        Self::new(name, records)
    }

    /// The name of the zone.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The SOA record, as negative answers carry it: for as long as they may be kept (RFC 2308, section 3).
    pub(crate) fn negative_soa(&self) -> Option<Record> {
        let mut record = self.set(&self.origin, RecordType::SOA).first()?.clone();
        if let RData::SOA(soa) = &record.data {
            record.ttl = record.ttl.min(soa.minimum);
        }
        Some(record)
    }

    /// The records of a type at a name; none if there are none.
    pub(crate) fn set(&self, name: &Name, record_type: RecordType) -> &[Record] {
        let sets = self.names.get(name);
        sets.and_then(|sets| sets.get(&record_type))
            .map_or(&[], Vec::as_slice)
    }

    /// What it says to a question, whose name is in it (RFC 1034, section 4.3.2).
    pub(crate) fn says(&self, question: &Question) -> Says {
        let (mut name, wanted) = (question.name().clone(), question.record_type());
        let mut records = Vec::new();
        loop {
            let sets = match self.find(&name, wanted) {
                Found::Delegated(servers) => return Says::Referral(records, servers.to_vec()),
                Found::Empty => return Says::NoData(records),
                Found::Nothing => return Says::NoSuchName(records),
                Found::Sets(sets) | Found::Wildcard(sets) => sets,
            };
            // A wildcard's records are those of whoever is asked for.
            let here = |set: &[Record]| -> Vec<Record> {
                let mut set = set.to_vec();
                set.iter_mut().for_each(|record| record.name = name.clone());
                set
            };
            if wanted == RecordType::ANY {
                // One set of them is enough of an answer (RFC 8482, section 4.1).
                records.extend(
                    sets.values()
                        .next()
                        .map(|set| here(set))
                        .unwrap_or_default(),
                );
                return Says::Records(records);
            }
            if let Some(set) = sets.get(&wanted) {
                records.extend(here(set));
                return Says::Records(records);
            }
            let Some([alias]) = sets.get(&RecordType::CNAME).map(Vec::as_slice) else {
                return Says::NoData(records);
            };
            records.extend(here(std::slice::from_ref(alias)));
            let RData::CNAME(target) = &alias.data else {
                return Says::NoData(records);
            };
            name = target.0.clone();
            name.set_fqdn(true);
            if !self.origin.zone_of(&name) || records.len() >= MAX_ALIASES {
                return Says::Records(records);
            }
        }
    }

    fn find(&self, name: &Name, wanted: RecordType) -> Found<'_> {
        let (top, all) = (self.origin.iter().count(), name.iter().count());
        // From the top down: the first delegation on the way counts.
        for labels in top + 1..=all {
            let above = name.trim_to(labels);
            // The parent's side has the DS records.
            if labels == all && wanted == RecordType::DS {
                break;
            }
            let servers = self.set(&above, RecordType::NS);
            if !servers.is_empty() {
                return Found::Delegated(servers);
            }
        }
        if let Some(sets) = self.names.get(name) {
            return Found::Sets(sets);
        }
        if self.is_above_others(name) {
            return Found::Empty;
        }
        // The closest name above that exists has the wildcard, if any (RFC 4592).
        for labels in (top..all).rev() {
            let above = name.trim_to(labels);
            let wildcard = above.prepend_label("*").ok();
            if let Some(sets) = wildcard.and_then(|wildcard| self.names.get(&wildcard)) {
                return Found::Wildcard(sets);
            }
            if self.names.contains_key(&above) || self.is_above_others(&above) {
                break;
            }
        }
        Found::Nothing
    }

    /// Is there anything below the name?
    fn is_above_others(&self, name: &Name) -> bool {
        let after = (Bound::Excluded(name), Bound::Unbounded);
        let next = self.names.range::<Name, _>(after).next();
        next.is_some_and(|(next, _)| name.zone_of(next))
    }

    /// Addresses of the hosts that records name, as far as the zone has them: glue, if they are below a delegation.
    pub(crate) fn addresses_of(&self, records: &[Record]) -> Vec<Record> {
        let mut addresses: Vec<Record> = Vec::new();
        for record in records {
            let host = match &record.data {
                RData::NS(host) => &host.0,
                RData::MX(mx) => &mx.exchange,
                RData::SRV(srv) => &srv.target,
                _ => continue,
            };
            for record_type in [RecordType::A, RecordType::AAAA] {
                let new = self.set(host, record_type).iter();
                let new: Vec<_> = new
                    .filter(|record| !addresses.contains(record))
                    .cloned()
                    .collect();
                addresses.extend(new);
            }
        }
        addresses
    }
}

/// Makes a zone by and by.
///
/// ```
/// use grapeshot_dns::server::ZoneBuilder;
/// use grapeshot_dns::{RData, rdata};
///
/// let zone = ZoneBuilder::new("example.org")?
///     .add("@", 300, RData::NS(rdata::NS("ns.example.org.".parse().unwrap())))?
///     .address("ns", 300, [192, 0, 2, 53])?
///     .address("www", 300, [192, 0, 2, 80])?
///     .build()?;
/// assert_eq!(zone.origin().to_string(), "example.org.");
/// # Ok::<(), grapeshot_dns::server::ZoneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ZoneBuilder {
    origin: Name,
    records: Vec<Record>,
}

impl ZoneBuilder {
    /// A zone of this name, with no record.
    ///
    /// # Errors
    /// [`ZoneError::Syntax`], if it is no name.
    pub fn new(origin: &str) -> Result<Self, ZoneError> {
        let origin = parse_name(origin).map_err(|error| ZoneError::Syntax {
            origin: origin.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self {
            origin,
            records: Vec::new(),
        })
    }

    /// Adds a record. Its name is relative to the zone's, unless it ends with a dot; `@` is the zone's own.
    ///
    /// # Errors
    /// [`ZoneError::Syntax`], if it is no name.
    pub fn add(mut self, name: &str, ttl: u32, data: RData) -> Result<Self, ZoneError> {
        let name = match name {
            "@" => Ok(self.origin.clone()),
            name => Name::parse(name, Some(&self.origin)),
        };
        let name = name.map_err(|error| ZoneError::Syntax {
            origin: self.origin.to_string(),
            why: error.to_string(),
        })?;
        self.records.push(Record::from_rdata(name, ttl, data));
        Ok(self)
    }

    /// Adds an A or AAAA record, as [`add`](Self::add).
    ///
    /// # Errors
    /// As for `add`.
    pub fn address(
        self,
        name: &str,
        ttl: u32,
        address: impl Into<std::net::IpAddr>,
    ) -> Result<Self, ZoneError> {
        let data = match address.into() {
            std::net::IpAddr::V4(ip) => RData::A(ip.into()),
            std::net::IpAddr::V6(ip) => RData::AAAA(ip.into()),
        };
        self.add(name, ttl, data)
    }

    /// The zone. If no SOA record was added, it gets one, with a serial number of 1 and negative answers kept for a minute.
    ///
    /// # Errors
    /// The records make no zone.
    pub fn build(mut self) -> Result<Zone, ZoneError> {
        let is_soa = |record: &Record| record.record_type() == RecordType::SOA;
        if !self.records.iter().any(is_soa) {
            let host = |label| {
                self.origin
                    .prepend_label(label)
                    .unwrap_or_else(|_| self.origin.clone())
            };
            let (server, contact) = (host("ns"), host("hostmaster"));
            let soa =
                hickory_proto::rr::rdata::SOA::new(server, contact, 1, 3_600, 600, 86_400, 60);
            let record = Record::from_rdata(self.origin.clone(), 3_600, RData::SOA(soa));
            self.records.push(record);
        }
        Zone::new(self.origin, self.records)
    }
}
