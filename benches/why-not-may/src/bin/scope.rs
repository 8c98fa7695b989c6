//! A scope whose caller is cancelled while a child still runs: does the child outlive what it borrowed?

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

static GONE: AtomicBool = AtomicBool::new(false);

/// Borrowed by the child.
struct Chart;

impl Drop for Chart {
    fn drop(&mut self) {
        GONE.store(true, Ordering::SeqCst);
    }
}

impl Chart {
    fn is_gone(&self) -> bool {
        GONE.load(Ordering::SeqCst)
    }
}

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    let (done, report) = mpsc::channel();
    let parent = may::go!(move || {
        let owned = Chart;
        let chart = &owned;
        may::coroutine::scope(|s| {
            may::go!(s, move || {
                may::coroutine::sleep(Duration::from_millis(500));
                let _ = done.send(if chart.is_gone() { "dropped" } else { "there" });
            });
        });
    });
    std::thread::sleep(Duration::from_millis(100));
    // SAFETY: none can be given; may says that cancelling is unsafe, and does not say what the caller has to see to.
    unsafe { parent.coroutine().cancel() };
    why_not_may::report("what the child borrows is", &report);
}

fn with_grapeshot() {
    let (done, report) = mpsc::channel();
    let parent = grapeshot::spawn(move || {
        let owned = Chart;
        let chart = &owned;
        grapeshot::scope(|s| {
            s.spawn(move || {
                // Shielded, so that it goes on although the scope interrupts it.
                grapeshot::shield(|| grapeshot::sleep(Duration::from_millis(500)));
                let _ = done.send(if chart.is_gone() { "dropped" } else { "there" });
            });
        });
    });
    std::thread::sleep(Duration::from_millis(100));
    parent.interrupt();
    why_not_may::report("what the child borrows is", &report);
}
