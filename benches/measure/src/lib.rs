//! What every benchmark program in Rust shares: the rows' definitions, the stopwatch, and the one JSON line each
//! program prints. `peers/go/main.go` holds the same figures; change both.
//!
//! A program is called as `PROGRAM ROW [VARIANT ...]`, measures that one row and prints one line, or says on standard
//! error why it cannot and exits with [`UNSUPPORTED`].
#![forbid(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Exit status of a program that has no such row.
pub const UNSUPPORTED: i32 = 77;

/// Yields of each of the two coroutines in one chunk of [`Row::Yield`].
pub const YIELDS: u64 = 50_000;
/// Round trips in one chunk of [`Row::Channel`].
pub const ROUND_TRIPS: u64 = 20_000;
/// Acquisitions by each of the two coroutines in one chunk of [`Row::Mutex`].
pub const ACQUISITIONS: u64 = 20_000;
/// Bounded calls in one chunk of [`Row::Timeout`].
pub const BOUNDED_CALLS: u64 = 50_000;
/// Sleeping coroutines of [`Row::Sleepers`].
pub const SLEEPERS: usize = 100_000;
/// Receivers of [`Row::Broadcast`].
pub const LISTENERS: usize = 100;
/// Messages in one chunk of [`Row::Broadcast`]; fewer than the channel's capacity.
pub const ANNOUNCEMENTS: u64 = 500;
/// Bytes of a datagram of [`Row::Udp`].
pub const DATAGRAM: usize = 64;
/// Wakes that [`Row::Wake`] measures.
pub const WAKES: usize = 2_000;
/// How long the waker of [`Row::Wake`] computes between two wakes: long enough for a worker to fall asleep.
pub const BETWEEN_WAKES: Duration = Duration::from_micros(200);
/// Coroutines of [`Row::Million`].
pub const MILLION: usize = 1_000_000;
/// How long each of them sleeps at a time.
pub const NAP: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Two coroutines on one worker yield to each other: nanoseconds a yield, which is one suspend and one resume.
    Yield,
    /// Spawn so many coroutines that do nothing, then join them all: nanoseconds each.
    Spawn(usize),
    /// One value goes there and one comes back, over two channels of capacity one: nanoseconds a round trip.
    Channel,
    /// Two coroutines hand a mutex to and fro: each locks, yields while it holds the lock, unlocks, yields. So the
    /// other always finds it locked. Nanoseconds an acquisition.
    Mutex,
    /// A limit of one second around a call that is ready at once: nanoseconds.
    Timeout,
    /// So many suspended coroutines at once: resident KiB each, and the process's mappings.
    Memory(usize),
    /// [`SLEEPERS`] coroutines sleep 0–1 s each: lateness, and the processor time of it all.
    Sleepers,
    /// As [`Row::Channel`], but each side waits for two channels at once, of which the value comes by the one and then by
    /// the other, and for a third that is silent.
    Select,
    /// One sender, [`LISTENERS`] receivers that each take every message: nanoseconds a message and receiver.
    Broadcast,
    /// A datagram goes there and one comes back, over loopback: nanoseconds a round trip.
    Udp,
    /// A thread that is busy elsewhere (another worker's, where the program has two) wakes a coroutine with a message now
    /// and then: microseconds until the coroutine has it.
    Wake,
    /// A plain thread spawns and joins, a thousand at a time: nanoseconds each.
    Outside,
    /// [`MILLION`] coroutines that each sleep for [`NAP`] again and again until all are there, and end: the most memory, and
    /// what is left of it afterwards.
    Million,
    /// One coroutine waits for connections that do not come: how often a second any thread is woken.
    Idle,
    /// Serve TCP echo on a free port of loopback until killed.
    Echo,
}

impl Row {
    /// Reads a row's name as the command line gives it.
    pub fn parse(name: &str) -> Option<Self> {
        let count = |prefix: &str| name.strip_prefix(prefix).and_then(|n| n.parse().ok());
        match name {
            "yield" => Some(Self::Yield),
            "channel" => Some(Self::Channel),
            "mutex" => Some(Self::Mutex),
            "timeout" => Some(Self::Timeout),
            "sleepers" => Some(Self::Sleepers),
            "select" => Some(Self::Select),
            "broadcast" => Some(Self::Broadcast),
            "udp" => Some(Self::Udp),
            "wake" => Some(Self::Wake),
            "outside" => Some(Self::Outside),
            "million" => Some(Self::Million),
            "idle" => Some(Self::Idle),
            "echo" => Some(Self::Echo),
            _ => count("spawn-")
                .map(Self::Spawn)
                .or_else(|| count("memory-").map(Self::Memory)),
        }
    }
}

/// The row and the variant from the command line; ends the process if there is no such row.
pub fn arguments() -> (Row, Vec<String>) {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    match Row::parse(&name) {
        Some(row) => (row, args.collect()),
        None => {
            eprintln!("no row is called {name:?}");
            std::process::exit(2);
        }
    }
}

/// Ends the process: this program has no such row.
pub fn unsupported(why: &str) -> ! {
    eprintln!("unsupported: {why}");
    std::process::exit(UNSUPPORTED);
}

/// Times chunks of operations until there are enough of them, and drops the first as a warm-up.
///
/// It is driven from outside (`while watch.wants_more()`), so that blocking and async programs use the same one.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    chunk_started: Instant,
    nanoseconds_each: Vec<f64>,
    measured: Duration,
}

