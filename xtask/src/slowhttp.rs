//! slowhttptest in all its modes against the example `site`: it stays available to others, and what is slow is shed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::section::{Outcome, Tally};
use crate::{place, shell};

/// A way to be slow.
struct Mode {
    name: &'static str,
    arguments: &'static [&'static str],
    path: &'static str,
}

/// Heads that never end, content that never ends, many ranges, answers that are hardly read.
const MODES: [Mode; 4] = [
    Mode {
        name: "slow heads",
        arguments: &["-H", "-i", "5"],
        path: "/",
    },
    Mode {
        name: "slow content",
        arguments: &["-B", "-i", "5", "-s", "8192", "-t", "POST"],
        path: "/",
    },
    Mode {
        name: "ranges",
        arguments: &["-R"],
        path: LARGE,
    },
    Mode {
        name: "slow reading",
        arguments: &["-X", "-w", "1", "-y", "2", "-n", "5", "-z", "8"],
        path: LARGE,
    },
];
/// At a time.
const CONNECTIONS: u64 = 1_000;
/// A file that the system does not take from the server at once.
const LARGE: &str = "/files/large";
const LARGE_BYTES: usize = 16 << 20;
/// So many come in a second.
const RATE: &str = "200";
/// Seconds until all must have been shed: none of the server's limits for slow ones is as long.
const SECONDS: u64 = 60;
/// A request of somebody else never takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run() -> Result<Outcome> {
    if place::in_path("slowhttptest").is_none() {
        return Ok(Outcome::Skipped("slowhttptest is not installed".to_owned()));
    }
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "-p",
        "grapeshot-http",
        "--example",
        "site",
    ]))?;
    let program = place::target().join("release/examples/site");
    let folder = place::target().join("slowhttp");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("large"), vec![b'x'; LARGE_BYTES])?;
    let mut command = Command::new(program);
    command
        .arg(folder)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped());
    let mut server = shell::Server::start(&mut command)?;
    let mut output = BufReader::new(server.child().stdout.take().expect("it is piped"));
    let mut line = String::new();
    output.read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("http://")
        .context("the site did not say where it listens")?
        .to_owned();
    // Its access log is read on, or it would wait for it.
    let _log = shell::drain(output);
    let mut tally = Tally::default();
    for mode in MODES {
        attack(&mode, &address).context(mode.name)?;
        tally.passed += 1;
    }
    Ok(Outcome::Done(Some(tally)))
}

/// Runs one mode until all that is slow was shed, and asks for a page once a second meanwhile.
fn attack(mode: &Mode, address: &str) -> Result<()> {
    let before = Figures::of(address)?;
    let (connections, seconds) = (CONNECTIONS.to_string(), (2 * SECONDS).to_string());
    let mut slow = Command::new("slowhttptest");
    slow.args(mode.arguments)
        .args(["-c", &connections, "-r", RATE, "-p", "3"])
        .args(["-l", &seconds, "-u"])
        .arg(format!("http://{address}{}", mode.path))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _slow = shell::Server::start(&mut slow)?;
    let began = Instant::now();
    let mut asked = 0;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let answer = ask(address, "/").context("nobody else is served")?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        asked += 1;
        let now = Figures::of(address)?;
        let all_came = now.total >= before.total + CONNECTIONS;
        // Those that are left are ours, which ask for the figures.
        let kept = now.open + now.orphans.saturating_sub(before.orphans);
        if all_came && kept < CONNECTIONS / 20 {
            break;
        }
        ensure!(
            began.elapsed() < Duration::from_secs(SECONDS),
            "the server has {} slow connections open, and the system keeps {} more, of {}",
            now.open,
            now.orphans,
            now.total - before.total
        );
    }
    println!(
        "{}: all were shed after {:.0?}, {asked} others were served",
        mode.name,
        began.elapsed()
    );
    Ok(())
}

/// What there is of connections.
struct Figures {
    /// At the server, now and since it began.
    open: u64,
    total: u64,
    /// Those that programs have closed and the system has not, because something is left to send.
    orphans: u64,
}

impl Figures {
    fn of(address: &str) -> Result<Self> {
        let page = ask(address, "/status").context("the state of the server")?;
        let sockets =
            std::fs::read_to_string("/proc/net/sockstat").context("the system's sockets")?;
        Ok(Self {
            open: number(&page, "<td>connections<td class=n>").context("open connections")?,
            total: number(&page, "<td>connections total<td class=n>")
                .context("connections in all")?,
            orphans: number(&sockets, "orphan ").context("orphans")?,
        })
    }
}

/// The number behind this word.
fn number(text: &str, word: &str) -> Option<u64> {
    let (_, behind) = text.split_once(word)?;
    let end = behind.find(|c: char| !c.is_ascii_digit())?;
    behind[..end].parse().ok()
}

fn ask(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse()?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_stands_before_them() {
        let text = "<tr><td>open<td>12<tr>TCP: inuse 7 orphan 8 tw 9\n";
        assert_eq!(number(text, "<td>open<td>"), Some(12));
        assert_eq!(number(text, "orphan "), Some(8));
        assert_eq!(number(text, "total"), None);
    }
}
