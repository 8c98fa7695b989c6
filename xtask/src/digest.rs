//! What of the output of `cargo test` is worth a reader's time: a line for each program of tests that passed, all of one
//! that did not, and what failed once more at the end. The rest, which is thousands of lines, goes to a file.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::mem;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How many lines of what is known of a program's failures are said again at the end.
const SAID_AGAIN: usize = 100;

/// Reads the output of `cargo test`, both of its streams as one, line by line.
pub(crate) struct Digest {
    log: BufWriter<File>,
    path: PathBuf,
    /// The program of tests whose lines come now.
    program: Option<String>,
    /// Whether somebody looks on who wants to see what Cargo compiles.
    progress: bool,
    /// Those of its lines that nobody has been shown.
    kept: Vec<String>,
    failed: Vec<Failed>,
}

struct Failed {
    program: String,
    /// What libtest gathers under `failures:`, or how the output ended, if the program did not come that far.
    words: Vec<String>,
}

impl Failed {
    /// The last thing that it said itself.
    fn last(&self) -> &str {
        let says = |line: &&String| !line.is_empty() && !says_that_it_failed(line);
        self.words
            .iter()
            .rfind(says)
            .map_or("nothing", String::as_str)
    }
}

impl Digest {
    /// Keeps all that it takes in this file.
    pub(crate) fn new(log: PathBuf, progress: bool) -> Result<Self> {
        let file = create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        Ok(Self {
            log: BufWriter::new(file),
            path: log,
            program: None,
            progress,
            kept: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// Takes a line and gives those that shall be shown now.
    pub(crate) fn take(&mut self, line: &str) -> Vec<String> {
        // Where there is no room for the log, the tests still say whether they pass.
        let _ = writeln!(self.log, "{line}");
        if let Some(program) = heading(line) {
            self.kept.clear();
            self.program = Some(program.to_owned());
            return Vec::new();
        }
        let Some(program) = &self.program else {
            let shown = self.progress || !is_progress(line);
            return shown.then(|| line.to_owned()).into_iter().collect();
        };
        if let Some(passed) = passed(line) {
            self.kept.clear();
            return vec![format!("{passed}  {program}")];
        }
        self.kept.push(line.to_owned());
        if says_that_it_failed(line) {
            return self.give_up();
        }
        if counts_the_failed(line) {
            self.program = None;
            return mem::take(&mut self.kept);
        }
        Vec::new()
    }

    /// The program that runs now failed, or hangs: all that it printed.
    pub(crate) fn give_up(&mut self) -> Vec<String> {
        let kept = mem::take(&mut self.kept);
        let Some(program) = self.program.take() else {
            return kept;
        };
        // libtest writes this line twice: over what the tests had printed, and over their names.
        let mut titles = kept.iter().enumerate().rev();
        let mut title = || titles.find(|(_, line)| *line == "failures:");
        let (names, words) = (title(), title());
        let from = words.or(names).map_or(0, |(at, _)| at);
        let from = from.max(kept.len().saturating_sub(SAID_AGAIN));
        let words = kept[from..].to_vec();
        self.failed.push(Failed { program, words });
        kept
    }

    /// The tests that failed, each behind its program; of one that did not come to its end, that.
    pub(crate) fn failed(&self) -> Vec<String> {
        let of = |failed: &Failed| {
            let names = failed.words.iter().rposition(|line| line == "failures:");
            let names = names.map_or(&[][..], |at| &failed.words[at + 1..]);
            let names: Vec<&str> = names
                .iter()
                .map_while(|line| line.strip_prefix("    "))
                .collect();
            match &names[..] {
                [] => format!("{}, cut short after: {}", failed.program, failed.last()),
                names => format!("{}: {}", failed.program, names.join(", ")),
            }
        };
        self.failed.iter().map(of).collect()
    }

    /// What failed, and where all the rest is.
    pub(crate) fn close(mut self) -> Vec<String> {
        let _ = self.log.flush();
        let mut lines = Vec::new();
        for failed in self.failed {
            lines.push(format!("━━━ failed: {} ━━━", failed.program));
            lines.extend(failed.words);
        }
        lines.push(format!("all that they printed: {}", self.path.display()));
        lines
    }
}

fn create(log: &Path) -> std::io::Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(log)
}

/// The program that Cargo says it runs now.
fn heading(line: &str) -> Option<&str> {
    if let Some(package) = line.strip_prefix("   Doc-tests ") {
        return Some(package);
    }
    // As in `     Running tests/codec.rs (target/debug/deps/codec-e96ad569cbb7b115)`.
    let (_, file) = line.strip_prefix("     Running ")?.rsplit_once('/')?;
    file.rsplit_once('-').map(|(program, _)| program)
}

/// How many tests passed and how long they took, if this is the last line of a program that did not fail.
fn passed(line: &str) -> Option<String> {
    let (count, rest) = line
        .strip_prefix("test result: ok. ")?
        .split_once(" passed")?;
    let (_, took) = rest.rsplit_once("finished in ")?;
    Some(format!("{count:>5} passed {took:>8}"))
}

/// What Cargo says on the way.
fn is_progress(line: &str) -> bool {
    const WORDS: [&str; 8] = [
        "Compiling",
        "Checking",
        "Finished",
        "Downloading",
        "Downloaded",
        "Updating",
        "Locking",
        "Blocking",
    ];
    let word = line.trim_start().split(' ').next();
    word.is_some_and(|word| WORDS.contains(&word))
}

/// Cargo's word for one program, after that has ended.
fn says_that_it_failed(line: &str) -> bool {
    ["error: test failed", "error: doctest failed"]
        .iter()
        .any(|word| line.starts_with(word))
}

/// Cargo's word for all of them, as in `error: 2 targets failed:`.
fn counts_the_failed(line: &str) -> bool {
    line.starts_with("error: ") && line.contains(" failed:")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSES: &str = "\
running 2 tests
test one ... ok
thread 'one' panicked at src/lib.rs:1: as planned
test two ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.33s
";
    const FAILS: &str = "\
running 2 tests
noise
test one ... FAILED
test two ... ok

failures:

---- one stdout ----
assertion failed: 1 == 2

failures:
    one

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.33s

error: test failed, to rerun pass `-p it --test codec`
";
    const CRASHES: &str = "\
running 2 tests
test one ... ok
error: test failed, to rerun pass `-p it --test other`

Caused by:
  process didn't exit successfully: (signal: 11, SIGSEGV: invalid memory reference)
";
    const COUNTS: &str = "\
error: 2 targets failed:
    `-p it --test codec`
    `-p it --test other`
";

    /// What is shown, what at the end, the log, and who failed.
    fn digest(output: &[&str]) -> (String, String, String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/tests.log");
        let mut digest = Digest::new(log.clone(), false).unwrap();
        let lines = output.iter().flat_map(|part| part.lines());
        let shown: Vec<String> = lines.flat_map(|line| digest.take(line)).collect();
        let failed = digest.failed();
        let last = digest.close().join("\n");
        let log = std::fs::read_to_string(log).unwrap();
        (shown.join("\n"), last, log, failed)
    }

    #[test]
    fn a_program_that_passes_is_a_line() {
        let output = [
            "   Compiling it v0.1.0\nwarning: unused\n",
            "     Running tests/codec.rs (target/debug/deps/codec-e96ad569cbb7b115)\n\n",
            PASSES,
            "   Doc-tests it\n\n",
            PASSES,
        ];
        let (shown, last, log, failed) = digest(&output);
        assert_eq!(
            shown,
            "warning: unused\n    2 passed    0.33s  codec\n    2 passed    0.33s  it"
        );
        assert!(failed.is_empty(), "{failed:?}");
        assert!(last.starts_with("all that they printed: "), "{last}");
        assert_eq!(log, output.concat());
    }

    #[test]
    fn what_fails_is_shown_whole_and_its_failures_again() {
        let running =
            |name| format!("     Running tests/{name}.rs (target/debug/deps/{name}-e9)\n");
        let (codec, fine, other) = (running("codec"), running("fine"), running("other"));
        let (shown, last, _, failed) =
            digest(&[&codec, FAILS, &fine, PASSES, &other, CRASHES, COUNTS]);
        let fine = "\n    2 passed    0.33s  fine\n";
        let (first, rest) = shown.split_once(fine).unwrap();
        assert_eq!(first, FAILS.trim_end());
        assert_eq!(rest, [CRASHES, COUNTS].concat().trim_end());
        let codec = last.find("━━━ failed: codec ━━━\nfailures:\n\n---- one stdout ----\n");
        assert!(
            codec < last.find("━━━ failed: other ━━━\nrunning 2 tests\n"),
            "{last}"
        );
        assert_eq!(
            failed,
            ["codec: one", "other, cut short after: test one ... ok"]
        );
        assert!(codec.is_some() && !last.contains("noise"), "{last}");
    }

    #[test]
    fn what_hangs_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let mut digest = Digest::new(folder.path().join("log"), true).unwrap();
        digest.take("     Running tests/codec.rs (target/debug/deps/codec-e9)");
        assert!(
            digest
                .take("test one has been running for over 60 seconds")
                .is_empty()
        );
        assert_eq!(
            digest.give_up(),
            ["test one has been running for over 60 seconds"]
        );
        let hangs = "codec, cut short after: test one has been running for over 60 seconds";
        assert_eq!(digest.failed(), [hangs]);
        assert!(digest.close()[0].contains("failed: codec"));
    }
}
