//! dnsperf against the example `serve` of `grapeshot-dns`, over UDP and TCP: every query is answered, and rightly. NSD with
//! the same zone stands beside it, where it is installed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::section::{Outcome, Tally};
use crate::{place, shell};

const ORIGIN: &str = "example.org";
/// Hosts in the zone.
const HOSTS: u32 = 1_000;
/// Of eight queries one asks for a name that there is not.
const NAMES: u32 = 8_000;
/// Each way of asking is measured for so long.
const SECONDS: u32 = 10;
const NSD: &str = "/usr/sbin/nsd";

/// What dnsperf says of one run, and what it cost the server.
#[derive(Debug, PartialEq)]
struct Report {
    sent: u64,
    lost: u64,
    /// Shares of the answers, in percent, as `NOERROR 900 (87.50%)`.
    noerror: f64,
    nxdomain: f64,
    per_second: f64,
    latency_us: f64,
}

pub(crate) fn run() -> Result<Outcome> {
    if place::in_path("dnsperf").is_none() {
        return Ok(Outcome::Skipped("dnsperf is not installed".to_owned()));
    }
    let folder = place::target().join("dnsperf");
    fs::create_dir_all(&folder).context("making target/dnsperf")?;
    let (zone, names) = (folder.join("zone"), folder.join("names"));
    fs::write(&zone, zone_file())?;
    fs::write(&names, queries())?;
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "-p",
        "grapeshot-dns",
        "--example",
        "serve",
    ]))?;
    let mut servers = vec![("ours", ours(&zone)?)];
    if Path::new(NSD).exists() {
        servers.push(("NSD", nsd(&folder, &zone)?));
    }
    let mut tally = Tally::default();
    for mode in ["udp", "tcp"] {
        for (name, (server, port)) in &mut servers {
            let before = processor_us(server.child().id());
            let report = measure(&names, *port, mode).with_context(|| format!("{name}, {mode}"))?;
            let used = processor_us(server.child().id()) - before;
            println!(
                "{name:<5} {mode}: {:>8.0} queries/s, {:>6.2} µs of the processor each, {:>6.0} µs latency, {} of {} lost",
                report.per_second,
                used / report.sent as f64,
                report.latency_us,
                report.lost,
                report.sent
            );
            judge(&report).with_context(|| format!("{name}, {mode}"))?;
            tally.passed += 1;
        }
    }
    Ok(Outcome::Done(Some(tally)))
}

fn zone_file() -> String {
    let mut zone =
        "$TTL 300\n@ SOA ns admin 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.53\n".to_owned();
    for host in 0..HOSTS {
        zone += &format!(
            "h{host} A 192.0.2.{}\nh{host} AAAA 2001:db8::{host:x}\n",
            host % 256
        );
        zone += &format!("a{host} CNAME h{host}\n");
    }
    zone
}

fn queries() -> String {
    (0..NAMES)
        .map(|number| {
            let host = number.wrapping_mul(7919) % HOSTS;
            match number % 8 {
                0 => format!("none{host}.{ORIGIN} A\n"),
                1 | 2 => format!("a{host}.{ORIGIN} A\n"),
                3 | 4 => format!("h{host}.{ORIGIN} AAAA\n"),
                _ => format!("h{host}.{ORIGIN} A\n"),
            }
        })
        .collect()
}

/// A port that is free for both, most likely.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("there is no free port")
}

fn ours(zone: &Path) -> Result<(shell::Server, u16)> {
    let port = free_port()?;
    let mut command = Command::new(place::target().join("release/examples/serve"));
    command
        .args([&format!("127.0.0.1:{port}"), ORIGIN])
        .arg(zone)
        .stdout(Stdio::piped());
    let mut server = shell::Server::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(server.child().stdout.take().expect("it is piped")).read_line(&mut line)?;
    ensure!(line.starts_with("serving "), "our server says {line:?}");
    Ok((server, port))
}

