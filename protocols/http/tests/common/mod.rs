//! Talking to a server over a stream in memory.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use grapeshot::net::Shutdown;
use grapeshot_http::{Peer, Server, Stream};

/// A stream whose reads give the pieces one after the other and then the end.
pub(crate) struct Wire {
    pieces: Mutex<VecDeque<u8>>,
    out: Mutex<Vec<u8>>,
}

impl Stream for Wire {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pieces = self.pieces.lock().unwrap();
        let count = pieces.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(pieces.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.out.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Ok(())
    }
}

/// All that a server answers to these bytes.
pub(crate) fn talk(server: &Server, wire: impl AsRef<[u8]>) -> Vec<u8> {
    talk_as(server, Peer::Unknown, wire)
}

pub(crate) fn talk_as(server: &Server, peer: Peer, wire: impl AsRef<[u8]>) -> Vec<u8> {
    let wire = Arc::new(Wire {
        pieces: Mutex::new(wire.as_ref().iter().copied().collect()),
        out: Mutex::default(),
    });
    server.serve_stream(Arc::clone(&wire), peer);
    let out = wire.out.lock().unwrap();
    out.clone()
}

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
}

impl Answer {
    /// Takes one answer off the front of `wire`, whose request was not HEAD.
    pub(crate) fn take(wire: &mut &[u8]) -> Answer {
        Self::take_for("GET", wire)
    }

    pub(crate) fn take_for(method: &str, wire: &mut &[u8]) -> Answer {
        let end = wire
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(wire)));
        let head = String::from_utf8(wire[..end].to_vec()).unwrap();
        *wire = &wire[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            content: Vec::new(),
        };
        let length = answer
            .header("Content-Length")
            .map(|length| length.parse::<usize>().unwrap());
        answer.content = if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            Vec::new()
        } else if let Some(length) = length {
            let (content, rest) = wire.split_at(length);
            *wire = rest;
            content.to_vec()
        } else if answer.header("Transfer-Encoding") == Some("chunked") {
            dechunk(wire, &mut answer.headers)
        } else {
            std::mem::take(wire).to_vec()
        };
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).expect("text")
    }
}

fn dechunk(wire: &mut &[u8], trailers: &mut Vec<(String, String)>) -> Vec<u8> {
    fn line<'w>(wire: &mut &'w [u8]) -> &'w str {
        let end = wire
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("CR LF");
        let line = std::str::from_utf8(&wire[..end]).unwrap();
        *wire = &wire[end + 2..];
        line
    }
    let mut content = Vec::new();
    loop {
        let size = usize::from_str_radix(line(wire), 16).expect("a size");
        if size == 0 {
            break;
        }
        content.extend_from_slice(&wire[..size]);
        *wire = &wire[size..];
        assert_eq!(line(wire), "");
    }
    loop {
        let trailer = line(wire);
        let Some((name, value)) = trailer.split_once(": ") else {
            assert_eq!(trailer, "");
            return content;
        };
        trailers.push((name.to_owned(), value.to_owned()));
    }
}

/// One request without content, and its answer.
pub(crate) fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let out = talk(server, request);
    let mut rest = &out[..];
    let answer = Answer::take_for(method, &mut rest);
    assert_eq!(rest, b"", "nothing follows the answer");
    answer
}

/// One request with content, and its answer.
pub(crate) fn send(
    server: &Server,
    method: &str,
    path: &str,
    headers: &str,
    content: &[u8],
) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{headers}\r\n",
        content.len()
    )
    .into_bytes();
    request.extend_from_slice(content);
    let out = talk(server, request);
    Answer::take_for(method, &mut &out[..])
}

pub(crate) fn get(server: &Server, path: &str) -> Answer {
    ask(server, "GET", path, "")
}
