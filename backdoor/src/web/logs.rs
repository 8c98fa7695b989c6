//! The latest lines of the log, for the page: as many as fit a ring.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, Log, Metadata, Record};
use serde::Serialize;

/// Lines that are kept.
const LINES: usize = 2000;
/// Bytes that are kept of each.
const LONGEST: usize = 1000;

/// A logger that keeps the latest 2,000 lines for the [page](crate::Backdoor::web), and hands all of them on to another one.
///
/// ```
/// # struct MyLogger;
/// # impl log::Log for MyLogger {
/// #     fn enabled(&self, _: &log::Metadata) -> bool { true }
/// #     fn log(&self, _: &log::Record) {}
/// #     fn flush(&self) {}
/// # }
/// let logger = grapeshot_backdoor::LogTail::of(MyLogger);
/// log::set_boxed_logger(Box::new(logger))?;
/// log::set_max_level(log::LevelFilter::Info);
/// # Ok::<(), log::SetLoggerError>(())
/// ```
///
/// Without it the page shows what the backdoor itself logs.
#[derive(Debug)]
pub struct LogTail<L> {
    inner: L,
}

/// A line, as the page has it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    number: u64,
    /// Seconds since 1970.
    at: f64,
    level: &'static str,
    target: String,
    text: String,
    /// Who wrote it, if a coroutine did.
    coroutine: Option<u64>,
}

struct Ring {
    lines: VecDeque<Line>,
    /// The number of the next line; the first is 1.
    next: u64,
}

/// Where the backdoor logs from.
const OWN: &str = concat!(env!("CARGO_CRATE_NAME"), "::journal");

static RING: Mutex<Ring> = Mutex::new(Ring {
    lines: VecDeque::new(),
    next: 1,
});
static INSTALLED: AtomicBool = AtomicBool::new(false);

impl<L: Log> LogTail<L> {
    /// Keeps what `inner` is given. To be installed as the program's logger.
    pub fn of(inner: L) -> Self {
        INSTALLED.store(true, Ordering::Relaxed);
        Self { inner }
    }
}

impl<L: Log> Log for LogTail<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // What the backdoor logs is kept already, whatever the level of the program's log.
        if self.enabled(record.metadata()) && record.target() != OWN {
            keep(record.level(), record.target(), &record.args().to_string());
        }
        self.inner.log(record);
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// Whether the page has all lines, or only the backdoor's own.
pub(crate) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// A line of the backdoor's own log.
pub(crate) fn keep_own(level: Level, text: &str) {
    keep(level, env!("CARGO_CRATE_NAME"), text);
}

/// At most so many lines behind this one, the latest if there are more; the number to ask with next time; and how many
/// lines are missing between.
pub(crate) fn after(number: u64, most: usize) -> (Vec<Line>, u64, u64) {
    ring().after(number, most)
}

fn keep(level: Level, target: &str, text: &str) {
    let coroutine = grapeshot::registry::current().map(|id| id.0);
    let at = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = at.map_or(0.0, |at| at.as_secs_f64());
    ring().push(at, level, target, text, coroutine);
}

impl Ring {
    fn push(&mut self, at: f64, level: Level, target: &str, text: &str, coroutine: Option<u64>) {
        let end = text.floor_char_boundary(LONGEST);
        let rest = if end < text.len() { "…" } else { "" };
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line {
            number: self.next,
            at,
            level: level.as_str(),
            target: target.to_owned(),
            text: format!("{}{rest}", &text[..end]),
            coroutine,
        });
        self.next += 1;
    }

    fn after(&self, number: u64, most: usize) -> (Vec<Line>, u64, u64) {
        let newer = self.lines.iter().rev();
        let newer = newer.take_while(|line| line.number > number);
        let mut lines: Vec<Line> = newer.take(most).cloned().collect();
        lines.reverse();
        let last = self.next - 1;
        let lost = last
            .saturating_sub(number)
            .saturating_sub(lines.len() as u64);
        (lines, last, lost)
    }
}

/// Held for moments.
fn ring() -> MutexGuard<'static, Ring> {
    RING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_are_kept_and_the_gap_is_told() {
        let mut ring = Ring {
            lines: VecDeque::new(),
            next: 1,
        };
        for number in 1..=LINES + 10 {
            ring.push(0.0, Level::Info, "test", &format!("line {number}"), None);
        }
        ring.push(0.0, Level::Warn, "test", &"é".repeat(LONGEST), Some(7));
        let last = LINES as u64 + 11;
        let (lines, next, lost) = ring.after(1, 5);
        assert_eq!((lines.len(), next, lost), (5, last, last - 1 - 5));
        assert_eq!(lines[3].text, format!("line {}", LINES + 10));
        assert!(lines[4].text.len() <= LONGEST + '…'.len_utf8());
        assert_eq!(ring.after(0, usize::MAX).0.len(), LINES);
        let (none, same, lost) = ring.after(next, 5);
        assert_eq!((none.len(), same, lost), (0, next, 0));
    }
}
