//! A worker that sleeps in somebody else's lock: is it one that its own coroutine went to sleep with?
//!
//! ```text
//!   coroutine 'account'             coroutine 'audit', same worker
//!   ───────────────────             ──────────────────────────────
//!   let guard = mutex.lock()
//!   sleep(..)        ────────▶      mutex.lock()
//!                                   futex(2): the thread sleeps, and 'account' with it
//! ```
//!
//! Such a lock does not say which coroutine has it. But whoever has it has a guard, and the guard has the lock's address. So
//! the used parts of the stacks of that worker's suspended coroutines are searched for it. What is found may be a mere
//! reference, or what a dropped guard has left: hence *seems*.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::WorkerShared;
use super::record::CoroRef;
use crate::context::memory;
use crate::context::sample::{Errand, FRAMES, Thread};
use crate::registry::stalls::{ForeignLock, LockHolder};
use crate::registry::{self, Frame};

/// Coroutines that are looked at in one errand: the worker must not be held up by being looked at.
const ERRAND: usize = 1024;
/// Bytes of stacks that are searched, at most. It takes some tens of milliseconds of the watchdog's thread.
const SEARCHED: usize = 256 << 20;
/// How long a thread that was just asked may take to sleep again, and how often to look.
const PATIENCE: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Holders that are named, at most.
const NAMED: usize = 4;

/// The kinds of lock that are known, with what their functions' names have in them. Of one function, the first that fits
/// counts. Those of std that sleep have no frame pointers, so these are their callers.
const KINDS: &[(Kind, [&str; 2])] = &[
    (Kind::StdMutex, ["mutex::futex::Mutex", "::lock"]),
    (Kind::StdRwLock, ["rwlock::futex::RwLock", "::read"]),
    (Kind::StdRwLock, ["rwlock::futex::RwLock", "::write"]),
    (Kind::StdOnce, ["once::futex::Once", "::call"]),
    (Kind::StdOnce, ["once::futex::Once", "::wait"]),
    (Kind::StdOnce, ["once::Once", "::call_once"]),
    (Kind::StdOnce, ["once_lock::OnceLock", "::initialize"]),
    (Kind::ParkingLotMutex, ["RawMutex", "::lock"]),
    (Kind::ParkingLotRwLock, ["RawRwLock", "::lock_exclusive"]),
    (Kind::ParkingLotRwLock, ["RawRwLock", "::lock_shared"]),
];
/// What the functions are in that may lie between such a function and the system call.
const BELOW: &[&str] = &["std::", "core::", "parking_lot", "lock_api::"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    StdMutex,
    StdRwLock,
    StdOnce,
    ParkingLotMutex,
    ParkingLotRwLock,
    /// Of C: says which thread has it.
    Pthread,
}

impl Kind {
    /// The lock whose function is the first on the way out that is one.
    fn of(frames: &[Frame]) -> Option<Self> {
        let names = frames
            .iter()
            .map(|frame| frame.function.as_deref().unwrap_or_default());
        let is_below = |name: &&str| {
            let path = name.trim_start_matches('<');
            !name.contains("::") || BELOW.iter().any(|below| path.starts_with(below))
        };
        let kind = |name: &str| {
            let fits = |parts: &[&str; 2]| parts.iter().all(|part| name.contains(part));
            KINDS
                .iter()
                .find(|(_, parts)| fits(parts))
                .map(|(kind, _)| *kind)
        };
        let names = || names.clone().take_while(is_below);
        // One that lets its own thread in again is not what a coroutine of that thread has.
        if names().any(|name| name.contains("Reentrant")) {
            return None;
        }
        names().find_map(kind)
    }

