//! The client left in the middle: every call on the network fails once, every wait is cut short once, whatever the caller
//! gives panics once. What is asked after that is answered, and with its own answer.

mod client_support;

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use client_support::{client, serve, tortured};
use grapeshot::testing::{NetworkConfig, Simulation};
use grapeshot::with_timeout;
use grapeshot_http::client::{Client, Error, Retries};
use grapeshot_http::{HandlerError, Request, Response};

const LARGE: usize = 60_000;

/// Answers with its target and what it was sent; `/large` with a lot behind that.
fn mirror(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let content = request.read_body()?;
    let mut text = format!("{}|{}|", request.target(), content.len());
    if request.path() == "/large" {
        text += &"x".repeat(LARGE);
    }
    Ok(response.send(text)?)
}

/// Asks in one way of several, and holds that an answer is the one to this question.
fn ask(client: &Client, number: usize) -> Result<(), Error> {
    let path = if number.is_multiple_of(2) {
        "small"
    } else {
        "large"
    };
    let url = format!("http://server/{path}?{number}");
    let request = match number % 3 {
        0 => client.request("GET", &url),
        1 => client.request("PUT", &url).body(vec![b'y'; number * 1000]),
        _ => client
            .request("PUT", &url)
            .body_from(io::repeat(b'z').take(20_000), None)
            .expect_continue(),
    };
    let sent = match number % 3 {
        0 => 0,
        1 => number * 1000,
        _ => 20_000,
    };
    // A server whose read fails says so.
    let text = request.send()?.success()?.text()?;
    let start = format!("/{path}?{number}|{sent}|");
    assert!(text.starts_with(&start), "{start} got {text:.40}");
    let rest = text.len() - start.len();
    assert_eq!(rest, if path == "large" { LARGE } else { 0 });
    Ok(())
}

#[test]
fn tortured_an_answer_is_right_or_an_error() {
    let torture = tortured(mirror, |client| {
        let mut failed = None;
        for number in 0..6 {
            if let Err(error) = ask(client, number) {
                // One call fails, so one request may.
                assert!(failed.is_none(), "{failed:?}, then {error}");
                failed = Some(error);
            }
        }
        assert_eq!(client.statistics().in_use, 0);
        failed.map_or(Ok(()), Err)
    });
    assert!(
        torture.errors > 0 && torture.errors < torture.runs,
        "{torture}"
    );
}

#[test]
fn tortured_what_is_safe_is_tried_again_until_it_works() {
    let torture = tortured(mirror, |client| {
        for number in 0..3 {
            let get = client
                .request("GET", format!("http://server/{number}"))
                .retries(Retries::most(2));
            // A small answer is there with its head, so that no failure comes behind it.
            let text = get.send()?.text();
            if let Ok(text) = text {
                assert_eq!(text, format!("/{number}|0|"));
            }
        }
        Ok(())
    });
    assert_eq!(torture.errors, 0, "{torture}");
}

#[test]
fn a_request_may_be_cut_short_at_any_time() {
    let cut = |number: usize, after: Duration| {
        let latency = Duration::from_micros(400)..=Duration::from_micros(900);
        let network = NetworkConfig::new()
            .latency(latency)
            .chop(true)
            .buffer(8 << 10);
        Simulation::new(9).network(network).run(move || {
            serve("server", mirror);
            let client = client();
            ask(&client, 0).unwrap();
            let outcome = with_timeout(after, || ask(&client, number));
            assert_eq!(client.statistics().in_use, 0, "{number} after {after:?}");
            for number in [3, 4, 5] {
                ask(&client, number).unwrap_or_else(|error| panic!("{after:?}: {error}"));
            }
            if let Ok(result) = outcome {
                result.unwrap();
                return false;
            }
            true
        })
    };
    for number in 1..=6 {
        let mut cuts = 0;
        while cut(number, Duration::from_micros(200) * cuts) {
            cuts += 1;
            assert!(cuts < 3000, "{number} never ends");
        }
        // Less would mean that nothing of it was under way.
        assert!(cuts > 4, "{number}: {cuts}");
    }
}

#[test]
fn what_panics_in_the_middle_costs_its_connection_alone() {
    Simulation::new(4).network(NetworkConfig::new()).run(|| {
        serve("server", mirror);
        let client = client();
        let put = || client.put("http://server/small?0");
        let get = || client.request("GET", "http://server/large?1");
        let panics: [&dyn Fn(); 4] = [
            &|| drop(put().body_from(Bursting(3), None).send()),
            &|| drop(put().body_with(|_| panic!("as planned")).send()),
            &|| {
                drop(
                    get()
                        .progress(|_| panic!("as planned"))
                        .send()
                        .unwrap()
                        .bytes(),
                )
            },
            &|| {
                let _response = get().send().unwrap();
                panic!("as planned");
            },
        ];
        for panics in panics {
            ask(&client, 0).unwrap();
            let discarded = client.statistics().discarded;
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            let statistics = client.statistics();
            assert_eq!(
                (statistics.in_use, statistics.discarded),
                (0, discarded + 1)
            );
            for number in 0..6 {
                ask(&client, number).unwrap();
            }
        }
    });
}

/// Panics when it was read so many times.
struct Bursting(usize);

impl Read for Bursting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).expect("as planned");
        out.fill(b'b');
        Ok(out.len())
    }
}

#[test]
fn while_it_unwinds_nothing_is_asked() {
    struct AsksAtItsEnd(Client);
    impl Drop for AsksAtItsEnd {
        fn drop(&mut self) {
            let error = self.0.get("http://server/small?0").unwrap_err();
            assert!(error.to_string().contains("unwind"), "{error}");
        }
    }
    Simulation::new(4).network(NetworkConfig::new()).run(|| {
        serve("server", mirror);
        let client = client();
        // With an idle connection, and with none.
        for _ in 0..2 {
            let theirs = client.clone();
            let ended = grapeshot::spawn(move || {
                let _asks = AsksAtItsEnd(theirs);
                panic!("as planned");
            });
            assert!(ended.join().is_err());
            ask(&client, 0).unwrap();
        }
    });
}
