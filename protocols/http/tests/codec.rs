//! The codec: every cut of the wire, round trips, and a corpus of what must be refused.

use std::ops::Range;

use grapeshot_http::body::{self, Decoder, Step};
use grapeshot_http::head::{Framing, Head, Scanner};
use grapeshot_http::{Limits, Refusal, Version};
use proptest::prelude::*;

/// Feeds `wire` to a scanner in pieces cut at `cuts`, as a growing buffer does, and parses what it finds. The same must be found at
/// once.
fn read_head(
    wire: &[u8],
    cuts: &[usize],
    limits: &Limits,
) -> Result<Option<(Head, Range<usize>)>, Refusal> {
    let found = read_in_steps(wire, cuts, limits);
    let mut at_once = Head::default();
    let range = at_once.parse_at_once(wire, limits);
    let text = |head: &Head, range: Range<usize>| format!("{head:?} at {range:?}");
    let in_steps = found.as_ref().ok().and_then(Option::as_ref);
    assert_eq!(
        range.map(|range| text(&at_once, range)),
        in_steps.map(|(head, range)| text(head, range.clone())),
        "{}",
        wire.escape_ascii()
    );
    found
}

fn read_in_steps(
    wire: &[u8],
    cuts: &[usize],
    limits: &Limits,
) -> Result<Option<(Head, Range<usize>)>, Refusal> {
    let mut scanner = Scanner::default();
    for end in cuts.iter().copied().chain([wire.len()]) {
        if let Some(range) = scanner.find(&wire[..end], limits)? {
            let mut head = Head::default();
            head.parse(&wire[range.clone()])?;
            return Ok(Some((head, range)));
        }
    }
    Ok(None)
}

fn refusal(wire: &[u8]) -> Option<Refusal> {
    match read_head(wire, &[], &Limits::default()) {
        Err(refusal) => Some(refusal),
        Ok(Some((head, range))) => drain(head.framing(), &wire[range.end..], usize::MAX).err(),
        Ok(None) => None,
    }
}

/// Decodes a body, given `step` bytes at a time; the content and how many bytes it took, if it is complete.
fn drain(framing: Framing, wire: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    drain_within(framing, wire, step, &Limits::default())
}

