//! Questions, queries and answers as bytes. Performs no I/O, and draws no random numbers.
//!
//! Bytes are decoded by `hickory-proto`, after they were [looked over](Malformed).

use std::fmt;

use hickory_proto::ProtoError;
use hickory_proto::op::{MessageType, OpCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};

use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::error::Error;
pub use crate::skim::Malformed;
use crate::skim::{HEADER, skim};
pub use hickory_proto::op::{Edns, Message, Query, ResponseCode};

/// Bytes of an answer that every client takes over UDP (RFC 1035, section 4.2.1).
pub const PLAIN_UDP: usize = 512;
/// Bytes of an answer that we take, and give, over UDP with EDNS: it goes through networks without being cut to fragments.
pub const EDNS_UDP: u16 = 1_232;

/// The code BADVERS (RFC 6891), which the decoder takes for its namesake BADSIG.
const BAD_VERSION: u16 = 16;

/// The flag in the third byte of the header.
const TRUNCATED: u8 = 0b10;

/// What is encrypted is a multiple of so many bytes (RFC 8467, section 4.1).
const BLOCK: usize = 128;
/// The option for that (RFC 7830), and the bytes before its content.
const PADDING: u16 = 12;
const OPTION_HEAD: usize = 4;

/// What is asked for: records of a type (class IN), at a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    name: Name,
    record_type: RecordType,
}

impl Question {
    /// Asks for the records of that type at `name`, which is taken as it is: absolute.
    pub fn new(mut name: Name, record_type: RecordType) -> Self {
        name.set_fqdn(true);
        Self { name, record_type }
    }

    /// As [`new`](Self::new), of a name that is spelled out. Letters beyond ASCII are encoded (IDNA).
    ///
    /// # Errors
    /// [`Error::BadName`], if it is none: a label longer than 63 bytes, say.
    pub fn parse(name: &str, record_type: RecordType) -> Result<Self, Error> {
        Ok(Self::new(parse_name(name)?, record_type))
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The type.
    pub fn record_type(&self) -> RecordType {
        self.record_type
    }

    pub(crate) fn of(query: &Query) -> Option<Self> {
        (query.query_class == DNSClass::IN).then(|| Self::new(query.name.clone(), query.query_type))
    }

    fn to_query(&self) -> Query {
        Query::query(self.name.clone(), self.record_type)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}

/// An absolute name.
///
/// # Errors
/// [`Error::BadName`].
pub(crate) fn parse_name(name: &str) -> Result<Name, Error> {
    let bad = |why: String| Error::BadName {
        name: name.to_owned(),
        why,
    };
    if name.is_empty() {
        return Err(bad("it is empty; the root is called \".\"".to_owned()));
    }
    let mut parsed = Name::from_str_relaxed(name).map_err(|error| bad(error.to_string()))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// Decodes a message.
///
/// # Errors
/// It is not one, or costs more than the caps allow.
pub fn decode(wire: &[u8]) -> Result<Message, Malformed> {
    skim(wire)?;
    Message::from_vec(wire).map_err(|error| Malformed::Content(error.to_string()))
}

/// Encodes an answer in at most `limit` bytes. Additional records are left out first; if that is not enough, all are, and the
/// answer says that it is truncated: half of it is of no use to anybody, the client asks again over TCP. Empty, if not even the
/// question fits.
pub fn encode(message: &Message, limit: usize) -> Vec<u8> {
    let limit = u16::try_from(limit).unwrap_or(u16::MAX);
    if let Some(wire) = encode_whole(message, limit) {
        return wire;
    }
    let mut shorter = message.clone();
    shorter.additionals.clear();
    encode_whole(&shorter, limit)
        .or_else(|| encode_whole(&message.truncate(), limit))
        .unwrap_or_default()
}

/// `None` if it does not fit.
fn encode_whole(message: &Message, limit: u16) -> Option<Vec<u8>> {
    if message.metadata.truncation {
        // The encoder must say where it had to stop, even of what was cut off before.
        let mut as_whole = message.clone();
        as_whole.metadata.truncation = false;
        let mut wire = encode_whole(&as_whole, limit)?;
        wire[2] |= TRUNCATED;
        return Some(wire);
    }
    let mut wire = Vec::with_capacity(PLAIN_UDP);
    let mut encoder = BinEncoder::new(&mut wire);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    // The encoder sets the flag where it had to stop. What it took back then still lies behind what counts.
    let is_whole = wire.get(2).is_some_and(|flags| flags & TRUNCATED == 0);
    is_whole.then_some(wire)
}

/// How a query is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Asks the server to do the work (a stub does, a recursive resolver does not).
    pub(crate) recursion: bool,
    /// Bytes of an answer over UDP that we take; `None` does without EDNS.
    pub(crate) edns: Option<u16>,
    /// Fills up what EDNS has room for, to a multiple of [`BLOCK`] bytes.
    pub(crate) padded: bool,
}

/// A query that was sent, or will be.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    id: u16,
    /// Spelled as it was sent.
    question: Question,
    wire: Vec<u8>,
}

/// What a message is to a query that was sent.
#[derive(Debug)]
pub(crate) enum Judged {
    Answer(Box<Message>),
    /// An answer in which upper and lower case are not as they were sent. Some servers do that; so would one who guesses.
    RightButCase(Box<Message>),
    /// Wrong id, wrong question, or no answer at all.
    Stranger,
    Malformed(Malformed),
}

impl Sent {
    /// A query. Letters are turned into upper case where `case` has a bit (the bits of a letter are those of its place in
    /// the name); `None` leaves them alone.
    ///
    /// # Errors
    /// [`Error::BadName`], if it cannot be encoded.
    pub(crate) fn new(
        question: &Question,
        style: Style,
        id: u16,
        case: Option<&[u8; 32]>,
    ) -> Result<Self, Error> {
        let mut message = Message::query();
        message.metadata.id = id;
        message.metadata.recursion_desired = style.recursion;
        message.add_query(question.to_query());
        if let Some(size) = style.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            message.set_edns(edns);
        }
        let bad = |error: ProtoError| Error::BadName {
            name: question.name.to_string(),
            why: error.to_string(),
        };
        let mut wire = message.to_vec().map_err(bad)?;
        if style.padded
            && let Some(edns) = &mut message.edns
        {
            let filled = (wire.len() + OPTION_HEAD).next_multiple_of(BLOCK);
            let padding = vec![0; filled - wire.len() - OPTION_HEAD];
            edns.options_mut()
                .insert(EdnsOption::Unknown(PADDING, padding));
            wire = message.to_vec().map_err(bad)?;
        }
        if let Some(case) = case {
            // The name is not compressed: it is the first.
            for (index, byte) in wire[HEADER..].iter_mut().take(256).enumerate() {
                // Lengths of labels are below 64, so they are no letters.
                if *byte == 0 {
                    break;
                }
                if byte.is_ascii_alphabetic() {
                    let upper = case[index / 8] >> (index % 8) & 1 == 1;
                    *byte = if upper {
                        byte.to_ascii_uppercase()
                    } else {
                        byte.to_ascii_lowercase()
                    };
                }
            }
        }
        let sent = decode(&wire)
            .ok()
            .and_then(|message| Question::of(message.queries.first()?));
        let Some(question) = sent else {
            return Err(Error::BadName {
                name: question.name.to_string(),
                why: "it cannot be encoded".to_owned(),
            });
        };
        Ok(Self { id, question, wire })
    }

    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// What `wire` is to us. The id is looked at before anything is decoded.
    pub(crate) fn judge(&self, wire: &[u8]) -> Judged {
        match *wire {
            [high, low, flags, ..] if flags & 0x80 != 0 => {
                if u16::from_be_bytes([high, low]) != self.id {
                    return Judged::Stranger;
                }
            }
            _ => return Judged::Stranger,
        }
        let message = match decode(wire) {
            Ok(message) => message,
            Err(malformed) => return Judged::Malformed(malformed),
        };
        if message.metadata.message_type != MessageType::Response
            || message.metadata.op_code != OpCode::Query
        {
            return Judged::Stranger;
        }
        match message.queries.first().map(Question::of) {
            // One that does not understand the query cannot always repeat it.
            None if is_incapable(message.metadata.response_code) => {
                Judged::Answer(Box::new(message))
            }
            Some(Some(question)) if question == self.question => {
                match question.name.eq_case(&self.question.name) {
                    true => Judged::Answer(Box::new(message)),
                    false => Judged::RightButCase(Box::new(message)),
                }
            }
            _ => Judged::Stranger,
        }
    }
}

