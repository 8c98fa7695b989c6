//! What the console logs, written by a thread of its own: the application's logger may be the very thing that hangs.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use log::Level;

use crate::render::printable;

/// Lines that wait for the logger. What comes then is counted instead.
const QUEUED: usize = 1024;

/// Lines on their way to the logger.
#[derive(Default)]
struct Queue {
    lines: Mutex<Lines>,
    /// There is one to write.
    more: Condvar,
    /// One was written.
    fewer: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<(Level, String)>,
    /// How many were taken in so far, and how many of those are written.
    taken: u64,
    written: u64,
    /// Those that came when there was no room, since that was last told.
    lost: u64,
}

pub(crate) fn info(text: String) {
    write(Level::Info, text);
}

pub(crate) fn warn(text: String) {
    write(Level::Warn, text);
}

/// Waits until what was logged is written, but not for longer than `limit`.
pub(crate) fn flush(limit: Duration) {
    if let Some(queue) = queue() {
        let lines = queue.lock();
        let all = lines.taken;
        drop(
            queue
                .fewer
                .wait_timeout_while(lines, limit, |lines| lines.written < all),
        );
    }
}

/// A line stays one, whatever the names are made of that stand in it.
fn write(level: Level, text: String) {
    let text = printable(&text);
    #[cfg(feature = "web")]
    crate::web::keep_own(level, &text);
    if level > log::max_level() {
        return;
    }
    let Some(queue) = queue() else {
        return;
    };
    let mut lines = queue.lock();
    if lines.waiting.len() >= QUEUED {
        lines.lost += 1;
        return;
    }
    lines.taken += 1;
    lines.waiting.push_back((level, text));
    queue.more.notify_one();
}

/// `None` where the system has no thread for it.
fn queue() -> Option<&'static Queue> {
    static QUEUE: OnceLock<Queue> = OnceLock::new();
    static HAS_THREAD: OnceLock<bool> = OnceLock::new();
    let queue = QUEUE.get_or_init(Queue::default);
    let start = || {
        let thread = thread::Builder::new().name("backdoor-log".into());
        thread.spawn(|| queue.write_all()).is_ok()
    };
    HAS_THREAD.get_or_init(start).then_some(queue)
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self) {
        loop {
            let lines = self.lock();
            let waited = self
                .more
                .wait_while(lines, |lines| lines.waiting.is_empty());
            let mut lines = waited.unwrap_or_else(PoisonError::into_inner);
            let line = lines.waiting.pop_front();
            let lost = std::mem::take(&mut lines.lost);
            // The logger may take its time, and may be one that logs here.
            drop(lines);
            if let Some((level, text)) = line {
                log::log!(level, "{text}");
            }
            if lost > 0 {
                log::warn!(
                    "console: {lost} lines are missing here: the logger was slower than they came"
                );
            }
            self.lock().written += 1;
            self.fewer.notify_all();
        }
    }
}
