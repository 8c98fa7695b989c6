//! The head that a proxy sends in front of a connection (the PROXY protocol, versions 1 and 2). Performs no I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, with its line end.
const MOST_V1: usize = 107;
/// The longest head of version 2 that is taken: 16 bytes, two Unix addresses, and some extras.
const MOST_V2: usize = 2048;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A head that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHead {
    /// Bytes of it; what follows is the connection's.
    pub len: usize,
    /// Who connected to the proxy; `None` if the proxy speaks for itself, or does not say.
    pub source: Option<SocketAddr>,
}

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head of the PROXY protocol is malformed: {0}")]
pub struct ProxyHeadError(&'static str);

/// Reads the head at the beginning of `bytes`; `None` means "call again with more".
///
/// # Errors
/// If they begin no head.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHead>, ProxyHeadError> {
    if bytes.starts_with(&SIGNATURE) {
        return parse_v2(bytes);
    }
    if SIGNATURE.starts_with(bytes) || b"PROXY ".starts_with(bytes) {
        return Ok(None);
    }
    if bytes.starts_with(b"PROXY ") {
        return parse_v1(bytes);
    }
    Err(ProxyHeadError("it begins with none"))
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHead>, ProxyHeadError> {
    const MALFORMED: ProxyHeadError =
        ProxyHeadError("the line is not PROXY TCP4|TCP6|UNKNOWN with two addresses and ports");
    let seen = &bytes[..bytes.len().min(MOST_V1)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if bytes.len() >= MOST_V1 {
            Err(ProxyHeadError("the line is too long"))
        } else {
            Ok(None)
        };
    };
    let line = seen[..end].strip_suffix(b"\r").ok_or(MALFORMED)?;
    let line = std::str::from_utf8(line).map_err(|_| MALFORMED)?;
    let len = end + 1;
    let mut words = line.split(' ').skip(1);
    let family = words.next().ok_or(MALFORMED)?;
    if family == "UNKNOWN" {
        return Ok(Some(ProxyHead { len, source: None }));
    }
    let words: Vec<_> = words.collect();
    let [from, to, from_port, to_port] = words[..] else {
        return Err(MALFORMED);
    };
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let port = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain)
    };
    address(to).and(port(to_port)).ok_or(MALFORMED)?;
    let source = SocketAddr::new(
        address(from).ok_or(MALFORMED)?,
        port(from_port).ok_or(MALFORMED)?,
    );
    Ok(Some(ProxyHead {
        len,
        source: Some(source),
    }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHead>, ProxyHeadError> {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else {
        return Ok(None);
    };
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    if len > MOST_V2 {
        return Err(ProxyHeadError("it is too long"));
    }
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyHeadError("its version or command is not known"));
    }
    let Some(body) = bytes.get(16..len) else {
        return Ok(None);
    };
    let source = match (command, family >> 4) {
        // LOCAL: the proxy's own connection, to see whether we live.
        (0x20, _) => None,
        (_, 1) => {
            let &[a, b, c, d, _, _, _, _, p, q, _, _] = body
                .first_chunk()
                .ok_or(ProxyHeadError("its addresses are cut off"))?;
            let port = u16::from_be_bytes([p, q]);
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port))
        }
        (_, 2) => {
            let addresses: &[u8; 36] = body
                .first_chunk()
                .ok_or(ProxyHeadError("its addresses are cut off"))?;
            let mut source = [0; 16];
            source.copy_from_slice(&addresses[..16]);
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Some(SocketAddr::new(Ipv6Addr::from(source).into(), port))
        }
        // Unspecified, or Unix sockets, which have no address worth showing.
        (_, 0 | 3) => None,
        _ => return Err(ProxyHeadError("its kind of addresses is not known")),
    };
    Ok(Some(ProxyHead { len, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut wire = SIGNATURE.to_vec();
        wire.extend([command, family]);
        wire.extend((body.len() as u16).to_be_bytes());
        wire.extend(body);
        wire
    }

    fn right() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x13, 0x88, 0, 80];
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[32..34].copy_from_slice(&5000u16.to_be_bytes());
        let extras = [&v4[..], &[3, 0, 1, 9]].concat();
        vec![
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n".to_vec(),
                Some("192.0.2.1:5000"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 5000 80\r\n".to_vec(),
                Some("[2001:db8::1]:5000"),
            ),
            (b"PROXY UNKNOWN whatever it says\r\n".to_vec(), None),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("192.0.2.1:5000")),
            (v2(0x21, 0x11, &extras), Some("192.0.2.1:5000")),
            (v2(0x21, 0x21, &v6), Some("[::1]:5000")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ]
    }

    #[test]
    fn heads_survive_every_cut() {
        for (wire, source) in right() {
            let source = source.map(|text| text.parse().unwrap());
            for cut in 0..wire.len() {
                assert_eq!(parse(&wire[..cut]), Ok(None), "{wire:?} cut at {cut}");
            }
            let mut more = wire.clone();
            more.extend(b"GET / HTTP/1.1\r\n");
            let head = ProxyHead {
                len: wire.len(),
                source,
            };
            assert_eq!(parse(&more), Ok(Some(head)), "{wire:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 5000\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 5000 80 1\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 5000 80\r\n",
            "PROXY TCP4 ::1 ::1 5000 80\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +5 80\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 05 80\r\n",
            "PROXY TCP5 192.0.2.1 10.0.0.1 5000 80\r\n",
            "PROXY\r\n",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse(&[&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat()).is_err());
        for (command, family, body) in [
            (0x11, 0x11, &[0; 12][..]),
            (0x22, 0x11, &[0; 12]),
            (0x21, 0x11, &[0; 11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x41, &[0; 12]),
            (0x21, 0x11, &[0; 4000]),
        ] {
            assert!(
                parse(&v2(command, family, body)).is_err(),
                "{command:x} {family:x}"
            );
        }
    }
}
