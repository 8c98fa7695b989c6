//! What is sent, and what is taken of the answer.

use std::io::{self, Read, Write};

use grapeshot_http::Status;
use grapeshot_http::client::{Blame, ErrorKind, Fault};

use crate::client_support::{answers, client, on_network, served};
use crate::mirror;

#[test]
fn a_get_and_its_answer() {
    served(mirror, || {
        let client = client();
        let response = client.get("http://server/a/b?c=d#e").unwrap();
        assert_eq!(response.status(), Status::OK);
        assert_eq!(response.header("x-host"), Some("server"));
        assert_eq!(response.content_length(), Some(13));
        assert_eq!(response.text().unwrap(), "GET /a/b?c=d|");
        assert_eq!(
            client.get("http://server").unwrap().text().unwrap(),
            "GET /|"
        );
        let statistics = client.statistics();
        assert_eq!((statistics.requests, statistics.opened), (2, 1));
        assert_eq!((statistics.reused, statistics.idle), (1, 1));
        assert_eq!((statistics.in_use, statistics.discarded), (0, 0));
    });
}

#[test]
fn content_goes_up_in_every_way() {
    served(mirror, || {
        let client = client();
        let post = || client.post("http://server/");
        let text = |request: grapeshot_http::client::RequestBuilder<'_>| {
            request.send().unwrap().text().unwrap()
        };
        let long = "x".repeat(100_000);
        assert_eq!(text(post().body("hello")), "POST /|hello");
        assert_eq!(text(post()), "POST /|");
        assert_eq!(text(post().json(&[1, 2])), "POST /|[1,2]");
        assert_eq!(
            text(post().form([("a", "1&2"), ("b", "ü")])),
            "POST /|a=1%262&b=%C3%BC"
        );
        assert_eq!(text(post().body_from(&b"known"[..], 5)), "POST /|known");
        assert_eq!(
            text(post().body_from(long.as_bytes(), None)),
            format!("POST /|{long}")
        );
        let written = post().body_with(|out| {
            out.write_all(b"first ")?;
            out.flush()?;
            out.write_all(long.as_bytes())
        });
        assert_eq!(text(written), format!("POST /|first {long}"));
        assert_eq!(
            text(post().body(long.clone()).expect_continue()),
            format!("POST /|{long}")
        );
        assert_eq!(client.statistics().opened, 1);
    });
}

#[test]
fn content_that_is_not_as_long_as_was_said_is_the_callers_fault() {
    served(mirror, || {
        let client = client();
        for length in [4, 6] {
            let request = client
                .post("http://server/")
                .body_from(&b"hello"[..], length);
            let error = request.send().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Body(_)), "{error}");
            assert_eq!(error.blame(), Blame::Caller);
        }
        let failing = client
            .post("http://server/")
            .body_with(|_| Err(io::Error::other("no more paper")));
        let error = failing.send().unwrap_err().to_string();
        assert!(error.starts_with("POST http://server/: "), "{error}");
        assert!(error.ends_with("no more paper"), "{error}");
        // None of these connections is used again.
        assert_eq!(
            client.get("http://server/").unwrap().text().unwrap(),
            "GET /|"
        );
        let statistics = client.statistics();
        assert_eq!((statistics.opened, statistics.discarded), (4, 3));
    });
}

#[test]
fn head_has_no_content_and_keeps_its_connection() {
    served(mirror, || {
        let client = client();
        let response = client.head("http://server/").unwrap();
        assert_eq!(response.content_length(), Some(7));
        assert_eq!(response.text().unwrap(), "");
        assert_eq!(
            client.get("http://server/").unwrap().text().unwrap(),
            "GET /|"
        );
        assert_eq!(client.statistics().opened, 1);
    });
}

