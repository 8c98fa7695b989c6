//! What becomes of connections: kept, closed, waited for.

use std::io::{self, Read, Write};
use std::time::Duration;

use grapeshot::time::now;
use grapeshot::{sleep, with_timeout};
use grapeshot_http::client::{Client, Phase, PoolLimits, Proxies};

use crate::client_support::{client, on_network, read_head, scripted, serve, served};
use crate::mirror;

#[test]
fn an_answer_that_is_not_read_costs_its_connection_and_a_drained_one_does_not() {
    served(
        |_, response| Ok(response.send(vec![b'x'; 50_000])?),
        || {
            let client = client();
            drop(client.get("http://server/").unwrap());
            assert_eq!(client.statistics().discarded, 1);
            client.get("http://server/").unwrap().drain();
            let mut exact = vec![0; 50_000];
            let mut response = client.get("http://server/").unwrap();
            response.read_exact(&mut exact).unwrap();
            drop(response);
            let statistics = client.statistics();
            assert_eq!((statistics.opened, statistics.discarded), (2, 1));
            assert_eq!((statistics.idle, statistics.in_use), (1, 0));
        },
    );
}

#[test]
fn what_comes_unasked_on_an_idle_connection_is_never_taken_for_an_answer() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            while !read_head(&mut stream).is_empty() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                stream.write_all(answer.as_bytes()).unwrap();
                sleep(Duration::from_millis(50));
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
                    .unwrap();
            }
        });
        let client = client();
        for expected in ["0", "1", "2"] {
            assert_eq!(
                client.get("http://server/").unwrap().text().unwrap(),
                expected
            );
            sleep(Duration::from_millis(100));
        }
        assert_eq!(client.statistics().stale, 2);
    });
}

#[test]
fn more_than_the_answer_in_one_piece_costs_the_connection() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            read_head(&mut stream);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            sleep(Duration::from_secs(3600));
        });
        let client = client();
        for expected in ["0", "1"] {
            assert_eq!(
                client.get("http://server/").unwrap().text().unwrap(),
                expected
            );
        }
    });
}

#[test]
fn an_idle_connection_that_the_server_has_closed_is_not_used() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            read_head(&mut stream);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let client = client();
        for expected in ["0", "1", "2"] {
            // No idempotent method, and yet nothing is lost: the end was seen before anything was sent.
            let answer = client.post("http://server/").body("x").send().unwrap();
            assert_eq!(answer.text().unwrap(), expected);
            sleep(Duration::from_secs(1));
        }
        assert_eq!(client.statistics().stale, 2);
    });
}

#[test]
fn who_waits_for_a_connection_is_served_in_order() {
    served(
        |request, response| {
            sleep(Duration::from_secs(1));
            Ok(response.send(request.path())?)
        },
        || {
            let mut limits = PoolLimits::default();
            limits.per_origin = 2;
            let client = Client::builder()
                .proxies(Proxies::none())
                .pool(limits)
                .build();
            let began = now();
            let asking: Vec<_> = (0..10)
                .map(|n| {
                    let client = client.clone();
                    // One after the other, so that there is an order.
                    sleep(Duration::from_millis(10));
                    grapeshot::spawn(move || {
                        client
                            .get(format!("http://server/{n}"))
                            .unwrap()
                            .text()
                            .unwrap();
                        (now() - began).as_secs()
                    })
                })
                .collect();
            let ended: Vec<_> = asking.into_iter().map(|one| one.join().unwrap()).collect();
            assert_eq!(ended, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
            assert_eq!(client.statistics().opened, 2);
            let held = client.get("http://server/").unwrap();
            let other = client.get("http://server/").unwrap();
            let impatient = client
                .request("GET", "http://server/")
                .timeout(Phase::Queue, Duration::from_secs(3))
                .send();
            // Small answers are there with their heads, and their connections free again only once they are read.
            assert_eq!(impatient.unwrap_err().timed_out(), Some(Phase::Queue));
            drop((held, other));
        },
    );
}

#[test]
fn idle_connections_have_an_end() {
    served(mirror, || {
        let mut limits = PoolLimits::default();
        limits.idle_time = Duration::from_secs(5);
        limits.age = Some(Duration::from_secs(12));
        let client = Client::builder()
            .proxies(Proxies::none())
            .pool(limits)
            .build();
        let get = || client.get("http://server/").unwrap().text().unwrap();
        let mut opened = Vec::new();
        for pause in [4, 4, 4, 1, 6, 1] {
            get();
            opened.push(client.statistics().opened);
            sleep(Duration::from_secs(pause));
        }
        // The fourth is too old, the sixth was idle for too long.
        assert_eq!(opened, [1, 1, 1, 2, 2, 3]);
        client.close_idle();
        assert_eq!(
            (client.statistics().idle, client.statistics().origins),
            (0, 0)
        );
    });
}

#[test]
fn a_pool_keeps_no_more_than_it_may() {
    on_network(|| {
        let names: Vec<_> = (0..6).map(|n| format!("server{n}")).collect();
        for name in &names {
            serve(name, mirror);
        }
        let mut limits = PoolLimits::default();
        limits.idle = 3;
        let client = Client::builder()
            .proxies(Proxies::none())
            .pool(limits)
            .build();
        for name in &names {
            client
                .get(format!("http://{name}/"))
                .unwrap()
                .text()
                .unwrap();
            sleep(Duration::from_millis(10));
        }
        let statistics = client.statistics();
        assert_eq!((statistics.idle, statistics.origins), (3, 3));
        client.get("http://server5/").unwrap().text().unwrap();
        assert_eq!(client.statistics().reused, 1);
    });
}

#[test]
fn a_read_that_is_left_in_the_middle_leaves_the_answer_of_no_use() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            while !read_head(&mut stream).is_empty() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                    .unwrap();
                sleep(Duration::from_secs(5));
                if stream.write_all(b"cd").is_err() {
                    return;
                }
            }
        });
        let client = client();
        let mut response = client.get("http://server/").unwrap();
        let mut text = String::new();
        let left = with_timeout(Duration::from_secs(1), || {
            response.read_to_string(&mut text)
        });
        assert!(left.is_err());
        let error = response.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
        drop(response);
        assert_eq!(
            client.get("http://server/").unwrap().text().unwrap(),
            "abcd"
        );
        let statistics = client.statistics();
        assert_eq!(
            (statistics.opened, statistics.discarded, statistics.in_use),
            (2, 1, 0)
        );
    });
}
