//! permessage-deflate between both ends, cut everywhere, and against a peer that does it wrong.

use std::io::{Read, Write};

use grapeshot::net::{Shutdown, UnixStream};
use grapeshot::spawn;
use grapeshot_http::{HandlerError, Peer, Server};
use grapeshot_websocket::client::{Connect, ConnectError};
use grapeshot_websocket::deflate::{Compression, Deflater, Direction};
use grapeshot_websocket::frame::{Decoder, Event, Role};
use grapeshot_websocket::{CloseCode, Error, Limits, Message, Statistics, Upgrade, Violation};
use proptest::prelude::*;

/// A client of these wishes exchanges `messages` with an echo; gives its figures.
fn exchange(
    server: Option<Compression>,
    client: Option<Compression>,
    messages: Vec<Message>,
) -> (Statistics, bool) {
    grapeshot::testing::run(3, move || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut upgrade = Upgrade::new();
        if let Some(wish) = server {
            upgrade = upgrade.compression(wish);
        }
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            let socket = upgrade.accept(request, response)?;
            while let Ok(message) = socket.recv() {
                match message {
                    Message::Text(text) => socket.send_text(&text)?,
                    Message::Binary(bytes) => socket.send_binary(&bytes)?,
                }
            }
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let mut connect = Connect::new();
        if let Some(wish) = client {
            connect = connect.compression(wish);
        }
        let socket = connect.connect(ours, "localhost", "/").unwrap();
        for message in messages {
            match &message {
                Message::Text(text) => socket.send_text(text).unwrap(),
                Message::Binary(bytes) => socket.send_binary(bytes).unwrap(),
            }
            assert_eq!(socket.recv().unwrap(), message);
        }
        let figures = socket.statistics();
        socket.close(CloseCode::NORMAL, "").unwrap();
        serving.join().unwrap();
        (figures, socket.compression().is_some())
    })
}

fn texts() -> Vec<Message> {
    (0..20)
        .map(|n| {
            let line = format!(
                "{{\"id\":{n},\"kind\":\"move\",\"x\":{},\"y\":{}}}",
                n * 7,
                n * 3
            );
            Message::Text(line.repeat(10))
        })
        .collect()
}

#[test]
fn what_is_agreed_on_is_done() {
    let plain = exchange(None, None, texts());
    assert!(!plain.1);
    for (server, client) in [
        (Some(Compression::new()), None),
        (None, Some(Compression::new())),
    ] {
        let one_sided = exchange(server, client, texts());
        assert!(!one_sided.1);
        assert_eq!(one_sided.0.bytes_sent, plain.0.bytes_sent);
    }
    let alone = exchange(Some(Compression::new()), Some(Compression::new()), texts()).0;
    assert!(alone.bytes_sent * 3 < plain.0.bytes_sent, "{alone:?}");
    let keep = || Some(Compression::new().takeover(true));
    let together = exchange(keep(), keep(), texts()).0;
    assert!(
        together.bytes_sent + 400 < alone.bytes_sent,
        "{together:?} {alone:?}"
    );
    assert!(together.bytes_received * 2 < alone.bytes_received);
    let only_down = exchange(
        Some(Compression::new().takeover(true)),
        Some(Compression::new().receive_takeover(true)),
        texts(),
    );
    assert!(only_down.0.bytes_received * 2 < only_down.0.bytes_sent);
}