    fn name(self) -> &'static str {
        match self {
            Self::StdMutex => "std::sync::Mutex",
            Self::StdRwLock => "std::sync::RwLock",
            Self::StdOnce => "std::sync::Once",
            Self::ParkingLotMutex => "parking_lot::Mutex",
            Self::ParkingLotRwLock => "parking_lot::RwLock",
            Self::Pthread => "pthread_mutex_t",
        }
    }

    fn instead(self) -> &'static str {
        match self {
            Self::StdMutex | Self::ParkingLotMutex | Self::Pthread => "Mutex",
            Self::StdRwLock | Self::ParkingLotRwLock => "RwLock",
            Self::StdOnce => "Once, OnceLock or LazyLock",
        }
    }

    /// Where the lock may begin whose waiter sleeps on `futex`.
    fn locks(self, futex: usize) -> Vec<usize> {
        match self {
            Self::StdMutex | Self::StdOnce => vec![futex],
            // Writers have a word of their own, beside the one of the readers.
            Self::StdRwLock => vec![futex, futex - 4],
            // What a library of C passes around is a struct that the lock is somewhere in.
            Self::Pthread => (futex.saturating_sub(64)..=futex)
                .rev()
                .step_by(8)
                .collect(),
            Self::ParkingLotMutex | Self::ParkingLotRwLock => self.beside(futex),
        }
    }

    /// What parks in a parking lot sleeps on a word of its own thread's, beside which the lock's address is.
    fn beside(self, futex: usize) -> Vec<usize> {
        const LOCKED_AND_PARKED: usize = 0b11;
        const PARKED_OR_WRITTEN: usize = 0b1001;
        let near = futex.saturating_sub(32)..futex + 32;
        let is_lock = |&address: &usize| match self {
            Self::ParkingLotMutex => {
                let mut state = [0];
                memory::read(address, &mut state) == 1 && usize::from(state[0]) == LOCKED_AND_PARKED
            }
            _ => memory::word(address).is_some_and(|state| state & PARKED_OR_WRITTEN != 0),
        };
        let words = near.step_by(8).filter_map(|place| memory::word(place & !7));
        let addresses = words.map(|word| match self {
            // A writer that waits for the readers is at the address behind.
            Self::ParkingLotRwLock => word & !7,
            _ => word,
        });
        addresses
            .filter(|&address| address > 4096)
            .filter(is_lock)
            .collect()
    }

    /// Does a guard of this kind look like that: the lock's address, and behind it this?
    fn is_guard(self, next: usize) -> bool {
        match self {
            // Whether there was a panic when it was taken.
            Self::StdMutex => next & 0xff <= 1,
            _ => true,
        }
    }
}

/// The thread did not answer in time, or moves: ask again.
#[derive(Debug)]
pub(super) struct Unclear;

/// The lock of others that the thread of `worker` sleeps in, if one of the worker's own coroutines seems to have it.
/// `running` runs there; the thread slept on `futex` a moment ago, and after that it was in `frames`.
pub(super) fn find(
    worker: &WorkerShared,
    running: &CoroRef,
    futex: Option<usize>,
    frames: &[Frame],
) -> Result<Option<ForeignLock>, Unclear> {
    let Some((thread, futex)) = worker.thread.get().copied().zip(futex) else {
        return match Kind::of(frames) {
            Some(_) => Err(Unclear),
            None => Ok(None),
        };
    };
    if frames.is_empty() {
        return Err(Unclear);
    }
    let look = Look {
        worker,
        thread,
        running,
        futex,
        resumes: worker.figures.resumes.load(Ordering::Acquire),
    };
    look.settles()?;
    let kind = match Kind::of(frames) {
        Some(kind) => kind,
        None if is_ours_by_pthread(&look, frames) => Kind::Pthread,
        None => return Ok(None),
    };
    let holders = look.search(kind, &kind.locks(futex))?;
    // Had it gone on meanwhile, what was seen would not be what it waits for.
    look.settles()?;
    if holders.is_empty() {
        return Ok(None);
    }
    Ok(Some(ForeignLock {
        kind: kind.name(),
        instead: kind.instead(),
        futex,
        holders,
    }))
}

/// Does it sleep in a `pthread_mutex_t` that has written down this very thread as its owner?
fn is_ours_by_pthread(look: &Look<'_>, frames: &[Frame]) -> bool {
    /// The first word of one that somebody sleeps in.
    const CONTENDED: u32 = 2;
    /// Behind that word and a count.
    const OWNER: usize = 8;
    // Everybody but libc itself calls this function of libc's.
    let by_syscall = frames
        .first()
        .is_none_or(|frame| frame.function.as_deref() == Some("syscall"));
    let half = |address| memory::word(address).map(|word| word as u32);
    !by_syscall
        && half(look.futex) == Some(CONTENDED)
        && half(look.futex + OWNER) == Some(look.thread.id() as u32)
}

