//! The access log: a line for each request, written by one coroutine.

mod line;

pub(crate) use line::Line;
pub use line::LogFormat;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grapeshot::Builder;
use grapeshot::fs::File;
use grapeshot::sync::Event;
use grapeshot::sync::channel::{Receiver, Sender, bounded};

/// Lines that wait to be written at most; what comes then is dropped, and counted.
const QUEUE: usize = 16 << 10;
/// Written at a time.
const BATCH: usize = 64 << 10;
/// Between two complaints about a disk that takes nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the end of a server waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A log of requests. A clone is the same log; several servers may share it.
///
/// ```no_run
/// use grapeshot_http::{AccessLog, LogFormat, Router, Server};
///
/// let log = AccessLog::to_file("/var/log/site/access.log", LogFormat::Combined);
/// log.reopen_on_hangup()?; // after logrotate has renamed the file
/// let server = Server::builder().access_log(log).build(Router::new().get("/", |_| "hello"));
/// # std::io::Result::Ok(())
/// ```
///
/// Requests never wait for it. If the disk is slow or full, lines are dropped and [counted](AccessLog::dropped), and when it takes
/// lines again the log goes on.
#[derive(Clone)]
pub struct AccessLog {
    format: LogFormat,
    lines: Sender<Message>,
    state: Arc<State>,
}

struct State {
    /// Here while nobody writes.
    receiver: Mutex<Option<(Receiver<Message>, Target)>>,
    dropped: AtomicU64,
    written: AtomicU64,
    reopen: AtomicBool,
}

enum Message {
    Line(Vec<u8>),
    /// To be set when all in front of it is written.
    Flush(Arc<Event>),
}

enum Target {
    Path(PathBuf, Option<File>),
    Writer(Box<dyn Write + Send>),
}

impl AccessLog {
    /// Appends to a file, which is made when the first line is written.
    #[must_use]
    pub fn to_file(path: impl AsRef<Path>, format: LogFormat) -> Self {
        Self::new(Target::Path(path.as_ref().to_owned(), None), format)
    }

    /// Writes to anything: standard output, for instance. Its calls may suspend.
    #[must_use]
    pub fn to_writer(writer: impl Write + Send + 'static, format: LogFormat) -> Self {
        Self::new(Target::Writer(Box::new(writer)), format)
    }

    fn new(target: Target, format: LogFormat) -> Self {
        let (lines, receiver) = bounded(QUEUE);
        let state = State {
            receiver: Mutex::new(Some((receiver, target))),
            dropped: AtomicU64::new(0),
            written: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
        };
        Self {
            format,
            lines,
            state: Arc::new(state),
        }
    }

    /// Lines that were dropped, because they came faster than they could be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Lines that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Has the file opened anew before the next line: the old one was renamed. Does not suspend.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
    }

    /// Calls [`reopen`](AccessLog::reopen) whenever the process gets a `SIGHUP`, in a coroutine of its own.
    ///
    /// # Errors
    /// If the signal cannot be waited for.
    pub fn reopen_on_hangup(&self) -> io::Result<()> {
        let mut signals = grapeshot::signal::Signals::new(&[grapeshot::signal::SIGHUP])?;
        let state = Arc::downgrade(&self.state);
        Builder::new()
            .name("http access log reopen")
            .spawn(move || {
                while signals.wait().is_ok() {
                    let Some(state) = state.upgrade() else {
                        return;
                    };
                    state.reopen.store(true, Ordering::Relaxed);
                }
            });
        Ok(())
    }

    pub(crate) fn put(&self, line: &Line<'_>) {
        let mut text = Vec::with_capacity(200);
        line.encode(self.format, &mut text);
        if self.lines.try_send(Message::Line(text)).is_err() {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sees to it that somebody writes.
    pub(crate) fn start(&self) {
        let mut receiver = self
            .state
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((lines, target)) = receiver.take() {
            let desk = Desk {
                source: Some((lines, target)),
                state: Arc::clone(&self.state),
            };
            Builder::new()
                .name("http access log")
                .spawn(move || desk.write());
        }
    }

    /// Waits until what was logged so far is written, if it can be. **May suspend.**
    pub(crate) fn flush(&self) {
        let done = Arc::new(Event::new());
        if self
            .lines
            .try_send(Message::Flush(Arc::clone(&done)))
            .is_ok()
        {
            let _ = grapeshot::with_timeout(LAST_LINES, || done.wait());
        }
    }
}

/// Where the one who writes sits. However it is left, another can go on.
struct Desk {
    source: Option<(Receiver<Message>, Target)>,
    state: Arc<State>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let mut receiver = self
            .state
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *receiver = self.source.take();
    }
}

impl Desk {
    fn write(mut self) {
        let state = Arc::clone(&self.state);
        let Some((lines, target)) = &mut self.source else {
            return;
        };
        let mut batch = Vec::new();
        let mut complained = false;
        while let Ok(first) = lines.recv() {
            batch.clear();
            let (mut count, mut flushes) = (0, Vec::new());
            for message in std::iter::once(first).chain(lines.try_iter()) {
                match message {
                    Message::Line(line) => {
                        batch.extend_from_slice(&line);
                        count += 1;
                    }
                    Message::Flush(done) => flushes.push(done),
                }
                if batch.len() >= BATCH {
                    break;
                }
            }
            if state.reopen.swap(false, Ordering::Relaxed)
                && let Target::Path(_, file) = target
            {
                *file = None;
            }
            match target.append(&batch) {
                Ok(()) => {
                    state.written.fetch_add(count, Ordering::Relaxed);
                    if std::mem::take(&mut complained) {
                        log::info!("http: the access log goes on");
                    }
                }
                Err(error) => {
                    state.dropped.fetch_add(count, Ordering::Relaxed);
                    if !std::mem::replace(&mut complained, true) {
                        log::warn!(
                            "http: the access log cannot be written: {error}; lines are dropped until it can"
                        );
                    }
                    grapeshot::sleep(PAUSE);
                }
            }
            flushes.iter().for_each(|done| done.set());
        }
    }
}

impl Target {
    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        match self {
            Target::Writer(writer) => {
                writer.write_all(batch)?;
                writer.flush()
            }
            Target::Path(path, file) => {
                if file.is_none() {
                    *file = Some(File::options().append(true).create(true).open(&*path)?);
                }
                let Some(open) = file else {
                    return Ok(());
                };
                let result = open.write_all(batch).and_then(|()| open.flush());
                if result.is_err() {
                    // It may be that the file is not to be had any more: next time, try another.
                    *file = None;
                }
                result
            }
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("written", &self.written())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
