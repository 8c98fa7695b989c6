//! `cargo xtask bench runtime` and `bench http`: the rows, A B A B, medians, the table and the JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::programs::{self, Program};
use super::rows::{self, Kind, Row};
use super::{claims, machine, table};
use crate::{packages, place, shell};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each program measures each row; the table shows medians.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Only these rows: names or their beginnings, as `echo` or `spawn-1000`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these programs: names or their beginnings, as `ours,go-1,tokio`.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// How long a server is measured for one row, in milliseconds; a third of it before that warms up.
    #[arg(long, default_value_t = 3_000)]
    echo_ms: u64,
    /// Build nothing: measure what the last run has built.
    #[arg(long)]
    no_build: bool,
}

/// A table.
pub(crate) struct Suite {
    /// The JSON is called so.
    name: &'static str,
    rows: &'static [Row],
    programs: &'static [Program],
}

pub(crate) const RUNTIME: Suite = Suite {
    name: "runtime",
    rows: rows::RUNTIME,
    programs: programs::RUNTIME,
};

pub(crate) const WEB: Suite = Suite {
    name: "http",
    rows: rows::WEB,
    programs: programs::WEB,
};

/// Longer than any program takes for any row.
const PATIENCE: Duration = Duration::from_secs(120);
/// The exit status of a program that does not have the row (`measure::UNSUPPORTED`).
const UNSUPPORTED: i32 = 77;

/// What one program measured in one round of one row, by the metric's key.
pub(super) type Sample = BTreeMap<String, f64>;

/// All rounds of one row by one program.
pub(super) enum Measured {
    Samples(Vec<Sample>),
    /// It cannot, or it broke: why.
    Not(String),
}

/// Everything measured, by row and program.
#[derive(Default)]
pub(super) struct Results(pub(super) BTreeMap<(&'static str, &'static str), Measured>);

impl Results {
    /// The median over the rounds.
    pub(super) fn median(&self, row: &str, program: &str, key: &str) -> Option<f64> {
        let mut values = self.values(row, program, key);
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = values[(values.len() - 1) / 2];
        Some(f64::midpoint(lower, upper))
    }

