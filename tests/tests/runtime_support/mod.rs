//! What the tests of the runtime on real threads share.
// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::time::{Duration, Instant};

use grapeshot::{Runtime, yield_now};

/// Far more than anything here takes, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MS: Duration = Duration::from_millis(1);
pub const HOUR: Duration = Duration::from_secs(3_600);

pub fn runtime(workers: usize) -> Runtime {
    Runtime::builder()
        .workers(workers)
        .build()
        .expect("the runtime starts")
}

/// Lets others run until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        yield_now();
    }
}

/// Keeps the processor for `time`, without suspending.
pub fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
