//! slowhttptest in all its modes against the example `site`: it stays available to others, and what is slow is shed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::section::{Outcome, Tally};
use crate::{place, shell};

/// Each mode: heads that never end, content that never ends, many ranges, answers that are hardly read.
const MODES: [(&str, &[&str]); 4] = [
    ("slow heads", &["-H", "-i", "5"]),
    (
        "slow content",
        &["-B", "-i", "5", "-s", "8192", "-t", "POST"],
    ),
    ("ranges", &["-R"]),
    (
        "slow reading",
        &["-X", "-w", "1", "-y", "2", "-n", "5", "-z", "8", "-k", "3"],
    ),
];
/// Slow connections at a time.
const CONNECTIONS: &str = "1000";
/// Seconds of each mode.
const SECONDS: u64 = 40;
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
    let folder = place::root().join("docs");
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
    for (name, arguments) in MODES {
        attack(name, arguments, &address)?;
        tally.passed += 1;
    }
    Ok(Outcome::Done(Some(tally)))
}

/// Runs one mode, and asks for a page once a second meanwhile.
fn attack(name: &str, arguments: &[&str], address: &str) -> Result<()> {
    let mut slow = Command::new("slowhttptest")
        .args(arguments)
        .args(["-c", CONNECTIONS, "-r", "200", "-p", "3"])
        .args([
            "-l",
            &SECONDS.to_string(),
            "-u",
            &format!("http://{address}/"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let began = Instant::now();
    let mut asked = 0;
    while slow.try_wait()?.is_none() {
        if began.elapsed() > Duration::from_secs(3 * SECONDS) {
            shell::end(slow);
            break;
        }
        let answer = ask(address).with_context(|| format!("{name}: nobody else is served"))?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
        asked += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    println!("{name}: {asked} others were served");
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
