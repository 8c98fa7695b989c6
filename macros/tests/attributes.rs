//! The attributes, as users write them.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::sync::{Event, channel};
use grapeshot::testing::NetworkConfig;
use grapeshot::{sleep, spawn, time};

#[grapeshot::test]
fn time_costs_nothing() {
    let (before, really) = (time::now(), std::time::Instant::now());
    sleep(Duration::from_secs(1_000_000_000));
    assert_eq!((time::now() - before).as_secs(), 1_000_000_000);
    assert!(really.elapsed() < Duration::from_secs(1_000_000));
}

#[grapeshot::test]
fn what_is_joined_does_not_leak() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, receiver) = channel::bounded(1);
    let thinker = spawn(move || {
        sleep(Duration::from_secs(300 * 86_400));
        sender.send(42)
    });
    assert_eq!(receiver.recv()?, 42);
    thinker.join()??;
    Ok(())
}

#[grapeshot::test]
#[should_panic(expected = "a coroutine is still alive")]
fn a_leak_fails() {
    drop(spawn(|| Event::new().wait()));
}

#[grapeshot::test(real, workers = 2)]
#[should_panic(expected = "a coroutine is still alive")]
fn a_leak_fails_for_real() {
    drop(spawn(|| Event::new().wait()));
}

#[grapeshot::test(seeds = 0..3)]
#[should_panic(expected = "seed 0 fails: a coroutine is still alive")]
fn a_leak_fails_with_its_seed() {
    drop(spawn(|| Event::new().wait()));
}

#[grapeshot::test(leaks = allow)]
fn a_leak_that_is_allowed() {
    drop(spawn(|| Event::new().wait()));
}

#[grapeshot::test(leaks = allow, real)]
fn a_leak_that_is_allowed_for_real() {
    drop(spawn(|| Event::new().wait()));
}

#[grapeshot::test]
#[should_panic(expected = "the test returned an error: Error(\"a pity\")")]
fn an_error_fails() -> Result<(), Error> {
    Err(Error("a pity"))
}

#[allow(dead_code, reason = "it is shown")]
#[derive(Debug)]
struct Error(&'static str);

#[grapeshot::test(real, workers = 2)]
fn as_many_workers_as_asked_for() {
    assert_eq!(grapeshot::registry::workers().len(), 2);
}

#[grapeshot::test(real)]
fn the_real_clock() {
    assert!(time::now() <= std::time::Instant::now());
}

/// The order in which five run that are ready at once.
fn order() -> Vec<u32> {
    let (sender, receiver) = channel::unbounded();
    for number in 0..5 {
        let sender = sender.clone();
        spawn(move || sender.send(number));
    }
    drop(sender);
    receiver.iter().collect()
}

#[grapeshot::test(seed = 7)]
fn the_seed_is_the_one_given() {
    let here = order();
    std::thread::spawn(move || {
        assert_eq!(grapeshot::testing::run(7, order), here);
        // With one that gives another order, so that this can fail.
        assert!((0..100).any(|seed| grapeshot::testing::run(seed, order) != here));
    })
    .join()
    .unwrap();
}

static RUNS: AtomicU64 = AtomicU64::new(0);

#[test]
#[allow(unnameable_test_items, reason = "it is called here")]
fn every_seed_is_tried() {
    #[grapeshot::test(seeds = 3..13)]
    fn counted() {
        RUNS.fetch_add(1, Ordering::Relaxed);
    }
    counted();
    assert_eq!(RUNS.load(Ordering::Relaxed), 10);
}

#[grapeshot::test(seeds = 0..100, network = NetworkConfig::new().chop(true))]
fn greets() -> std::io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:9")?;
    let client = spawn(|| {
        let mut heard = String::new();
        TcpStream::connect("localhost:9")?.read_to_string(&mut heard)?;
        std::io::Result::Ok(heard)
    });
    listener.accept()?.0.write_all(b"good morning")?;
    assert_eq!(client.join().unwrap()?, "good morning");
    Ok(())
}

#[grapeshot::test(network)]
pub(crate) fn a_network_with_the_usual_settings() {
    assert_eq!(
        grapeshot::testing::network().here().ip().to_string(),
        "10.0.0.1"
    );
}
