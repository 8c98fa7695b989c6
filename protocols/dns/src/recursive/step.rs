//! What an authoritative server's message means for a look-up. Performs no I/O.
//!
//! A server is believed about its own zone, and nothing else: this is where records that it has no business with are left out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::answer::{End, Kind, follow, soa_above, time_to_live};
use crate::error::Failure;
use crate::message::Question;

/// Name servers of a zone that are kept; the rest is left out.
const MAX_SERVERS: usize = 16;
/// Addresses that are kept with them.
const MAX_GLUE: usize = 32;

/// A zone, and who serves it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Delegation {
    pub(super) zone: Name,
    pub(super) servers: Vec<Name>,
    /// Addresses that came with the servers. They are for this zone alone; nobody is told of them.
    pub(super) glue: Vec<(Name, IpAddr)>,
    /// Seconds.
    pub(super) time_to_live: u32,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// There they are.
    Found(Vec<Record>),
    /// Aliases lead elsewhere.
    Alias { records: Vec<Record>, target: Name },
    /// There is nothing.
    Nothing {
        kind: Kind,
        authority: Option<Record>,
    },
    /// Others know, of a zone below.
    Referral(Delegation),
}

/// Reads what a server of `zone` says to `question`.
///
/// # Errors
/// It is of no use: another server should be asked.
pub(super) fn interpret(
    question: &Question,
    zone: &Name,
    message: &Message,
    most_aliases: usize,
) -> Result<Step, Failure> {
    let no_such_name = match message.metadata.response_code {
        ResponseCode::NoError => false,
        ResponseCode::NXDomain => true,
        code => return Err(Failure::Said(code)),
    };
    let ours = |records: &[Record]| -> Vec<Record> {
        let ours = records.iter().filter(|record| zone.zone_of(&record.name));
        ours.cloned().collect()
    };
    let answers = ours(&message.answers);
    let followed = follow(question, &answers, most_aliases)?;
    let authoritative = message.metadata.authoritative;
    match followed.end {
        End::Found if authoritative => return Ok(Step::Found(followed.records)),
        End::Nothing(target) if authoritative && !followed.records.is_empty() => {
            // Whatever it says of the target: who serves that zone knows.
            return Ok(Step::Alias {
                records: followed.records,
                target,
            });
        }
        // Not from its own data.
        _ if !followed.records.is_empty() => return Err(Failure::Lame),
        _ => {}
    }
    let authorities = ours(&message.authorities);
    let authority = soa_above(question.name(), &authorities);
    if no_such_name {
        return match authoritative || authority.is_some() {
            true => Ok(Step::Nothing {
                kind: Kind::NoSuchName,
                authority,
            }),
            false => Err(Failure::Lame),
        };
    }
    if authority.is_none()
        && let Some(delegation) = delegation(question, zone, &authorities, &message.additionals)
    {
        return Ok(Step::Referral(delegation));
    }
    match authoritative {
        true => Ok(Step::Nothing {
            kind: Kind::NoData,
            authority,
        }),
        // Nothing, or a referral that leads nowhere new.
        false => Err(Failure::Lame),
    }
}

/// The zone below `zone`, and above the name, that others serve.
fn delegation(
    question: &Question,
    zone: &Name,
    authorities: &[Record],
    additionals: &[Record],
) -> Option<Delegation> {
    let is_below = |record: &&Record| {
        record.record_type() == RecordType::NS
            && record.dns_class == DNSClass::IN
            && record.name != *zone
            && record.name.zone_of(question.name())
    };
    let child = &authorities.iter().find(is_below)?.name;
    let set: Vec<&Record> = authorities
        .iter()
        .filter(is_below)
        .filter(|record| record.name == *child)
        .collect();
    Some(gather(child, zone, &set, additionals))
}

