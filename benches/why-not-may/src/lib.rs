//! What the programs share. Each does the same twice, with `may` and with Grapeshot, and prints what happened.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Nothing here takes longer, if it ends at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs what was asked for on the command line, by `may` or by `grapeshot`.
pub fn choose(may: impl FnOnce(), grapeshot: impl FnOnce()) {
    match std::env::args().nth(1).as_deref() {
        Some("may") => may(),
        Some("grapeshot") => grapeshot(),
        _ => {
            eprintln!("which one: may or grapeshot?");
            std::process::exit(2);
        }
    }
}

/// Waits on this plain thread for what a coroutine reports, and says so if that does not come.
pub fn report<T: std::fmt::Display>(what: &str, receiver: &Receiver<T>) {
    let start = Instant::now();
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => println!("{what}: {result}, after {} ms", start.elapsed().as_millis()),
        Err(RecvTimeoutError::Timeout) => println!("{what}: nothing in {} s", PATIENCE.as_secs()),
        Err(RecvTimeoutError::Disconnected) => println!("{what}: its coroutine is gone"),
    }
}
