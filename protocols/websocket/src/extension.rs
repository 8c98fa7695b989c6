//! What extensions are offered and agreed on (RFC 6455, section 9.1; RFC 7692, section 7.1). Performs no I/O.

use crate::deflate::{Agreed, Compression, Direction};

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// A header `Sec-WebSocket-Extensions` that does not keep to the grammar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One extension of a list, with its parameters in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    name: String,
    parameters: Vec<(String, Option<String>)>,
}

/// Takes a header's list apart.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Extension>, Malformed> {
    let mut rest = Scanner(text);
    let mut list = Vec::new();
    loop {
        // Empty members of a list mean nothing.
        while rest.takes(b',') {}
        if rest.is_empty() {
            return Ok(list);
        }
        let name = rest.token()?;
        let mut parameters = Vec::new();
        while rest.takes(b';') {
            let key = rest.token()?;
            let value = if rest.takes(b'=') {
                Some(rest.value()?)
            } else {
                None
            };
            parameters.push((key, value));
        }
        list.push(Extension { name, parameters });
        if !rest.is_empty() && !rest.takes(b',') {
            return Err(Malformed);
        }
    }
}

struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn is_empty(&mut self) -> bool {
        self.skip_blanks();
        self.0.is_empty()
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        match self.0.strip_prefix(char::from(byte)) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Result<String, Malformed> {
        self.skip_blanks();
        let end = self
            .0
            .find(|c: char| !c.is_ascii() || !crate::handshake::is_token_byte(c as u8))
            .unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        if token.is_empty() {
            return Err(Malformed);
        }
        self.0 = rest;
        Ok(token.to_owned())
    }

    /// A token, or one in quotes.
    fn value(&mut self) -> Result<String, Malformed> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        loop {
            match characters.next().ok_or(Malformed)? {
                (at, '"') => {
                    self.0 = &self.0[at + 1..];
                    break;
                }
                (_, '\\') => value.push(characters.next().ok_or(Malformed)?.1),
                (_, c) => value.push(c),
            }
        }
        if crate::handshake::is_token(&value) {
            Ok(value)
        } else {
            Err(Malformed)
        }
    }
}

