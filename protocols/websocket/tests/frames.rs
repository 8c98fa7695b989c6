//! The framer: every cut of the wire, round trips, and what must be refused.

use grapeshot_websocket::frame::{Decoder, Event, Role, encode_message};
use grapeshot_websocket::{CloseCode, Limits, Message, Violation};
use proptest::prelude::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client writes it, built without the code under test.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    out
}

/// All events of the pieces, in order.
fn events<'a>(
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Event>, Violation> {
    let mut decoder = Decoder::new(Role::Server, limits);
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            while let Some(event) = decoder.next_event()? {
                events.push(event);
            }
            if piece.is_empty() || decoder.is_closed() {
                break;
            }
            let count = decoder.feed(piece);
            assert!(count > 0, "there is always space");
            piece = &piece[count..];
        }
    }
    Ok(events)
}

fn decode(wire: &[u8]) -> Result<Vec<Event>, Violation> {
    events(&Limits::default(), [wire])
}

fn text(text: &str) -> Event {
    Event::Message(Message::Text(text.to_owned()))
}

fn binary(bytes: &[u8]) -> Event {
    Event::Message(Message::Binary(bytes.to_vec()))
}

#[test]
fn messages_survive_every_cut() {
    let long = vec![b'l'; 200];
    let wire = [
        frame(0x81, b"Hello"),
        frame(0x82, b""),
        frame(0x01, "fr\u{e4}".as_bytes()),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, "gm\u{20ac}nt".as_bytes()),
        frame(0x82, &long),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    let want = vec![
        text("Hello"),
        binary(b""),
        Event::Ping(b"ping".to_vec()),
        Event::Pong(vec![]),
        text("fr\u{e4}gm\u{20ac}nt"),
        binary(&long),
        Event::Close(Some((CloseCode::NORMAL, "bye".into()))),
    ];
    let limits = Limits::default();
    for cut in 0..=wire.len() {
        assert_eq!(
            events(&limits, [&wire[..cut], &wire[cut..]]),
            Ok(want.clone()),
            "cut at {cut}"
        );
    }
    assert_eq!(
        events(&limits, wire.chunks(1)),
        Ok(want.clone()),
        "byte by byte"
    );
    // What follows a close frame is not looked at.
    let more = [&wire[..], b"\xff\xff\xff"].concat();
    assert_eq!(events(&limits, [&more[..]]), Ok(want));
}

#[test]
fn both_forms_of_a_character_cut_between_fragments_are_whole() {
    let euro = "\u{20ac}".as_bytes();
    let wire = [
        frame(0x01, &euro[..1]),
        frame(0x00, &euro[1..2]),
        frame(0x80, &euro[2..]),
    ]
    .concat();
    assert_eq!(decode(&wire), Ok(vec![text("\u{20ac}")]));
}

#[test]
fn violations_are_named() {
    use Violation::*;
    let corpus: Vec<(Vec<u8>, Violation)> = vec![
        (frame(0xc1, b"x"), ReservedBits),
        (frame(0xa2, b"x"), ReservedBits),
        (frame(0x99, b"x"), ReservedBits),
        (frame(0x83, b""), Opcode(3)),
        (frame(0x87, b""), Opcode(7)),
        (frame(0x8b, b""), Opcode(11)),
        (frame(0x8f, b""), Opcode(15)),
        (frame(0x09, b"x"), ControlFragmented),
        (frame(0x08, b""), ControlFragmented),
        (frame(0x89, &[0; 126]), ControlTooLong),
        (frame(0x88, &[0; 70_000]), ControlTooLong),
        (vec![0x81, 0x01, b'x'], Masking),
        (vec![0x82, 0xfe, 0, 125], Length),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Length),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], Length),
        (frame(0x80, b"x"), Continuation),
        (frame(0x00, b"x"), Continuation),
        (
            [frame(0x81, b"a"), frame(0x80, b"x")].concat(),
            Continuation,
        ),
        ([frame(0x01, b"a"), frame(0x81, b"x")].concat(), Interleaved),
        ([frame(0x02, b"a"), frame(0x01, b"x")].concat(), Interleaved),
        (frame(0x88, b"\x03"), CloseFrame),
        (frame(0x88, b"\x00\x00"), CloseFrame),
        (frame(0x88, b"\x03\xe7"), CloseFrame),
        (frame(0x88, b"\x03\xec"), CloseFrame),
        (frame(0x88, b"\x03\xed"), CloseFrame),
        (frame(0x88, b"\x03\xee"), CloseFrame),
        (frame(0x88, b"\x03\xf7"), CloseFrame),
        (frame(0x88, b"\x07\xd0"), CloseFrame),
        (frame(0x88, b"\xff\xff"), CloseFrame),
        (frame(0x88, b"\x03\xe8\xff"), Text),
        (frame(0x81, b"\xff"), Text),
        (frame(0x81, b"\xe2\x82"), Text),
        (frame(0x81, b"\xed\xa0\x80"), Text),
        ([frame(0x01, b"\xe2"), frame(0x80, b"\x82")].concat(), Text),
        (
            [frame(0x01, b"ok"), frame(0x80, b"\xc0\x80")].concat(),
            Text,
        ),
    ];
    for (wire, want) in &corpus {
        assert_eq!(decode(wire), Err(*want), "{wire:x?}");
        assert_eq!(
            events(&Limits::default(), wire.chunks(1)),
            Err(*want),
            "{wire:x?} byte by byte"
        );
    }
    assert_eq!(Text.close_code().code(), 1007);
    assert_eq!(Masking.close_code().code(), 1002);
    assert_eq!(FrameTooLong.close_code().code(), 1009);
}

