//! The sections of a run: a heading before each, a summary with durations after all.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use crate::digest::Digest;
use crate::{place, shell};

/// How a section that did not fail ended.
pub(crate) enum Outcome {
    /// It ran; how many tests it was, where that can be counted.
    Done(Option<Tally>),
    /// It could not run here, for this reason.
    Skipped(String),
}

/// Tests counted from the lines `test result: …` of cargo's test runner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds what the line says, if it is the closing line of a test binary.
    pub(crate) fn count(&mut self, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// How long a run of tests may print nothing: longer than any test takes, and than building them all does.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Runs a command that runs tests, and shows a line for each program of them that passed, and all of one that did not.
/// What the others printed goes to `target/logs/NAME.log`. Fails unless some ran and all passed.
pub(crate) fn run_tests(name: &str, command: &mut Command) -> Result<Tally> {
    let log = place::target().join("logs").join(format!("{name}.log"));
    let mut digest = Digest::new(log, shell::is_watched())?;
    // Colours would be part of the words, and these are what is digested.
    command
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_QUIET", "false");
    let mut tally = Tally::default();
    let status = shell::run_quietly(command, SILENCE, |line| {
        tally.count(line);
        print(digest.take(line));
    });
    if status.is_err() {
        print(digest.give_up());
    }
    let failed = digest.failed();
    print(digest.close());
    let status = status.map_err(|error| anyhow!("{error:#}{}", listed(&failed)))?;
    verdict(tally, status, &failed)
}

fn print(lines: Vec<String>) {
    for line in lines {
        println!("{line}");
    }
}

/// As [`run_tests`], but shows all that they print, each line to `inspect`, too.
pub(crate) fn run_tests_inspected(
    command: &mut Command,
    mut inspect: impl FnMut(&str),
) -> Result<Tally> {
    // libtest would be as quiet as Cargo.
    command.env("CARGO_TERM_QUIET", "false");
    let mut tally = Tally::default();
    let status = shell::run_inspected(command, SILENCE, |line| {
        tally.count(line);
        inspect(line);
    })?;
    verdict(tally, status, &[])
}

fn listed(failed: &[String]) -> String {
    let line = |it: &String| format!("\n            {it}");
    failed.iter().map(line).collect()
}

fn verdict(tally: Tally, status: ExitStatus, failed: &[String]) -> Result<Tally> {
    ensure!(
        status.success(),
        "{} tests failed, {} passed ({status}){}",
        tally.failed,
        tally.passed,
        listed(failed)
    );
    ensure!(tally.passed > 0, "no test ran");
    Ok(tally)
}

/// All sections of one run, in order.
#[derive(Default)]
pub(crate) struct Sections {
    /// What the names of those that run contain, in small letters.
    only: String,
    /// Names of those that do not run.
    left_out: Vec<String>,
    ended: Vec<(String, Duration, Result<Outcome>)>,
}

impl Sections {
    /// Those whose names contain `part`; all without one.
    pub(crate) fn only(part: Option<&str>) -> Self {
        Self {
            only: part.unwrap_or_default().to_lowercase(),
            ..Self::default()
        }
    }

    /// Runs one section. A failure is kept for the summary and does not stop the sections after it.
    pub(crate) fn run(&mut self, name: &str, section: impl FnOnce() -> Result<Outcome>) {
        if !name.to_lowercase().contains(&self.only) {
            return self.left_out.push(name.to_owned());
        }
        println!("\n━━━ {name} ━━━");
        let start = Instant::now();
        let outcome = section();
        match &outcome {
            Ok(Outcome::Done(_)) => {}
            Ok(Outcome::Skipped(why)) => println!("skipped: {why}"),
            Err(error) => println!("FAILED: {error:#}"),
        }
        self.ended.push((name.to_owned(), start.elapsed(), outcome));
    }

    /// Prints the summary; an error if any section failed, or no test ran that was not left out.
    pub(crate) fn close(self) -> Result<()> {
        ensure!(
            !self.ended.is_empty(),
            "no section's name contains \"{}\"; there are: {}",
            self.only,
            self.left_out.join(", ")
        );
        println!("\n━━━ summary ━━━");
        let mut total = Tally::default();
        let mut failed_sections = 0;
        for (name, took, outcome) in &self.ended {
            let word = match outcome {
                Ok(Outcome::Done(None)) => "ok".to_owned(),
                Ok(Outcome::Done(Some(tally))) => {
                    total.add(*tally);
                    format!("ok, {} tests", tally.passed)
                }
                Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
                Err(error) => {
                    failed_sections += 1;
                    format!("FAILED: {error}")
                }
            };
            println!("{:>7.1} s  {name:<34} {word}", took.as_secs_f64());
        }
        let all: Duration = self.ended.iter().map(|(_, took, _)| *took).sum();
        println!("{:>7.1} s  in all\n", all.as_secs_f64());
        // A section that failed counts as one failure here, whatever it was.
        println!("{} passed, {failed_sections} failed", total.passed);
        if failed_sections > 0 {
            bail!("{failed_sections} of {} sections failed", self.ended.len());
        }
        ensure!(total.passed > 0 || !self.left_out.is_empty(), "no test ran");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_nothing_else_is() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.52s");
        tally.count("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s");
        tally.count("test frames_survive_every_cut ... ok");
        tally.count("running 12 tests");
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: 2,
                ignored: 3
            }
        );
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        let mut sections = Sections::default();
        sections.run("nothing", || Ok(Outcome::Done(None)));
        assert!(sections.close().is_err());
    }

    #[test]
    fn a_part_is_asked_for_by_any_part_of_its_name() {
        let run = |part: &str| {
            let mut sections = Sections::only(Some(part));
            let mut ran = Vec::new();
            for name in ["lints", "Miri", "model checks"] {
                sections.run(name, || {
                    ran.push(name);
                    Ok(Outcome::Done(None))
                });
            }
            (ran, sections.close().map_err(|error| error.to_string()))
        };
        assert_eq!(run("miri"), (vec!["Miri"], Ok(())));
        assert_eq!(run("m"), (vec!["Miri", "model checks"], Ok(())));
        let (ran, error) = run("clippy");
        assert!(ran.is_empty());
        assert!(
            error
                .unwrap_err()
                .ends_with("there are: lints, Miri, model checks")
        );
    }

    #[test]
    fn one_failed_section_fails_the_run() {
        let mut sections = Sections::default();
        sections.run("good", || {
            Ok(Outcome::Done(Some(Tally {
                passed: 1,
                failed: 0,
                ignored: 0,
            })))
        });
        sections.run("bad", || bail!("broken"));
        assert!(sections.close().is_err());
    }
}
