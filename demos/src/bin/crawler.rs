//! `cargo run --release --bin crawler -- URL…`: walks the web from some pages on, politely, and says how it goes.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use grapeshot::time::{interval, now};
use grapeshot_backdoor::{Backdoor, Right};
use grapeshot_demos::crawler::{Crawler, Settings};
use grapeshot_demos::inside::Inside;
use grapeshot_http::client::{Client, Phase, PoolLimits, Url};
use indicatif::HumanBytes;

/// Walks the web from some pages on.
#[derive(Parser)]
#[command(name = "crawler")]
struct Options {
    /// Where to start; without --roam it stays on these hosts
    #[arg(required = true)]
    urls: Vec<Url>,
    /// Pages fetched at once
    #[arg(long, default_value_t = 16)]
    workers: usize,
    /// Pages fetched altogether
    #[arg(long, default_value_t = 1000)]
    pages: u64,
    /// Links followed in a row
    #[arg(long, default_value_t = 8)]
    depth: u32,
    /// Milliseconds between two requests to one host, unless its robots.txt wants more
    #[arg(long, default_value_t = 500)]
    delay: u64,
    /// Follow links to other hosts
    #[arg(long)]
    roam: bool,
    /// Name each page
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    inside: Inside,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Names are looked up by coroutines, not by threads.
    grapeshot_dns::install();
    grapeshot::run(move || crawl(options))
}

fn crawl(options: Options) -> ExitCode {
    let mut pool = PoolLimits::default();
    pool.idle_per_origin = 2;
    let client = Client::builder()
        .pool(pool)
        .timeout(Phase::Answer, Duration::from_secs(15))
        .build();
    let settings = Settings {
        workers: options.workers,
        pages: options.pages,
        depth: options.depth,
        delay: Duration::from_millis(options.delay),
        roam: options.roam,
        ..Settings::default()
    };
    let verbose = options.verbose;
    let crawler = Crawler::new(client.clone(), settings, move |url, result| match result {
        Ok(status) if verbose => println!("{status} {url}"),
        Ok(_) => {}
        Err(error) => println!("    {error}"),
    });
    let backdoor = Backdoor::new("crawler").expose("progress", "how far it is", Right::Observe, {
        let (crawler, client) = (Arc::clone(&crawler), client.clone());
        move || line(&crawler, &client)
    });
    let _inside = match options.inside.serve("crawler", backdoor) {
        Ok(inside) => inside,
        Err(error) => {
            eprintln!("crawler: {error}");
            return ExitCode::FAILURE;
        }
    };
    let telling = grapeshot::spawn({
        let (crawler, client) = (Arc::clone(&crawler), client.clone());
        move || {
            if std::io::stderr().is_terminal() {
                tell(&crawler, &client);
            }
        }
    });
    let began = now();
    crawler.crawl(options.urls);
    telling.interrupt();
    // It was interrupted, so there is nothing to learn from it.
    let _ = telling.join();
    let elapsed = now() - began;
    eprintln!(
        "{} in {:.1} s",
        line(&crawler, &client),
        elapsed.as_secs_f64()
    );
    if crawler.figures.pages.load(Ordering::Relaxed) > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes the statistics line once a second, over and over itself.
fn tell(crawler: &Crawler, client: &Client) -> ! {
    let mut beat = interval(Duration::from_secs(1));
    loop {
        beat.tick();
        eprint!("\r\x1b[K{}\r", line(crawler, client));
        // Who has no terminal any more needs no line.
        let _ = std::io::stderr().flush();
    }
}

fn line(crawler: &Crawler, client: &Client) -> String {
    let figures = &crawler.figures;
    let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let connections = client.statistics();
    format!(
        "{} pages, {} │ {} queued, {} failed, {} filtered, {} forbidden │ {} hosts, {} connections ({} reused)",
        of(&figures.pages),
        HumanBytes(of(&figures.bytes)),
        of(&figures.queued),
        of(&figures.failed),
        of(&figures.filtered),
        of(&figures.forbidden),
        crawler.hosts(),
        connections.idle + connections.in_use,
        connections.reused,
    )
}
