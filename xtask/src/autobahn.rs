//! The Autobahn testsuite against both ends of our WebSocket: some 500 cases each, compression included.
//!
//! It wants Python 2.7, which no Debian has any more but pyenv does, and is installed with pip into the target folder.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::section::{Outcome, Tally};
use crate::{place, shell};

/// The last release that runs; the ones after it are broken.
const SUITE: &str = "autobahntestsuite==0.8.2";
/// What we are called in the report, as in the example `autobahn` of `grapeshot-websocket`.
const AGENT: &str = "grapeshot";
/// Some cases send for minutes; none of them is quiet for as long as this.
const SILENCE: Duration = Duration::from_secs(15 * 60);
/// What a case may come to. Not strict is to notice wrong text at its frame's end instead of its first byte.
const GOOD: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

/// The suite's client goes through the cases with our echo server.
pub(crate) fn our_server(cases: &[String]) -> Result<Outcome> {
    let Some(suite) = Suite::find()? else {
        return Ok(no_python());
    };
    let mut command = Command::new(build()?);
    let mut server = shell::Server::start(
        command
            .args(["server", "127.0.0.1:0"])
            .stdout(Stdio::piped()),
    )?;
    let mut line = String::new();
    BufReader::new(server.child().stdout.take().expect("it is piped")).read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .context("our server did not say where it listens")?;
    let report = suite.folder("against-server")?;
    let spec = suite.specify(&report, cases, |spec| {
        spec["servers"] = json!([{"agent": AGENT, "url": format!("ws://{address}")}]);
    })?;
    let status = shell::run_inspected(
        suite
            .command()
            .args(["-m", "fuzzingclient", "-s"])
            .arg(spec),
        SILENCE,
        |_| {},
    )?;
    ensure!(status.success(), "the suite ended with {status}");
    judge(&report)
}

/// Our client goes through the cases with the suite's server.
pub(crate) fn our_client(cases: &[String]) -> Result<Outcome> {
    let Some(suite) = Suite::find()? else {
        return Ok(no_python());
    };
    let client = build()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let report = suite.folder("against-client")?;
    let spec = suite.specify(&report, cases, |spec| {
        spec["url"] = json!(format!("ws://{address}"));
    })?;
    let mut command = suite.command();
    // It also wants to serve a page, on a fixed port, unless told not to.
    command
        .args(["-m", "fuzzingserver", "-u", "0", "-s"])
        .arg(spec);
    let mut server = shell::Server::start(command.stdout(Stdio::null()))?;
    let give_up = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        let ended = server.child().try_wait()?;
        ensure!(ended.is_none(), "the suite's server ended: {ended:?}");
        ensure!(
            Instant::now() < give_up,
            "the suite's server does not listen"
        );
        thread::sleep(Duration::from_millis(50));
    }
    let mut command = Command::new(client);
    command.args(["client", &format!("ws://{address}")]);
    let status = shell::run_inspected(&mut command, SILENCE, |_| {})?;
    ensure!(status.success(), "our client ended with {status}");
    judge(&report)
}

fn no_python() -> Outcome {
    Outcome::Skipped("there is no Python 2.7 (pyenv install 2.7.18)".into())
}

/// The example that is both ends of ours.
fn build() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "-p",
        "grapeshot-websocket",
        "--example",
        "autobahn",
    ]))?;
    Ok(place::target().join("release/examples/autobahn"))
}

/// The suite, installed.
struct Suite {
    python: PathBuf,
    /// Where its packages and reports are.
    home: PathBuf,
}

impl Suite {
    /// `None` if there is no Python for it.
    fn find() -> Result<Option<Self>> {
        let Some(python) = python() else {
            return Ok(None);
        };
        let suite = Self {
            python,
            home: place::target().join("autobahn"),
        };
        let packages = suite.packages();
        if !packages.join("zope/__init__.py").is_file() {
            let mut install = Command::new(&suite.python);
            install.args(["-m", "pip", "install", "--quiet", "--target"]);
            shell::run(install.arg(&packages).arg(SUITE))?;
            // Outside of site-packages nobody makes this a package. It is the last step, and says that all is there.
            std::fs::write(packages.join("zope/__init__.py"), "")?;
        }
        Ok(Some(suite))
    }

