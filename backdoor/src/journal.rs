//! What the console logs, written by a thread of its own: the application's logger may be the very thing that hangs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use log::Level;

/// Lines that wait for the logger. What comes then is counted instead.
const QUEUED: usize = 1024;

enum Entry {
    Line(Level, String),
    /// Everything before it has been written.
    Flush(SyncSender<()>),
}

static LOST: AtomicU64 = AtomicU64::new(0);

pub(crate) fn info(text: String) {
    write(Level::Info, text);
}

pub(crate) fn warn(text: String) {
    write(Level::Warn, text);
}

/// Waits until what was logged is written, but not for longer than `limit`.
pub(crate) fn flush(limit: Duration) {
    let (done, is_done) = mpsc::sync_channel(1);
    if let Some(queue) = queue()
        && queue.try_send(Entry::Flush(done)).is_ok()
    {
        let _ = is_done.recv_timeout(limit);
    }
}

fn write(level: Level, text: String) {
    #[cfg(feature = "web")]
    crate::web::keep_own(level, &text);
    if level > log::max_level() {
        return;
    }
    match queue().map(|queue| queue.try_send(Entry::Line(level, text))) {
        Some(Ok(())) => {}
        Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `None` where the system has no thread for it.
fn queue() -> Option<&'static SyncSender<Entry>> {
    static QUEUE: OnceLock<Option<SyncSender<Entry>>> = OnceLock::new();
    let start = || {
        let (queue, entries) = mpsc::sync_channel(QUEUED);
        let thread = thread::Builder::new().name("backdoor-log".into());
        thread.spawn(move || write_all(&entries)).ok()?;
        Some(queue)
    };
    QUEUE.get_or_init(start).as_ref()
}

fn write_all(entries: &Receiver<Entry>) {
    for entry in entries {
        match entry {
            Entry::Line(level, text) => log::log!(level, "{text}"),
            Entry::Flush(done) => drop(done.try_send(())),
        }
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 {
            log::warn!(
                "console: {lost} lines are missing here: the logger was slower than they came"
            );
        }
    }
}
