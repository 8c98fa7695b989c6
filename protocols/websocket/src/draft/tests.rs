//! The drafts' own examples, every cut, and what is too long.

use super::handshake::Challenge;
use super::*;
use crate::error::Violation;
use crate::frame::{Event, Message};
use crate::limits::Limits;

#[test]
fn the_examples_of_hixie_76() {
    // Sections 1.2, and twice 5.2 and 4.1.
    for (first, second, body, numbers, answer) in [
        (
            "4 @1  46546xW%0l 1 5",
            "12998 5 Y3 1  .P00",
            b"^n:ds[4U",
            [829_309_203, 259_970_620],
            b"8jKS'y:G*Co,Wxa-",
        ),
        (
            "18x 6]8vM;54 *(5:  {   U1]8  z [  8",
            "1_ tx7X d  <  nw  334J702) 7]o}` 0",
            b"Tm[K T2u",
            [155_712_099, 173_347_027],
            b"fQJ,fN/4F4!~K~MH",
        ),
    ] {
        let challenge = Challenge::read(first, second).unwrap();
        assert_eq!(challenge.numbers, numbers);
        assert_eq!(&challenge.answer(*body), answer);
    }
    let challenge = Challenge {
        numbers: [777_007_543, 114_997_259],
    };
    let body = [0x47, 0x30, 0x22, 0x2d, 0x5a, 0x3f, 0x47, 0x58];
    assert_eq!(&challenge.answer(body), b"0st3Rl&q-2ZU^weu");
}

#[test]
fn keys_that_are_none_are_refused() {
    for key in [
        "",
        "12",
        " ",
        "1 3 ",
        "9 9999999999999999999999",
        "99999999999 9",
    ] {
        assert_eq!(Challenge::read(key, "1 2"), None, "{key}");
        assert_eq!(Challenge::read("1 2", key), None, "{key}");
    }
}

fn decoded(version: Version, wire: &[u8], step: usize) -> (Vec<Event>, Option<Violation>, bool) {
    let limits = Limits {
        frame: 300,
        ..Limits::default()
    };
    let mut decoder = HixieDecoder::new(version, &limits, Vec::new());
    let mut events = Vec::new();
    let mut parts = wire.chunks(step);
    loop {
        match decoder.next_event() {
            Err(violation) => {
                assert_eq!(decoder.next_event(), Err(violation));
                return (events, Some(violation), false);
            }
            Ok(Some(event)) => events.push(event),
            Ok(None) => {
                let Some(part) = parts.next() else {
                    return (events, None, decoder.ends_in_order());
                };
                decoder.space()[..part.len()].copy_from_slice(part);
                decoder.filled(part.len());
            }
        }
    }
}

fn text(text: &str) -> Event {
    Event::Message(Message::Text(text.into()))
}

#[test]
fn frames_survive_every_cut() {
    // Texts, a text of a type that is not known, a frame with a length of two digits, one whose bytes look like frames.
    let mut wire = b"\x00Hello\xff\x01lost\xff\x00\xc3\xa4\xff\x80\x81\x01".to_vec();
    wire.extend_from_slice(&[0xff; 129]);
    wire.extend_from_slice(b"\x82\x03\x00a\xff\x00\xff");
    let old = wire.clone();
    wire.extend_from_slice(b"\xff\x00\x00late\xff");
    let texts = [text("Hello"), text("ä"), text("")];
    let closed = [&texts[..], &[Event::Close(None)]].concat();
    for step in 1..=wire.len() {
        let (events, violation, in_order) = decoded(Version::Hixie76, &wire, step);
        assert_eq!(
            (events.as_slice(), violation),
            (closed.as_slice(), None),
            "{step}"
        );
        assert!(!in_order);
        let (events, violation, in_order) = decoded(Version::Hixie75, &old, step);
        assert_eq!((events.as_slice(), violation), (&texts[..], None), "{step}");
        assert!(in_order);
    }
    let (_, _, in_order) = decoded(Version::Hixie75, b"\x00Hel", 9);
    assert!(!in_order, "in the middle of a text");
}

#[test]
fn what_is_too_long_is_refused_before_it_is_there() {
    let long = [&b"\x00"[..], &[b'x'; 301]].concat();
    let unknown = [&b"\x7f"[..], &[b'x'; 301]].concat();
    for (wire, violation) in [
        (&long[..], Violation::FrameTooLong),
        (&unknown, Violation::FrameTooLong),
        (b"\x80\x82\x2d", Violation::FrameTooLong),
        (
            b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            Violation::FrameTooLong,
        ),
        (b"\x00\xc3\xff", Violation::Text),
    ] {
        for step in 1..=wire.len() {
            let (events, found, _) = decoded(Version::Hixie76, wire, step);
            assert_eq!((events, found), (vec![], Some(violation)), "{wire:x?}");
        }
    }
}
