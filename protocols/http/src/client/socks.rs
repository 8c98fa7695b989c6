//! SOCKS5 as a client (RFC 1928, RFC 1929). Names are left to the proxy to resolve.
//!
//! ```text
//!   05 02 00 02 ──▶            which of these ways to say who I am?
//!            ◀── 05 mm         this one
//!   01 n name p password ──▶   (mm = 02)
//!            ◀── 01 00
//!   05 01 00 03 n host port ──▶
//!            ◀── 05 rr 00 tt address port
//! ```

use std::io::{self, Read, Write};
use std::net::IpAddr;

use grapeshot::net::Stream;

use super::error::{ErrorKind, Phase};

const VERSION: u8 = 0x05;
const CONNECT: u8 = 0x01;
/// Ways to authenticate.
const NONE: u8 = 0x00;
const PASSWORD: u8 = 0x02;
/// Types of addresses.
const IPV4: u8 = 0x01;
const NAME: u8 = 0x03;
const IPV6: u8 = 0x04;

/// Has the proxy at the other end of `stream` connect to `host`. **May suspend.**
pub(super) fn connect(
    mut stream: &dyn Stream,
    host: &str,
    port: u16,
    credentials: Option<&(String, String)>,
) -> Result<(), ErrorKind> {
    let way = greet(&mut stream, credentials.is_some())?;
    match (way, credentials) {
        (NONE, _) => {}
        (PASSWORD, Some((name, password))) => authenticate(&mut stream, name, password)?,
        _ => {
            return Err(said(
                "it wants a name and a password, or another way to say who we are",
            ));
        }
    }
    let mut request = vec![VERSION, CONNECT, 0];
    append_address(&mut request, host)?;
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).map_err(broken)?;
    let [version, reply, _, kind] = receive(&mut stream)?;
    if version != VERSION {
        return Err(said("it does not speak SOCKS5"));
    }
    if reply != 0 {
        return Err(said(reason(reply)));
    }
    // The address that it connects from, which is of no interest.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(receive::<1>(&mut stream)?[0]),
        _ => return Err(said("it answered nonsense")),
    };
    let mut rest = [0; 255 + 2];
    stream.read_exact(&mut rest[..length + 2]).map_err(broken)
}

fn greet(stream: &mut &dyn Stream, with_password: bool) -> Result<u8, ErrorKind> {
    let offer: &[u8] = if with_password {
        &[VERSION, 2, NONE, PASSWORD]
    } else {
        &[VERSION, 1, NONE]
    };
    stream.write_all(offer).map_err(broken)?;
    match receive(stream)? {
        [VERSION, way] => Ok(way),
        _ => Err(said("it does not speak SOCKS5")),
    }
}

fn authenticate(stream: &mut &dyn Stream, name: &str, password: &str) -> Result<(), ErrorKind> {
    let mut message = vec![0x01];
    for text in [name, password] {
        // `Proxy::new` checked it.
        message.push(u8::try_from(text.len()).map_err(|_| said("its credentials are too long"))?);
        message.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&message).map_err(broken)?;
    match receive(stream)? {
        [_, 0] => Ok(()),
        _ => Err(said("it does not take this name and password")),
    }
}

fn append_address(out: &mut Vec<u8>, host: &str) -> Result<(), ErrorKind> {
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            out.push(IPV4);
            out.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            out.push(IPV6);
            out.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len())
                .map_err(|_| ErrorKind::Url("SOCKS takes hosts of at most 255 bytes".to_owned()))?;
            out.extend_from_slice(&[NAME, length]);
            out.extend_from_slice(host.as_bytes());
        }
    }
    Ok(())
}

fn receive<const N: usize>(stream: &mut &dyn Stream) -> Result<[u8; N], ErrorKind> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map_err(broken)?;
    Ok(bytes)
}

fn broken(error: io::Error) -> ErrorKind {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        said("it closed the connection")
    } else {
        ErrorKind::Io(Phase::Proxy, error)
    }
}

fn said(what: &str) -> ErrorKind {
    ErrorKind::Proxy(what.to_owned())
}

fn reason(reply: u8) -> &'static str {
    match reply {
        1 => "it failed",
        2 => "its rules forbid the connection",
        3 => "it cannot reach the network",
        4 => "it cannot reach the host, or does not know the name",
        5 => "the host refused the connection",
        6 => "the connection's time to live expired",
        7 => "it does not know CONNECT",
        8 => "it does not know this type of address",
        _ => "it failed for a reason of its own",
    }
}
