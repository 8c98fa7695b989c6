//! What goes to the server besides the usual: `*`, trailers, and what comes before the answer.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use grapeshot_http::client::{Client, ErrorKind, Proxies, Proxy, RequestBuilder};

use crate::client_support::{client, on_network, read_head, scripted};

const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// All that `server` and `proxy` are sent on their connections, up to an empty line behind `last`.
fn sent(last: &'static str, ask: impl FnOnce() + Send + 'static) -> String {
    on_network(move || {
        let got = Arc::new(Mutex::new(String::new()));
        for name in ["server", "proxy"] {
            let got = Arc::clone(&got);
            scripted(name, move |_, mut stream| {
                let mut request = String::new();
                while !(request.contains(last) && request.ends_with("\r\n\r\n")) {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap() == 0 {
                        break;
                    }
                    request.push(byte[0].into());
                }
                *got.lock().unwrap() += &request;
                stream.write_all(EMPTY).unwrap();
            });
        }
        ask();
        got.lock().unwrap().clone()
    })
}

#[test]
fn options_asks_about_the_server() {
    let direct = sent("", || {
        let asking = client().request("OPTIONS", "http://server:80/a?b");
        asking.asterisk().send().unwrap();
    });
    assert!(
        direct.starts_with("OPTIONS * HTTP/1.1\r\nHost: server\r\n"),
        "{direct}"
    );
    let by_proxy = sent("", || {
        let proxy = Proxy::new("http://proxy").unwrap();
        let client = Client::builder().proxies(Proxies::all(proxy)).build();
        let asking = client.request("OPTIONS", "http://elsewhere:81/a");
        asking.asterisk().send().unwrap();
    });
    assert!(
        by_proxy.starts_with("OPTIONS http://elsewhere:81 HTTP/1.1\r\nHost: elsewhere:81\r\n"),
        "{by_proxy}"
    );
    let error = client()
        .request("GET", "http://server")
        .asterisk()
        .send()
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Misuse(_)), "{error}");
}

#[test]
fn trailers_follow_the_content() {
    let wire = sent("\r\n0\r\n", || {
        let count = RefCell::new(0);
        let counted = || {
            vec![(
                "X-Count".to_owned(),
                count.borrow().to_string().into_bytes(),
            )]
        };
        let asking = client().post("http://server/").header("Trailer", "X-Count");
        let asking = asking.accept_trailers().trailers(counted);
        let asking = asking.body_with(|out| {
            *count.borrow_mut() = out.write(b"hello")?;
            Ok(())
        });
        asking.send().unwrap();
    });
    assert!(
        wire.contains("\r\nConnection: TE\r\nTE: trailers\r\n"),
        "{wire}"
    );
    assert!(
        wire.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nX-Count: 5\r\n\r\n"),
        "{wire}"
    );
    let plain = sent("", || {
        let never = || panic!("content of a known length has none");
        let asking = client().post("http://server/").trailers(never);
        asking.body_from(&b""[..], 0).send().unwrap();
    });
    assert!(plain.ends_with("Content-Length: 0\r\n\r\n"), "{plain}");
}

#[test]
fn what_cannot_be_a_trailer_is_not_sent() {
    for (name, value) in [
        ("Content-Length", "5"),
        ("Transfer-Encoding", "x"),
        ("host", "x"),
        ("a b", ""),
        ("X", "a\r\nb"),
    ] {
        let wire = sent("\r\n0\r\n", move || {
            let make = || vec![(name.to_owned(), value.as_bytes().to_vec())];
            let asking = client().post("http://server/").trailers(make);
            let error = asking.body_from(&b"hello"[..], None).send().unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Misuse(_)),
                "{name}: {error}"
            );
        });
        assert!(!wire.contains(&format!("{name}: {value}")), "{wire}");
    }
}

/// The links that interim answers give, as a request is sent by `send`.
fn hints(send: impl FnOnce(&Client, RequestBuilder<'_>) + Send + 'static) -> Vec<String> {
    on_network(move || {
        scripted("server", |_, mut stream| {
            read_head(&mut stream);
            let hints =
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                          HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n";
            stream.write_all(hints).unwrap();
            stream.write_all(EMPTY).unwrap();
        });
        let links = RefCell::new(Vec::new());
        let client = client();
        let told = |head: &grapeshot_http::client::head::ResponseHead| {
            let link = head.headers().value("Link");
            links
                .borrow_mut()
                .push(format!("{} {}", head.status().code(), link.unwrap_or("-")));
        };
        send(
            &client,
            client.request("GET", "http://server/").on_interim(told),
        );
        links.into_inner()
    })
}

#[test]
fn interim_answers_are_told_of() {
    let expected = ["103 </a>", "103 </b>"];
    let one = hints(|_, asking| assert_eq!(asking.send().unwrap().status().code(), 200));
    assert_eq!(one, expected);
    let many = hints(|client, asking| {
        let answer = client.pipeline([asking]).next().unwrap().unwrap();
        assert_eq!(answer.status().code(), 200);
    });
    assert_eq!(many, expected);
}
