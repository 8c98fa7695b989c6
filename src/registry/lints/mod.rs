//! What a program had better not do, noticed while it does it.

mod checks;
mod delayed;
mod growth;
mod held;
mod load;
mod order;
mod queue;
mod resources;
mod restless;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::panic::Location;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::backtrace::backtrace_of;
use super::stalls::{self, Stall, place};
use super::{describe, records, resolve};
use crate::context::cycles;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::{CoroRef, shown};
use crate::sched::spawn::CoroutineId;

pub(crate) use self::checks::Checks;
pub(crate) use self::order::LockId;
pub(crate) use self::queue::QueueGrowth;
pub use self::watch::{CloseWatch, watch_closely};
pub(crate) use self::watch::{ended, locked, unlocked};

/// Lints that are kept.
const KEPT: usize = 64;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LintKind {
    /// A coroutine held its worker for longer than the latency limit.
    Selfish,
    /// A coroutine sleeps in a lock that is none of ours and that another one of its worker has across a blocking call.
    ForeignLock,
    /// One worker has more to run than it can, another has nothing.
    Unbalanced,
    /// Calls wait for a thread of [`unblock`](crate::unblock)'s pool.
    UnblockExhausted,
    /// A stack is filled to more than seven eighths, or was by a former user of it.
    StackNearlyFull,
    /// A coroutine has a lock while it waits for a descriptor or a blocked thread, and others have waited long for that lock.
    LockAcrossIo,
    /// Two locks were taken in one order by one coroutine and in the other by another one: some day each will have the first
    /// and wait for the second. Only while somebody [watches closely](watch_closely).
    LockOrder,
    /// A coroutine is resumed thousands of times a second and neither waits nor computes: it looks again and again whether
    /// something has happened, or runs a future that wakes itself at every poll.
    WakesItself,
    /// Coroutines that are ready wait long until their worker comes to them: see [`latency`](super::latency()).
    LongDelay,
    /// A place spawns more and more coroutines, none of which goes on.
    GroupGrows,
    /// An unbounded channel takes more messages than are received, and has for a while.
    QueueGrows,
}

impl LintKind {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Selfish => {
                "call yield_now() every so often, or give it to a thread with unblock()"
            }
            Self::ForeignLock => {
                "use a lock of grapeshot::sync, or let go of it before the blocking call"
            }
            Self::Unbalanced => {
                "a coroutine stays where it started: spawn from several workers, without spawn_local, or choose a \
                 placement with Builder::placement"
            }
            Self::UnblockExhausted => {
                "allow more threads with set_unblock_threads, or limit who calls with a Semaphore"
            }
            Self::StackNearlyFull => "give it more with Builder::stack_size, or box what is large",
            Self::LockAcrossIo => {
                "let go of the lock before the call, or have one coroutine do it that gets its orders through a channel"
            }
            Self::LockOrder => {
                "take these locks in the same order everywhere, or one lock for both"
            }
            Self::WakesItself => {
                "wait for what it looks for, with an Event, a Condvar or a channel, or sleep() between two looks"
            }
            Self::LongDelay => {
                "have those that compute call yield_now() more often, give their work to threads with unblock(), or spread \
                 them over more workers"
            }
            Self::GroupGrows => {
                "see what they wait for with where_all(): nobody ends that; or limit how many there are with a Semaphore"
            }
            Self::QueueGrows => {
                "make it a bounded channel, so that senders wait for the receiver, or let more coroutines receive"
            }
        }
    }
}

impl fmt::Display for LintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Selfish => "selfish coroutine",
            Self::ForeignLock => "foreign lock across a blocking call",
            Self::Unbalanced => "workers out of balance",
            Self::UnblockExhausted => "unblock pool exhausted",
            Self::StackNearlyFull => "stack nearly full",
            Self::LockAcrossIo => "lock held across I/O",
            Self::LockOrder => "lock order inverted",
            Self::WakesItself => "wakes itself",
            Self::LongDelay => "long run-queue delay",
            Self::GroupGrows => "group only grows",
            Self::QueueGrows => "queue only grows",
        })
    }
}

/// Something that a program had better not do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lint {
    /// What is wrong.
    pub kind: LintKind,
    /// When it was noticed last.
    pub at: SystemTime,
    /// A coroutine that does it.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// Where in the code, as `file.rs:17`: where the coroutine is, or the place that spawned it if that is what matters.
    pub place: String,
    /// The figures.
    pub what: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            id,
            name,
            place,
            what,
            ..
        } = self;
        let name = shown(name);
        let remedy = kind.remedy();
        write!(
            f,
            "{kind}: coroutine '{name}' (#{id}) at {place}: {what}. {remedy}"
        )
    }
}

