//! Looks a message over before it is decoded. Performs no I/O.
//!
//! ```text
//!  0      2      4      6      8      10     12
//!  ├──────┼──────┼──────┼──────┼──────┼──────┤
//!  │  id  │flags │ QD ≤ 1│  AN  │  NS  │  AR  │ questions, then AN + NS + AR records
//!  └──────┴──────┴──────┴──────┴──────┴──────┘
//! ```
//!
//! The decoder behind it reserves memory for as many questions as the header claims, and follows pointers as long as they
//! point backwards. So what a peer chooses is held against its cap here, byte by byte, without any allocation.

use crate::limits::{MAX_NAME, MAX_POINTERS, MAX_QUESTIONS, MAX_RECORDS};

/// Bytes before the first question.
pub(crate) const HEADER: usize = 12;

/// Why bytes are no message that we read. The peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It ends in the middle.
    #[error("it ends at byte {at}, in the middle of {what}")]
    Cut {
        /// Where the bytes ran out.
        at: usize,
        /// What would have come.
        what: &'static str,
    },
    /// More questions than [`MAX_QUESTIONS`].
    #[error("it claims {count} questions; more than {MAX_QUESTIONS} are not read")]
    TooManyQuestions {
        /// What the header says.
        count: u16,
    },
    /// More records than [`MAX_RECORDS`].
    #[error("it claims {count} records; more than {MAX_RECORDS} are not read")]
    TooManyRecords {
        /// What the header says.
        count: usize,
    },
    /// A name longer than 255 bytes.
    #[error("the name at byte {at} is longer than {MAX_NAME} bytes")]
    NameTooLong {
        /// Where it begins.
        at: usize,
    },
    /// A compression pointer that does not point to what came before, so that it might never end.
    #[error("the pointer at byte {at} points to byte {to}, which is not before the name")]
    PointerForward {
        /// Where it is.
        at: usize,
        /// Where it points.
        to: usize,
    },
    /// A name with more compression pointers than [`MAX_POINTERS`].
    #[error("the name at byte {at} goes through more than {MAX_POINTERS} pointers")]
    TooManyPointers {
        /// Where it begins.
        at: usize,
    },
    /// A label of a kind that nobody uses.
    #[error("the label at byte {at} is of unknown kind {byte:#04x}")]
    UnknownLabel {
        /// Where it is.
        at: usize,
        /// Its first byte.
        byte: u8,
    },
    /// A name in a record goes beyond the record.
    #[error("the record that begins at byte {at} is shorter than what is in it")]
    RecordTooShort {
        /// Where its content begins.
        at: usize,
    },
    /// Bytes after the last record.
    #[error("{count} bytes come after the last record")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The decoder does not understand a record.
    #[error("{0}")]
    Content(String),
}

/// Looks over a whole message.
pub(crate) fn skim(wire: &[u8]) -> Result<(), Malformed> {
    let mut at = HEADER;
    if wire.len() < HEADER {
        return Err(Malformed::Cut {
            at: wire.len(),
            what: "the header",
        });
    }
    let count = |at: usize| u16::from_be_bytes([wire[at], wire[at + 1]]);
    let questions = count(4);
    if questions > MAX_QUESTIONS {
        return Err(Malformed::TooManyQuestions { count: questions });
    }
    let records = usize::from(count(6)) + usize::from(count(8)) + usize::from(count(10));
    if records > MAX_RECORDS {
        return Err(Malformed::TooManyRecords { count: records });
    }
    for _ in 0..questions {
        at = after_name(wire, at)?;
        at = after(wire, at, 4, "a question")?;
    }
    for _ in 0..records {
        at = after_record(wire, at)?;
    }
    match wire.len() - at {
        0 => Ok(()),
        count => Err(Malformed::Trailing { count }),
    }
}

fn after(wire: &[u8], at: usize, count: usize, what: &'static str) -> Result<usize, Malformed> {
    match at + count {
        end if end <= wire.len() => Ok(end),
        _ => Err(Malformed::Cut {
            at: wire.len(),
            what,
        }),
    }
}

/// Walks the name at `start`; returns what follows it there.
fn after_name(wire: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    // Pointers must point before the part of the name that they end, or they could go in circles.
    let mut part = start;
    let mut end = None;
    let mut length = 1;
    let mut pointers = 0;
    loop {
        let Some(&byte) = wire.get(at) else {
            return Err(Malformed::Cut {
                at: wire.len(),
                what: "a name",
            });
        };
        match byte {
            0 => return Ok(end.unwrap_or(at + 1)),
            1..=0x3f => {
                length += usize::from(byte) + 1;
                if length > MAX_NAME {
                    return Err(Malformed::NameTooLong { at: start });
                }
                at = after(wire, at, usize::from(byte) + 1, "a label")?;
            }
            0xc0.. => {
                let after = after(wire, at, 2, "a pointer")?;
                let to = usize::from(u16::from_be_bytes([byte & 0x3f, wire[at + 1]]));
                if to >= part {
                    return Err(Malformed::PointerForward { at, to });
                }
                pointers += 1;
                if pointers > MAX_POINTERS {
                    return Err(Malformed::TooManyPointers { at: start });
                }
                end.get_or_insert(after);
                (at, part) = (to, to);
            }
            0x40..=0xbf => return Err(Malformed::UnknownLabel { at, byte }),
        }
    }
}

