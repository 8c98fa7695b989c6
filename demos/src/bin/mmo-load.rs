//! `mmo-load HOST:PORT --viewports N`: browsers without windows, for measurements.
//!
//! Each viewport is a coroutine with a WebSocket. It decodes every message, which checks it, wanders about slowly if
//! told to, and sends what a page sends. At the end, or on a signal, one line of JSON tells what came.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use grapeshot::net::TcpStream;
use grapeshot::signal::{SIGINT, SIGTERM, Signals};
use grapeshot::{Builder, sleep, sleep_until, with_timeout};
use grapeshot_demos::mmo::wire::{self, Picture, QUANTA, Said, View};
use grapeshot_websocket::{Message, WebSocket, client};

#[derive(Debug, Clone, Parser)]
#[command(version, about = "Viewports of the MMO demo, for measurements")]
struct Options {
    /// The demo's address and port
    demo: SocketAddr,
    /// How many viewports
    #[arg(long, default_value_t = 20)]
    viewports: u32,
    /// How long, in seconds; 0 means until a signal
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Units a second that each viewport scrolls
    #[arg(long, default_value_t = 0.0)]
    scroll: f32,
    /// Width and height of each, in units
    #[arg(long, default_value_t = 1024)]
    side: u32,
}

#[derive(Debug, Default)]
struct Totals {
    open: AtomicU64,
    bytes: AtomicU64,
    messages: AtomicU64,
    updates: AtomicU64,
    changes: AtomicU64,
    failed: AtomicU64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    grapeshot::run(move || drive(&options))
}

fn drive(options: &Options) -> ExitCode {
    let totals = Arc::new(Totals::default());
    let start = grapeshot::time::now();
    let viewports: Vec<_> = (0..options.viewports)
        .map(|number| {
            let (options, totals) = (options.clone(), Arc::clone(&totals));
            Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || {
                    if let Err(error) = watch(&options, number, &totals) {
                        totals.failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("mmo-load: viewport {number}: {error}");
                    }
                })
        })
        .collect();
    wait(options.seconds);
    let seconds = grapeshot::time::now()
        .saturating_duration_since(start)
        .as_secs_f64();
    print(&totals, seconds);
    for viewport in &viewports {
        viewport.interrupt();
    }
    for viewport in viewports {
        // Interrupted, as asked.
        let _ = viewport.join();
    }
    if totals.failed.load(Ordering::Relaxed) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn wait(seconds: u64) {
    let until_signal =
        || match Signals::new(&[SIGTERM, SIGINT]).and_then(|mut signals| signals.wait()) {
            Ok(_) => {}
            Err(error) => eprintln!("mmo-load: signals: {error}"),
        };
    match seconds {
        0 => until_signal(),
        // The time being over is the expected end.
        seconds => drop(with_timeout(Duration::from_secs(seconds), until_signal)),
    }
}

fn print(totals: &Totals, seconds: f64) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let rate = |counter: &AtomicU64| (count(counter) as f64 / seconds).round();
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds,
            "viewports": count(&totals.open),
            "failed": count(&totals.failed),
            "bytes_per_second": rate(&totals.bytes),
            "messages_per_second": rate(&totals.messages),
            "updates_per_second": rate(&totals.updates),
            "changes_per_second": rate(&totals.changes),
        })
    );
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One viewport, until the connection ends; that it ends is a failure.
fn watch(options: &Options, number: u32, totals: &Arc<Totals>) -> Result<(), Failure> {
    // Not all at once: a browser's start is not what is measured.
    sleep(Duration::from_millis(u64::from(number)));
    let stream = TcpStream::connect(options.demo)?;
    stream.set_nodelay(true)?;
    let path = format!("/ws?name=load+{number}");
    let socket = Arc::new(client::connect(stream, &options.demo.to_string(), &path)?);
    totals.open.fetch_add(1, Ordering::Relaxed);
    let _talker = {
        let (socket, options) = (Arc::clone(&socket), options.clone());
        Talker(
            Builder::new()
                .name(format!("talk-{number}"))
                .spawn(move || talk(&socket, &options, number)),
        )
    };
    let mut picture = Picture::default();
    loop {
        let Message::Binary(message) = socket.recv()? else {
            return Err("a text came".into());
        };
        let (updates, changes) = (picture.updates, picture.changes);
        picture.apply(&message)?;
        totals
            .bytes
            .fetch_add(message.len() as u64, Ordering::Relaxed);
        totals.messages.fetch_add(1, Ordering::Relaxed);
        totals
            .updates
            .fetch_add(picture.updates - updates, Ordering::Relaxed);
        totals
            .changes
            .fetch_add(picture.changes - changes, Ordering::Relaxed);
    }
}

struct Talker(grapeshot::JoinHandle<()>);

impl Drop for Talker {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// Says what a page says: where it looks, and a PING every two seconds.
fn talk(socket: &WebSocket, options: &Options, number: u32) {
    let mut rng = fastrand::Rng::with_seed(u64::from(number));
    let (mut x, mut y) = (rng.f32() * 20_480.0, rng.f32() * 20_480.0);
    let mut heading = rng.f32() * std::f32::consts::TAU;
    let beat = if options.scroll > 0.0 {
        Duration::from_millis(50)
    } else {
        Duration::from_secs(2)
    };
    let mut due = grapeshot::time::now();
    for seq in 1.. {
        let quantise = |v: f32| (v * QUANTA) as i32;
        let view = View {
            seq,
            x: quantise(x),
            y: quantise(y),
            w: options.side,
            h: options.side,
        };
        let said = socket.send_binary(&wire::say(&Said::View(view)));
        if said
            .and_then(|()| socket.send_binary(&wire::say(&Said::Ping(seq))))
            .is_err()
        {
            // The reader meets the same end, and tells it.
            return;
        }
        let way = options.scroll * beat.as_secs_f32();
        heading += (rng.f32() - 0.5) * 0.2;
        (x, y) = (
            (x + heading.cos() * way).clamp(0.0, 20_480.0),
            (y + heading.sin() * way).clamp(0.0, 20_480.0),
        );
        due += beat;
        sleep_until(due);
    }
}
