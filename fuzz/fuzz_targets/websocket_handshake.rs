//! Handshakes and what follows them, at both ends, with extensions, subprotocols and the early drafts: whatever the peer says,
//! it is spoken to in frames that can be read, and no message is longer than it may be.
#![no_main]

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine};
use grapeshot::net::Peer;
use grapeshot_fuzz::Wire;
use grapeshot_http::{HandlerError, Server};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::frame::{Decoder, Role};
use grapeshot_websocket::{Compression, Limits, Message, Upgrade, Version, WebSocket};
use libfuzzer_sys::fuzz_target;
use sha1::{Digest, Sha1};

const LONGEST: u64 = 20_000;

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.frame, limits.message) = (LONGEST, LONGEST);
    limits
}

/// Says again what it is told.
fn echo(socket: &WebSocket) {
    while let Ok(message) = socket.recv() {
        assert!(message.as_bytes().len() as u64 <= LONGEST);
        let sent = match message {
            Message::Text(text) => socket.send_text(&text),
            Message::Binary(bytes) => socket.send_binary(&bytes),
        };
        if sent.is_err() {
            return;
        }
    }
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    Server::new(|request, response| {
        let mut upgrade = Upgrade::new()
            .limits(limits())
            .protocols(["chat", "superchat"]);
        if request.path() != "/plain" {
            upgrade = upgrade
                .compression(Compression::new().threshold(0))
                .early_drafts(true);
        }
        let socket = upgrade.accept(request, response)?;
        echo(&socket);
        Ok::<_, HandlerError>(())
    })
});

/// The answer `ACCEPT` becomes the right one to the client's key.
fn accept(sent: &[u8], received: &mut Vec<u8>) {
    const KEY: &[u8] = b"Sec-WebSocket-Key: ";
    const WORD: &[u8] = b"ACCEPT";
    let key = sent
        .windows(KEY.len())
        .position(|window| window == KEY)
        .expect("a key is sent")
        + KEY.len();
    let mut hash = Sha1::new();
    hash.update(&sent[key..key + 24]);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    if let Some(at) = received
        .windows(WORD.len())
        .position(|window| window == WORD)
    {
        let right = BASE64_STANDARD.encode(hash.finalize());
        received.splice(at..at + WORD.len(), right.into_bytes());
    }
}

/// What we said after the heads is what the other end reads, as far as it is not compressed and no draft.
fn judge(sent: &[u8], role: Role) {
    let Some(end) = sent.windows(4).position(|window| window == b"\r\n\r\n") else {
        return;
    };
    let (head, mut rest) = (
        String::from_utf8_lossy(&sent[..end]).to_lowercase(),
        &sent[end + 4..],
    );
    if role == Role::Client
        && (!head.contains("sec-websocket-accept") || head.contains("sec-websocket-extensions"))
    {
        return;
    }
    let mut decoder = Decoder::new(role, &limits());
    loop {
        let event = decoder
            .next_event()
            .unwrap_or_else(|violation| panic!("we sent {violation}"));
        if event.is_none() {
            if rest.is_empty() || decoder.is_closed() {
                return;
            }
            let count = decoder.feed(rest);
            rest = &rest[count..];
        }
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (step, kind, bytes) = input;
    if kind & 1 == 0 {
        let wire = Wire::new(bytes, step);
        SERVER.serve_stream(wire.clone(), Peer::Unknown);
        judge(&wire.sent(), Role::Client);
        return;
    }
    let mut connect = Connect::new().limits(limits()).protocols(["chat"]);
    let is_compressed = kind & 2 != 0;
    if is_compressed {
        connect = connect.compression(Compression::new().threshold(0));
    }
    connect = connect.version(match kind >> 2 & 3 {
        0 | 1 => Version::Rfc6455,
        2 => Version::Hybi10,
        _ => Version::Hybi07,
    });
    let wire = Wire::replying(bytes, step, accept);
    if let Ok(socket) = connect.connect(wire.clone(), "example.org", "/") {
        echo(&socket);
        drop(socket);
        if !is_compressed {
            judge(&wire.sent(), Role::Server);
        }
    }
});
