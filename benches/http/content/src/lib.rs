//! What every server of the HTTP rows answers with, so that they answer the same.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use serde::Serialize;

/// The answer to `/plaintext`.
pub const PLAINTEXT: &str = "Hello, World!";

/// What a program of these rows is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Serve the paths.
    Serve,
    /// The same under TLS, with `site.pem` and `site.key` of this folder.
    ServeTls(PathBuf),
    /// Pass requests on to the server at this port.
    Proxy(u16),
    /// Ask the server at this port.
    Ask(Load),
}

/// What a client is to ask, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The URL.
    pub url: String,
    /// Requests at a time.
    pub connections: usize,
    /// Before the measuring begins.
    pub warm: Duration,
    /// How long it lasts.
    pub measured: Duration,
}

/// What the programs are told on the command line: which of them to be, the folder whose files they serve, and what to do.
#[must_use]
pub fn arguments() -> (String, PathBuf, Job) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match words[..] {
        [which, folder] => (which.to_owned(), folder.into(), Job::Serve),
        [which, folder, "tls", keys] => {
            (which.to_owned(), folder.into(), Job::ServeTls(keys.into()))
        }
        [which, folder, "proxy", port] => {
            let job = Job::Proxy(number(port) as u16);
            (which.to_owned(), folder.into(), job)
        }
        [which, folder, "ask", url, connections, warm, measured] => {
            let load = Load {
                url: url.to_owned(),
                connections: number(connections) as usize,
                warm: Duration::from_millis(number(warm)),
                measured: Duration::from_millis(number(measured)),
            };
            (which.to_owned(), folder.into(), Job::Ask(load))
        }
        _ => {
            eprintln!(
                "usage: PROGRAM WHICH FOLDER [tls KEYS | proxy PORT | ask URL CONNECTIONS WARM_MS MS]"
            );
            std::process::exit(2);
        }
    }
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Nanoseconds of the processor, of the threads that there are.
    processor: u64,
    /// KiB of memory.
    pub resident_kib: u64,
}

impl Usage {
    /// Of the process with this number, or `self`.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn of(process: &str) -> Self {
        let folder = PathBuf::from("/proc").join(process);
        let threads = fs::read_dir(folder.join("task")).expect("the process runs");
        let processor = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum();
        let pages = fs::read_to_string(folder.join("statm")).unwrap_or_default();
        let pages = pages.split(' ').nth(1).and_then(|text| text.parse().ok());
        Self {
            processor,
            resident_kib: pages.unwrap_or(0) * 4,
        }
    }

    /// Microseconds of the processor.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> f64 {
        (self.processor - earlier.processor) as f64 / 1e3
    }
}

/// Says what a load has measured, in the words of `load/http_load.c`: how many microseconds each request took, and what the one
/// that is measured used meanwhile.
pub fn report_load(times: &mut [u64], seconds: f64, processor_us: f64, resident_kib: u64) {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0);
    println!(
        "{{\"requests\": {}, \"seconds\": {seconds:.6}, \"server_cpu_us\": {processor_us:.1}, \"server_rss_kib\": {resident_kib}, \
         \"p50_us\": {}, \"p99_us\": {}}}",
        times.len(),
        at(50),
        at(99),
    );
}

/// What a head says of the length of its content.
///
/// # Errors
/// If it says nothing.
pub fn content_length(head: &[u8]) -> io::Result<usize> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Says where it listens, to whoever started it.
pub fn report_listening(port: u16) {
    println!("{{\"listening\": {port}}}");
}

/// The answer to `/json`: a kibibyte, made anew for each request.
#[derive(Serialize)]
pub struct Ship {
    name: String,
    tons: u32,
    crew: Vec<Sailor>,
}

#[derive(Serialize)]
struct Sailor {
    id: u32,
    name: &'static str,
    rank: &'static str,
    watch: u8,
}

impl Ship {
    /// The `n`th.
    #[must_use]
    pub fn new(n: u32) -> Self {
        const RANKS: [(&str, &str); 4] = [
            ("Anne", "boatswain"),
            ("Bartholomew", "gunner's mate"),
            ("Charlotte", "quartermaster"),
            ("Davy", "able seaman"),
        ];
        let crew = (0..18).map(|i| {
            let (name, rank) = RANKS[i as usize % RANKS.len()];
            Sailor {
                id: 1_000 + n % 1_000 + i,
                name,
                rank,
                watch: i as u8 % 3,
            }
        });
        Self {
            name: "Queen Anne's Revenge".to_owned(),
            tons: 200 + n % 100,
            crew: crew.collect(),
        }
    }
}