#[test]
fn refused_answers_name_their_fault() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (answer, fault) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), Fault::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), Fault::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), Fault::Version),
        (format!("{ok}A: b\n\r\n"), Fault::LineEnd),
        (format!("{ok}A : b\r\n\r\n"), Fault::HeaderLine),
        (format!("{ok}A: b\r\n c\r\n\r\n"), Fault::HeaderLine),
        (
            format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            Fault::ContentLength,
        ),
        (
            format!("{ok}Content-Length: +1\r\n\r\nx"),
            Fault::ContentLength,
        ),
        (
            format!("{ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Fault::LengthAndEncoding,
        ),
        (
            format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Fault::TransferEncoding,
        ),
        (
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            Fault::Chunk,
        ),
        (
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n"),
            Fault::Trailer,
        ),
        (
            format!("{ok}A: {}\r\n\r\n", "x".repeat(70_000)),
            Fault::HeadersTooLong,
        ),
        (
            format!("{ok}{}\r\n", "A: b\r\n".repeat(200)),
            Fault::TooManyHeaders,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
            Fault::TooManyInterim,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            Fault::Unasked,
        ),
        (
            format!("HTTP/1.1 200 {}\r\n\r\n", "O".repeat(9000)),
            Fault::StatusLineTooLong,
        ),
    ] {
        let told = format!("{answer:.60}");
        let error = on_network(move || {
            answers("server", answer);
            let result = client()
                .get("http://server/")
                .and_then(|response| response.text());
            result.unwrap_err()
        });
        assert!(
            matches!(error.kind(), ErrorKind::Refused(found) if *found == fault),
            "{told}: {error}"
        );
        assert_eq!(error.blame(), Blame::Server);
    }
}

#[test]
fn an_answer_that_ends_early_is_told_from_a_whole_one() {
    let truncated = |answer: &str| {
        let answer = answer.to_owned();
        on_network(move || {
            answers("server", answer);
            let result = client()
                .get("http://server/")
                .and_then(|response| response.text());
            result
                .err()
                .map(|error| matches!(error.kind(), ErrorKind::Truncated))
        })
    };
    assert_eq!(truncated(""), Some(true));
    assert_eq!(truncated("HTTP/1.1 200 OK\r\nA: b\r\n"), Some(true));
    assert_eq!(
        truncated("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
        Some(true)
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        truncated(&format!("{chunked}5\r\nhello\r\n0\r\n")),
        Some(true)
    );
    assert_eq!(
        truncated(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n")),
        None
    );
    assert_eq!(truncated("HTTP/1.1 200 OK\r\n\r\nhell"), None);
}

#[test]
fn interim_answers_and_trailers_are_understood() {
    on_network(|| {
        answers(
            "server",
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nDigest: 7\r\nX: \r\n\r\n",
        );
        let mut response = client().get("http://server/").unwrap();
        let mut text = String::new();
        response.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(response.trailers().value("digest"), Some("7"));
        assert_eq!(response.trailers().len(), 2);
    });
}

#[test]
fn what_cannot_be_a_request_is_said_before_anything_is_sent() {
    on_network(|| {
        let client = client();
        for url in ["", "server/", "ftp://server/", "http://", "mailto:a@b"] {
            let error = client.get(url).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Url(_)), "{url}: {error}");
        }
        let get = || client.request("GET", "http://server/");
        for wrong in [
            get().header("A b", "c"),
            get().header("A", "b\r\nC: d"),
            get().header("Content-Length", "5"),
            client.request("GE T", "http://server/"),
            client.request("CONNECT", "http://server/"),
        ] {
            let error = wrong.send().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Misuse(_)), "{error}");
            assert_eq!(error.blame(), Blame::Caller);
        }
        assert_eq!(client.statistics().requests, 0);
    });
}

#[test]
fn content_has_a_cap() {
    served(
        |request, response| {
            let content = vec![b'x'; 100_000];
            if request.path() == "/length" {
                return Ok(response.send(content)?);
            }
            let mut out = response.start()?;
            out.write_all(&content)?;
            Ok(out.finish()?)
        },
        || {
            let client = client();
            for path in ["length", "chunked"] {
                let get = || client.get(format!("http://server/{path}")).unwrap();
                let error = get().limit(99_999).bytes().unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::TooLong(99_999)),
                    "{error}"
                );
                assert_eq!(get().limit(100_000).bytes().unwrap().len(), 100_000);
            }
        },
    );
}