fn nsd(folder: &Path, zone: &Path) -> Result<(shell::Server, u16)> {
    let port = free_port()?;
    let shown = |path: PathBuf| path.display().to_string();
    let configuration = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  chroot: \"\"\n  username: \"\"\n  database: \"\"\n  \
         zonesdir: {0:?}\n  pidfile: {1:?}\n  xfrdfile: {2:?}\n  zonelistfile: {3:?}\n  tcp-count: 1000\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: no\nzone:\n  name: {ORIGIN}\n  zonefile: {4:?}\n",
        shown(folder.to_owned()),
        shown(folder.join("nsd.pid")),
        shown(folder.join("xfrd.state")),
        shown(folder.join("zones.list")),
        shown(zone.to_owned()),
    );
    let file = folder.join("nsd.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new(NSD);
    command.args(["-d", "-c"]).arg(file).stderr(Stdio::null());
    let mut server = shell::Server::start(&mut command)?;
    let give_up = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = server.child().try_wait()?;
        ensure!(ended.is_none(), "NSD ended: {ended:?}");
        ensure!(Instant::now() < give_up, "NSD does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((server, port))
}

fn measure(names: &Path, port: u16, mode: &str) -> Result<Report> {
    let mut dnsperf = Command::new("dnsperf");
    dnsperf
        .args(["-s", "127.0.0.1", "-p", &port.to_string(), "-m", mode])
        .args(["-c", "20", "-l", &SECONDS.to_string(), "-d"])
        .arg(names);
    let ended = shell::run_bounded(&mut dnsperf, Duration::from_secs(u64::from(SECONDS) * 6))?;
    ensure!(
        ended.status.success(),
        "dnsperf failed: {}",
        ended.stderr.trim()
    );
    parse(&ended.stdout)
}

fn parse(text: &str) -> Result<Report> {
    let after = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.map(str::trim)
            .with_context(|| format!("dnsperf does not say {name:?}"))
    };
    let number = |name: &str| -> Result<f64> {
        let value = after(name)?.split_whitespace().next().unwrap_or_default();
        value.parse().with_context(|| format!("{name} {value}"))
    };
    let codes = after("Response codes:")?;
    let share = |code: &str| {
        let part = codes
            .split(',')
            .find_map(|part| part.trim().strip_prefix(code))?;
        part.split_once('(')?.1.split_once('%')?.0.parse().ok()
    };
    Ok(Report {
        sent: number("Queries sent:")? as u64,
        lost: number("Queries lost:")? as u64,
        noerror: share("NOERROR").unwrap_or(0.0),
        nxdomain: share("NXDOMAIN").unwrap_or(0.0),
        per_second: number("Queries per second:")?,
        latency_us: number("Average Latency (s):")? * 1e6,
    })
}

fn judge(report: &Report) -> Result<()> {
    ensure!(
        report.sent > 1_000,
        "only {} queries were sent",
        report.sent
    );
    ensure!(report.lost == 0, "{} queries got no answer", report.lost);
    let right = (report.noerror - 87.5).abs() < 1.0 && (report.nxdomain - 12.5).abs() < 1.0;
    ensure!(
        right,
        "{} % NOERROR and {} % NXDOMAIN, instead of 87.5 and 12.5",
        report.noerror,
        report.nxdomain
    );
    Ok(())
}

/// What a process and its children have used of the processor so far.
fn processor_us(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let mut sum = 0.0;
    for task in tasks.into_iter().flatten().flatten() {
        let used = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum += used
            .split(' ')
            .next()
            .and_then(|ns| ns.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1e3;
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        sum += children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .map(processor_us)
            .sum::<f64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "
Statistics:

  Queries sent:         80000
  Queries completed:    80000 (100.00%)
  Queries lost:         0 (0.00%)

  Response codes:       NOERROR 70000 (87.50%), NXDOMAIN 10000 (12.50%)
  Average packet size:  request 35, response 60
  Run time (s):         1.000000
  Queries per second:   80000.000000

  Average Latency (s):  0.000125 (min 0.000020, max 0.001000)
";

    #[test]
    fn what_is_lost_or_wrong_fails() {
        let right = parse(SAID).unwrap();
        assert_eq!((right.per_second, right.latency_us), (80_000.0, 125.0));
        judge(&right).unwrap();
        for (from, to) in [
            ("lost:         0", "lost:         1"),
            ("NOERROR 70000", "SERVFAIL 70000"),
            ("sent:         80000", "sent:         8"),
        ] {
            assert!(
                judge(&parse(&SAID.replace(from, to)).unwrap()).is_err(),
                "{to}"
            );
        }
        assert!(parse("").is_err());
    }
}