/// A worker's thread that sleeps.
struct Look<'a> {
    worker: &'a WorkerShared,
    thread: Thread,
    running: &'a CoroRef,
    futex: usize,
    resumes: u64,
}

impl Look<'_> {
    /// Waits until it sleeps again, as it was asked a moment ago. It is an error if something has moved on that worker since
    /// the look began.
    fn settles(&self) -> Result<(), Unclear> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let figures = &self.worker.figures;
            let sleeps = self.thread.futex();
            let same = figures.running.load(Ordering::Acquire) == self.running.head.id
                && figures.resumes.load(Ordering::Acquire) == self.resumes;
            match sleeps {
                Some(futex) if same && futex == self.futex => return Ok(()),
                None if same && Instant::now() < deadline => thread::sleep(LOOK_EVERY),
                _ => return Err(Unclear),
            }
        }
    }

    /// The suspended coroutines that have one of the addresses on their stacks; those where it looks like a guard, if
    /// there are any.
    fn search(&self, kind: Kind, locks: &[usize]) -> Result<Vec<LockHolder>, Unclear> {
        if locks.is_empty() {
            return Ok(Vec::new());
        }
        let (mut guards, mut others) = (Vec::new(), Vec::new());
        let mut position = Some(0);
        let mut records = Vec::with_capacity(ERRAND);
        let mut left = SEARCHED;
        while let Some(from) = position {
            records.clear();
            position = self.worker.coroutines(from, ERRAND, &mut records);
            let used = self.used(&records)?;
            for (coroutine, used) in records.iter().zip(used) {
                let Some(rest) = left.checked_sub(used.len()) else {
                    return Ok(Vec::new());
                };
                left = rest;
                match has_one(used, locks, kind) {
                    Some(true) => guards.push(coroutine.clone()),
                    Some(false) => others.push(coroutine.clone()),
                    None => {}
                }
            }
        }
        let found = if guards.is_empty() { others } else { guards };
        found
            .iter()
            .take(NAMED)
            .map(|it| self.describe(it))
            .collect()
    }

    /// The used parts of the stacks of these. Their own thread tells, as nobody else may look.
    fn used(&self, coroutines: &[CoroRef]) -> Result<Vec<Range<usize>>, Unclear> {
        let mut used = vec![0..0; coroutines.len()];
        let mut errand = || {
            for (coroutine, used) in coroutines.iter().zip(&mut used) {
                if let Some(own) = coroutine.head.own.try_get()
                    && let Ok(context) = own.context.try_borrow()
                    && let Some(context) = context.as_ref()
                {
                    *used = context.used();
                }
            }
        };
        self.send(&mut errand)?;
        Ok(used)
    }

    fn send(&self, errand: Errand<'_>) -> Result<(), Unclear> {
        let told = self.thread.send_on(self.running.head.stack(), errand);
        told.then_some(()).ok_or(Unclear)
    }

    fn describe(&self, coroutine: &CoroRef) -> Result<LockHolder, Unclear> {
        let mut addresses = Vec::with_capacity(FRAMES);
        let mut errand = || {
            if let Some(own) = coroutine.head.own.try_get()
                && let Ok(context) = own.context.try_borrow()
                && let Some(context) = context.as_ref()
            {
                context.follow(|address| {
                    addresses.push(address);
                    addresses.len() < FRAMES
                });
            }
        };
        self.send(&mut errand)?;
        let info = registry::info(coroutine);
        let frames = addresses.into_iter().flat_map(registry::resolve);
        Ok(LockHolder {
            id: info.id,
            name: info.name,
            site: info.site,
            waits_for: info.waits_for,
            backtrace: frames.collect(),
        })
    }
}

/// Is one of the addresses on that part of a stack, and does it look like a guard's there?
fn has_one(used: Range<usize>, locks: &[usize], kind: Kind) -> Option<bool> {
    let mut found = None;
    memory::words(used, |word, next| {
        if locks.contains(&word) {
            found = Some(kind.is_guard(next));
        }
        found != Some(true)
    });
    found
}