fn drain_within(
    framing: Framing,
    wire: &[u8],
    step: usize,
    limits: &Limits,
) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let mut decoder = Decoder::new(framing, limits);
    let mut content = Vec::new();
    let mut at = 0usize;
    loop {
        let end = wire.len().min(at.saturating_add(step));
        match decoder.advance(&wire[at..end])? {
            Step::Done { skip } => return Ok(Some((content, at + skip))),
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

#[test]
fn a_head_survives_every_cut() {
    let wire = b"POST /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nContent-Length: 5\r\nX-Two: 1\r\nx-two:  2 \r\n\r\nhello";
    for first in 0..=wire.len() {
        for second in [first, (first + wire.len()) / 2, wire.len()] {
            let (head, range) = read_head(wire, &[first, second], &Limits::default())
                .unwrap()
                .expect("complete");
            assert_eq!(range, 0..wire.len() - 5, "cut at {first} and {second}");
            let view = head.view(&wire[range]);
            assert_eq!((view.method(), view.target()), ("POST", "/a/b?c=d"));
            assert_eq!(
                (view.path(), view.query(), view.host()),
                ("/a/b", Some("c=d"), "example.com:8080")
            );
            assert_eq!(head.framing(), Framing::Length(5));
            assert_eq!(view.values("X-TWO").collect::<Vec<_>>(), [b"1", b"2"]);
            assert!(head.keep_alive() && head.version() == Version::Http11);
        }
    }
}

#[test]
fn nothing_short_of_the_empty_line_is_a_head() {
    let wire = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for end in 0..wire.len() {
        assert!(
            read_head(&wire[..end], &[], &Limits::default())
                .unwrap()
                .is_none(),
            "{end} bytes"
        );
    }
}

#[test]
fn one_empty_line_in_front_is_overlooked_and_no_more() {
    let wire = b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for cut in 0..=wire.len() {
        let (head, range) = read_head(wire, &[cut], &Limits::default())
            .unwrap()
            .expect("complete");
        assert_eq!((range.start, head.view(&wire[range]).path()), (2, "/"));
    }
    assert_eq!(
        refusal(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        Some(Refusal::RequestLine)
    );
}

#[test]
fn the_target_decides_path_and_host() {
    let of = |line: &str, host: &str| {
        let wire = format!("{line}\r\nHost: {host}\r\n\r\n").into_bytes();
        let (head, range) = read_head(&wire, &[], &Limits::default())
            .unwrap()
            .expect("complete");
        let view = head.view(&wire[range]);
        (view.path().to_owned(), view.host().to_owned())
    };
    assert_eq!(
        of("GET http://a:1/x?y HTTP/1.1", "b"),
        ("/x".into(), "a:1".into())
    );
    assert_eq!(of("GET http://a HTTP/1.1", "b"), ("/".into(), "a".into()));
    assert_eq!(of("GET http://a?q HTTP/1.1", "b"), ("/".into(), "a".into()));
    assert_eq!(of("OPTIONS * HTTP/1.1", ""), ("*".into(), "".into()));
    assert_eq!(
        of("GET /x HTTP/1.1", "[::1]:80"),
        ("/x".into(), "[::1]:80".into())
    );
}

#[test]
fn persistence_follows_version_and_connection() {
    let keeps = |text: &str| {
        let (head, _) = read_head(text.as_bytes(), &[], &Limits::default())
            .unwrap()
            .expect("complete");
        head.keep_alive()
    };
    assert!(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert!(!keeps(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    ));
    assert!(!keeps(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n"
    ));
    assert!(!keeps(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: keep-alive, close\r\n\r\n"
    ));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

/// What two parties could read differently, or cannot read at all.
#[test]
fn what_could_be_smuggled_is_refused() {
    use Refusal::*;
    const H: &str = "Host: h\r\n";
    let post = |headers: &str| format!("POST / HTTP/1.1\r\n{H}{headers}\r\n0\r\n\r\n");
    let get = |line: &str| format!("{line}\r\n{H}\r\n");
    let corpus: Vec<(String, Refusal)> = vec![
        // Content-Length and Transfer-Encoding, in either order, however written.
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            LengthAndEncoding,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            LengthAndEncoding,
        ),
        (
            post("content-length: 0\r\ntransfer-encoding: CHUNKED\r\n"),
            LengthAndEncoding,
        ),
        // Content-Length more than once or as a list, differing or not.
        (
            post("Content-Length: 5\r\nContent-Length: 6\r\n"),
            ContentLength,
        ),
        (
            post("Content-Length: 5\r\nContent-Length: 5\r\n"),
            ContentLength,
        ),
        (post("Content-Length: 5, 5\r\n"), ContentLength),
        (post("Content-Length: 5,6\r\n"), ContentLength),
        // Content-Length that is no plain number.
        (post("Content-Length: +5\r\n"), ContentLength),
        (post("Content-Length: -1\r\n"), ContentLength),
        (post("Content-Length: 0x5\r\n"), ContentLength),
        (post("Content-Length: 5 5\r\n"), ContentLength),
        (post("Content-Length: 5\t5\r\n"), ContentLength),
        (post("Content-Length: 5,\r\n"), ContentLength),
        (post("Content-Length: ,5\r\n"), ContentLength),
        (post("Content-Length: 5.0\r\n"), ContentLength),
        (post("Content-Length: 5;\r\n"), ContentLength),
        (post("Content-Length: 0_5\r\n"), ContentLength),
        (post("Content-Length: 5a\r\n"), ContentLength),
        (post("Content-Length: \"5\"\r\n"), ContentLength),
        (post("Content-Length:\r\n"), ContentLength),
        (post("Content-Length: \u{0665}\r\n"), ContentLength),
        (
            post("Content-Length: 18446744073709551616\r\n"),
            ContentLength,
        ),
        // Transfer-Encoding which is not exactly chunked.
        (post("Transfer-Encoding: gzip\r\n"), TransferEncoding),
        (
            post("Transfer-Encoding: gzip, chunked\r\n"),
            TransferEncoding,
        ),
        (
            post("Transfer-Encoding: chunked, gzip\r\n"),
            TransferEncoding,
        ),
        (
            post("Transfer-Encoding: chunked, identity\r\n"),
            TransferEncoding,
        ),
        (post("Transfer-Encoding: identity\r\n"), TransferEncoding),
        (
            post("Transfer-Encoding: chunked, chunked\r\n"),
            TransferEncoding,
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            TransferEncoding,
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
            TransferEncoding,
        ),
        (post("Transfer-Encoding: xchunked\r\n"), TransferEncoding),
        (post("Transfer-Encoding: chunked;q=1\r\n"), TransferEncoding),
        (post("Transfer-Encoding: ,chunked\r\n"), TransferEncoding),
        (post("Transfer-Encoding: chunked,\r\n"), TransferEncoding),
        (post("Transfer-Encoding: chun ked\r\n"), TransferEncoding),
        (post("Transfer-Encoding: 'chunked'\r\n"), TransferEncoding),
        (
            post("Transfer-Encoding: chunked\u{a0}\r\n"),
            TransferEncoding,
        ),
        (post("Transfer-Encoding: \u{0}chunked\r\n"), HeaderLine),
        (post("Transfer-Encoding:\r\n"), TransferEncoding),
        (post("Transfer-Encoding: \"chunked\"\r\n"), TransferEncoding),
        (post("Transfer-Encoding: \u{b}chunked\r\n"), HeaderLine),
        (
            format!("POST / HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            TransferEncoding,
        ),
        // White space where it changes what a header's name is; folded lines.
        (post("Content-Length : 5\r\n"), HeaderLine),
        (post("Transfer-Encoding : chunked\r\n"), HeaderLine),
        (post("Transfer-Encoding\t: chunked\r\n"), HeaderLine),
        (post(" Content-Length: 5\r\n"), HeaderLine),
        (post("X: a\r\n b\r\n"), HeaderLine),
        (post("X: a\r\n\tTransfer-Encoding: chunked\r\n"), HeaderLine),
        (post("Transfer-Encoding:\r\n chunked\r\n"), HeaderLine),
        (post("X: a\r\n \r\n"), HeaderLine),
        (post(": x\r\n"), HeaderLine),
        (post("no colon\r\n"), HeaderLine),
        (post("X\u{0}: a\r\n"), HeaderLine),
        (post("X\u{b}: a\r\n"), HeaderLine),
        (post("X,Y: a\r\n"), HeaderLine),
        (post("X Y: a\r\n"), HeaderLine),
        (post("X: a\u{0}b\r\n"), HeaderLine),
        (post("X: a\u{1}b\r\n"), HeaderLine),
        (post("X: a\u{7f}b\r\n"), HeaderLine),
        (post("X(: a\r\n"), HeaderLine),
        (post("X\u{e9}: a\r\n"), HeaderLine),
        // Line ends.
        (post("X: a\nContent-Length: 5\r\n"), LineEnd),
        (post("X: a\n"), LineEnd),
        (format!("GET / HTTP/1.1\n{H}\r\n"), LineEnd),
        ("GET / HTTP/1.1\r\nHost: h\n\n".into(), LineEnd),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n".into(), LineEnd),
        ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), LineEnd),
        // Hosts.
        ("GET / HTTP/1.1\r\n\r\n".into(), Host),
        ("GET http://h/ HTTP/1.1\r\nX: y\r\n\r\n".into(), Host),
        (post("Host: h\r\n"), Host),
        (post("host: other\r\n"), Host),
        (post("Host:\r\n"), Host),
        ("GET / HTTP/1.1\r\nHost:\r\nHost: h\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: h:-1\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: h\\h\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: h?q\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: h#f\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n".into(), Host),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".into(), Host),
        // Request lines.
        (get("GET /"), RequestLine),
        (get("GET"), RequestLine),
        (get("GET "), RequestLine),
        (get(" / HTTP/1.1"), RequestLine),
        (get("/ HTTP/1.1"), RequestLine),
        (get("GET  HTTP/1.1"), RequestLine),
        (get("GET\u{0} / HTTP/1.1"), RequestLine),
        (get("GET, / HTTP/1.1"), RequestLine),
        (get("GET / HTTP/1.1\t"), LineEnd),
        (get("GET /\tHTTP/1.1"), RequestLine),
        (get("GET / HTTP/1.1 HTTP/1.1"), LineEnd),
        (get("GET  / HTTP/1.1"), RequestLine),
        (get("GET / HTTP/1.1 "), LineEnd),
        (get("GET\t/ HTTP/1.1"), RequestLine),
        (get("G(T / HTTP/1.1"), RequestLine),
        (get(" GET / HTTP/1.1"), RequestLine),
        (get("GET /a b HTTP/1.1"), Version),
        (get("GET /\u{0} HTTP/1.1"), RequestLine),
        (get("GET /\u{7f} HTTP/1.1"), RequestLine),
        (get("GET /\u{e9} HTTP/1.1"), Target),
        (get("GET /?\u{e9} HTTP/1.1"), Target),
        (get("GET /?a#b HTTP/1.1"), Target),
        (get("GET /#a HTTP/1.1"), Target),
        (get("GET a HTTP/1.1"), Target),
        (get("GET * HTTP/1.1"), Target),
        (get("GET ftp://h/ HTTP/1.1"), Target),
        (get("GET http:/h HTTP/1.1"), Target),
        (get("GET http:///h HTTP/1.1"), Target),
        (get("GET http://?h HTTP/1.1"), Target),
        (get("GET http://u@h/ HTTP/1.1"), Target),
        (get("GET http://h:8x/ HTTP/1.1"), Target),
        (get("GET http://h\\i/ HTTP/1.1"), Target),
        (get("GET ?a HTTP/1.1"), Target),
        (get("POST * HTTP/1.1"), Target),
        (get("OPTIONS ** HTTP/1.1"), Target),
        (get("OPTIONS *?a HTTP/1.1"), Target),
        (get("CONNECT h:443/ HTTP/1.1"), Target),
        (get("CONNECT u@h:443 HTTP/1.1"), Target),
        (get("CONNECT h HTTP/1.1"), Target),
        (get("CONNECT /x HTTP/1.1"), Target),
        (get("CONNECT http://h:80/ HTTP/1.1"), Target),
        (get("GET / HTTP/1.2"), Version),
        (get("GET / HTTP/2.0"), Version),
        (get("GET / http/1.1"), Version),
        (get("GET / HTTP/01.1"), Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Version),
        ("\u{16}\u{3}\u{1}".into(), RequestLine),
        ("\u{0}".into(), RequestLine),
        (post("Expect: 200-ok\r\n"), Expectation),
    ];
    let got: Vec<_> = corpus
        .iter()
        .map(|(wire, _)| (wire.clone(), refusal(wire.as_bytes())))
        .collect();
    let want: Vec<_> = corpus
        .into_iter()
        .map(|(wire, want)| (wire, Some(want)))
        .collect();
    let wrong: Vec<_> = got
        .iter()
        .zip(&want)
        .filter(|(got, want)| got != want)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whatever is odd but can be read in one way only.
#[test]
fn what_is_odd_but_clear_is_taken() {
    let head = |wire: &str| {
        let found = read_head(wire.as_bytes(), &[], &Limits::default());
        let (head, range) = found.unwrap().expect("complete");
        assert_eq!(range, 0..wire.len(), "{wire:?}");
        head
    };
    let post = |headers: &str| head(&format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
    for (headers, framing) in [
        ("", Framing::Length(0)),
        ("Content-Length:0\r\n", Framing::Length(0)),
        ("CONTENT-LENGTH: \t 0005 \t\r\n", Framing::Length(5)),
        (
            "content-length: 18446744073709551615\r\n",
            Framing::Length(u64::MAX),
        ),
        ("Transfer-Encoding:\tChunkeD \r\n", Framing::Chunked),
        // Names that are only nearly those that decide.
        ("Content_Length: 5\r\n", Framing::Length(0)),
        ("Content-Lengths: 5\r\n", Framing::Length(0)),
        ("Transfer_Encoding: chunked\r\n", Framing::Length(0)),
        ("X-Transfer-Encoding: chunked\r\n", Framing::Length(0)),
        ("X: Transfer-Encoding: chunked\r\n", Framing::Length(0)),
    ] {
        assert_eq!(post(headers).framing(), framing, "{headers:?}");
    }
    let wire = "a!#$%&'*+-.^_`|~9 //h/\\\"<>^`{|}?? HTTP/1.1\r\nhost: \r\n!#$%&'*+-.^_`|~9:\r\nX: \u{e9}\t \u{80}\r\n\r\n";
    let odd = head(wire);
    let view = odd.view(wire.as_bytes());
    assert_eq!(view.method(), "a!#$%&'*+-.^_`|~9");
    assert_eq!(view.path(), "//h/\\\"<>^`{|}");
    assert_eq!((view.query(), view.host()), (Some("?"), ""));
    let headers: Vec<_> = view.headers().collect();
    assert_eq!(headers[1], ("!#$%&'*+-.^_`|~9", &b""[..]));
    assert_eq!(headers[2], ("X", "\u{e9}\t \u{80}".as_bytes()));
    assert!(head("GET / HTTP/1.0\r\n\r\n").framing() == Framing::Length(0));
}

#[test]
fn a_bare_carriage_return_is_refused_wherever_it_stands() {
    let wire = b"GET /abc HTTP/1.1\r\nHost: h\r\nX-Name: value\r\n\r\n";
    for at in 0..wire.len() {
        let mut altered = wire.to_vec();
        altered.insert(at, b'\r');
        // In front of the empty line it makes another line, and the head ends later.
        altered.extend_from_slice(b"\r\n");
        assert!(refusal(&altered).is_some(), "CR at {at}");
    }
}

#[test]
fn limits_hold_before_the_line_is_complete() {
    let mut limits = Limits::default();
    limits.request_line = 30;
    limits.headers = 60;
    limits.header_count = 3;
    let at = |wire: &str| read_head(wire.as_bytes(), &[], &limits).map(|found| found.is_some());
    let line = |length: usize| {
        format!(
            "GET /{} HTTP/1.1",
            "x".repeat(length - "GET / HTTP/1.1".len())
        )
    };
    assert_eq!(at(&format!("{}\r\nHost: h\r\n\r\n", line(30))), Ok(true));
    assert_eq!(
        at(&format!("{}\r\nHost: h\r\n\r\n", line(31))),
        Err(Refusal::RequestLineTooLong)
    );
    assert_eq!(at(&"x".repeat(31)), Ok(false));
    assert_eq!(at(&"x".repeat(32)), Err(Refusal::RequestLineTooLong));
    let headers = |length: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(length));
    assert_eq!(at(&headers(48)), Ok(false));
    assert_eq!(at(&headers(49)), Err(Refusal::HeadersTooLong));
    let many = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert_eq!(at(&many(3)), Ok(true));
    assert_eq!(at(&many(4)), Err(Refusal::TooManyHeaders));
    limits.request_line = usize::MAX;
    limits.header_count = usize::MAX;
    limits.headers = usize::MAX;
    let most = Limits::MAX_HEADER_COUNT;
    assert!(read_head(many(most).as_bytes(), &[], &limits).is_ok());
    assert_eq!(
        read_head(many(most + 1).as_bytes(), &[], &limits).err(),
        Some(Refusal::TooManyHeaders)
    );
}

#[test]
fn a_chunked_body_survives_every_cut() {
    let wire = b"5;a=\"b\"\r\nhello\r\n00010\t;x\r\n0123456789abcdef\r\n000\r\nTrailer: x\r\nAnother:\r\n\r\nGET ";
    let want = (b"hello0123456789abcdef".to_vec(), wire.len() - 4);
    for step in 1..=wire.len() {
        assert_eq!(
            drain(Framing::Chunked, wire, step),
            Ok(Some(want.clone())),
            "{step} bytes at a time"
        );
    }
    for end in 0..want.1 {
        assert_eq!(
            drain(Framing::Chunked, &wire[..end], 7),
            Ok(None),
            "the first {end} bytes are not all"
        );
    }
}

#[test]
fn a_counted_body_ends_where_it_was_said() {
    for step in 1..9 {
        assert_eq!(
            drain(Framing::Length(5), b"helloGET ", step),
            Ok(Some((b"hello".to_vec(), 5)))
        );
    }
    assert_eq!(drain(Framing::Length(0), b"GET ", 9), Ok(Some((vec![], 0))));
    assert_eq!(drain(Framing::Length(5), b"hell", 9), Ok(None));
}

#[test]
fn malformed_chunks_are_refused() {
    use Refusal::{Chunk, Trailer};
    let corpus: &[(&[u8], Refusal)] = &[
        (b"\r\n", Chunk),
        (b"x\r\n", Chunk),
        (b" 5\r\n", Chunk),
        (b"+5\r\n", Chunk),
        (b"-5\r\n", Chunk),
        (b"0x5\r\n", Chunk),
        (b"5 \r\nhello", Chunk),
        (b"5\nhello", Chunk),
        (b"5\rhello", Chunk),
        (b"5 5\r\n", Chunk),
        (b"5;a\nhello", Chunk),
        (b"5;a\rhello", Chunk),
        (b"5;\x00\r\n", Chunk),
        (b"5;\x7f\r\n", Chunk),
        (b"00000000000000005\r\n", Chunk),
        (b"10000000000000000\r\n", Chunk),
        (b"5\r\nhelloX", Chunk),
        (b"5\r\nhello\n", Chunk),
        (b"5\r\nhello\rX", Chunk),
        (b"5\r\nhello5\r\n", Chunk),
        (b"0\r\n\n", Trailer),
        (b"0\r\n\rX", Trailer),
        (b"0\r\nGET / HTTP/1.1\r\n", Trailer),
        (b"0\r\n: x\r\n", Trailer),
        (b"0\r\nA : x\r\n", Trailer),
        (b"0\r\nA: x\n", Trailer),
        (b"0\r\nA: x\r\n folded\r\n", Trailer),
        (b"0\r\nA: \x00\r\n", Trailer),
    ];
    for (wire, want) in corpus {
        for step in [1, wire.len()] {
            assert_eq!(
                drain(Framing::Chunked, wire, step),
                Err(*want),
                "{:?}",
                wire.escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn limits_of_a_body_hold_when_it_is_announced() {
    let mut limits = Limits::default();
    limits.body = 10;
    limits.chunk_extensions = 4;
    limits.trailers = 6;
    let of = |framing, wire: &[u8]| drain_within(framing, wire, 1, &limits);
    assert_eq!(of(Framing::Length(10), b""), Ok(None));
    assert_eq!(of(Framing::Length(11), b""), Err(Refusal::BodyTooLong));
    assert_eq!(of(Framing::Chunked, b"a\r\n"), Ok(None));
    assert_eq!(of(Framing::Chunked, b"b\r\n"), Err(Refusal::BodyTooLong));
    assert_eq!(
        of(Framing::Chunked, b"5\r\nhello\r\n6\r\n"),
        Err(Refusal::BodyTooLong)
    );
    assert_eq!(
        of(Framing::Chunked, b"1\r\nx\r\nffffffffffffffff\r\n"),
        Err(Refusal::BodyTooLong)
    );
    assert_eq!(of(Framing::Chunked, b"1;a\r\nx\r\n1;b\r\n"), Ok(None));
    assert_eq!(
        of(Framing::Chunked, b"1;a\r\nx\r\n1;bc"),
        Err(Refusal::ChunkExtensions)
    );
    assert_eq!(of(Framing::Chunked, b"0\r\nA: bcd"), Ok(None));
    assert_eq!(
        of(Framing::Chunked, b"0\r\nA: bcde"),
        Err(Refusal::TrailersTooLong)
    );
}

proptest! {
    #[test]
    fn chunks_come_back_as_they_went(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        step in 1usize..400,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            body::encode_chunk(&mut wire, chunk);
        }
        wire.extend_from_slice(body::LAST_CHUNK);
        let length = wire.len();
        wire.extend_from_slice(b"next");
        prop_assert_eq!(drain(Framing::Chunked, &wire, step), Ok(Some((chunks.concat(), length))));
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(wire in prop::collection::vec(any::<u8>(), 0..120), step in 1usize..20) {
        prop_assert_eq!(
            drain(Framing::Chunked, &wire, step).map(|found| found.map(|(content, _)| content)),
            drain(Framing::Chunked, &wire, usize::MAX).map(|found| found.map(|(content, _)| content))
        );
    }

    #[test]
    fn headers_come_back_as_they_went(
        headers in prop::collection::vec(("x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}", "[!-~]([ -~\t]{0,30}[!-~])?"), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut wire = b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec();
        for (name, value) in &headers {
            wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        let cut = cut.index(wire.len());
        let (head, range) = read_head(&wire, &[cut], &Limits::default()).unwrap().expect("complete");
        let got: Vec<_> = head.view(&wire[range]).headers().skip(1)
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned())).collect();
        prop_assert_eq!(got, headers);
    }
}
