//! What a request costs the client: requests a second, and processor time a request of the client's process alone.
//!
//! ```text
//! cargo run --release -p grapeshot-http --example client_load -- URL [CONNECTIONS [SECONDS]]
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grapeshot_http::client::{Client, PoolLimits, Proxies};

/// A tick of the figures in `/proc/self/stat`, on every Linux that matters.
const TICK: f64 = 0.01;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the URL to ask for")?;
    let connections: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    grapeshot::run(move || {
        let mut limits = PoolLimits::default();
        limits.per_origin = connections;
        limits.idle_per_origin = connections;
        let client = Client::builder()
            .proxies(Proxies::none())
            .pool(limits)
            .build();
        // Connections are opened before the clock starts.
        load(&client, &url, connections, Duration::from_millis(500));
        let before = processor();
        let began = Instant::now();
        let requests = load(&client, &url, connections, Duration::from_secs(seconds));
        let elapsed = began.elapsed().as_secs_f64();
        let used = processor() - before;
        println!(
            "{connections} connections: {:.0} requests/s, {:.2} µs of the processor a request, {:.1} µs each; {} opened",
            requests as f64 / elapsed,
            used / requests as f64 * 1e6,
            elapsed * connections as f64 / requests as f64 * 1e6,
            client.statistics().opened,
        );
    });
    Ok(())
}

/// Asks over and over on so many connections; gives the number of answers.
fn load(client: &Client, url: &str, connections: usize, duration: Duration) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + duration;
    let asking: Vec<_> = (0..connections)
        .map(|_| {
            let (client, url, count) = (client.clone(), url.to_owned(), Arc::clone(&count));
            grapeshot::spawn(move || {
                while Instant::now() < end {
                    let answer = client
                        .get(&url)
                        .and_then(|response| response.success()?.bytes());
                    answer.expect("the server answers");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for one in asking {
        one.join().expect("it does not panic");
    }
    count.load(Ordering::Relaxed)
}

/// Seconds of processor time that this process has used.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may contain anything, `utime` and `stime` are the 12th and 13th.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |at: usize| {
        rest.split_whitespace()
            .nth(at)
            .and_then(|text| text.parse().ok())
    };
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) * TICK
}
