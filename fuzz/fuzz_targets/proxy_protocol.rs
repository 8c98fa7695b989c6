//! The head that a proxy sends in front of a connection: any bytes are read the same in one piece and in many, and never
//! waited for in vain; what is a head says who connects; what follows it is the connection's.
#![no_main]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;

use grapeshot::net::{Listener, Peer, Stream};
use grapeshot_fuzz::Wire;
use grapeshot_http::ProxyProtocol;
use grapeshot_http::proxy_protocol::codec::{ProxyHead, ProxyHeadError, parse};
use libfuzzer_sys::{arbitrary, fuzz_target};

const LONGEST: usize = 2048;

/// A proxy that makes one connection.
struct Proxy(Mutex<Option<Wire>>);

impl Listener for Proxy {
    type Stream = Wire;

    fn accept(&self) -> io::Result<(Wire, Peer)> {
        let wire = self.0.lock().unwrap().take();
        wire.map(|wire| (wire, Peer::Unix))
            .ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn name(&self) -> String {
        "the fuzzer".to_owned()
    }
}

/// Who connects and what is left for the connection, as a server sees it.
fn serve(bytes: &[u8], step: u8) -> io::Result<(Option<Peer>, Vec<u8>)> {
    let listener = ProxyProtocol::new(Proxy(Mutex::new(Some(Wire::new(bytes, step)))));
    let (stream, _) = listener.accept()?;
    stream.prepare()?;
    let mut rest = Vec::new();
    let mut chunk = [0; 100];
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok((stream.peer(), rest)),
            count => rest.extend_from_slice(&chunk[..count]),
        }
    }
}

fn judge(bytes: &[u8], step: u8) -> Result<Option<ProxyHead>, ProxyHeadError> {
    let found = parse(bytes);
    match found {
        Ok(Some(head)) => {
            assert!((8..=LONGEST).contains(&head.len) && head.len <= bytes.len());
            for cut in 0..head.len {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
            }
            assert_eq!(parse(&bytes[..head.len]), found);
            let (peer, rest) = serve(bytes, step).expect("it is a head");
            assert_eq!(peer, head.source.map(Peer::Tcp));
            assert_eq!(rest, &bytes[head.len..]);
        }
        Ok(None) => {
            assert!(bytes.len() < LONGEST, "more than a head is waited for");
            assert!(serve(bytes, step).is_err());
        }
        Err(_) => assert!(serve(bytes, step).is_err()),
    }
    found
}

#[derive(arbitrary::Arbitrary, Debug)]
struct Input<'a> {
    step: u8,
    /// Or a head is made of what follows.
    raw: bool,
    v2: bool,
    source: SocketAddr,
    rest: &'a [u8],
}

/// What a proxy would send.
fn encode(source: SocketAddr, v2: bool) -> Vec<u8> {
    if !v2 {
        return match source {
            SocketAddr::V4(from) => {
                format!("PROXY TCP4 {} 192.0.2.1 {} 80\r\n", from.ip(), from.port())
            }
            SocketAddr::V6(from) => format!("PROXY TCP6 {} ::1 {} 80\r\n", from.ip(), from.port()),
        }
        .into_bytes();
    }
    let mut wire = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    let (family, mut addresses) = match source {
        SocketAddr::V4(from) => (
            0x11,
            [from.ip().octets(), Ipv4Addr::LOCALHOST.octets()].concat(),
        ),
        SocketAddr::V6(from) => (
            0x21,
            [from.ip().octets(), Ipv6Addr::LOCALHOST.octets()].concat(),
        ),
    };
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(80_u16.to_be_bytes());
    wire.push(family);
    wire.extend((addresses.len() as u16).to_be_bytes());
    wire.extend(addresses);
    wire
}

fuzz_target!(|input: Input<'_>| {
    let Input {
        step,
        raw,
        v2,
        source,
        rest,
    } = input;
    if raw {
        let _ = judge(rest, step);
        return;
    }
    // A zone or a flow label is nothing that a proxy says.
    let source = SocketAddr::new(source.ip(), source.port());
    let mut wire = encode(source, v2);
    let len = wire.len();
    wire.extend_from_slice(rest);
    assert_eq!(
        judge(&wire, step),
        Ok(Some(ProxyHead {
            len,
            source: Some(source)
        }))
    );
});
