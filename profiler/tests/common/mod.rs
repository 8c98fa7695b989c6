//! What the tests of profiles share.
// Each file of tests uses a part of it.
#![allow(dead_code, unused_imports, unused_macros)]

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use grapeshot::Runtime;
use grapeshot_profiler::{Group, Profile, Stack};
use rustix::time::{ClockId, clock_gettime};

/// One profile at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|it| it.into_inner())
}

/// Processor time of this thread: whatever else the machine does does not count.
pub(crate) fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A function that uses the processor for so long.
macro_rules! burner {
    ($name:ident) => {
        #[inline(never)]
        fn $name(time: std::time::Duration) {
            let end = $crate::common::used() + time;
            let mut value = 1_u64;
            while $crate::common::used() < end {
                for _ in 0..1_000 {
                    value = std::hint::black_box(value.wrapping_mul(31) ^ 7);
                }
            }
            std::hint::black_box(value);
        }
    };
}
pub(crate) use burner;

pub(crate) fn on_two_workers<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    Runtime::builder().workers(2).build().unwrap().run(body)
}

pub(crate) fn group<'a>(profile: &'a Profile, name: &str) -> &'a Group {
    let found = profile
        .groups
        .iter()
        .find(|it| profile.string(it.name) == name);
    found.unwrap_or_else(|| panic!("no group {name}"))
}

/// Nanoseconds of some stacks, below a function.
pub(crate) fn below<'a>(
    profile: &Profile,
    stacks: impl IntoIterator<Item = &'a Stack>,
    function: &str,
) -> u64 {
    let functions = profile.functions(stacks);
    let named = functions
        .iter()
        .filter(|it| profile.string(it.name).ends_with(function));
    named.map(|it| it.total.nanos).sum()
}
