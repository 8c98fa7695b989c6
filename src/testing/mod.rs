//! Running programs under a virtual clock and a seeded order.

use crate::sched::runtime::Runtime;

/// Runs `f` as the main coroutine of a simulation: one worker, a virtual clock, and a ready queue whose order `seed`
/// decides. The same seed gives the same order, so a failure that depends on the interleaving can be had again.
///
/// Sleeping costs nothing: when no coroutine can run, the clock jumps to the next timer. [`time::now`](crate::time::now)
/// tells the virtual time. Sockets are real; while one is waited for, timers do not wait. If nothing can ever happen any
/// more, that is reported with what each coroutine waits for, and all are interrupted.
///
/// ```
/// use grapeshot::{sleep, testing, time};
/// use std::time::Duration;
///
/// let hours = testing::run(7, || {
///     let start = time::now();
///     sleep(Duration::from_secs(3_600));
///     (time::now() - start).as_secs() / 3_600
/// });
/// assert_eq!(hours, 1);
/// ```
#[track_caller]
pub fn run<F, T>(seed: u64, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Runtime::builder().seed(seed).build() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("cannot start the simulation: {error}"),
    }
}