impl Stopwatch {
    const ENOUGH: Duration = Duration::from_millis(400);
    const AT_LEAST: usize = 5;
    const AT_MOST: Duration = Duration::from_secs(10);

    #[expect(clippy::new_without_default, reason = "it starts a clock")]
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            chunk_started: now,
            nanoseconds_each: Vec::new(),
            measured: Duration::ZERO,
        }
    }

    pub fn wants_more(&self) -> bool {
        let enough = self.measured >= Self::ENOUGH && self.nanoseconds_each.len() > Self::AT_LEAST;
        !enough && (self.nanoseconds_each.len() < 2 || self.started.elapsed() < Self::AT_MOST)
    }

    pub fn start(&mut self) {
        self.chunk_started = Instant::now();
    }

    pub fn stop(&mut self, operations: u64) {
        let took = self.chunk_started.elapsed();
        self.measured += took;
        self.nanoseconds_each
            .push(took.as_nanos() as f64 / operations as f64);
    }

    /// Prints the row's line: the median over the chunks.
    pub fn report(mut self) {
        self.nanoseconds_each.remove(0);
        self.nanoseconds_each.sort_by(f64::total_cmp);
        let median = self.nanoseconds_each[self.nanoseconds_each.len() / 2];
        println!(
            "{{\"ns\": {median:.2}, \"chunks\": {}}}",
            self.nanoseconds_each.len()
        );
    }
}

/// What the process holds before the coroutines are spawned.
#[derive(Debug, Clone, Copy)]
pub struct MemoryBefore {
    resident_kib: u64,
}

impl MemoryBefore {
    pub fn take() -> Self {
        Self {
            resident_kib: status_kib("VmRSS:"),
        }
    }

    /// Prints the row's line. Call it while `count` coroutines are suspended.
    pub fn report(self, count: usize) {
        let resident = status_kib("VmRSS:");
        let mappings = fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
        println!(
            "{{\"kib_each\": {:.3}, \"resident_kib\": {resident}, \"page_tables_kib\": {}, \"mappings\": {mappings}}}",
            (resident - self.resident_kib) as f64 / count as f64,
            status_kib("VmPTE:"),
        );
    }
}

/// Prints the line of [`Row::Million`]; called [`SETTLE`] after all have ended.
pub fn report_million(before: MemoryBefore, took: Duration) {
    println!(
        "{{\"peak_gib\": {:.3}, \"left_gib\": {:.3}, \"took_s\": {:.3}}}",
        status_kib("VmHWM:") as f64 / (1 << 20) as f64,
        (status_kib("VmRSS:").saturating_sub(before.resident_kib)) as f64 / (1 << 20) as f64,
        took.as_secs_f64(),
    );
}

/// Prints the line of [`Row::Idle`]. Called by a thread of its own, which is not counted, while the program is idle.
pub fn report_idle() {
    const WATCHED: Duration = Duration::from_secs(3);
    // What starts has things to do at first.
    std::thread::sleep(Duration::from_secs(3));
    let before = wakes_of_other_threads();
    std::thread::sleep(WATCHED);
    let wakes = wakes_of_other_threads() - before;
    println!(
        "{{\"per_second\": {:.2}}}",
        wakes as f64 / WATCHED.as_secs_f64()
    );
}

/// How often they fell asleep so far: each wake-up of an idle thread ends in that.
fn wakes_of_other_threads() -> u64 {
    let mine = fs::read_link("/proc/thread-self").expect("/proc is mounted");
    let threads = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let others = threads
        .map(|thread| thread.expect("it is listed").path())
        .filter(|thread| thread.file_name() != mine.file_name());
    others
        // One may have ended meanwhile.
        .filter_map(|thread| fs::read_to_string(thread.join("status")).ok())
        .filter_map(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

/// How long a runtime is given to return memory after the last of [`Row::Million`] has ended.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Computes for [`BETWEEN_WAKES`].
pub fn compute() {
    let start = Instant::now();
    while start.elapsed() < BETWEEN_WAKES {
        std::hint::spin_loop();
    }
}

/// Prints the line of [`Row::Wake`].
pub fn report_wakes(mut delays: Vec<Duration>) {
    // The first few start threads and touch memory.
    delays.drain(..delays.len() / 10);
    delays.sort();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{{\"p50_us\": {:.3}, \"p99_us\": {:.3}}}",
        at(0.5),
        at(0.99)
    );
}

fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("the field is there");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number of KiB")
}

/// How long the sleeper of this index sleeps: spread over 0–1 s, the same in every program.
pub fn sleep_of(index: usize) -> Duration {
    Duration::from_micros((index as u64).wrapping_mul(2_654_435_761) % 1_000_000)
}

/// The processor time of this process so far.
pub fn processor_time() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        t.tv_sec.unsigned_abs(),
        u32::try_from(t.tv_nsec).expect("less than a second"),
    )
}

/// Prints the line of [`Row::Sleepers`].
pub fn report_sleepers(mut lateness: Vec<Duration>, processor: Duration) {
    lateness.sort();
    let at =
        |share: f64| lateness[((lateness.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{{\"p50_ms\": {:.4}, \"p99_ms\": {:.4}, \"max_ms\": {:.4}, \"cpu_s\": {:.4}}}",
        at(0.5),
        at(0.99),
        at(1.0),
        processor.as_secs_f64(),
    );
}

/// Says where the echo server listens.
pub fn report_listening(port: u16) {
    println!("{{\"listening\": {port}}}");
}