    pub(super) fn values(&self, row: &str, program: &str, key: &str) -> Vec<f64> {
        let samples = self.0.iter().find(|((r, p), _)| *r == row && *p == program);
        match samples {
            Some((_, Measured::Samples(samples))) => {
                samples.iter().filter_map(|s| s.get(key).copied()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn add(&mut self, row: &Row, program: &Program, outcome: Result<Option<Sample>>) {
        let slot = self
            .0
            .entry((row.name, program.name))
            .or_insert_with(|| Measured::Samples(Vec::new()));
        *slot = match (
            std::mem::replace(slot, Measured::Not(String::new())),
            outcome,
        ) {
            (Measured::Samples(mut samples), Ok(Some(sample))) => {
                samples.push(sample);
                Measured::Samples(samples)
            }
            // One round that failed says more than the others' median.
            (kept @ Measured::Not(_), Ok(_)) => kept,
            (_, Ok(None)) => Measured::Not("has no such row".into()),
            (_, Err(error)) => Measured::Not(format!("{error:#}")),
        };
    }

    fn wants(&self, row: &Row, program: &Program) -> bool {
        program.has(row)
            && !matches!(
                self.0.get(&(row.name, program.name)),
                Some(Measured::Not(_))
            )
    }
}

pub(crate) fn run(suite: &Suite, options: &Options) -> Result<()> {
    let rows = chosen(suite.rows, &options.only, |row| row.name)?;
    let programs = chosen(suite.programs, &options.peers, |program| program.name)?;
    let missing = packages::install(&[packages::FOR_BENCHES])?;
    ensure!(
        missing.is_empty(),
        "cannot build the peers without {}",
        missing.join(", ")
    );
    if !options.no_build {
        programs::build(&programs, &rows)?;
    }
    machine::warn_if_busy();
    let about = machine::describe();
    let mut results = Results::default();
    for row in &rows {
        for round in 1..=options.rounds {
            for program in &programs {
                if results.wants(row, program) {
                    let outcome = measure(row, program, options);
                    report_progress(row, program, round, &outcome);
                    results.add(row, program, outcome);
                }
            }
        }
    }
    for row in &rows {
        table::print(row, &programs, &results);
        claims::print(row, &results);
    }
    let document = as_json(about, &rows, &programs, &results, options.rounds);
    write_json(suite.name, &document)
}

/// All of them, or those whose name begins with one of `wanted`; a name given in full means only itself.
fn chosen<'a, T>(all: &'a [T], wanted: &[String], name: impl Fn(&T) -> &str) -> Result<Vec<&'a T>> {
    for word in wanted {
        ensure!(
            all.iter().any(|item| name(item).starts_with(word.as_str())),
            "nothing is called {word:?}"
        );
    }
    let fits = |item: &T, word: &String| {
        let exact = all.iter().any(|other| name(other) == word);
        if exact {
            name(item) == word
        } else {
            name(item).starts_with(word.as_str())
        }
    };
    Ok(all
        .iter()
        .filter(|item| wanted.is_empty() || wanted.iter().any(|word| fits(item, word)))
        .collect())
}

fn report_progress(row: &Row, program: &Program, round: u32, outcome: &Result<Option<Sample>>) {
    let key = row.metrics[0].key;
    if let Ok(Some(value)) = outcome
        .as_ref()
        .map(|sample| sample.as_ref().and_then(|s| s.get(key)))
    {
        println!(
            "  {:<15} round {round}  {:<10} {value:>10.2} {}",
            row.name, program.name, row.metrics[0].unit
        );
    }
}

/// One program, one row, once; `None` if the program does not have the row.
fn measure(row: &Row, program: &Program, options: &Options) -> Result<Option<Sample>> {
    match row.kind {
        Kind::Alone => measure_alone(row, program),
        Kind::Echo { connections } => {
            let sample = measure_server(row, program, connections, &[], options.echo_ms)?;
            Ok(Some(sample))
        }
        Kind::Http {
            connections,
            path,
            depth,
        } => {
            let asks = [path.to_owned(), depth.to_string()];
            measure_server(row, program, connections, &asks, options.echo_ms).map(Some)
        }
        Kind::WebSocket { connections, path } => {
            let asks = [path.to_owned()];
            measure_server(row, program, connections, &asks, options.echo_ms).map(Some)
        }
        Kind::Tls {
            connections,
            path,
            how,
        } => {
            let asks = [path.to_owned(), how.argument().to_owned()];
            measure_server(row, program, connections, &asks, options.echo_ms).map(Some)
        }
        Kind::Proxy { connections, path } => {
            let asks = [path.to_owned(), "1".to_owned()];
            measure_server(row, program, connections, &asks, options.echo_ms).map(Some)
        }
        Kind::Client { connections, path } => {
            measure_client(row, program, connections, path, options.echo_ms).map(Some)
        }
    }
}

/// Has the program ask a canned answer.
fn measure_client(
    row: &Row,
    program: &Program,
    connections: u32,
    path: &str,
    ms: u64,
) -> Result<Sample> {
    let (_back, port) = start_back(program)?;
    let mut client = program.server(row, Some(port));
    client
        .arg("ask")
        .arg(format!("http://127.0.0.1:{port}{path}"));
    client.args([
        connections.to_string(),
        (ms / 3).to_string(),
        ms.to_string(),
    ]);
    let ended = shell::run_bounded(&mut client, PATIENCE)?;
    ensure!(
        ended.status.success(),
        "the client failed: {} {}",
        ended.stdout.trim(),
        ended.stderr.trim()
    );
    sample(&parse(&ended.stdout)?, connections)
}

/// The server behind a proxy or before a client, and its port.
fn start_back(program: &Program) -> Result<(shell::Server, u16)> {
    let mut back = program.back();
    let mut server = shell::Server::start(back.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = server.child().stdout.take().expect("it is piped");
    let port = where_it_listens(stdout)?;
    Ok((server, port))
}

fn measure_alone(row: &Row, program: &Program) -> Result<Option<Sample>> {
    let ended = shell::run_bounded(&mut program.command(row, None), PATIENCE)?;
    if ended.status.code() == Some(UNSUPPORTED) {
        return Ok(None);
    }
    // The last lines of what it complained of tell most.
    let complaint = || {
        ended
            .stderr
            .lines()
            .rev()
            .take(3)
            .collect::<Vec<_>>()
            .join(" / ")
    };
    ensure!(
        ended.status.success(),
        "ended with {}: {}",
        ended.status,
        complaint()
    );
    parse(&ended.stdout).map(Some)
}

fn parse(line: &str) -> Result<Sample> {
    let value: Value = serde_json::from_str(line.trim())
        .with_context(|| format!("not one JSON line: {line:?}"))?;
    let Value::Object(fields) = value else {
        bail!("not a JSON object: {line:?}")
    };
    Ok(fields
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_f64()?)))
        .collect())
}

/// Puts the load on, with what it is to ask for in `asks`.
fn measure_server(
    row: &Row,
    program: &Program,
    connections: u32,
    asks: &[String],
    ms: u64,
) -> Result<Sample> {
    let back = match row.kind {
        Kind::Proxy { .. } => Some(start_back(program)?),
        _ => None,
    };
    let back_port = back.as_ref().map(|(_, port)| *port);
    let settled = program.settle(row, back_port)?;
    let mut server = shell::Server::start(
        program
            .server(row, back_port)
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )?;
    let stdout = server.child().stdout.take().expect("it is piped");
    let port = match settled {
        Some(port) => until_it_accepts(port)?,
        None => where_it_listens(stdout)?,
    };
    let mut load = program.load(row);
    load.args([
        port.to_string(),
        connections.to_string(),
        server.child().id().to_string(),
    ]);
    load.args([(ms / 3).to_string(), ms.to_string()]);
    match row.kind {
        Kind::Tls { .. } => load.arg(programs::keys_folder()),
        _ => load.arg(processes(connections).to_string()),
    };
    load.args(asks);
    let ended = shell::run_bounded(&mut load, PATIENCE)?;
    ensure!(
        ended.status.success(),
        "the load failed: {} {}",
        ended.stdout.trim(),
        ended.stderr.trim()
    );
    sample(&parse(&ended.stdout)?, connections)
}