#[test]
fn a_client_refuses_what_is_masked() {
    let mut decoder = Decoder::new(Role::Client, &Limits::default());
    decoder.feed(&frame(0x81, b"x"));
    assert_eq!(decoder.next_event(), Err(Violation::Masking));
    assert_eq!(decoder.next_event(), Err(Violation::Masking), "and again");
    let mut decoder = Decoder::new(Role::Client, &Limits::default());
    decoder.feed(b"\x81\x01x");
    assert_eq!(decoder.next_event(), Ok(Some(text("x"))));
}

#[test]
fn wrong_text_is_refused_before_its_frame_is_complete() {
    let whole = frame(0x01, &[&b"abc\xff"[..], &[b'x'; 100]].concat());
    assert_eq!(decode(&whole[..6 + 3]), Ok(vec![]));
    assert_eq!(decode(&whole[..6 + 4]), Err(Violation::Text));
}

#[test]
fn lengths_are_refused_before_anything_is_buffered() {
    let mut limits = Limits::default();
    limits.frame = 200;
    limits.message = 300;
    let of = |wire: &[u8]| events(&limits, [wire]);
    assert_eq!(of(&frame(0x82, &[0; 200])), Ok(vec![binary(&[0; 200])]));
    assert_eq!(
        of(&[&[0x82, 0xfe, 0, 201][..], &KEY].concat()),
        Err(Violation::FrameTooLong)
    );
    let huge = [
        &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &KEY,
    ]
    .concat();
    assert_eq!(of(&huge), Err(Violation::FrameTooLong));
    let fits = [frame(0x02, &[0; 200]), frame(0x80, &[0; 100])].concat();
    assert_eq!(of(&fits), Ok(vec![binary(&[0; 300])]));
    let exceeds = [frame(0x02, &[0; 200]), frame(0x80, &[0; 101])[..8].to_vec()].concat();
    assert_eq!(of(&exceeds), Err(Violation::MessageTooLong));
    // Even where the sum would overflow.
    limits.frame = u64::MAX;
    limits.message = u64::MAX;
    let wraps = [
        frame(0x02, &[0; 200]),
        [&[0x80, 0xff][..], &[0xff; 8], &KEY].concat(),
    ]
    .concat();
    assert_eq!(events(&limits, [&wraps[..]]), Err(Violation::Length));
}

#[test]
fn a_read_that_was_given_up_loses_nothing() {
    // Long enough that the decoder lends the message's own memory.
    let payload: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let wire = frame(0x82, &payload);
    let mut decoder = Decoder::new(Role::Server, &Limits::default());
    let mut at = 0;
    let event = loop {
        if let Some(event) = decoder.next_event().unwrap() {
            break event;
        }
        // Scribbled on, but never said to be filled.
        decoder.space().fill(0xee);
        let space = decoder.space();
        let count = space.len().min(777).min(wire.len() - at);
        space[..count].copy_from_slice(&wire[at..at + count]);
        decoder.filled(count);
        at += count;
    };
    assert_eq!(event, binary(&payload));
}

proptest! {
    #[test]
    fn messages_come_back_as_they_went(
        messages in prop::collection::vec(
            prop_oneof![
                any::<String>().prop_map(Message::Text),
                prop::collection::vec(any::<u8>(), 0..300).prop_map(Message::Binary),
                (60_000usize..70_000, any::<u8>()).prop_map(|(length, byte)| Message::Binary(vec![byte; length])),
            ],
            0..6,
        ),
        key in any::<[u8; 4]>(),
        step in 1usize..9000,
    ) {
        let mut wire = Vec::new();
        for message in &messages {
            encode_message(&mut wire, message, Some(key));
        }
        let want: Vec<_> = messages.into_iter().map(Event::Message).collect();
        prop_assert_eq!(events(&Limits::default(), wire.chunks(step)), Ok(want));
    }

    #[test]
    fn fragments_make_the_same_message(content in "\\PC{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5), step in 1usize..40) {
        let bytes = content.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let last = cuts.len() - 2;
        let wire: Vec<u8> = cuts.windows(2).enumerate().flat_map(|(n, cut)| {
            let first = if n == 0 { 0x01 } else { 0x00 } | if n == last { 0x80 } else { 0x00 };
            [frame(first, &bytes[cut[0]..cut[1]]), frame(0x89, &[n as u8])].concat()
        }).collect();
        let got = events(&Limits::default(), wire.chunks(step)).unwrap();
        let messages: Vec<_> = got.into_iter().filter(|event| matches!(event, Event::Message(_))).collect();
        prop_assert_eq!(messages, vec![text(&content)]);
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(wire in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..20) {
        prop_assert_eq!(events(&Limits::default(), wire.chunks(step)), decode(&wire));
    }
}
