//! Profiles that whoever runs a server takes of it without a console: from the start, and by a signal.
//!
//! ```text
//!   GRAPESHOT_PROFILE=FILE            from the start to the end
//!   GRAPESHOT_PROFILE=FILE:SECONDS    from the start, for so long
//!   a signal                          begins one; the next ends it, and writes a file of its own
//! ```

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::signal::Signals;
use grapeshot::sync::Mutex;
use grapeshot::{Builder, JoinHandle};

use crate::collect::{self, Options};
use crate::export::Form;

/// The variable of the environment that asks for a profile from the start: `FILE` or `FILE:SECONDS`.
pub const VARIABLE: &str = "GRAPESHOT_PROFILE";

/// For how long a profile that is asked for with a time may last.
const LONGEST: f64 = 86_400.0;
/// Files of signals, at most.
const FILES: u32 = 10_000;

/// Has profiles taken when the one who runs the program asks for them: by the variable [`GRAPESHOT_PROFILE`](VARIABLE), and by
/// a signal if the program chooses one.
///
/// Where a profile was written to, and why one was not, goes to the log, under the target `grapeshot_profiler`.
///
/// ```
/// use grapeshot::signal::SIGUSR2;
/// use grapeshot_profiler::OnDemand;
///
/// grapeshot::run(|| {
///     let _profiles = OnDemand::new().toggled_by(SIGUSR2).start()?;
///     // Serve.
///     # Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// Now `kill -USR2` begins a profile and, the second time, ends it; `GRAPESHOT_PROFILE=start.html:10 ./server` takes one of the
/// first ten seconds.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct OnDemand {
    options: Options,
    signal: Option<i32>,
    file: Option<PathBuf>,
    from_start: Option<(PathBuf, Option<Duration>)>,
}

impl OnDemand {
    /// By the environment alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the profiles have.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// This signal begins a profile, and the next one ends it.
    pub fn toggled_by(mut self, signal: i32) -> Self {
        self.signal = Some(signal);
        self
    }

    /// What the files of [`toggled_by`](Self::toggled_by) are called, and by the name's end in which [`Form`] they are: of
    /// `world.html`, the process 4711 writes `world-4711-1.html`, then `world-4711-2.html`. No file that is there is written
    /// over. By default it is the program's name with `.html`, in the folder for temporary files.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Takes a profile from the start, as [`GRAPESHOT_PROFILE`](VARIABLE) does, which then says nothing: to this file, for so
    /// long, or until the end. A file that is there is written over.
    pub fn from_start(mut self, path: impl Into<PathBuf>, time: Option<Duration>) -> Self {
        self.from_start = Some((path.into(), time));
        self
    }

    /// Begins. Dropping what this returns ends it all, and the profile that is being taken is written then. Never suspends.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if a file's name says no form, if the variable cannot be read, or if the
    /// signal cannot be waited for. Those of [`start`](crate::start).
    pub fn start(self) -> io::Result<Attendant> {
        let from_start = match self.from_start {
            Some(asked) => Some(asked),
            None => env::var_os(VARIABLE).map(parse).transpose()?,
        };
        let file = self.file.unwrap_or_else(by_program);
        let known = from_start.iter().map(|(path, _)| path).chain([&file]);
        known.into_iter().try_for_each(|path| {
            let form = Form::of(path);
            form.map(drop).map_err(invalid)
        })?;
        let signals = self.signal.map(|it| Signals::new(&[it])).transpose()?;
        let desk = Arc::new(Desk {
            options: self.options,
            file,
            open: Mutex::new(None),
        });
        let mut attendant = Attendant {
            desk: Arc::clone(&desk),
            coroutines: Vec::new(),
        };
        if let Some((path, time)) = from_start {
            collect::start(desk.options.clone()).map_err(io::Error::other)?;
            *desk.open.lock() = Some(Open::Named(path));
            if let Some(time) = time {
                let desk = Arc::clone(&desk);
                attendant.spawn("profile-timer", move || {
                    grapeshot::sleep(time);
                    desk.finish(|open| matches!(open, Open::Named(_)));
                });
            }
        }
        if let Some(mut signals) = signals {
            attendant.spawn("profile-signal", move || {
                loop {
                    match signals.wait() {
                        Ok(_) => desk.toggle(),
                        Err(error) => return log::warn!("no more profiles by signal: {error}"),
                    }
                }
            });
        }
        Ok(attendant)
    }
}

/// Takes profiles [`OnDemand`]. Dropped, it takes no more, and writes the one that is being taken. **May suspend** then, unless the
/// caller unwinds.
#[derive(Debug)]
pub struct Attendant {
    desk: Arc<Desk>,
    coroutines: Vec<JoinHandle<()>>,
}

impl Attendant {
    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) {
        self.coroutines.push(Builder::new().name(name).spawn(body));
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.desk.finish(|_| true);
        for coroutine in self.coroutines.drain(..) {
            coroutine.interrupt();
            // It has ended, or was interrupted.
            let _ = coroutine.join();
        }
    }
}

