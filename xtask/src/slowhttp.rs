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
/// A file that the system does not take from the server at once.
const LARGE: &str = "/files/large";
const LARGE_BYTES: usize = 16 << 20;
/// Slow connections at a time.
const CONNECTIONS: u32 = 1_000;
/// Seconds of each mode, if they are not shed before: none of the server's limits is as long.
const SECONDS: u64 = 90;
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
    let (connections, seconds) = (CONNECTIONS.to_string(), SECONDS.to_string());
    let mut slow = Command::new("slowhttptest");
    slow.args(mode.arguments)
        .args(["-c", &connections, "-r", "200", "-p", "3"])
        .args(["-l", &seconds, "-u"])
        .arg(format!("http://{address}{}", mode.path))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut slow = shell::Server::start(&mut slow)?;
    let report = shell::drain(slow.child().stdout.take().expect("it is piped"));
    let began = Instant::now();
    let mut asked = 0;
    while slow.child().try_wait()?.is_none() {
        ensure!(
            began.elapsed() < Duration::from_secs(2 * SECONDS),
            "slowhttptest does not end"
        );
        let answer = ask(address).context("nobody else is served")?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        asked += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    let took = began.elapsed();
    judge(&report.join().unwrap_or_default())?;
    println!(
        "{}: all were shed after {took:.0?}, {asked} others were served",
        mode.name
    );
    Ok(())
}

/// Whether the report of slowhttptest says that the server closed all connections, and served its own probe all the time.
fn judge(report: &str) -> Result<()> {
    let last = |what: &str| {
        let behind = report.rsplit_once(what).map(|(_, behind)| behind);
        // Colours stand between.
        behind
            .and_then(|rest| rest.lines().next())
            .map(without_colours)
    };
    let closed = last("closed:").context("slowhttptest says nothing")?;
    ensure!(
        closed == CONNECTIONS.to_string(),
        "{closed} of {CONNECTIONS} connections were closed"
    );
    ensure!(!report.contains("NO"), "its probe was not served");
    ensure!(
        last("Exit status:").is_some_and(|status| status.contains("No open connections left")),
        "connections were left open"
    );
    Ok(())
}

fn ask(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse()?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
