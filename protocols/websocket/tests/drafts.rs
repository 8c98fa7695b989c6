//! The versions before RFC 6455, with the drafts' own examples as peers.

use std::io::{Read, Write};

use grapeshot::net::{Shutdown, UnixStream};
use grapeshot::spawn;
use grapeshot_http::{HandlerError, Peer, Server};
use grapeshot_websocket::client::{Connect, ConnectError};
use grapeshot_websocket::{CloseCode, Compression, Error, Message, Origins, Upgrade, Version};

fn drafts() -> Upgrade {
    Upgrade::new().protocols(["sample"]).early_drafts(true)
}

/// What a server answers to these bytes, which come in two parts cut at `cut`. It echoes texts.
fn answer(upgrade: Upgrade, wire: &[u8], cut: usize) -> Vec<u8> {
    let wire = wire.to_vec();
    grapeshot::testing::run(6, move || {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            let socket = upgrade.accept(request, response)?;
            loop {
                match socket.recv() {
                    Ok(Message::Text(text)) => socket.send_text(&text)?,
                    Ok(Message::Binary(bytes)) => socket.send_binary(&bytes)?,
                    Err(Error::Closed(closed)) => {
                        assert!(closed.by_peer);
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let (first, second) = wire.split_at(cut);
        ours.write_all(first).unwrap();
        grapeshot::sleep(std::time::Duration::from_millis(1));
        // Whoever was refused may be gone.
        let _ = ours.write_all(second);
        let _ = ours.shutdown(Shutdown::Write);
        let mut all = Vec::new();
        ours.read_to_end(&mut all).unwrap();
        serving.join().unwrap();
        all
    })
}

const HIXIE_76: &[u8] = b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Protocol: sample\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U\
    \x00Hello\xff\x00w\xc3\xb6rld\xff\xff\x00";
const HIXIE_76_ANSWER: &[u8] =
    b"HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Origin: http://example.com\r\n\
    Sec-WebSocket-Location: ws://example.com/demo\r\nSec-WebSocket-Protocol: sample\r\n\r\n\
    8jKS'y:G*Co,Wxa-\x00Hello\xff\x00w\xc3\xb6rld\xff\xff\x00";

const HIXIE_75: &[u8] = b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
    Origin: http://example.com\r\nWebSocket-Protocol: sample\r\n\r\n\x00Hello\xff\x80\x03any\x00there\xff";
const HIXIE_75_ANSWER: &[u8] = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
    Connection: Upgrade\r\nWebSocket-Origin: http://example.com\r\n\
    WebSocket-Location: ws://example.com/demo\r\nWebSocket-Protocol: sample\r\n\r\n\x00Hello\xff\x00there\xff";

#[test]
fn the_examples_of_hixies_drafts_are_answered_wherever_they_are_cut() {
    for (wire, want) in [(HIXIE_76, HIXIE_76_ANSWER), (HIXIE_75, HIXIE_75_ANSWER)] {
        for cut in 0..=wire.len() {
            let got = answer(drafts(), wire, cut);
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(want),
                "cut at {cut}"
            );
        }
    }
}

#[test]
fn the_drafts_are_refused_unless_they_are_allowed() {
    for wire in [HIXIE_76, HIXIE_75] {
        let got = answer(Upgrade::new().protocols(["sample"]), wire, 0);
        assert!(
            got.starts_with(b"HTTP/1.1 426 "),
            "{}",
            String::from_utf8_lossy(&got)
        );
    }
}

#[test]
fn hixies_handshakes_are_checked() {
    let with = |wire: &[u8], from: &str, to: &str| {
        let text = String::from_utf8_lossy(wire).replacen(from, to, 1);
        let got = answer(drafts(), text.as_bytes(), 0);
        String::from_utf8_lossy(&got[9..12]).into_owned()
    };
    assert_eq!(
        with(HIXIE_76, "12998 5 Y3 1  .P00", "12998"),
        "400",
        "no space"
    );
    assert_eq!(with(HIXIE_76, "0l 1 5", "0l 1 6"), "400", "no multiple");
    assert_eq!(with(HIXIE_76, "Sec-WebSocket-Key2", "X"), "400");
    for wire in [HIXIE_76, HIXIE_75] {
        assert_eq!(with(wire, "http://example.com", "http://evil.com"), "403");
        assert_eq!(with(wire, "Upgrade: WebSocket", "Upgrade: X"), "426");
    }
    let secure = String::from_utf8_lossy(HIXIE_75).replace("http:", "https:");
    let got = answer(drafts(), secure.as_bytes(), 0);
    assert!(
        String::from_utf8_lossy(&got).contains("Location: wss://example.com/demo\r\n"),
        "a page that came by https"
    );
    let strange = String::from_utf8_lossy(HIXIE_75).replace("http://example.com", "a b");
    let got = answer(drafts().origins(Origins::Any), strange.as_bytes(), 0);
    assert!(got.starts_with(b"HTTP/1.1 403 "));
}

/// Runs `ask` against the server's end of a connection whose server runs `serve`.
fn between<T: Send + 'static>(
    upgrade: Upgrade,
    serve: impl Fn(grapeshot_websocket::WebSocket) + Send + Sync + 'static,
    ask: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> T {
    grapeshot::testing::run(7, move || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            serve(upgrade.accept(request, response)?);
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let result = ask(ours);
        serving.join().unwrap();
        result
    })
}

#[test]
fn hixies_versions_carry_texts_only() {
    for (wire, version, end) in [
        (HIXIE_76, Version::Hixie76, &b"\x00one\xff\xff\x00"[..]),
        (HIXIE_75, Version::Hixie75, b"\x00one\xff"),
    ] {
        let got = between(
            drafts(),
            move |socket| {
                assert_eq!(socket.version(), version);
                for error in [socket.send_binary(b"x"), socket.ping(b"")] {
                    assert!(matches!(error, Err(Error::Misuse(_))), "{error:?}");
                }
                socket.send_text("one").unwrap();
                socket.close(CloseCode::NORMAL, "lost").unwrap();
                assert!(matches!(socket.recv(), Err(Error::Closed(closed)) if !closed.by_peer));
            },
            move |mut ours| {
                ours.write_all(wire).unwrap();
                ours.shutdown(Shutdown::Write).unwrap();
                let mut all = Vec::new();
                ours.read_to_end(&mut all).unwrap();
                all
            },
        );
        assert!(got.ends_with(end), "{}", String::from_utf8_lossy(&got));
    }
}

#[test]
fn a_client_that_keeps_its_last_eight_bytes_is_given_up() {
    let got = between(
        drafts(),
        |_| panic!("there is no socket"),
        |mut ours| {
            let head = HIXIE_76
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            ours.write_all(&HIXIE_76[..head + 7]).unwrap();
            let mut all = Vec::new();
            ours.read_to_end(&mut all).unwrap();
            all
        },
    );
    assert_eq!(got, b"");
}

#[test]
fn the_hybi_drafts_are_spoken_by_both_sides() {
    for version in [Version::Hybi07, Version::Hybi10, Version::Rfc6455] {
        let connected = |upgrade: Upgrade, offers: bool| {
            between(
                upgrade,
                move |socket| {
                    assert_eq!(socket.version(), version);
                    while let Ok(message) = socket.recv() {
                        socket.send_binary(message.as_bytes()).unwrap();
                    }
                },
                move |ours| {
                    let connect = Connect::new()
                        .version(version)
                        .compression(Compression::new())
                        .origin("http://example.com");
                    let socket = connect.connect(ours, "example.com", "/")?;
                    let compresses = offers && version == Version::Rfc6455;
                    assert_eq!(socket.compression().is_some(), compresses);
                    socket.send_text("Hello")?;
                    assert_eq!(socket.recv().unwrap(), Message::Binary(b"Hello".into()));
                    socket.close(CloseCode::NORMAL, "").unwrap();
                    Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
                },
            )
        };
        connected(drafts().compression(Compression::new()), true).unwrap();
        let refused = connected(Upgrade::new(), false).err();
        assert_eq!(
            refused.is_some(),
            version != Version::Rfc6455,
            "{refused:?}"
        );
    }
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let hixie = Connect::new()
        .version(Version::Hixie76)
        .connect(ours, "h", "/");
    assert!(matches!(hixie, Err(ConnectError::Misuse(_))));
}

#[test]
fn the_origin_of_the_hybi_drafts_is_checked_too() {
    let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Origin: http://evil\r\n\r\n";
    assert!(answer(drafts(), ask.as_bytes(), 0).starts_with(b"HTTP/1.1 403 "));
    let good = ask.replace("evil", "h");
    let got = answer(
        drafts(),
        [good.as_bytes(), b"\x88\x80\0\0\0\0"].concat().as_slice(),
        0,
    );
    assert!(got.starts_with(b"HTTP/1.1 101 ") && got.ends_with(b"\x88\x00"));
}