/// Where the profile that is being taken goes.
#[derive(Debug)]
enum Open {
    /// To this file.
    Named(PathBuf),
    /// To the next of those with a number.
    Numbered,
}

/// What the coroutines share.
#[derive(Debug)]
struct Desk {
    options: Options,
    /// What numbered files are called.
    file: PathBuf,
    /// The profile that one of them began, which is no concern of the console's.
    open: Mutex<Option<Open>>,
}

impl Desk {
    /// Begins a profile, or ends the one that was begun here.
    fn toggle(&self) {
        if self.finish(|_| true) {
            return;
        }
        let mut open = self.open.lock();
        match collect::start(self.options.clone()) {
            Ok(()) => {
                *open = Some(Open::Numbered);
                log::info!("a profile is being taken; the same signal ends it");
            }
            Err(error) => log::warn!("no profile: {error}"),
        }
    }

    /// Ends the profile that was begun here and writes it, if there is one, and it is such a one.
    fn finish(&self, such: impl FnOnce(&Open) -> bool) -> bool {
        let mut slot = self.open.lock();
        if !slot.as_ref().is_some_and(such) {
            return false;
        }
        let Some(open) = slot.take() else {
            return false;
        };
        match self.write(open) {
            Ok(path) => log::info!("the profile is in {}", path.display()),
            Err(error) => log::warn!("the profile is lost: {error}"),
        }
        true
    }

    fn write(&self, open: Open) -> io::Result<PathBuf> {
        let profile = collect::stop().map_err(io::Error::other)?;
        let file = self.file.clone();
        let write = move || match &open {
            Open::Named(path) => {
                let text = Form::of(path).map_err(invalid)?.text(&profile);
                std::fs::write(path, text).map_err(|error| about(path, &error))?;
                Ok(path.clone())
            }
            Open::Numbered => {
                let text = Form::of(&file).map_err(invalid)?.text(&profile);
                write_numbered(&file, &text).map_err(|error| about(&file, &error))
            }
        };
        // Not on the worker, unless there is no thread to be had.
        let write = Arc::new(write);
        let theirs = Arc::clone(&write);
        grapeshot::unblock(move || theirs()).unwrap_or_else(|_| write())
    }
}

/// Writes to the first name that is free.
fn write_numbered(file: &Path, text: &str) -> io::Result<PathBuf> {
    for number in 1..=FILES {
        let path = numbered(file, number);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut opened) => return opened.write_all(text.as_bytes()).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// `world-4711-1.html` of `world.html`.
fn numbered(file: &Path, number: u32) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let (stem, end) = match name.find('.') {
        Some(0) | None => (name.as_ref(), ""),
        Some(dot) => name.split_at(dot),
    };
    file.with_file_name(format!("{stem}-{}-{number}{end}", std::process::id()))
}

/// The program's name, in the folder for temporary files.
fn by_program() -> PathBuf {
    let program = env::current_exe();
    let name = program.as_deref().ok().and_then(Path::file_stem);
    let mut name = name.map_or_else(|| OsString::from("profile"), OsString::from);
    name.push(".html");
    env::temp_dir().join(name)
}

/// `FILE` or `FILE:SECONDS`.
fn parse(value: OsString) -> io::Result<(PathBuf, Option<Duration>)> {
    let timed = value.to_str().and_then(|text| text.rsplit_once(':'));
    let Some((path, Ok(seconds))) = timed.map(|(path, tail)| (path, tail.parse::<f64>())) else {
        return Ok((value.into(), None));
    };
    if !(seconds > 0.0 && seconds <= LONGEST) {
        return Err(invalid(format!(
            "{VARIABLE}={}: say FILE:SECONDS, with a number above 0 and up to {LONGEST}",
            value.display()
        )));
    }
    Ok((path.into(), Some(Duration::from_secs_f64(seconds))))
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_a_file_and_maybe_a_time() {
        let parsed = |text: &str| parse(text.into()).unwrap();
        assert_eq!(parsed("a.html"), ("a.html".into(), None));
        let time = Duration::from_millis(2_500);
        assert_eq!(parsed("a:b.html:2.5"), ("a:b.html".into(), Some(time)));
        assert_eq!(parsed("C:a.html"), ("C:a.html".into(), None));
        for wrong in ["a.html:0", "a.html:-1", "a.html:inf", "a.html:NaN", "a:1e9"] {
            let error = parse(wrong.into()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn numbers_go_before_the_form() {
        let id = std::process::id();
        let named = |file: &str| numbered(Path::new(file), 3);
        assert_eq!(
            named("/tmp/world.firefox.json"),
            PathBuf::from(format!("/tmp/world-{id}-3.firefox.json"))
        );
        assert_eq!(named(".html"), PathBuf::from(format!(".html-{id}-3")));
    }
}
