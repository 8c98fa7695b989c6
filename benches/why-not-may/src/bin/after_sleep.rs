//! Four workers. One coroutine sleeps for 10 ms and then computes for 500 ms; another sleeps for 100 ms.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    may::config().set_workers(4);
    let (done, report) = mpsc::channel();
    may::go!(|| {
        let before = thread::current().id();
        may::coroutine::sleep(Duration::from_millis(10));
        println!(
            "before the sleep on {before:?}, after it on {:?}",
            thread::current().id()
        );
        compute();
    });
    may::go!(move || {
        may::coroutine::sleep(Duration::from_millis(100));
        let _ = done.send("over");
    });
    why_not_may::report("a sleep of 100 ms", &report);
}

fn with_grapeshot() {
    let (done, report) = mpsc::channel();
    let runtime = grapeshot::Runtime::builder()
        .workers(4)
        .build()
        .expect("four threads");
    runtime.run(move || {
        let placed =
            |worker| grapeshot::Builder::new().placement(grapeshot::Placement::Worker(worker));
        placed(1).spawn(|| {
            let before = thread::current().id();
            grapeshot::sleep(Duration::from_millis(10));
            println!(
                "before the sleep on {before:?}, after it on {:?}",
                thread::current().id()
            );
            compute();
        });
        placed(2).spawn(move || {
            grapeshot::sleep(Duration::from_millis(100));
            let _ = done.send("over");
        });
        // Blocks this worker's thread; the two are on others.
        why_not_may::report("a sleep of 100 ms", &report);
    });
}

fn compute() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        std::hint::spin_loop();
    }
}
