//! Pipelined requests: their order, what a lost connection costs, and a network that fails in the middle.
#![cfg(feature = "client")]

mod client_support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_support::{client, on_network, read_head, scripted, serve, served, tortured};
use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{self, NetworkConfig, Simulation, host};
use grapeshot::{sleep, spawn, with_timeout};
use grapeshot_http::client::{Client, Error, ErrorKind, Phase, RequestBuilder, Retries};
use grapeshot_http::{HandlerError, Request, Response};

fn gets<'b>(
    client: &'b Client,
    count: usize,
) -> impl Iterator<Item = RequestBuilder<'static>> + 'b {
    (0..count).map(|n| client.request("GET", format!("http://server/{n}")))
}

/// Which number a request has.
fn number(head: &str) -> usize {
    let target = head.split(' ').nth(1).expect("a target");
    target[1..].parse().expect("a number")
}

fn reply(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes())
}

fn texts(
    answers: impl Iterator<Item = Result<grapeshot_http::client::Response, Error>>,
) -> Vec<String> {
    answers
        .map(|answer| answer.unwrap().text().unwrap())
        .collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn requests_go_out_before_their_answers_come_back() {
    on_network(|| {
        // Says nothing before it has heard four requests.
        scripted("server", |_, mut stream| {
            let heads: Vec<_> = (0..4).map(|_| read_head(&mut stream)).collect();
            for head in heads {
                reply(&mut stream, &number(&head).to_string()).unwrap();
            }
            // And the rest only four at a time.
            for _ in 0..4 {
                let head = read_head(&mut stream);
                reply(&mut stream, &number(&head).to_string()).unwrap();
            }
            let _ = stream.read(&mut [0]);
        });
        let client = client();
        let answers = client.pipeline(gets(&client, 8)).depth(4);
        assert_eq!(texts(answers), numbers(0..8));
        let found = client.statistics();
        assert_eq!((found.opened, found.requests, found.reused), (1, 8, 7));
        assert_eq!(
            (found.idle, found.in_use),
            (1, 0),
            "the connection is the pool's again"
        );
    });
}

#[test]
fn no_more_are_under_way_than_allowed() {
    on_network(|| {
        let most = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&most);
        scripted("server", move |_, mut stream| {
            let heard = Arc::new(AtomicUsize::new(0));
            let mut answered = 0;
            let reading = stream.try_clone().unwrap();
            let counting = Arc::clone(&heard);
            spawn(move || {
                let mut reading = reading;
                while !read_head(&mut reading).is_empty() {
                    counting.fetch_add(1, Ordering::SeqCst);
                }
            });
            while answered < 20 {
                sleep(Duration::from_secs(1));
                let open = heard.load(Ordering::SeqCst) - answered;
                told.fetch_max(open, Ordering::SeqCst);
                reply(&mut stream, "x").unwrap();
                answered += 1;
            }
            sleep(Duration::from_secs(1));
        });
        let client = client();
        let answers = client.pipeline(gets(&client, 20)).depth(3);
        assert_eq!(texts(answers).len(), 20);
        assert_eq!(most.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn what_cannot_be_repeated_is_an_error_in_its_place() {
    served(
        |request, response| Ok(response.send(request.target())?),
        || {
            let client = client();
            let get = |path: &str| client.request("GET", format!("http://server{path}"));
            let answers: Vec<_> = client
                .pipeline([
                    get("/0"),
                    client.post("http://server/1"),
                    get("/2"),
                    client.put("http://server/3").body_from(&b"abc"[..], 3),
                    client.put("http://server/4").body("abc"),
                    client.request("GET", "no URL"),
                    get("/6"),
                ])
                .map(|answer| answer.and_then(grapeshot_http::client::Response::text))
                .map(|answer| answer.map_err(|error| matches!(error.kind(), ErrorKind::Misuse(_))))
                .collect();
            let said = |text: &str| Ok(text.to_owned());
            assert_eq!(
                answers,
                [
                    said("/0"),
                    Err(true),
                    said("/2"),
                    Err(true),
                    said("/4"),
                    Err(false),
                    said("/6")
                ]
            );
            assert_eq!(client.statistics().opened, 1);
        },
    );
}

#[test]
fn several_servers_may_follow_each_other() {
    on_network(|| {
        for name in ["server", "other"] {
            serve(
                name,
                move |request: &mut Request<'_>, response: Response<'_>| {
                    Ok(response.send(format!("{}{}", request.host(), request.target()))?)
                },
            );
        }
        let client = client();
        let wanted = ["server/0", "server/1", "other/2", "server/3"];
        let requests = wanted.map(|to| client.request("GET", format!("http://{to}")));
        assert_eq!(texts(client.pipeline(requests)), wanted);
        let found = client.statistics();
        assert_eq!((found.opened, found.idle), (2, 2));
    });
}

/// A server that answers so many requests a connection, then ends it: `how` says how.
fn closing(answers: usize, how: fn(&mut TcpStream)) -> Arc<Mutex<BTreeMap<usize, usize>>> {
    let heard: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
    let told = Arc::clone(&heard);
    scripted("server", move |_, mut stream| {
        for _ in 0..answers {
            let head = read_head(&mut stream);
            if head.is_empty() {
                return;
            }
            let number = number(&head);
            *told.lock().unwrap().entry(number).or_default() += 1;
            if reply(&mut stream, &number.to_string()).is_err() {
                return;
            }
        }
        how(&mut stream);
    });
    heard
}

#[test]
fn a_server_that_closes_now_and_then_is_asked_the_rest_again() {
    on_network(|| {
        let heard = closing(3, |_| ());
        let client = client();
        assert_eq!(texts(client.pipeline(gets(&client, 10))), numbers(0..10));
        assert!(heard.lock().unwrap().values().all(|times| *times == 1));
        assert_eq!(client.statistics().retries, 0, "that is nothing unusual");
    });
}

#[test]
fn one_that_closes_in_the_middle_of_an_answer_loses_that_alone() {
    on_network(|| {
        let heard = closing(2, |stream| {
            let head = read_head(stream);
            if !head.is_empty() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
            }
        });
        let client = client();
        let answers: Vec<_> = client
            .pipeline(gets(&client, 6))
            .map(|answer| answer.unwrap().text().ok())
            .collect();
        let whole = |n: usize| Some(n.to_string());
        assert_eq!(
            answers,
            [whole(0), whole(1), None, whole(3), whole(4), None]
        );
        assert_eq!(heard.lock().unwrap().len(), 4);
    });
}

#[test]
fn a_request_that_its_server_never_survives_fails_and_the_others_do_not() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            loop {
                let head = read_head(&mut stream);
                if head.is_empty() || number(&head) == 2 {
                    return;
                }
                if reply(&mut stream, &number(&head).to_string()).is_err() {
                    return;
                }
            }
        });
        let client = client();
        let ask = |retries: u32| {
            let requests = gets(&client, 5).map(|get| get.retries(Retries::most(retries)));
            let answers = client.pipeline(requests);
            answers
                .map(|answer| answer.ok().map(|answer| answer.text().unwrap()))
                .collect::<Vec<_>>()
        };
        let some = |n: usize| Some(n.to_string());
        assert_eq!(ask(0), [some(0), some(1), None, some(3), some(4)]);
        assert_eq!(client.statistics().retries, 0);
        assert_eq!(ask(2), [some(0), some(1), None, some(3), some(4)]);
        assert_eq!(client.statistics().retries, 2);
    });
}

