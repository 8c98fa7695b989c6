//! `cargo xtask soak`: programs without end.

use super::voyage;
use crate::sync::tests::{Random, storms};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// In seconds. The longest takes about one.
const LONGEST: u64 = 300;
/// How often it tells how far it is, in seconds.
const BEAT: u64 = 60;

/// Seconds that this process has lived through. Counted, not read off a clock: while somebody stops the process, it has
/// neither soaked nor hung.
#[derive(Default)]
struct Lived(AtomicU64);

impl Lived {
    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Since when each program runs, by its seed.
type Running = parking_lot::Mutex<BTreeMap<u64, u64>>;

/// Programs larger than those of the test, and storms; one after the other in as many threads as there are processors, for as many
/// seconds as `GRAPESHOT_SOAK_SECONDS` says, from the seed `GRAPESHOT_SOAK_SEED` on.
#[test]
#[ignore = "`cargo xtask soak` runs it, for as long as one wishes"]
fn programs_until_the_time_is_up() {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seconds = number("GRAPESHOT_SOAK_SECONDS").unwrap_or(10);
    let first = number("GRAPESHOT_SOAK_SEED").unwrap_or(1_000);
    let seeds = AtomicU64::new(first);
    let (lived, running, failed) = (Lived::default(), Running::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let soakers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
            .map(|_| {
                scope.spawn(|| {
                    let _end = Told(&failed);
                    while lived.so_far() < seconds && !failed.load(Ordering::Relaxed) {
                        let seed = seeds.fetch_add(1, Ordering::Relaxed);
                        running.lock().insert(seed, lived.so_far());
                        one(seed);
                        running.lock().remove(&seed);
                    }
                })
            })
            .collect();
        while !soakers.iter().all(|soaker| soaker.is_finished()) {
            thread::sleep(SECOND);
            let now = 1 + lived.0.fetch_add(1, Ordering::Relaxed);
            end_if_one_hangs(&running, now);
            if now % BEAT == 0 {
                let programs = seeds.load(Ordering::Relaxed) - first;
                println!("{now} s: {programs} programs");
            }
        }
    });
    let programs = seeds.load(Ordering::Relaxed) - first;
    assert!(programs > 0, "there was time for none");
    println!("{programs} programs ran well");
}

/// One that fails ends them all.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn one(seed: u64) {
    if seed.is_multiple_of(4) {
        return storms::weather(seed);
    }
    let mut random = Random(seed);
    let (crew, steps) = (2 + random.below(30), 1 + random.below(60));
    voyage(seed, crew, steps);
}

/// Threads that hang cannot be ended but with the process.
fn end_if_one_hangs(running: &Running, now: u64) {
    let running = running.lock();
    let hung = running.iter().find(|&(_, since)| now - since > LONGEST);
    if let Some((seed, _)) = hung {
        eprintln!("a program has not ended within {LONGEST} s: it was seed {seed}");
        std::process::abort();
    }
}
