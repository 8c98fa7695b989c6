//! The client's codec: any bytes, cut in any way, are read the same as in one piece, and what is accepted obeys the rules.
#![no_main]

use grapeshot_http::body::{Decoder, Step};
use grapeshot_http::client::Limits;
use grapeshot_http::client::head::{Framing, find};
use grapeshot_http::client::{CookieJar, Fault, Url};
use grapeshot_http::head::Scanner;
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 3] = ["GET", "HEAD", "CONNECT"];

/// Status, content and how many bytes they took.
type Reading = Result<Option<(u16, Vec<u8>, usize)>, Fault>;

fn read(wire: &[u8], method: &str, step: usize, limits: &grapeshot_http::Limits) -> Reading {
    let mut scanner = Scanner::default();
    let mut end = 0;
    let (head, length) = loop {
        if end > 0
            && let Some(found) = find(&mut scanner, &wire[..end], method, limits)?
        {
            break found;
        }
        if end == wire.len() {
            return Ok(None);
        }
        end = wire.len().min(end.saturating_add(step));
    };
    assert!(wire[..length].ends_with(b"\r\n\r\n") && wire.starts_with(b"HTTP/1."));
    let lengths = head.headers().values("content-length").count();
    let codings = head.headers().values("transfer-encoding").count();
    assert!(lengths + codings <= 1);
    assert!(head.headers().len() <= limits.header_count);
    if method == "HEAD" || head.status().is_bodyless() {
        assert_eq!(head.framing(), Framing::Length(0));
    }
    let code = head.status().code();
    let framing = match head.framing() {
        Framing::Length(length) => grapeshot_http::head::Framing::Length(length),
        Framing::Chunked => grapeshot_http::head::Framing::Chunked,
        Framing::UntilClose => {
            assert!(!head.keep_alive());
            return Ok(Some((code, wire[length..].to_vec(), wire.len())));
        }
    };
    let mut decoder = Decoder::new(framing, limits);
    let mut content = Vec::new();
    let mut at = length;
    loop {
        let end = wire.len().min(at.saturating_add(step));
        match decoder.advance(&wire[at..end])? {
            Step::Done { skip } => {
                assert!(decoder.trailers().count() <= limits.trailers);
                return Ok(Some((code, content, at + skip)));
            }
            Step::Data { skip, available } => {
                content.extend_from_slice(&wire[at + skip..at + skip + available]);
                decoder.take(available);
                at += skip + available;
            }
            Step::NeedMore if end == wire.len() => return Ok(None),
            Step::NeedMore => at = end,
        }
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (step, method, wire) = input;
    let mut limits = Limits::default();
    limits.status_line = 100;
    limits.headers = 600;
    limits.header_count = 10;
    limits.chunk_extensions = 40;
    limits.trailers = 60;
    let limits = limits.codec();
    let method = METHODS[usize::from(method) % METHODS.len()];
    let whole = read(wire, method, usize::MAX, &limits);
    let pieces = read(wire, method, usize::from(step) + 1, &limits);
    assert_eq!(whole.is_err(), pieces.is_err());
    if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces);
    }
    // The lines a jar is given come from the same stranger.
    let jar = CookieJar::new();
    if let Ok(url) = Url::parse("https://www.example.org/a/b") {
        jar.store(wire, &url, std::time::SystemTime::UNIX_EPOCH);
        let _ = jar.header(&url, std::time::SystemTime::UNIX_EPOCH);
    }
});
