//! Breaks the rule that its argument names, so that `cargo xtask test` can see that Miri reports it. With `clean` it
//! breaks none and must not be reported.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn main() {
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "clean" => hand_over(Ordering::Release),
        "data-race" => hand_over(Ordering::Relaxed),
        "use-after-free" => use_after_free(),
        "aliasing" => aliasing(),
        other => panic!("no error is called {other:?}"),
    }
}

struct Shared {
    value: UnsafeCell<Box<u32>>,
    full: AtomicBool,
}

// SAFETY: none, unless `full` is stored with `Release`.
unsafe impl Sync for Shared {}

/// As `HandOver` of the runtime does it; relaxed, it is a race that no processor of ours shows.
fn hand_over(store: Ordering) {
    let shared = &Shared {
        value: UnsafeCell::new(Box::new(0)),
        full: AtomicBool::new(false),
    };
    thread::scope(|s| {
        s.spawn(move || {
            let shared: &Shared = shared;
            // SAFETY: nobody looks before `full` is true.
            unsafe { *shared.value.get() = Box::new(7) };
            shared.full.store(true, store);
        });
        while !shared.full.load(Ordering::Acquire) {
            thread::yield_now();
        }
        // SAFETY: the other thread is done with it, if what it did can be seen here.
        assert_eq!(unsafe { **shared.value.get() }, 7);
    });
}

fn use_after_free() {
    let freed = std::ptr::from_ref(&*Box::new(7_u32));
    // SAFETY: there is none, this read is the bug that must be reported.
    assert_eq!(unsafe { freed.read() }, 7);
}

/// Writes what a reference promises not to change.
fn aliasing() {
    let mut value = 7_u32;
    let place = &raw mut value;
    // SAFETY: there is none: `shared` is used after the write.
    unsafe {
        let shared = &*place;
        place.write(8);
        assert_eq!(*shared, 8);
    }
}
