//! A small protocol that sends again what was lost; right, and with a bug that only shows when an answer comes late.
//!
//! ```text
//!   sender                         receiver
//!     number, word ────────────────▶ the next? then it is taken
//!     ◀──────────────────── number   if it has been taken, now or before
//! ```

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::net::UdpSocket;
use crate::testing::{Failure, NetworkConfig, Simulation, host};
use crate::with_timeout;

const WORDS: [&str; 6] = ["weigh", "anchor", "and", "set", "the", "sails"];
/// Under AddressSanitizer each takes many times as long.
const SEEDS: u64 = if cfg!(grapeshot_asan) { 100 } else { 1_000 };
const PATIENCE: Duration = Duration::from_millis(20);

/// Sends all words, each until it is acknowledged.
fn send(hasty: bool) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("receiver:9").unwrap();
    for (number, word) in (0_u8..).zip(WORDS) {
        let message = [&[number], word.as_bytes()].concat();
        let attempt = || socket.send(&message).is_ok() && is_acknowledged(&socket, number, hasty);
        while with_timeout(PATIENCE, attempt) != Ok(true) {}
    }
}

/// False: nobody receives yet.
fn is_acknowledged(socket: &UdpSocket, number: u8, hasty: bool) -> bool {
    let mut answer = [0];
    while socket.recv(&mut answer).is_ok() {
        // The bug: an answer that is late, or comes twice, is taken for that to the present word.
        if answer[0] == number || hasty {
            return true;
        }
    }
    false
}

/// Takes the words in their order, each once, and acknowledges those that it has.
fn receive(words: &Mutex<Vec<String>>) {
    let socket = UdpSocket::bind("0.0.0.0:9").unwrap();
    let mut message = [0; 100];
    loop {
        let (count, from) = socket.recv_from(&mut message).unwrap();
        let (number, word) = message[..count].split_first().unwrap();
        let mut words = words.lock();
        if usize::from(*number) == words.len() {
            words.push(String::from_utf8(word.to_vec()).unwrap());
        }
        if usize::from(*number) < words.len() {
            socket.try_send_to(&[*number], from).unwrap();
        }
    }
}

fn first_failure(seeds: Range<u64>, hasty: bool) -> Option<Failure> {
    let stormy = NetworkConfig::new().loss(0.3).duplicates(0.1).reorder(0.1);
    let simulation = Simulation::new(0).network(stormy);
    simulation.first_failure(seeds, move |_| {
        let words = Arc::new(Mutex::new(Vec::new()));
        let receiver = words.clone();
        host("receiver", move || receive(&receiver));
        send(hasty);
        assert_eq!(*words.lock(), WORDS);
    })
}

#[test]
fn a_thousand_seeds_find_the_planted_bug() {
    let failure = first_failure(0..SEEDS, true).expect("some answer comes late");
    let seed = failure.seed;
    for _ in 0..5 {
        let again = first_failure(seed..seed + 1, true).expect("a seed that fails always fails");
        assert_eq!(again, failure);
    }
}

#[test]
fn every_word_arrives_though_a_third_is_lost() {
    assert_eq!(first_failure(0..SEEDS, false), None);
}