    fn packages(&self) -> PathBuf {
        self.home.join("packages")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        // It warns at each start that Python 2 is old.
        command
            .args(["-W", "ignore", "-m", "autobahntestsuite.wstest"])
            .env("PYTHONPATH", self.packages())
            .env("PYTHONUNBUFFERED", "1");
        command
    }

    /// An empty folder for a report.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.home.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Writes what is to be done: these cases, and what `complete` adds.
    fn specify(
        &self,
        report: &Path,
        cases: &[String],
        complete: impl FnOnce(&mut Value),
    ) -> Result<PathBuf> {
        let mut spec = json!({
            "outdir": report, "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}
        });
        complete(&mut spec);
        let file = report.join("spec.json");
        std::fs::write(&file, spec.to_string())?;
        Ok(file)
    }
}

/// Python 2.7 from the path, or the newest of pyenv's.
fn python() -> Option<PathBuf> {
    let answers = |python: &Path| {
        let mut asked = Command::new(python);
        asked
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    if let Some(python) = place::in_path("python2.7").filter(|python| answers(python)) {
        return Some(python);
    }
    let root = shell::output(Command::new("pyenv").arg("root")).ok()?;
    let mut versions: Vec<PathBuf> = std::fs::read_dir(Path::new(root.trim()).join("versions"))
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin/python2.7"))
        .filter(|python| answers(python))
        .collect();
    versions.sort();
    versions.pop()
}

/// Reads the suite's report; fails with the names of all cases that are not good.
fn judge(report: &Path) -> Result<Outcome> {
    let index = report.join("index.json");
    let text = std::fs::read_to_string(&index)
        .with_context(|| format!("the suite wrote no {}", index.display()))?;
    let (passed, failed) = verdicts(&serde_json::from_str(&text)?)?;
    println!(
        "{passed} cases are good; the report is {}",
        report.join("index.html").display()
    );
    ensure!(
        failed.is_empty(),
        "{} cases failed: {}",
        failed.len(),
        failed.join(", ")
    );
    ensure!(passed > 0, "the report has no cases");
    Ok(Outcome::Done(Some(Tally {
        passed,
        ..Tally::default()
    })))
}

/// How many cases are good, and what the others are called and came to.
fn verdicts(report: &Value) -> Result<(u64, Vec<String>)> {
    let cases = report[AGENT]
        .as_object()
        .context("the report does not have our name")?;
    let mut passed = 0;
    let mut failed = Vec::new();
    for (name, case) in cases {
        let verdict = |key: &str| case[key].as_str().unwrap_or("none");
        let (behavior, close) = (verdict("behavior"), verdict("behaviorClose"));
        if GOOD.contains(&behavior) && GOOD.contains(&close) {
            passed += 1;
        } else {
            failed.push(format!("{name} ({behavior}, close {close})"));
        }
    }
    Ok((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_are_not_good_are_named() {
        let report = json!({"grapeshot": {
            "1.1.1": {"behavior": "OK", "behaviorClose": "OK"},
            "6.4.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
            "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
            "12.1.1": {"behavior": "UNIMPLEMENTED", "behaviorClose": "OK"},
            "2.1": {"behavior": "OK", "behaviorClose": "UNCLEAN"},
            "9.1": {}
        }});
        let (passed, mut failed) = verdicts(&report).unwrap();
        failed.sort();
        assert_eq!(passed, 3);
        assert_eq!(
            failed,
            [
                "12.1.1 (UNIMPLEMENTED, close OK)",
                "2.1 (OK, close UNCLEAN)",
                "9.1 (none, close none)"
            ]
        );
        assert!(verdicts(&json!({"other": {}})).is_err());
    }
}
