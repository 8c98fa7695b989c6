//! The codec of answers: every cut of the wire, and how content is framed.

use grapeshot_http::client::head::{Framing, ResponseHead, find};
use grapeshot_http::client::{Fault, Limits};
use grapeshot_http::head::Scanner;

/// Feeds `wire` in pieces cut at `cuts`, as a growing buffer does.
fn read(wire: &[u8], method: &str, cuts: &[usize]) -> Result<Option<(ResponseHead, usize)>, Fault> {
    let limits = Limits::default().codec();
    let mut scanner = Scanner::default();
    for end in cuts.iter().copied().chain([wire.len()]) {
        if end > 0
            && let Some(found) = find(&mut scanner, &wire[..end], method, &limits)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[test]
fn a_head_survives_every_cut() {
    let wire = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nset-cookie:  b \r\n\r\nhello";
    for first in 0..=wire.len() {
        for second in [first, (first + wire.len()) / 2, wire.len()] {
            let (head, length) = read(wire, "GET", &[first, second])
                .unwrap()
                .expect("complete");
            assert_eq!(length, wire.len() - 5, "cut at {first} and {second}");
            assert_eq!(head.status().code(), 404);
            assert_eq!(head.framing(), Framing::Length(5));
            let cookies: Vec<_> = head.headers().values("SET-COOKIE").collect();
            assert_eq!(cookies, [&b"a=1"[..], b"b"]);
            assert!(head.keep_alive());
        }
    }
}

#[test]
fn nothing_short_of_the_empty_line_is_a_head() {
    let wire = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    for end in 1..wire.len() {
        assert!(
            read(&wire[..end], "GET", &[]).unwrap().is_none(),
            "{end} bytes"
        );
    }
}

#[test]
fn a_first_byte_that_begins_no_answer_is_refused_at_once() {
    for wire in [
        &b"\x15\x03\x01"[..],
        b"<html>",
        b"\r\n",
        b"HTTQ",
        b"http/1.1",
    ] {
        assert_eq!(
            read(wire, "GET", &[]).err(),
            Some(Fault::StatusLine),
            "{wire:?}"
        );
    }
}

#[test]
fn the_framing_follows_status_method_and_lines() {
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (method, status, lines, framing, keep) in [
        ("GET", 200, length, Framing::Length(5), true),
        ("GET", 200, chunked, Framing::Chunked, true),
        ("GET", 200, "", Framing::UntilClose, false),
        ("HEAD", 200, length, Framing::Length(0), true),
        ("HEAD", 200, "", Framing::Length(0), true),
        ("GET", 204, length, Framing::Length(0), true),
        ("GET", 304, length, Framing::Length(0), true),
        ("GET", 100, "", Framing::Length(0), true),
        ("CONNECT", 200, length, Framing::Length(0), true),
        ("CONNECT", 407, length, Framing::Length(5), true),
        (
            "GET",
            200,
            "Content-Length: 0\r\nConnection: close\r\n",
            Framing::Length(0),
            false,
        ),
    ] {
        let wire = format!("HTTP/1.1 {status} X\r\n{lines}\r\n");
        let (head, _) = read(wire.as_bytes(), method, &[])
            .unwrap()
            .expect("complete");
        assert_eq!(head.framing(), framing, "{method} {wire}");
        assert_eq!(head.keep_alive(), keep, "{method} {wire}");
    }
    let old = |lines: &str| {
        let wire = format!("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n{lines}\r\n");
        read(wire.as_bytes(), "GET", &[])
            .unwrap()
            .expect("complete")
            .0
    };
    assert!(!old("").keep_alive() && old("Connection: Keep-Alive\r\n").keep_alive());
    assert!(!old("Connection: keep-alive, close\r\n").keep_alive());
}

#[test]
fn a_reason_is_optional_and_a_status_is_not() {
    assert!(read(b"HTTP/1.1 200\r\n\r\n", "GET", &[]).unwrap().is_some());
    assert!(
        read(b"HTTP/1.1 200 \r\n\r\n", "GET", &[])
            .unwrap()
            .is_some()
    );
    for wire in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 000 X\r\n\r\n",
    ] {
        assert_eq!(
            read(wire.as_bytes(), "GET", &[]).err(),
            Some(Fault::StatusLine),
            "{wire}"
        );
    }
}