/// The servers that an NS record set names, with those of the addresses that the zone `of` may tell.
pub(super) fn gather(
    zone: &Name,
    of: &Name,
    set: &[&Record],
    additionals: &[Record],
) -> Delegation {
    let hosts = set.iter().filter_map(|record| match &record.data {
        RData::NS(host) => Some(host.0.clone()),
        _ => None,
    });
    let servers: Vec<Name> = hosts.take(MAX_SERVERS).collect();
    let known: BTreeSet<&Name> = servers.iter().collect();
    let glue = additionals
        .iter()
        .filter(|record| record.dns_class == DNSClass::IN && of.zone_of(&record.name))
        .filter(|record| known.contains(&record.name))
        .filter_map(|record| Some((record.name.clone(), record.data.ip_addr()?)))
        .take(MAX_GLUE)
        .collect();
    Delegation {
        zone: zone.clone(),
        glue,
        time_to_live: set
            .iter()
            .map(|record| time_to_live(record))
            .min()
            .unwrap_or(0),
        servers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};

    fn name(name: &str) -> Name {
        Name::from_ascii(name).unwrap()
    }

    fn ns(zone: &str, host: &str) -> Record {
        Record::from_rdata(name(zone), 300, RData::NS(NS(name(host))))
    }

    fn a(owner: &str, last: u8) -> Record {
        Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, last)))
    }

    fn cname(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
    }

    fn soa(zone: &str) -> Record {
        let soa = SOA::new(name(zone), name(zone), 1, 2, 3, 4, 5);
        Record::from_rdata(name(zone), 60, RData::SOA(soa))
    }

    fn message(authoritative: bool, sections: [&[Record]; 3]) -> Message {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = authoritative;
        message.answers = sections[0].to_vec();
        message.authorities = sections[1].to_vec();
        message.additionals = sections[2].to_vec();
        message
    }

    /// Of a server of `org`, asked for `www.example.org`.
    fn said(message: &Message) -> Result<Step, Failure> {
        let question = Question::parse("www.example.org", RecordType::A).unwrap();
        interpret(&question, &name("org."), message, 16)
    }

    #[test]
    fn referrals_lead_down() {
        let servers = [
            ns("example.org.", "ns.example.org."),
            ns("example.org.", "ns.example.net."),
        ];
        let glue = [
            a("ns.example.org.", 1),
            a("ns.example.net.", 66),
            a("www.example.org.", 66),
        ];
        let step = said(&message(false, [&[], &servers, &glue])).unwrap();
        let Step::Referral(delegation) = step else {
            panic!("{step:?}")
        };
        assert_eq!(delegation.zone, name("example.org."));
        assert_eq!(delegation.servers.len(), 2);
        // Neither what another zone has to say, nor what was not asked for.
        assert_eq!(
            delegation.glue,
            [(name("ns.example.org."), [192, 0, 2, 1].into())]
        );
    }

    #[test]
    fn referrals_elsewhere_are_lame() {
        for zone in [
            ".",
            "org.",
            "net.",
            "example.net.",
            "other.org.",
            "x.www.example.org.",
        ] {
            let servers = [ns(zone, "ns.evil.test.")];
            assert_eq!(
                said(&message(false, [&[], &servers, &[]])),
                Err(Failure::Lame),
                "{zone}"
            );
        }
        assert_eq!(said(&message(false, [&[], &[], &[]])), Err(Failure::Lame));
    }

    #[test]
    fn answers_are_authoritative_and_its_own() {
        let answer = [a("www.example.org.", 1)];
        assert_eq!(
            said(&message(true, [&answer, &[], &[]])),
            Ok(Step::Found(answer.to_vec()))
        );
        assert_eq!(
            said(&message(false, [&answer, &[], &[]])),
            Err(Failure::Lame)
        );
        // An alias to another zone, with an address for it that is none of this server's business.
        let answer = [
            cname("www.example.org.", "www.example.net."),
            a("www.example.net.", 66),
        ];
        let alias = Step::Alias {
            records: answer[..1].to_vec(),
            target: name("www.example.net."),
        };
        assert_eq!(said(&message(true, [&answer, &[], &[]])), Ok(alias));
        // Something else altogether.
        let other = [a("mail.example.org.", 66)];
        let nothing = Step::Nothing {
            kind: Kind::NoData,
            authority: None,
        };
        assert_eq!(said(&message(true, [&other, &[], &[]])), Ok(nothing));
    }

    #[test]
    fn nothing_is_said_by_who_may() {
        let mut nowhere = message(true, [&[], &[soa("org.")], &[]]);
        nowhere.metadata.response_code = ResponseCode::NXDomain;
        let nothing = |kind, authority| Ok(Step::Nothing { kind, authority });
        assert_eq!(said(&nowhere), nothing(Kind::NoSuchName, Some(soa("org."))));
        let empty = message(true, [&[], &[soa("example.org.")], &[]]);
        assert_eq!(
            said(&empty),
            nothing(Kind::NoData, Some(soa("example.org.")))
        );
        // Another zone's record says nothing about how long this holds.
        let foreign = message(true, [&[], &[soa("net.")], &[]]);
        assert_eq!(said(&foreign), nothing(Kind::NoData, None));
        let mut failed = message(true, [&[], &[], &[]]);
        failed.metadata.response_code = ResponseCode::Refused;
        assert_eq!(said(&failed), Err(Failure::Said(ResponseCode::Refused)));
    }
}