/// What a load says, in the metrics of the table.
fn sample(raw: &Sample, connections: u32) -> Result<Sample> {
    let get = |key: &str| {
        raw.get(key)
            .copied()
            .with_context(|| format!("the load does not give {key}"))
    };
    let requests = get("requests")?;
    ensure!(requests > 0.0, "no request was answered");
    Ok(Sample::from([
        ("cpu_us".to_owned(), get("server_cpu_us")? / requests),
        ("per_second".to_owned(), requests / get("seconds")?),
        ("rss_kib".to_owned(), get("server_rss_kib")?),
        (
            "kib_each".to_owned(),
            get("server_rss_kib")? / f64::from(connections),
        ),
        ("p50_us".to_owned(), get("p50_us")?),
        ("p99_us".to_owned(), get("p99_us")?),
    ]))
}

/// A server's first line says it.
fn where_it_listens(stdout: ChildStdout) -> Result<u16> {
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .context("reading where it listens")?;
    let port = parse(&line)?.get("listening").copied();
    Ok(port.context("it does not say where it listens")? as u16)
}

fn until_it_accepts(port: u16) -> Result<u16> {
    let give_up = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(Instant::now() < give_up, "it does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(port)
}

/// A process has at most 20,000 descriptors on our machines, and an address 28,000 ports.
fn processes(connections: u32) -> u32 {
    connections.div_ceil(15_000)
}

fn as_json(
    about: Value,
    rows: &[&Row],
    programs: &[&Program],
    results: &Results,
    rounds: u32,
) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| row_json(row, programs, results))
        .collect();
    let named: Map<String, Value> = programs
        .iter()
        .map(|p| (p.name.to_owned(), p.what.into()))
        .collect();
    json!({ "machine": about, "rounds": rounds, "programs": named, "rows": rows })
}

fn write_json(name: &str, document: &Value) -> Result<()> {
    let folder = place::target().join("bench");
    fs::create_dir_all(&folder).context("making target/bench")?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(document)? + "\n")
        .with_context(|| format!("writing {}", path.display()))?;
    println!("\nwritten: {}", path.display());
    Ok(())
}

fn row_json(row: &Row, programs: &[&Program], results: &Results) -> Value {
    let mut columns = Map::new();
    for program in programs {
        let column = match results.0.get(&(row.name, program.name)) {
            None => continue,
            Some(Measured::Not(why)) => json!({ "not": why }),
            Some(Measured::Samples(samples)) => {
                let medians: Map<String, Value> = row
                    .metrics
                    .iter()
                    .filter_map(|m| {
                        Some((
                            m.key.to_owned(),
                            results.median(row.name, program.name, m.key)?.into(),
                        ))
                    })
                    .collect();
                let ratio = table::ratio(row, program.name, results);
                json!({ "median": medians, "ratio_to_ours": ratio, "samples": samples })
            }
        };
        columns.insert(program.name.to_owned(), column);
    }
    let units: Map<String, Value> = row
        .metrics
        .iter()
        .map(|m| (m.key.to_owned(), m.unit.into()))
        .collect();
    json!({
        "row": row.name, "title": row.title, "units": units, "programs": columns,
        "targets": claims::as_json(row, results),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_of_an_even_number_of_rounds_lies_between_the_two() {
        let samples = [4.0, 1.0, 3.0, 2.0].map(|ns| Sample::from([("ns".to_owned(), ns)]));
        let results = Results(BTreeMap::from([(
            ("yield", "ours"),
            Measured::Samples(samples.into()),
        )]));
        assert_eq!(results.median("yield", "ours", "ns"), Some(2.5));
        assert_eq!(results.median("yield", "c", "ns"), None);
    }

    #[test]
    fn a_full_name_means_only_itself_and_a_beginning_all_that_begin_so() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            chosen(programs::RUNTIME, &words, |p| p.name)
                .map(|found| found.iter().map(|p| p.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["ours", "go"]).unwrap(), ["ours", "go-1", "go-2"]);
        assert_eq!(
            names(&["ours-"]).unwrap(),
            ["ours-bare", "ours-traced", "ours-2"]
        );
        assert_eq!(names(&[]).unwrap().len(), programs::RUNTIME.len());
        assert!(names(&["gevent"]).is_err());
    }
}
