//! The HTTP codec: any bytes, cut in any way, are read the same as in one piece, and what is accepted obeys the rules.
#![no_main]

use grapeshot_http::body::{Decoder, Step};
use grapeshot_http::head::{Framing, Head, Scanner};
use grapeshot_http::{Limits, Refusal, Version};
use libfuzzer_sys::fuzz_target;

/// What a stream of requests turns out to be: method, path and content of each, and how it ends.
type Reading = (Vec<(String, String, Vec<u8>)>, Option<Refusal>);

fn read(wire: &[u8], step: usize, limits: &Limits) -> Reading {
    let mut requests = Vec::new();
    let mut at = 0;
    loop {
        match read_one(&wire[at..], step, limits) {
            Err(refusal) => return (requests, Some(refusal)),
            Ok(None) => return (requests, None),
            Ok(Some((request, length))) => {
                assert!(length > 0 && at + length <= wire.len());
                requests.push(request);
                at += length;
            }
        }
    }
}

#[allow(clippy::type_complexity)]
fn read_one(
    wire: &[u8],
    step: usize,
    limits: &Limits,
) -> Result<Option<((String, String, Vec<u8>), usize)>, Refusal> {
    check_at_once(wire, limits);
    let mut scanner = Scanner::default();
    let mut end = 0;
    let range = loop {
        if let Some(range) = scanner.find(&wire[..end], limits)? {
            break range;
        }
        if end == wire.len() {
            return Ok(None);
        }
        end = wire.len().min(end.saturating_add(step));
    };
    let mut head = Head::default();
    let bytes = &wire[range.clone()];
    head.parse(bytes)?;
    let view = head.view(bytes);
    // What an intermediary could read otherwise must not have come through.
    assert!(bytes.ends_with(b"\r\n\r\n") && !bytes.contains(&0));
    assert_eq!(
        memchr(bytes, b'\r'),
        memchr(bytes, b'\n')
            .iter()
            .map(|at| at - 1)
            .collect::<Vec<_>>()
    );
    let lengths = view.values("content-length").count();
    let codings = view.values("transfer-encoding").count();
    assert!(lengths + codings <= 1);
    assert_eq!(codings == 1, head.framing() == Framing::Chunked);
    assert!(head.version() == Version::Http10 || view.values("host").count() == 1);
    assert!(view.path().starts_with('/') || view.path() == "*");
    let mut decoder = Decoder::new(head.framing(), limits);
    let mut content = Vec::new();
    let mut at = range.end;
    loop {
        let end = wire.len().min(at.saturating_add(step));
        match decoder.advance(&wire[at..end])? {
            Step::Done { skip } => {
                let request = (view.method().to_owned(), view.path().to_owned(), content);
                return Ok(Some((request, at + skip)));
            }
            Step::Data { skip, available } => {
                content.extend_from_slice(&wire[at + skip..at + skip + available]);
                assert!(content.len() as u64 <= limits.body);
                decoder.take(available);
                at += skip + available;
            }
            Step::NeedMore if end == wire.len() => return Ok(None),
            Step::NeedMore => at = end,
        }
    }
}

/// What is taken in one pass is taken in steps, too, and as the same.
fn check_at_once(wire: &[u8], limits: &Limits) {
    let mut at_once = Head::default();
    let Some(range) = at_once.parse_at_once(wire, limits) else {
        return;
    };
    let found = Scanner::default().find(wire, limits);
    assert_eq!(found, Ok(Some(range.clone())));
    let mut in_steps = Head::default();
    assert_eq!(in_steps.parse(&wire[range]), Ok(()));
    assert_eq!(format!("{at_once:?}"), format!("{in_steps:?}"));
}

fn memchr(bytes: &[u8], wanted: u8) -> Vec<usize> {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == wanted)
        .map(|(at, _)| at)
        .collect()
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, wire) = input;
    let mut limits = Limits::default();
    limits.request_line = 200;
    limits.headers = 600;
    limits.header_count = 10;
    limits.body = 500;
    limits.chunk_extensions = 40;
    limits.trailers = 60;
    let whole = read(wire, usize::MAX, &limits);
    let pieces = read(wire, usize::from(step) + 1, &limits);
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.is_some(), pieces.1.is_some());
});
