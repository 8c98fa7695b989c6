//! `cargo xtask bench mmo`: the demo under its load. The load client is a process of its own and shares the machine with the
//! server, as browsers on it would; only the server's processor time is counted.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::machine;
use crate::demo::{self, Demo};
use crate::{place, shell};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many NPCs, each a row.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    npcs: Vec<u32>,
    /// How many viewports, each a row.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20, 200])]
    viewports: Vec<u32>,
    /// How long one row is measured, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// The demo tells lateness over this long, so that is how long it runs before it is measured.
const LATENESS_WINDOW: Duration = Duration::from_secs(5);
/// The demo makes its figures once a second.
const PULSE: Duration = Duration::from_secs(1);
/// Clock ticks a second in /proc: the same on every Linux that we run on.
const TICKS: f64 = 100.0;
/// DESIGN.md section 8: 100,000 NPCs and 200 viewports.
const TARGET: (u32, u32) = (100_000, 200);
const TARGET_P99_MS: f64 = 20.0;
const TARGET_CORES: f64 = 2.0;

struct Measured {
    npcs: u32,
    viewports: u32,
    cores: f64,
    late_p50_ms: f64,
    late_p99_ms: f64,
    steps_per_second: f64,
    bytes_per_second: f64,
    resident_mib: f64,
    shed: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    demo::build(&["mmo", "mmo-load"])?;
    machine::warn_if_busy();
    let about = machine::describe();
    print_heading();
    let mut rows = Vec::new();
    for &npcs in &options.npcs {
        for &viewports in &options.viewports {
            let measured = measure(npcs, viewports, options.seconds)
                .with_context(|| format!("{npcs} NPCs and {viewports} viewports"))?;
            print(&measured);
            rows.push(measured);
        }
    }
    if let Some(row) = rows.iter().find(|row| (row.npcs, row.viewports) == TARGET) {
        let verdict = if is_met(row) { "met" } else { "NOT MET" };
        println!(
            "\ntarget {verdict}: 100,000 NPCs and 200 viewports within two cores, p99 lateness ≤ 20 ms: \
             {:.2} cores, {:.2} ms, {:.0} steps/s",
            row.cores, row.late_p99_ms, row.steps_per_second
        );
    }
    write_json(about, &rows)
}

/// Within the limits, and at its full rate: a world that leaves out steps is late with none of them.
fn is_met(row: &Measured) -> bool {
    let full_rate = f64::from(row.npcs) * 10.0 * 0.99;
    row.cores <= TARGET_CORES
        && row.late_p99_ms <= TARGET_P99_MS
        && row.steps_per_second >= full_rate
}

fn measure(npcs: u32, viewports: u32, seconds: u64) -> Result<Measured> {
    let mut demo = Demo::start(&["--npcs", &npcs.to_string()])?;
    let mut load = Command::new(place::release_binary("mmo-load"));
    load.args([demo.host(), "--viewports", &viewports.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let _load = shell::Server::start(&mut load)?;
    wait_for_players(&demo, viewports)?;
    thread::sleep(LATENESS_WINDOW + PULSE);

    let (before, ticks, start) = (stats(&demo)?, processor_ticks(demo.pid())?, Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let (after, ticks, took) = (
        stats(&demo)?,
        processor_ticks(demo.pid())? - ticks,
        start.elapsed().as_secs_f64(),
    );
    let players = figure(&after, "/players")?;
    ensure!(
        players >= f64::from(viewports),
        "only {players} of {viewports} viewports are left"
    );
    // The figures are of whole pulses, so rates go by the demo's own clock.
    let own_time = figure(&after, "/uptime_seconds")? - figure(&before, "/uptime_seconds")?;
    let rate = |key: &str| {
        Ok::<f64, anyhow::Error>((figure(&after, key)? - figure(&before, key)?) / own_time)
    };
    Ok(Measured {
        npcs,
        viewports,
        cores: ticks / TICKS / took,
        late_p50_ms: figure(&after, "/lateness_us/p50")? / 1e3,
        late_p99_ms: figure(&after, "/lateness_us/p99")? / 1e3,
        steps_per_second: rate("/steps_total")?,
        bytes_per_second: rate("/bytes_total")?,
        resident_mib: figure(&after, "/resident_bytes")? / f64::from(1 << 20),
        shed: figure(&after, "/shed_total")?,
    })
}

fn wait_for_players(demo: &Demo, viewports: u32) -> Result<()> {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let players = figure(&stats(demo)?, "/players")?;
        if players >= f64::from(viewports) {
            return Ok(());
        }
        ensure!(
            Instant::now() < give_up,
            "only {players} viewports came within a minute"
        );
        thread::sleep(Duration::from_millis(200));
    }
}

fn figure(stats: &Value, pointer: &str) -> Result<f64> {
    stats
        .pointer(pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("/stats.json has no {pointer}"))
}

fn stats(demo: &Demo) -> Result<Value> {
    let mut stream = TcpStream::connect(demo.host()).context("reaching the demo")?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "GET /stats.json HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        demo.host()
    )?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .context("reading /stats.json")?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("/stats.json has no body")?;
    serde_json::from_str(body).with_context(|| format!("/stats.json is no JSON: {body:?}"))
}

/// Time in user and kernel mode of all the process's threads, past and present.
fn processor_ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the demo has ended")?;
    parse_ticks(&stat).context("reading /proc/PID/stat")
}

/// The program's name, in parentheses, may hold spaces; the fields are counted from behind it.
fn parse_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn print_heading() {
    println!(
        "\n{:>8} {:>10} {:>7} {:>12} {:>12} {:>11} {:>9} {:>9} {:>6}",
        "NPCs",
        "viewports",
        "cores",
        "late p50 ms",
        "late p99 ms",
        "steps/s",
        "MB/s",
        "MiB",
        "shed"
    );
}

fn print(row: &Measured) {
    println!(
        "{:>8} {:>10} {:>7.3} {:>12.2} {:>12.2} {:>11.0} {:>9.3} {:>9.0} {:>6.0}",
        row.npcs,
        row.viewports,
        row.cores,
        row.late_p50_ms,
        row.late_p99_ms,
        row.steps_per_second,
        row.bytes_per_second / 1e6,
        row.resident_mib,
        row.shed
    );
}

fn write_json(about: Value, rows: &[Measured]) -> Result<()> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "npcs": row.npcs, "viewports": row.viewports, "server_cores": row.cores,
                "step_late_p50_ms": row.late_p50_ms, "step_late_p99_ms": row.late_p99_ms,
                "steps_per_second": row.steps_per_second, "bytes_per_second": row.bytes_per_second,
                "resident_mib": row.resident_mib, "shed": row.shed,
            })
        })
        .collect();
    let folder = place::target().join("bench");
    fs::create_dir_all(&folder).context("making target/bench")?;
    let path = folder.join("mmo.json");
    let document = json!({ "machine": about, "rows": rows });
    fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")
        .context("writing mmo.json")?;
    println!("\nwritten: {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_ticks;

    #[test]
    fn processor_ticks_are_found_behind_a_name_with_spaces() {
        let stat =
            "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 100 0 0 0 250 75 0 0 20 0 4 0 1000 0 0";
        assert_eq!(parse_ticks(stat), Some(325.0));
        assert_eq!(parse_ticks("4242 no name"), None);
    }
}