fn after_record(wire: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = after_name(wire, at)?;
    let content = after(wire, at, 10, "a record")?;
    let field = |at: usize| u16::from_be_bytes([wire[at], wire[at + 1]]);
    let end = after(wire, content, field(at + 8).into(), "a record")?;
    // What the decoder decompresses inside of records.
    let (skip, names) = match field(at) {
        // NS, CNAME, PTR, TSIG, ANAME
        2 | 5 | 12 | 250 | 65305 => (0, 1),
        // SOA
        6 => (0, 2),
        // MX, SVCB, HTTPS
        15 | 64 | 65 => (2, 1),
        // SRV
        33 => (6, 1),
        // NAPTR
        35 => (after_naptr_texts(&wire[content..end]), 1),
        _ => (0, 0),
    };
    // An update's empty records, and nobody else's, may lack what their type demands.
    if end > content {
        let mut name = content + skip;
        for _ in 0..names {
            name = after_name(wire, name)?;
        }
        if name > end {
            return Err(Malformed::RecordTooShort { at: content });
        }
    }
    Ok(end)
}

/// Two numbers and three texts, each with its length before it.
fn after_naptr_texts(content: &[u8]) -> usize {
    let mut at = 4;
    for _ in 0..3 {
        at += 1 + usize::from(content.get(at).copied().unwrap_or(0));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `name`, which is given as on the wire.
    fn query(name: &[u8]) -> Vec<u8> {
        let mut wire = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        wire.extend_from_slice(name);
        wire.extend_from_slice(&[0, 1, 0, 1]);
        wire
    }

    #[test]
    fn every_cut_is_noticed() {
        let wire = query(b"\x03www\x07example\x03org\0");
        assert_eq!(skim(&wire), Ok(()));
        for cut in 0..wire.len() {
            let error = skim(&wire[..cut]).unwrap_err();
            assert!(
                matches!(error, Malformed::Cut { at, .. } if at == cut),
                "{cut}: {error}"
            );
        }
    }

    #[test]
    fn pointers_go_backwards_only() {
        // To itself, to what follows, and two that point to each other.
        assert_eq!(
            skim(&query(&[0xc0, 12])),
            Err(Malformed::PointerForward { at: 12, to: 12 })
        );
        assert_eq!(
            skim(&query(&[0xc0, 14, 0xc0, 12])),
            Err(Malformed::PointerForward { at: 12, to: 14 })
        );
        // `a` and then back to that `a`: backwards, and yet a circle.
        assert_eq!(
            skim(&query(&[1, b'a', 0xc0, 12])),
            Err(Malformed::PointerForward { at: 14, to: 12 })
        );
    }

    #[test]
    fn long_ways_are_not_gone() {
        let mut wire = query(&[0]);
        wire[7] = 1;
        let text = wire.len() + 11;
        let hops = MAX_POINTERS + 1;
        // A record that nobody reads holds the chain; a second one's name is its end.
        wire.extend_from_slice(&[0, 0, 99, 0, 1, 0, 0, 0, 0]);
        wire.extend_from_slice(&((2 * hops + 1) as u16).to_be_bytes());
        wire.push(0);
        for hop in 0..hops {
            let to = if hop == 0 { text } else { text + 2 * hop - 1 };
            wire.extend_from_slice(&(0xc000 | to as u16).to_be_bytes());
        }
        assert_eq!(skim(&wire), Ok(()));
        wire[7] = 2;
        let last = text + 2 * hops - 1;
        let second = wire.len();
        wire.extend_from_slice(&(0xc000 | last as u16).to_be_bytes());
        wire.extend_from_slice(&[0, 99, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(skim(&wire), Err(Malformed::TooManyPointers { at: second }));
        wire[second..second + 2].copy_from_slice(&(0xc000 | (last - 4) as u16).to_be_bytes());
        assert_eq!(skim(&wire), Ok(()));
    }

    #[test]
    fn claims_are_held_against_their_caps() {
        let mut wire = query(&[0]);
        wire[4..6].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(
            skim(&wire),
            Err(Malformed::TooManyQuestions { count: u16::MAX })
        );
        wire[4..6].copy_from_slice(&1u16.to_be_bytes());
        wire[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(
            skim(&wire),
            Err(Malformed::TooManyRecords { count: 65_535 })
        );
        wire[6..8].copy_from_slice(&0u16.to_be_bytes());
        wire.push(0);
        assert_eq!(skim(&wire), Err(Malformed::Trailing { count: 1 }));

        let mut long = Vec::new();
        for _ in 0..4 {
            long.push(63);
            long.extend_from_slice(&[b'a'; 63]);
        }
        long.push(0);
        assert_eq!(skim(&query(&long)), Err(Malformed::NameTooLong { at: 12 }));
        assert_eq!(
            skim(&query(&[0x80, 0])),
            Err(Malformed::UnknownLabel { at: 12, byte: 0x80 })
        );
    }

    #[test]
    fn names_stay_in_their_records() {
        let mut wire = query(&[0]);
        wire[7] = 1;
        // An MX whose name needs three bytes more than the record has.
        wire.extend_from_slice(&[0, 0, 15, 0, 1, 0, 0, 0, 0, 0, 3]);
        let content = wire.len();
        wire.extend_from_slice(&[0, 10, 2, b'm', b'x', 0]);
        assert_eq!(skim(&wire), Err(Malformed::RecordTooShort { at: content }));
    }
}