/// The parameters of one offer or answer of permessage-deflate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// `Some(None)` without a value, which only an offer may have.
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` for what is not defined, comes twice, or has a value that it must not have.
    fn read(extension: &Extension) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            match name.as_str() {
                SERVER_NO_TAKEOVER if value.is_none() && !read.server_no_takeover => {
                    read.server_no_takeover = true;
                }
                CLIENT_NO_TAKEOVER if value.is_none() && !read.client_no_takeover => {
                    read.client_no_takeover = true;
                }
                SERVER_BITS if read.server_bits.is_none() => read.server_bits = Some(bits(value?)?),
                CLIENT_BITS if read.client_bits.is_none() => {
                    read.client_bits = Some(match value {
                        Some(value) => Some(bits(value)?),
                        None => None,
                    });
                }
                _ => return None,
            }
        }
        Some(read)
    }
}

/// A decimal number from 8 to 15 without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    (matches!(bits, 8..=15) && !value.starts_with(['0', '+'])).then_some(bits)
}

/// Chooses the first offer that a server can go along with: what is agreed on, and what it answers.
pub(crate) fn accept(offers: &[Extension], wish: &Compression) -> Option<(Agreed, String)> {
    let deflates = offers.iter().filter(|offer| offer.name == NAME);
    let offer = deflates.filter_map(Parameters::read).next()?;
    let agreed = Agreed {
        send: Direction {
            window_bits: offer.server_bits.unwrap_or(15).min(wish.send.window_bits),
            takeover: wish.send.takeover && !offer.server_no_takeover,
        },
        receive: Direction {
            // A client that does not offer the parameter cannot be told.
            window_bits: match offer.client_bits {
                Some(most) => most.unwrap_or(15).min(wish.receive.window_bits),
                None => 15,
            },
            takeover: wish.receive.takeover && !offer.client_no_takeover,
        },
    };
    let mut answer = NAME.to_owned();
    if !agreed.send.takeover {
        answer += &format!("; {SERVER_NO_TAKEOVER}");
    }
    if !agreed.receive.takeover {
        answer += &format!("; {CLIENT_NO_TAKEOVER}");
    }
    if offer.server_bits.is_some() || agreed.send.window_bits < 15 {
        answer += &format!("; {SERVER_BITS}={}", agreed.send.window_bits);
    }
    if agreed.receive.window_bits < 15 {
        answer += &format!("; {CLIENT_BITS}={}", agreed.receive.window_bits);
    }
    Some((agreed, answer))
}

/// What a client offers.
pub(crate) fn offer(wish: &Compression) -> String {
    let mut offer = NAME.to_owned();
    if !wish.receive.takeover {
        offer += &format!("; {SERVER_NO_TAKEOVER}");
    }
    if !wish.send.takeover {
        offer += &format!("; {CLIENT_NO_TAKEOVER}");
    }
    if wish.receive.window_bits < 15 {
        offer += &format!("; {SERVER_BITS}={}", wish.receive.window_bits);
    }
    offer += &format!("; {CLIENT_BITS}");
    if wish.send.window_bits < 15 {
        offer += &format!("={}", wish.send.window_bits);
    }
    offer
}

/// Checks a server's answer to our [`offer`].
pub(crate) fn check_answer(
    answer: &[Extension],
    wish: Option<&Compression>,
) -> Result<Option<Agreed>, &'static str> {
    let [extension] = answer else {
        return if answer.is_empty() {
            Ok(None)
        } else {
            Err("it uses several extensions")
        };
    };
    let Some(wish) = wish.filter(|_| extension.name == NAME) else {
        return Err("it uses an extension that was not offered");
    };
    let wrong = "its parameters of permessage-deflate do not answer the offer";
    let answer = Parameters::read(extension).ok_or(wrong)?;
    let client_bits = match answer.client_bits {
        None => 15,
        Some(bits) => bits.ok_or(wrong)?,
    };
    let server_bits = answer.server_bits.unwrap_or(15);
    if server_bits > wish.receive.window_bits
        || (!wish.receive.takeover && !answer.server_no_takeover)
    {
        return Err(wrong);
    }
    Ok(Some(Agreed {
        send: Direction {
            window_bits: client_bits.min(wish.send.window_bits),
            takeover: wish.send.takeover && !answer.client_no_takeover,
        },
        receive: Direction {
            window_bits: server_bits,
            takeover: !answer.server_no_takeover,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(offer: &str, wish: &Compression) -> Option<String> {
        accept(&parse_list(offer).unwrap(), wish).map(|(_, answer)| answer)
    }

    #[test]
    fn lists_are_taken_apart() {
        let list = parse_list(" foo , bar; baz=2;a=\"1\\0\" ;b,, x ").unwrap();
        let names: Vec<&str> = list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["foo", "bar", "x"]);
        assert_eq!(
            list[1].parameters,
            [
                ("baz".into(), Some("2".into())),
                ("a".into(), Some("10".into())),
                ("b".into(), None)
            ]
        );
        assert_eq!(parse_list(""), Ok(vec![]));
        for malformed in [
            "a b",
            ";",
            "a;",
            "a;=",
            "a;b=",
            "a;b=\"",
            "a;b=\"x",
            "a;b=\"x y\"",
            "a;b=\"\"",
            "a;b=c d",
            "ä",
            "a;b=\"\\",
        ] {
            assert_eq!(parse_list(malformed), Err(Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_server_takes_the_first_offer_that_it_can_keep() {
        let keep = Compression::new().takeover(true);
        for (offer, answer) in [
            ("permessage-deflate", Some("permessage-deflate")),
            ("x-webkit-deflate-frame", None),
            (
                "permessage-deflate; client_max_window_bits",
                Some("permessage-deflate"),
            ),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                Some("permessage-deflate; server_max_window_bits=15"),
            ),
            (
                "permessage-deflate; client_max_window_bits=9; server_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover; client_max_window_bits=9"),
            ),
            (
                "permessage-deflate; mystery, permessage-deflate; client_no_context_takeover",
                Some("permessage-deflate; client_no_context_takeover"),
            ),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=010", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits",
                None,
            ),
        ] {
            assert_eq!(answered(offer, &keep).as_deref(), answer, "{offer}");
        }
        let small = Compression::new().window_bits(10);
        assert_eq!(
            answered("permessage-deflate; client_max_window_bits", &small).unwrap(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10; client_max_window_bits=10"
        );
    }

    #[test]
    fn a_client_knows_an_answer_to_its_offer() {
        let check = |answer: &str, wish: &Compression| {
            check_answer(&parse_list(answer).unwrap(), Some(wish))
        };
        let keep = Compression::new().takeover(true);
        let agreed = check(
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",
            &keep,
        );
        let agreed = agreed.unwrap().unwrap();
        assert_eq!(
            (agreed.receive.window_bits, agreed.send.window_bits),
            (9, 8)
        );
        assert!(agreed.receive.takeover && agreed.send.takeover);
        assert_eq!(check("", &keep), Ok(None));
        for wrong in [
            "permessage-deflate, permessage-deflate",
            "foo",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; bar",
        ] {
            assert!(check(wrong, &keep).is_err(), "{wrong}");
        }
        let none = Compression::new();
        assert!(
            check("permessage-deflate", &none).is_err(),
            "it keeps a context"
        );
        let small = keep.window_bits(10);
        assert!(check("permessage-deflate", &small).is_err(), "too large");
        assert!(check("permessage-deflate; server_max_window_bits=11", &small).is_err());
        assert!(check_answer(&parse_list("permessage-deflate").unwrap(), None).is_err());
    }

    #[test]
    fn both_sides_come_to_the_same() {
        for client in wishes() {
            for server in wishes() {
                let offers = parse_list(&offer(&client)).unwrap();
                let (theirs, answer) = accept(&offers, &server).unwrap();
                let ours = check_answer(&parse_list(&answer).unwrap(), Some(&client));
                let ours = ours.unwrap().unwrap();
                assert_eq!(ours.receive, theirs.send, "{client:?} {server:?}");
                // A client may well use less than it may.
                assert!(ours.send.window_bits <= theirs.receive.window_bits);
                assert!(theirs.receive.takeover || !ours.send.takeover);
            }
        }
    }

    fn wishes() -> impl Iterator<Item = Compression> {
        (0..64).map(|n| {
            let bits = [8, 11, 13, 15];
            Compression::new()
                .send_takeover(n & 1 != 0)
                .receive_takeover(n & 2 != 0)
                .send_window_bits(bits[n >> 2 & 3])
                .receive_window_bits(bits[n >> 4 & 3])
        })
    }
}