#[test]
fn an_answer_that_is_not_read_costs_its_connection() {
    served(
        |request, response| Ok(response.send(request.target().repeat(10_000))?),
        || {
            let client = client();
            let mut answers = client.pipeline(gets(&client, 4));
            let unread = answers.next().unwrap().unwrap();
            assert_eq!(
                answers.next().unwrap().unwrap().text().unwrap(),
                "/1".repeat(10_000)
            );
            drop(answers.next().unwrap().unwrap());
            assert_eq!(
                answers.next().unwrap().unwrap().text().unwrap(),
                "/3".repeat(10_000)
            );
            assert!(answers.next().is_none());
            // It came on a connection of its own by then.
            assert_eq!(unread.text().unwrap(), "/0".repeat(10_000));
            assert_eq!(client.statistics().in_use, 0);
        },
    );
}

#[test]
fn large_content_in_both_directions_stops_nobody() {
    let network = NetworkConfig::new().chop(true).buffer(8 << 10);
    Simulation::new(6).network(network).run(|| {
        serve(
            "server",
            |request: &mut Request<'_>, response: Response<'_>| {
                let content = request.read_body()?;
                Ok(response.send(format!("{}{}", content.len(), "x".repeat(50_000)))?)
            },
        );
        let client = client();
        let puts = (0..6).map(|n| {
            let put = client.put(format!("http://server/{n}"));
            put.body(vec![b'y'; if n % 2 == 0 { 100_000 } else { n }])
        });
        for (n, answer) in client.pipeline(puts).enumerate() {
            let length = if n % 2 == 0 { 100_000 } else { n };
            let text = answer.unwrap().text().unwrap();
            assert_eq!(text.trim_end_matches('x'), length.to_string());
        }
        assert_eq!(client.statistics().opened, 1);
    });
}

/// Answers with its target, and what it was sent.
fn mirror(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let content = request.read_body()?;
    let text = format!(
        "{}|{}|{}",
        request.target(),
        content.len(),
        "z".repeat(3_000)
    );
    Ok(response.send(text)?)
}

