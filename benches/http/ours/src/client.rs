//! The client's row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use content::{Load, Usage};
use grapeshot_http::client::{Client, PoolLimits, Proxies};

/// Asks as many at a time as it is told, and says what that took.
pub(crate) fn ask(load: &Load) {
    let mut limits = PoolLimits::default();
    limits.per_origin = load.connections;
    limits.idle_per_origin = load.connections;
    let client = Client::builder()
        .proxies(Proxies::none())
        .pool(limits)
        .build();
    let [measuring, over] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let asking: Vec<_> = (0..load.connections)
        .map(|_| {
            let (client, url) = (client.clone(), load.url.clone());
            let (measuring, over) = (Arc::clone(&measuring), Arc::clone(&over));
            grapeshot::spawn(move || {
                let mut times = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answer = client
                        .get(&url)
                        .and_then(|answer| answer.success()?.bytes());
                    answer.expect("the server answers");
                    if measuring.load(Ordering::Relaxed) {
                        times.push(began.elapsed().as_micros() as u64);
                    }
                }
                times
            })
        })
        .collect();
    grapeshot::sleep(load.warm);
    let before = Usage::of("self");
    measuring.store(true, Ordering::Relaxed);
    let began = Instant::now();
    grapeshot::sleep(load.measured);
    measuring.store(false, Ordering::Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    let after = Usage::of("self");
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for one in asking {
        times.extend(one.join().expect("every request is answered"));
    }
    content::report_load(
        &mut times,
        seconds,
        after.since(&before),
        after.resident_kib,
    );
}
