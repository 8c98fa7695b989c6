//! What the console's questions cost a server with very many coroutines: how long until the first rows, until the whole answer,
//! and how long a worker was held meanwhile, at the longest.
//!
//! The coroutines all sleep. Each question is asked once more while each worker has a probe: a coroutine that only yields, and
//! notes the processor time that its worker spent between two of its turns. (Processor time, since on a loaded machine a worker
//! may itself have to wait. The times of the answers are taken without it.)
#![forbid(unsafe_code)]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grapeshot::{Builder, Placement, Runtime, sleep, yield_now};
use grapeshot_backdoor::Backdoor;
use grapeshot_backdoor::protocol::{
    ClientMessage, Decoder, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ServerMessage, VERSION, encode,
};
use rustix::time::{ClockId, clock_gettime};

const COROUTINES: usize = 1_000_000;
const WORKERS: usize = 2;
/// Rows that the console asks for, as in a terminal.
const ROWS: u64 = 50;
/// Each question is asked so often.
const ROUNDS: usize = 3;
const QUESTIONS: [&str; 10] = [
    "ps()",
    "ps(#{sort: \"cpu\", limit: 20})",
    "ps(\"npc-77777\")",
    "groups()",
    "glance()",
    "memory()",
    "lints()",
    "timers().len()",
    "stuck()",
    "where_all().len()",
];
/// DESIGN.md and the console's aims.
const FIRST: Duration = Duration::from_secs(1);
const HELD: Duration = Duration::from_millis(1);

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

/// The longest that its worker let it wait, in nanoseconds of the worker's processor time.
#[derive(Default)]
struct Probe {
    longest: AtomicU64,
    is_on: AtomicBool,
}

impl Probe {
    fn run(&self) {
        loop {
            let mut before = used();
            while self.is_on.load(Ordering::Relaxed) {
                yield_now();
                let now = used();
                self.longest.fetch_max(now - before, Ordering::Relaxed);
                before = now;
            }
            sleep(Duration::from_millis(1));
        }
    }
}

/// One on each worker.
struct Probes([Arc<Probe>; WORKERS]);

impl Probes {
    fn new(runtime: &Runtime) -> Self {
        let probes: [Arc<Probe>; WORKERS] = Default::default();
        for (worker, probe) in probes.iter().enumerate() {
            let probe = Arc::clone(probe);
            let named = Builder::new().name("probe");
            let named = named.placement(Placement::Worker(worker));
            drop(runtime.spawn(move || drop(named.spawn(move || probe.run()))));
        }
        Self(probes)
    }

    /// How long a worker was held while this ran, at the longest.
    fn during(&self, run: impl FnOnce() -> Anything<()>) -> Anything<Duration> {
        let turn = |is_on| {
            self.0
                .iter()
                .for_each(|it| it.is_on.store(is_on, Ordering::Relaxed))
        };
        turn(true);
        run()?;
        turn(false);
        let longest = self
            .0
            .iter()
            .map(|it| it.longest.swap(0, Ordering::Relaxed))
            .max();
        Ok(Duration::from_nanos(longest.unwrap_or(0)))
    }
}

/// Processor time of this thread.
fn used() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Console {
    stream: UnixStream,
    decoder: Decoder,
}

/// How long an answer took.
#[derive(Clone, Copy)]
struct Answer {
    first: Duration,
    whole: Duration,
}

impl Console {
    fn attach(path: &PathBuf) -> Anything<Self> {
        let mut console = Self {
            stream: UnixStream::connect(path)?,
            decoder: Decoder::new(MAX_SERVER_MESSAGE),
        };
        console.send(&ClientMessage::Hello { version: VERSION })?;
        console.receive()?;
        Ok(console)
    }

    fn send(&mut self, message: &ClientMessage) -> Anything<()> {
        Ok(self
            .stream
            .write_all(&encode(message, MAX_CLIENT_MESSAGE)?)?)
    }

