//! What the server says to a query, as far as its zones say it. Performs no I/O.

use hickory_proto::op::{Edns, Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use super::zone::{Says, Zone};
use crate::answer::{Answer, Kind};
use crate::message::{EDNS_UDP, PLAIN_UDP, Question};

/// What is to be done with a query.
#[derive(Debug)]
pub(super) enum Response {
    Ready(Message),
    /// None of our zones has it: the answer is to be found, and put into this message.
    Ask(Question, Message),
}

/// The answer of the zones to a query.
pub(super) fn respond(zones: &[Zone], query: &Message, forwards: bool) -> Response {
    let mut message = begin(query);
    message.metadata.recursion_available = forwards;
    let refuse = |mut message: Message, code| {
        message.metadata.response_code = code;
        Response::Ready(message)
    };
    if query.metadata.op_code != OpCode::Query {
        return refuse(message, ResponseCode::NotImp);
    }
    let [asked] = &query.queries[..] else {
        return refuse(message, ResponseCode::FormErr);
    };
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return refuse(message, ResponseCode::BADVERS);
    }
    if asked.query_class != DNSClass::IN
        || matches!(asked.query_type, RecordType::AXFR | RecordType::IXFR)
    {
        return refuse(message, ResponseCode::Refused);
    }
    let question = Question::new(asked.name.clone(), asked.query_type);
    // The longest name counts.
    let zone = zones
        .iter()
        .filter(|zone| zone.origin().zone_of(question.name()))
        .max_by_key(|zone| zone.origin().iter().count());
    match zone {
        Some(zone) => Response::Ready(authoritative(zone, &question, message)),
        None if forwards && query.metadata.recursion_desired => Response::Ask(question, message),
        None => refuse(message, ResponseCode::Refused),
    }
}

fn authoritative(zone: &Zone, question: &Question, mut message: Message) -> Message {
    message.metadata.authoritative = true;
    match zone.says(question) {
        Says::Records(records) => {
            message.additionals = zone.addresses_of(&records);
            message.answers = records;
        }
        Says::NoData(records) => {
            message.answers = records;
            message.authorities.extend(zone.negative_soa());
        }
        Says::NoSuchName(records) => {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.answers = records;
            message.authorities.extend(zone.negative_soa());
        }
        Says::Referral(records, servers) => {
            // What is said of another's zone is no authority, but aliases on the way are.
            message.metadata.authoritative = !records.is_empty();
            message.additionals = zone.addresses_of(&servers);
            message.answers = records;
            message.authorities = servers;
        }
    }
    message
}

/// Puts an answer that was found into a message.
pub(super) fn complete(message: &mut Message, answer: Answer) {
    if answer.kind == Kind::NoSuchName {
        message.metadata.response_code = ResponseCode::NXDomain;
    }
    message.answers = answer.records;
    message.authorities.extend(answer.authority);
}

/// The beginning of each response: the question, and EDNS if it was used.
fn begin(query: &Message) -> Message {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata = Metadata::response_from_request(&query.metadata);
    message.queries.clone_from(&query.queries);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_UDP);
        message.set_edns(edns);
    }
    message
}

/// What is said to bytes that are no message, if the beginning is one's: `None` for what must not be answered.
pub(super) fn complain(wire: &[u8]) -> Option<Message> {
    let &[high, low, flags, ..] = wire.first_chunk::<12>()?;
    // Two servers that complain to each other would never end.
    if flags & 0x80 != 0 {
        return None;
    }
    let mut message = Message::response(u16::from_be_bytes([high, low]), OpCode::Query);
    message.metadata.response_code = ResponseCode::FormErr;
    Some(message)
}

/// Bytes of a datagram that the client takes: never more than we send at most.
pub(super) fn room(query: &Message) -> usize {
    let asked = query
        .edns
        .as_ref()
        .map_or(PLAIN_UDP, |edns| edns.max_payload().into());
    asked.clamp(PLAIN_UDP, EDNS_UDP.into())
}