/// What this runtime had better not do and did, the latest last; of the same kind at the same place, the latest. 64 are kept.
///
/// They are noticed by the watchdog, which looks while something runs, and which [`latency_limit`] `(None)` turns off; what goes
/// on now is also looked for by this call. Each is in the log when it is first noticed. Nothing is measured on any hot path;
/// what would have to be is left to [`watch_closely`].
///
/// [`latency_limit`]: crate::RuntimeBuilder::latency_limit
///
/// ```
/// use grapeshot::registry::{self, LintKind};
/// use grapeshot::{set_unblock_threads, sleep, spawn, unblock};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// grapeshot::run(|| {
///     set_unblock_threads(1);
///     let (done, wait) = mpsc::channel::<()>();
///     let slow = spawn(move || unblock(move || wait.recv()).unwrap());
///     let behind = spawn(|| unblock(|| 7).unwrap());
///     let lint = loop {
///         match registry::lints().pop() {
///             Some(lint) => break lint,
///             None => sleep(Duration::from_millis(10)),
///         }
///     };
///     assert_eq!(lint.kind, LintKind::UnblockExhausted);
///     println!("{lint}");
///     done.send(()).unwrap();
///     assert!(slow.join().is_ok());
///     assert_eq!(behind.join().unwrap(), 7);
/// });
/// ```
pub fn lints() -> Vec<Lint> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::lints)
}

impl RuntimeHandle {
    /// What this runtime had better not do and did; see [`lints`](crate::registry::lints).
    pub fn lints(self) -> Vec<Lint> {
        let shared = self.shared;
        let records = records(shared);
        shared.lints.raise(resources::exhausted(&records));
        shared.lints.raise(resources::nearly_full(&records));
        shared.lints.raise(held::across_io(shared, &records));
        shared.lints.settle();
        let stalls = shared.stalls.all().into_iter().filter(is_own_fault);
        let mut all: Vec<Lint> = stalls.map(of_stall).collect();
        all.extend(shared.lints.kept.lock().iter().cloned());
        all.sort_by_key(|lint| lint.at);
        all
    }
}

/// What a runtime keeps of them, but for those that are stalls.
pub(crate) struct Lints {
    kept: Mutex<Vec<Lint>>,
    /// Noticed where nothing may be logged nor looked up.
    hints: Mutex<Vec<Hint>>,
    order: Mutex<order::Graph>,
}

/// What will be a lint.
struct Hint {
    kind: LintKind,
    coroutine: CoroRef,
    at: SystemTime,
    place: Place,
    what: String,
}

/// Where in the code it was.
enum Place {
    Site(&'static Location<'static>),
    /// Return addresses, the innermost first.
    Stack(Vec<usize>),
}

impl Lints {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            hints: Mutex::default(),
            order: Mutex::default(),
        }
    }

    /// Keeps it until somebody has time for it.
    fn hint(&self, hint: Hint) {
        let mut hints = self.hints.lock();
        if hints.len() < KEPT {
            hints.push(hint);
        }
    }

    /// Raises what was noticed.
    fn settle(&self) {
        let hints = std::mem::take(&mut *self.hints.lock());
        for hint in hints {
            let Hint {
                kind,
                coroutine,
                at,
                place,
                what,
            } = hint;
            let place = match place {
                Place::Site(site) => Some(spawned_at(site)),
                Place::Stack(addresses) => {
                    let frames: Vec<_> = addresses.into_iter().flat_map(resolve).collect();
                    stalls::place(&frames)
                }
            };
            let place = place.unwrap_or_else(|| spawned_at(coroutine.head.name.site));
            self.raise(Some(Lint {
                at,
                ..lint(kind, &coroutine, place, what)
            }));
        }
    }

    fn raise(&self, lint: Option<Lint>) {
        let Some(lint) = lint else { return };
        let mut kept = self.kept.lock();
        let same = |it: &&mut Lint| it.kind == lint.kind && it.place == lint.place;
        if let Some(known) = kept.iter_mut().find(same) {
            *known = lint;
            return;
        }
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(lint.clone());
        drop(kept);
        log::warn!("{lint}");
    }

    /// The runtime has ended.
    pub(crate) fn clear(&self) {
        self.kept.lock().clear();
        self.hints.lock().clear();
        self.order.lock().clear();
    }
}

/// Did its thread have a processor most of the time? If not, the machine is to blame.
fn is_own_fault(stall: &Stall) -> bool {
    stall.lock.is_some() || stall.queued.is_none_or(|queued| queued < stall.lasted / 2)
}

fn of_stall(stall: Stall) -> Lint {
    let kind = match stall.lock {
        Some(_) => LintKind::ForeignLock,
        None => LintKind::Selfish,
    };
    let what = match &stall.lock {
        Some(lock) => format!("it sleeps in {lock}"),
        None => format!("it held worker {} for {:.1?}", stall.worker, stall.lasted),
    };
    Lint {
        kind,
        at: stall.since + stall.lasted,
        id: stall.id,
        name: stall.name,
        site: stall.site,
        place: place(&stall.backtrace).unwrap_or_else(|| spawned_at(stall.site)),
        what,
    }
}

/// A place in the code, as lints name it.
fn spawned_at(site: &Location<'_>) -> String {
    let file = site.file();
    format!(
        "{}:{}",
        file.rsplit('/').next().unwrap_or(file),
        site.line()
    )
}

fn lint(kind: LintKind, coroutine: &CoroRef, place: String, what: String) -> Lint {
    let info = describe(coroutine, cycles::scale(), cycles::now());
    Lint {
        kind,
        at: SystemTime::now(),
        id: info.id,
        name: info.name,
        site: info.site,
        place,
        what,
    }
}

/// Where a coroutine is, or else who spawned it.
fn place_of(coroutine: &CoroRef) -> String {
    let frames = backtrace_of(coroutine.clone()).ok();
    let place = frames.as_deref().and_then(place);
    place.unwrap_or_else(|| spawned_at(coroutine.head.name.site))
}
