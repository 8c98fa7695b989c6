//! Waiting for signals as for anything else.
//!
//! ```no_run
//! use grapeshot::signal::{SIGINT, SIGTERM, Signals};
//!
//! grapeshot::run(|| -> std::io::Result<()> {
//!     let mut signals = Signals::new(&[SIGINT, SIGTERM])?;
//!     # fn serve() {}
//!     let server = grapeshot::spawn(serve);
//!     let which = signals.wait()?;
//!     println!("signal {which}: good-bye");
//!     server.interrupt();
//!     Ok(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use signal_hook::SigId;
use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level;

pub use signal_hook::consts::signal::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGTERM,
    SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};

use crate::context::{handler, ticker};
use crate::io::{Operation, OperationArm};
use crate::net::UnixStream;

/// The signals that a coroutine waits for.
///
/// From [`new`](Self::new) on the signals no longer do what they do by default (such as end the process); each is kept
/// until [`wait`](Self::wait) gives it. Several objects may name the same signal: each of them gets it. When the last one
/// that names a signal is dropped, the signal does again what it did before: a second Ctrl-C ends a process that has
/// stopped listening, unless it was started with that signal ignored. (A profile takes `SIGPROF` for itself, and passes on
/// those that are not its own. Once there has been one, the default of that signal, to end the process, does not come back.)
///
/// The kernel does not count: a signal that arrives several times between two waits may be given once.
#[derive(Debug)]
pub struct Signals {
    /// One byte arrives for each delivery, written by the handler: it wakes the waiter, and says no more.
    wake: UnixStream,
    watched: Vec<Watched>,
}

/// One signal of a [`Signals`]; dropping it ends the watch.
#[derive(Debug)]
struct Watched {
    signal: i32,
    /// Set by the handler before it wakes the waiter, so who was woken finds it.
    arrived: Arc<AtomicBool>,
    /// Goes before the actions: a signal that arrives between the two does too much rather than nothing.
    _default: DefaultHeldOff,
    _actions: Actions,
}

impl Signals {
    /// Begins to watch the `signals`. Never suspends.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for one that cannot be caught (`SIGKILL`, `SIGSTOP`), that reports a
    /// fault in the program itself (`SIGSEGV`, `SIGILL`, `SIGFPE`), or that does not exist.
    pub fn new(signals: &[i32]) -> io::Result<Signals> {
        let (wake, waker) = UnixStream::pair()?;
        let waker = OwnedFd::from(waker);
        let mut watched: Vec<Watched> = Vec::with_capacity(signals.len());
        for &signal in signals {
            if !watched.iter().any(|w| w.signal == signal) {
                watched.push(Watched::new(signal, &waker)?);
            }
        }
        Ok(Signals { wake, watched })
    }

    /// Waits for the next signal and gives its number. **May suspend.**
    ///
    /// Signals that arrived in the meantime come first; of several, the one named first in [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no signal to wait for; those of the poller, and of a wait that is not possible (in a
    /// destructor that runs while unwinding).
    pub fn wait(&mut self) -> io::Result<i32> {
        let mut wakes = [0; 64];
        loop {
            if let Some(signal) = self.try_wait() {
                return Ok(signal);
            }
            // A byte may be left from a signal that was given already. Then this returns at once, and we look again.
            if self.wake.read(&mut wakes)? == 0 {
                return Err(no_signal());
            }
        }
    }

    /// The next signal that has arrived, if there is one. Never suspends.
    pub fn try_wait(&mut self) -> Option<i32> {
        arrived(&self.watched)
    }
}

/// Takes the first that has arrived.
fn arrived(watched: &[Watched]) -> Option<i32> {
    let arrived = watched
        .iter()
        .find(|w| w.arrived.swap(false, Ordering::SeqCst))?;
    Some(arrived.signal)
}

/// There is nothing to read, ever: the writing ends belong to the handlers, and there are none.
fn no_signal() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no signal is watched")
}

/// The next signal, in a `select!`.
pub struct Next<'a> {
    wake: &'a UnixStream,
    watched: &'a [Watched],
    signal: Option<i32>,
}

impl Signals {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_wait(&mut self) -> OperationArm<'_, std::os::unix::net::UnixStream, Next<'_>> {
        let Signals { wake, watched } = self;
        let next = Next {
            wake,
            watched,
            signal: None,
        };
        OperationArm::new(next, Some(wake.__select_readable()))
    }
}

impl Operation for Next<'_> {
    type Output = i32;

    fn attempt(&mut self) -> io::Result<()> {
        let mut wakes = [0; 64];
        loop {
            self.signal = arrived(self.watched);
            if self.signal.is_some() {
                return Ok(());
            }
            if self.wake.try_read(&mut wakes)? == 0 {
                return Err(no_signal());
            }
        }
    }

    fn finish(self) -> io::Result<i32> {
        Ok(self.signal.expect("the attempt has succeeded"))
    }
}