/// Does the code say that the server does not understand such queries (with EDNS, perhaps)?
pub(crate) fn is_incapable(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp) || u16::from(code) == BAD_VERSION
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::TXT;
    use hickory_proto::rr::{RData, Record};

    use super::*;

    /// An answer of so many records, each of 100 bytes of text and more.
    fn answer(records: usize, truncated: bool) -> Message {
        let question = Question::parse("www.example.org", RecordType::TXT).unwrap();
        let mut message = Message::response(7, OpCode::Query);
        message.metadata.truncation = truncated;
        message.add_query(question.to_query());
        let text = TXT::new(vec!["x".repeat(100)]);
        for _ in 0..records {
            let name = question.name.clone();
            message.add_answer(Record::from_rdata(name, 300, RData::TXT(text.clone())));
        }
        message
    }

    #[test]
    fn what_is_sent_is_a_whole_message_in_whatever_room() {
        for truncated in [false, true] {
            for records in 0..12 {
                let message = answer(records, truncated);
                let needed = encode(&message, 65_535).len();
                for room in [33, 34, 150, 512, needed - 1, needed, needed + 1] {
                    let wire = encode(&message, room);
                    assert!(wire.len() <= room);
                    if wire.is_empty() {
                        assert!(room < 33, "its question fits: {room}");
                        continue;
                    }
                    let sent = decode(&wire).unwrap();
                    let all = needed <= room;
                    assert_eq!(sent.answers.len(), if all { records } else { 0 });
                    assert_eq!(sent.metadata.truncation, truncated || !all, "{room}");
                    assert_eq!(sent.queries, message.queries);
                }
                assert!(encode(&message, 32).is_empty(), "no room for the question");
            }
        }
    }
}