/// Every answer is the right one, or an error; gives how many were right.
fn ask_mirror(client: &Client, retries: u32) -> usize {
    let requests = (0..12).map(|n| {
        let url = format!("http://server/{n}");
        let request = match n % 3 {
            0 => client.request("PUT", url).body(vec![b'y'; n * 10]),
            _ => client.request("GET", url),
        };
        request.retries(Retries::most(retries))
    });
    let mut right = 0;
    let mut count = 0;
    for (n, answer) in client.pipeline(requests).enumerate() {
        count += 1;
        let Ok(text) = answer.and_then(grapeshot_http::client::Response::text) else {
            continue;
        };
        let length = if n % 3 == 0 { n * 10 } else { 0 };
        assert_eq!(text.trim_end_matches('z'), format!("/{n}|{length}|"));
        right += 1;
    }
    assert_eq!(count, 12, "each request has an answer or an error");
    assert_eq!(client.statistics().in_use, 0);
    right
}

#[test]
fn answers_are_never_mixed_up_whatever_breaks() {
    let rough = NetworkConfig::new().chop(true).resets(0.05).refusals(0.05);
    let (all, right) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&all), Arc::clone(&right));
    Simulation::new(0)
        .network(rough)
        .explore(0..30, move |_seed| {
            serve("server", mirror);
            let client = client();
            right.fetch_add(ask_mirror(&client, 8), Ordering::Relaxed);
            all.fetch_add(12, Ordering::Relaxed);
        });
    let (all, right) = (
        counted.0.load(Ordering::Relaxed),
        counted.1.load(Ordering::Relaxed),
    );
    // An answer that breaks off is an error of who reads it; whatever broke before was asked again.
    assert!(right * 10 > all * 7 && right < all, "{right} of {all}");
}

#[test]
fn a_partition_in_the_middle_of_an_answer_costs_that_answer() {
    on_network(|| {
        let cut = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&cut);
        let server = host("server", move || {
            let listener = TcpListener::bind("0.0.0.0:80").unwrap();
            for mut stream in listener.incoming().flatten() {
                let cut = Arc::clone(&theirs);
                spawn(move || -> std::io::Result<()> {
                    loop {
                        let head = read_head(&mut stream);
                        if head.is_empty() {
                            return Ok(());
                        }
                        if number(&head) == 2 {
                            stream
                                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
                            cut.store(1, Ordering::SeqCst);
                            // What follows is written into a network that leads nowhere.
                            sleep(Duration::from_secs(1));
                            stream.write_all(b" of it")?;
                            continue;
                        }
                        reply(&mut stream, &number(&head).to_string())?;
                    }
                });
            }
        });
        sleep(Duration::from_millis(1));
        let network = testing::network();
        let here = network.here();
        let client = client();
        let requests =
            gets(&client, 6).map(|get| get.timeout(Phase::Content, Duration::from_secs(5)));
        let mut answers = client.pipeline(requests);
        for n in 0..2 {
            assert_eq!(
                answers.next().unwrap().unwrap().text().unwrap(),
                n.to_string()
            );
        }
        let half = answers.next().unwrap().unwrap();
        while cut.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(500));
        network.partition(&here, &server);
        let error = half.text().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Timeout(Phase::Content, _)),
            "{error}"
        );
        network.heal_all();
        // Those behind it were under way, and are asked again.
        assert_eq!(texts(answers), numbers(3..6));
        assert_eq!(client.statistics().opened, 2);
    });
}

#[test]
fn it_may_be_left_while_it_waits_and_goes_on_then() {
    for after in 0..25 {
        let latency = Duration::from_micros(400)..=Duration::from_micros(900);
        let network = NetworkConfig::new().latency(latency).chop(true);
        Simulation::new(9).network(network).run(move || {
            serve(
                "server",
                |request: &mut Request<'_>, response: Response<'_>| {
                    Ok(response.send(request.target())?)
                },
            );
            let client = client();
            let mut answers = client.pipeline(gets(&client, 5));
            let mut given = 0;
            // What is left in the middle of its wait is asked for by the next call.
            let _ = with_timeout(Duration::from_micros(320) * after, || {
                loop {
                    let text = answers.next().unwrap().unwrap().text().unwrap();
                    assert_eq!(text, format!("/{given}"));
                    given += 1;
                    if given == 5 {
                        return;
                    }
                }
            });
            // One whose content was not read is given already.
            let rest: Vec<_> = texts(&mut answers);
            let expected: Vec<_> = (5 - rest.len()..5).map(|n| format!("/{n}")).collect();
            assert_eq!(rest, expected);
            assert!(rest.len() + given >= 4, "{given} and {rest:?}");
        });
    }
}

#[test]
fn tortured_a_pipeline_loses_at_most_what_failed() {
    tortured(mirror, |client| {
        // One call fails, which costs one answer at most; its server may have said that it failed, too.
        let right = ask_mirror(client, 0);
        assert!(right >= 11, "{right}");
        Ok(())
    });
}
