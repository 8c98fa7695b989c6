//! Forty thousand suspended coroutines.

use std::sync::Arc;
use std::time::Duration;

const COUNT: usize = 40_000;

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    for _ in 0..COUNT {
        may::go!(|| may::coroutine::sleep(Duration::from_secs(60)));
    }
    println!("{COUNT} coroutines wait");
}

fn with_grapeshot() {
    grapeshot::run(|| {
        let waiting = Arc::new(grapeshot::sync::InvertedSemaphore::new(0));
        for _ in 0..COUNT {
            let hold = waiting.acquire_owned();
            grapeshot::spawn(move || {
                drop(hold);
                grapeshot::sleep(Duration::from_secs(60));
            });
        }
        waiting.wait_zero();
        println!("{COUNT} coroutines wait");
    });
}
