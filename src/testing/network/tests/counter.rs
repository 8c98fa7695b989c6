//! A small replicated counter, right and with a bug that only shows when a connection is lost at the wrong moment.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::net::{TcpListener, TcpStream};
use crate::testing::{Failure, NetworkConfig, Simulation, host};
use crate::{sleep, spawn, with_timeout};

const REPLICAS: [&str; 2] = ["one", "two"];
const INCREMENTS: u32 = 2;
/// Under AddressSanitizer each takes many times as long.
const SEEDS: u64 = if cfg!(grapeshot_asan) { 500 } else { 10_000 };
/// What is asked of a replica.
const INCREMENT: u8 = 1;
const REPLICATE: u8 = 2;
const READ: u8 = 3;

/// What one replica knows.
#[derive(Default)]
struct Counter {
    value: u32,
    /// The increments that are in it.
    seen: BTreeSet<u32>,
}

impl Counter {
    fn increment(&mut self, id: u32, forgetful: bool) {
        // The bug: a client that heard no answer asks again, and that counts, too.
        if self.seen.insert(id) || forgetful {
            self.value += 1;
        }
    }
}

/// One question and its answer, over a connection of its own, repeated until there is one.
fn ask(replica: &str, what: u8, id: u32) -> u32 {
    let attempt = || -> io::Result<u32> {
        let mut stream = TcpStream::connect((replica, 1))?;
        let mut question = [what, 0, 0, 0, 0];
        question[1..].copy_from_slice(&id.to_be_bytes());
        stream.write_all(&question)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(u32::from_be_bytes(answer))
    };
    loop {
        if let Ok(Ok(answer)) = with_timeout(Duration::from_secs(5), attempt) {
            return answer;
        }
        sleep(Duration::from_millis(20));
    }
}

fn serve(forgetful: bool) {
    let counter = Arc::new(Mutex::new(Counter::default()));
    let listener = TcpListener::bind("0.0.0.0:1").unwrap();
    for stream in listener.incoming().flatten() {
        let counter = counter.clone();
        spawn(move || answer(stream, &counter, forgetful));
    }
}

fn answer(mut stream: TcpStream, counter: &Mutex<Counter>, forgetful: bool) -> io::Result<()> {
    let mut question = [0; 5];
    stream.read_exact(&mut question)?;
    let [what, id @ ..] = question;
    let id = u32::from_be_bytes(id);
    if what != READ {
        counter.lock().unwrap().increment(id, forgetful);
    }
    if what == INCREMENT {
        for other in &REPLICAS[1..] {
            ask(other, REPLICATE, id);
        }
    }
    let value = counter.lock().unwrap().value;
    stream.write_all(&value.to_be_bytes())
}

/// Counts to [`INCREMENTS`], and looks at every replica.
fn count(forgetful: bool) {
    for name in REPLICAS {
        host(name, move || serve(forgetful));
    }
    sleep(Duration::from_millis(1));
    for id in 0..INCREMENTS {
        ask(REPLICAS[0], INCREMENT, id);
    }
    for name in REPLICAS {
        assert_eq!(ask(name, READ, 0), INCREMENTS, "at {name}");
    }
}

fn first_failure(seeds: std::ops::Range<u64>, forgetful: bool) -> Option<Failure> {
    let shaky = NetworkConfig::new().chop(true).resets(0.002);
    let simulation = Simulation::new(0).network(shaky);
    simulation.first_failure(seeds, move |_| count(forgetful))
}

#[test]
fn ten_thousand_seeds_find_the_planted_bug() {
    let failure = first_failure(0..SEEDS, true).expect("some seed loses the wrong connection");
    let seed = failure.seed;
    for _ in 0..5 {
        let again = first_failure(seed..seed + 1, true).expect("a seed that fails always fails");
        assert_eq!(again, failure);
    }
}

#[test]
fn ten_thousand_seeds_find_nothing_in_the_right_one() {
    assert_eq!(first_failure(0..SEEDS, false), None);
}