#[test]
fn every_window_carries_every_message() {
    let mut messages: Vec<Message> = [0usize, 1, 255, 256, 5000, 70_000]
        .into_iter()
        .map(|length| Message::Binary((0..length).map(|n| (n / 7 % 251) as u8).collect()))
        .collect();
    messages.extend(texts());
    for bits in [8, 9, 12, 15] {
        for takeover in [false, true] {
            let wish = Compression::new().window_bits(bits).takeover(takeover);
            let (figures, agreed) = exchange(Some(wish.clone()), Some(wish), messages.clone());
            assert!(agreed);
            assert!(figures.bytes_sent < 76_000 / 2, "{bits} bits: {figures:?}");
        }
    }
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a server that compresses answers to a handshake with this header and to `wire`, and what it receives.
fn answer(header: &str, wire: &[u8]) -> (String, Vec<u8>, Option<Error>) {
    let request = [ASK, header, "\r\n\r\n"].concat().into_bytes();
    let wire = [&request, wire].concat();
    grapeshot::testing::run(4, move || {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        let mut limits = Limits::default();
        limits.message = 1 << 20;
        let upgrade = Upgrade::new()
            .limits(limits)
            .compression(Compression::new().takeover(true));
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            let socket = upgrade.accept(request, response)?;
            told.send(socket.recv().err()).unwrap();
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        ours.write_all(&wire).unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        ours.read_to_end(&mut all).unwrap();
        serving.join().unwrap();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        (head, all[end..].to_vec(), hears.try_recv().ok().flatten())
    })
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";

#[test]
fn the_servers_answer_is_an_answer_to_the_offer() {
    let (head, ..) = answer(OFFER, b"");
    assert!(
        head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"),
        "{head}"
    );
    for declined in [
        "X: y",
        "Sec-WebSocket-Extensions: x-webkit-deflate-frame, foo; bar=1",
    ] {
        let (head, ..) = answer(declined, b"");
        assert!(
            head.starts_with("HTTP/1.1 101 ") && !head.contains("Extensions"),
            "{head}"
        );
    }
    let (head, ..) = answer("Sec-WebSocket-Extensions: a b", b"");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[test]
fn rsv1_stands_on_the_first_frame_of_a_compressed_message_and_nowhere_else() {
    for (header, wire) in [
        // Nothing agreed on.
        ("X: y", &b"\xc1\x80\0\0\0\0"[..]),
        // A ping, a continuation, and with RSV2 beside it.
        (OFFER, b"\xc9\x80\0\0\0\0"),
        (OFFER, b"\x41\x81\0\0\0\0\xf2\xc0\x80\0\0\0\0"),
        (OFFER, b"\xe1\x80\0\0\0\0"),
    ] {
        let (_, close, error) = answer(header, wire);
        assert!(
            matches!(error, Some(Error::Violation(Violation::ReservedBits))),
            "{error:?}"
        );
        assert_eq!(close[2..4], 1002u16.to_be_bytes());
    }
}

#[test]
fn a_bomb_and_nonsense_are_refused() {
    let keep = Direction {
        window_bits: 15,
        takeover: true,
    };
    let mut deflater = Deflater::new(keep, &Compression::new());
    let bomb = deflater.deflate(&vec![0; 4 << 20], || {}).unwrap();
    assert!(bomb.len() < 0xffff);
    let mut wire = vec![0xc2, 0xfe];
    wire.extend_from_slice(&(bomb.len() as u16).to_be_bytes());
    wire.extend_from_slice(&[0; 4]);
    wire.extend_from_slice(bomb);
    let (_, close, error) = answer(OFFER, &wire);
    assert!(
        matches!(error, Some(Error::Violation(Violation::MessageTooLong))),
        "{error:?}"
    );
    assert_eq!(close[2..4], 1009u16.to_be_bytes());
    let (_, close, error) = answer(OFFER, b"\xc2\x81\0\0\0\0\x07");
    assert!(
        matches!(error, Some(Error::Violation(Violation::Deflate))),
        "{error:?}"
    );
    assert_eq!(close[2..4], 1007u16.to_be_bytes());
    // Text that is only seen to be wrong once it is decompressed.
    let (_, close, _) = answer(OFFER, b"\xc1\x84\0\0\0\0\xfa\x0f\x00\x00");
    assert_eq!(close[2..4], 1007u16.to_be_bytes());
}

#[test]
fn a_client_refuses_an_extension_that_it_did_not_offer() {
    for (connect, extension) in [
        (Connect::new(), "permessage-deflate"),
        (
            Connect::new().compression(Compression::new()),
            "permessage-deflate",
        ),
        (Connect::new().compression(Compression::new()), "x; y"),
        (Connect::new().compression(Compression::new()), ";"),
    ] {
        let error = grapeshot::testing::run(5, move || {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let serving = spawn(move || {
                let mut asked = vec![0; 2000];
                let count = theirs.read(&mut asked).unwrap();
                let asked = String::from_utf8_lossy(&asked[..count]).into_owned();
                let key = asked.split("Sec-WebSocket-Key: ").nth(1).unwrap();
                let key = key.split("\r\n").next().unwrap();
                let answer = format!(
                    "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n",
                    accept_key(key)
                );
                theirs.write_all(answer.as_bytes()).unwrap();
            });
            let error = connect.connect(ours, "h", "/").unwrap_err();
            serving.join().unwrap();
            error
        });
        assert!(
            matches!(error, ConnectError::Answer(_)),
            "{extension}: {error}"
        );
    }
}

fn accept_key(key: &str) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let mut hash = sha1::Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

/// Appends a frame of a server's.
fn frame(wire: &mut Vec<u8>, first: u8, payload: &[u8]) {
    wire.push(first);
    match payload.len() {
        length @ 0..126 => wire.push(length as u8),
        length @ 126..0x1_0000 => {
            wire.push(126);
            wire.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            wire.push(127);
            wire.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    wire.extend_from_slice(payload);
}

fn decoded(wire: &[u8], cuts: &[usize], direction: Direction) -> Vec<Event> {
    let mut decoder = Decoder::new(Role::Client, &Limits::default()).compressed(direction);
    let mut events = Vec::new();
    let mut at = 0;
    let mut cuts = cuts.iter().copied().chain([wire.len()]);
    let mut until = cuts.next().unwrap();
    loop {
        match decoder.next_event().unwrap() {
            Some(event) => events.push(event),
            None if at == wire.len() => return events,
            None => {
                while at >= until {
                    until = cuts.next().unwrap();
                }
                at += decoder.feed(&wire[at..until]);
            }
        }
    }
}

#[test]
fn compressed_messages_survive_every_cut() {
    let keep = Direction {
        window_bits: 10,
        takeover: true,
    };
    let mut deflater = Deflater::new(keep, &Compression::new().threshold(0));
    let mut wire = Vec::new();
    let messages = ["one and one and one", "two and two", "one and one and two"];
    for message in messages {
        let short = deflater.deflate(message.as_bytes(), || {}).unwrap();
        let (front, back) = short.split_at(short.len() / 2);
        frame(&mut wire, 0x41, front);
        frame(&mut wire, 0x89, b"ping");
        frame(&mut wire, 0x80, back);
        frame(&mut wire, 0x81, b"as it is");
    }
    let want = decoded(&wire, &[], keep);
    assert_eq!(want.len(), 9);
    assert_eq!(want[1], Event::Message(Message::Text(messages[0].into())));
    for first in 0..=wire.len() {
        assert_eq!(decoded(&wire, &[first], keep), want, "cut at {first}");
        assert_eq!(
            decoded(&wire, &[first, first + 1], keep),
            want,
            "and at {first} + 1"
        );
    }
}

#[test]
fn the_first_fault_is_told_however_the_bytes_are_cut() {
    let whole = Direction {
        window_bits: 15,
        takeover: false,
    };
    // A stored block of wrong text, and behind it a block of a kind that there is not.
    let wire = b"\xc1\x07\x00\x01\x00\xfe\xff\xff\x07";
    for step in 1..=wire.len() {
        let mut decoder = Decoder::new(Role::Client, &Limits::default()).compressed(whole);
        let mut parts = wire.chunks(step);
        let found = loop {
            match decoder.next_event() {
                Ok(None) => {
                    let part = parts.next().expect("it is wrong before its end");
                    assert_eq!(decoder.feed(part), part.len());
                }
                other => break other,
            }
        };
        assert_eq!(found, Err(Violation::Text), "by {step}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_messages_in_any_frames_come_out(
        messages in prop::collection::vec((prop::collection::vec(0u8..4, 0..1500), 1usize..500, any::<bool>()), 1..8),
        window_bits in 8u8..=15,
        takeover: bool,
        level in 1u8..=9,
        step in 1usize..5000,
    ) {
        let direction = Direction { window_bits, takeover };
        let mut deflater = Deflater::new(direction, &Compression::new().level(level).threshold(0));
        let mut wire = Vec::new();
        for (message, fragment, compress) in &messages {
            let short = compress.then(|| deflater.deflate(message, || {})).flatten();
            let rsv1 = if short.is_some() { 0x40 } else { 0 };
            let bytes = short.unwrap_or(message);
            let mut first = 0x02 | rsv1;
            for part in bytes.chunks(*fragment) {
                frame(&mut wire, first, part);
                first = 0;
            }
            frame(&mut wire, first | 0x80, b"");
            deflater.done();
        }
        let cuts: Vec<usize> = (step..wire.len()).step_by(step).collect();
        let got = decoded(&wire, &cuts, direction);
        let want: Vec<Event> = messages.into_iter().map(|(message, ..)| Event::Message(Message::Binary(message))).collect();
        prop_assert_eq!(got, want);
    }
}
