//! How long each phase of a request may take, and servers that answer in the middle of one.

use std::io::{self, Read, Write};
use std::time::Duration;

use grapeshot::sleep;
use grapeshot::time::now;
use grapeshot_http::client::{Blame, Client, ErrorKind, Phase, Proxies};

use crate::client_support::{client, on_network, read_head, scripted};

/// Asks, and gives which time-out fired after which time.
fn times_out(
    talk: impl Fn(usize, grapeshot::net::TcpStream) + Send + Sync + 'static,
) -> (Phase, Duration) {
    on_network(|| {
        scripted("server", talk);
        let client = client();
        let began = now();
        let result = client
            .post("http://server/")
            .body(vec![b'x'; 4 << 20])
            .send()
            .and_then(|response| response.bytes());
        let error = result.unwrap_err();
        assert_eq!(error.blame(), Blame::Network);
        let phase = error.timed_out().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(client.statistics().timeouts, [(phase, 1)]);
        assert_eq!(client.statistics().in_use, 0);
        (phase, now() - began)
    })
}

fn swallow(stream: &mut grapeshot::net::TcpStream, count: u64) {
    io::copy(&mut stream.take(count), &mut io::sink()).unwrap();
}

#[test]
fn every_phase_has_its_time() {
    let forever = || sleep(Duration::from_secs(86_400));
    let (phase, lasted) = times_out(move |_, stream| {
        forever();
        drop(stream);
    });
    // After the wait for the server to take bytes, an answer is looked for.
    assert_eq!((phase, lasted.as_secs()), (Phase::Send, 31));
    let (phase, lasted) = times_out(move |_, mut stream| {
        read_head(&mut stream);
        swallow(&mut stream, 4 << 20);
        stream.write_all(b"HTTP/1.1 2").unwrap();
        forever();
    });
    assert_eq!((phase, lasted.as_secs()), (Phase::Answer, 30));
    let (phase, lasted) = times_out(move |_, mut stream| {
        read_head(&mut stream);
        swallow(&mut stream, 4 << 20);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")
            .unwrap();
        forever();
    });
    assert_eq!((phase, lasted.as_secs()), (Phase::Content, 30));
}

#[test]
fn a_head_that_trickles_does_not_take_forever() {
    let (phase, lasted) = times_out(|_, mut stream| {
        read_head(&mut stream);
        swallow(&mut stream, 4 << 20);
        stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        while stream.write_all(b"A: b\r\n").is_ok() {
            sleep(Duration::from_secs(1));
        }
    });
    assert_eq!((phase, lasted.as_secs()), (Phase::Answer, 30));
}

#[test]
fn the_whole_request_has_a_time_too() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            while stream.write_all(b"x").is_ok() {
                sleep(Duration::from_secs(1));
            }
        });
        let client = Client::builder()
            .proxies(Proxies::none())
            .timeout(Phase::Total, Duration::from_secs(20))
            .build();
        let began = now();
        let error = client.get("http://server/").unwrap().text().unwrap_err();
        assert_eq!(error.timed_out(), Some(Phase::Total));
        assert_eq!((now() - began).as_secs(), 20);
        assert_eq!(
            error.to_string(),
            "GET http://server/: the whole request took longer than 20s (Phase::Total)"
        );
    });
}

#[test]
fn a_host_that_does_not_answer_is_given_up() {
    on_network(|| {
        let server = grapeshot::testing::host("server", || sleep(Duration::from_secs(86_400)));
        let network = grapeshot::testing::network();
        network.partition(&network.here(), &server);
        let began = now();
        let error = client().get("http://server/").unwrap_err();
        assert_eq!(error.timed_out(), Some(Phase::Connect), "{error}");
        assert_eq!((now() - began).as_secs(), 10);
        let error = client().get("http://nowhere/").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Io(Phase::Resolve, _)),
            "{error}"
        );
    });
}

#[test]
fn a_server_that_refuses_the_content_is_heard() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            let head = read_head(&mut stream);
            stream
                .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nno!!\n")
                .unwrap();
            if !head.contains("Expect:") {
                // Half-closed, and nothing more is read.
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                sleep(Duration::from_secs(86_400));
            }
        });
        let client = client();
        let large = || client.post("http://server/").body(vec![0; 8 << 20]);
        let began = now();
        let response = large().expect_continue().send().unwrap();
        assert_eq!(response.status().code(), 413);
        assert_eq!(response.text().unwrap(), "no!!\n");
        assert!(now() - began < Duration::from_secs(1));
        let response = large()
            .timeout(Phase::Send, Duration::from_secs(3))
            .send()
            .unwrap();
        assert_eq!(response.text().unwrap(), "no!!\n");
        // Neither connection is fit for another request.
        assert_eq!(client.statistics().idle, 0);
    });
}

#[test]
fn leave_that_is_not_given_is_not_waited_for_long() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            read_head(&mut stream);
            swallow(&mut stream, 5);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
        });
        let client = client();
        let began = now();
        let request = client
            .post("http://server/")
            .body("hello")
            .expect_continue();
        assert_eq!(request.send().unwrap().text().unwrap(), "ok");
        assert_eq!((now() - began).as_secs(), 1);
    });
}