impl Watched {
    fn new(signal: i32, waker: &OwnedFd) -> io::Result<Watched> {
        if FORBIDDEN.contains(&signal) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("signal {signal} cannot be waited for"),
            ));
        }
        // The handler runs its actions in the order of registration. The default comes first: once a watcher knows of a
        // signal, that signal must not find the watcher gone and end the process after all.
        DefaultHeldOff::imitate(signal);
        if signal == SIGPROF {
            // The profiler's ticks must not arrive here: before anybody could be told of one, its handler goes in front.
            ticker::regain()?;
        }
        let arrived = Arc::new(AtomicBool::new(false));
        let mut actions = Actions::default();
        // Then the flag, then the wake-up.
        actions
            .0
            .push(signal_hook::flag::register(signal, Arc::clone(&arrived))?);
        actions
            .0
            .push(handler::wake_on(signal, waker.try_clone()?)?);
        Ok(Watched {
            signal,
            arrived,
            _default: DefaultHeldOff::new(signal),
            _actions: actions,
        })
    }
}

/// What the handler does for one [`Watched`]; taken back on drop.
#[derive(Debug, Default)]
struct Actions(Vec<SigId>);

impl Drop for Actions {
    fn drop(&mut self) {
        for action in self.0.drain(..) {
            low_level::unregister(action);
        }
    }
}

/// While one of these lives, its signal does not do what it does by default.
///
/// The handler, once it is there, stays for ever (taking it out would race with whoever else chains to it); left alone
/// it would swallow the signal. So it also imitates the default action, on the condition that nobody watches. If it has
/// found another handler in its place, that one is called, and there is nothing to imitate.
#[derive(Debug)]
struct DefaultHeldOff {
    signal: i32,
}

struct Watchers {
    count: usize,
    /// Did the signal do what it does by default, before it was ever watched?
    was_default: bool,
    /// It does so again, for the handler to read.
    is_default: Arc<AtomicBool>,
}

impl Watchers {
    fn publish(&self) {
        let is_default = self.was_default && self.count == 0;
        self.is_default.store(is_default, Ordering::SeqCst);
    }
}

/// The signals that were ever watched.
static WATCHERS: Mutex<BTreeMap<i32, Watchers>> = Mutex::new(BTreeMap::new());

impl DefaultHeldOff {
    /// Has the handler imitate the default action while nobody watches; once for each signal.
    fn imitate(signal: i32) {
        WATCHERS.lock().entry(signal).or_insert_with(|| {
            let was_default = handler::is_default(signal);
            let is_default = Arc::new(AtomicBool::new(was_default));
            // It fails only for signals whose default nobody knows (the real-time ones): they are swallowed then.
            let _ =
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_default));
            Watchers {
                count: 0,
                was_default,
                is_default,
            }
        });
    }

    fn new(signal: i32) -> DefaultHeldOff {
        if let Some(watchers) = WATCHERS.lock().get_mut(&signal) {
            watchers.count += 1;
            watchers.publish();
        }
        DefaultHeldOff { signal }
    }
}

impl Drop for DefaultHeldOff {
    fn drop(&mut self) {
        if let Some(watchers) = WATCHERS.lock().get_mut(&self.signal) {
            watchers.count -= 1;
            watchers.publish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::{SIGUSR1, SIGUSR2, SIGWINCH, Signals};
    use crate::spawn;

    fn raise(signal: i32) {
        signal_hook::low_level::raise(signal).unwrap();
    }

    #[test]
    fn signals_wake_and_are_kept() {
        crate::run(|| {
            let mut signals = Signals::new(&[SIGUSR2, SIGUSR1, SIGUSR2]).unwrap();
            assert_eq!(signals.try_wait(), None);
            let waiter = spawn(move || (signals.wait().unwrap(), signals));
            raise(SIGUSR1);
            let (signal, mut signals) = waiter.join().unwrap();
            assert_eq!(signal, SIGUSR1);
            assert_eq!(signals.try_wait(), None);
            // In the order named, and several of a kind count once.
            raise(SIGUSR1);
            raise(SIGUSR2);
            raise(SIGUSR1);
            assert_eq!(signals.wait().unwrap(), SIGUSR2);
            assert_eq!(signals.wait().unwrap(), SIGUSR1);
            let nothing =
                crate::with_timeout(std::time::Duration::from_millis(1), || signals.wait());
            assert!(nothing.is_err(), "the bytes left over are no signal");
        });
    }

    #[test]
    fn everybody_who_watches_is_told() {
        crate::run(|| {
            let mut watchers = [0; 3].map(|_| Signals::new(&[SIGWINCH]).unwrap());
            raise(SIGWINCH);
            for signals in &mut watchers {
                assert_eq!(signals.wait().unwrap(), SIGWINCH);
            }
            let [first, ..] = watchers;
            drop(first);
        });
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        for signal in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 12_345, -1] {
            let error = Signals::new(&[SIGUSR1, signal]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}");
        }
        let error = Signals::new(&[]).unwrap().wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