    fn receive(&mut self) -> Anything<ServerMessage> {
        let message = self.decoder.receive(&self.stream)?;
        Ok(message.ok_or("the server has closed")?)
    }

    fn ask(&mut self, source: &str, rows: Option<u64>) -> Anything<Answer> {
        let began = Instant::now();
        self.send(&ClientMessage::Eval {
            id: 1,
            source: source.to_owned(),
            rows,
        })?;
        let mut first = None;
        loop {
            match self.receive()? {
                ServerMessage::Rows { .. } => _ = first.get_or_insert_with(|| began.elapsed()),
                ServerMessage::Result { .. } => {
                    let whole = began.elapsed();
                    let first = first.unwrap_or(whole);
                    return Ok(Answer { first, whole });
                }
                ServerMessage::Error { message, .. } => {
                    return Err(format!("{source}: {message}").into());
                }
                _ => {}
            }
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-console: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where the console gets in; the file is removed with this.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether the aims were met.
fn run() -> Anything<bool> {
    let name = format!("grapeshot-bench-{}.sock", std::process::id());
    let path = Socket(std::env::temp_dir().join(name));
    let path = &path.0;
    let runtime = Runtime::builder().workers(WORKERS).build()?;
    let served = path.clone();
    let backdoor = runtime.spawn(move || Backdoor::new("crowd").serve_unix(&served));
    let _backdoor = backdoor.join().map_err(|_| "no backdoor")??;
    gather(&runtime);
    let probes = Probes::new(&runtime);
    let rest = probes.during(|| {
        thread::sleep(Duration::from_secs(1));
        Ok(())
    })?;
    println!(
        "{COROUTINES} coroutines that sleep, {WORKERS} workers, held {rest:.2?} at the longest if nobody asks\n"
    );
    println!(
        "{:<34} {:>12} {:>12} {:>16}",
        "", "first rows", "whole", "worker held"
    );
    let mut console = Console::attach(path)?;
    let mut is_met = true;
    let named: Vec<String> = std::env::args().skip(1).collect();
    let mut asked: Vec<_> = named.iter().map(|source| (&**source, Some(ROWS))).collect();
    if asked.is_empty() {
        asked.extend(QUESTIONS.map(|source| (source, Some(ROWS))));
        asked.push(("ps()", None));
    }
    for (source, rows) in asked {
        let mut answers = (0..ROUNDS)
            .map(|_| console.ask(source, rows))
            .collect::<Anything<Vec<_>>>()?;
        answers.sort_by_key(|answer| answer.first);
        let Answer { first, whole } = answers[ROUNDS / 2];
        let held = probes.during(|| console.ask(source, rows).map(drop))?;
        let misses = held > HELD || (source == "ps()" && first > FIRST);
        is_met &= !misses;
        println!(
            "{:<34} {:>9.1} ms {:>9.1} ms {:>13.3} ms{}",
            format!(
                "{source}{}",
                if rows.is_none() { ", all its rows" } else { "" }
            ),
            millis(first),
            millis(whole),
            millis(held),
            if misses { "  NOT MET" } else { "" }
        );
    }
    println!(
        "\naims: the first rows of ps() within {FIRST:?}, no worker held longer than {HELD:?}: {}",
        if is_met { "met" } else { "NOT MET" }
    );
    Ok(is_met)
}

/// Spawns them, and waits until all sleep.
fn gather(runtime: &Runtime) {
    let asleep = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asleep);
    drop(runtime.spawn(move || {
        for number in 0..COROUTINES {
            let counted = Arc::clone(&counted);
            let npc = Builder::new().name(format!("npc-{number}"));
            let npc = npc.placement(Placement::Worker(number % WORKERS));
            drop(npc.spawn(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                // Until the end.
                sleep(Duration::from_secs(100_000));
            }));
        }
    }));
    while asleep.load(Ordering::Relaxed) < COROUTINES {
        thread::sleep(Duration::from_millis(100));
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
