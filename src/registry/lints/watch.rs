//! What is looked at with each lock while somebody watches closely. It hangs on the switchboard in
//! `sched::hooks`, so that nothing is paid for it otherwise.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::order::{Held, LockId};
use super::{Hint, LintKind, Place};
use crate::sched::current;
use crate::sched::hooks;
use crate::sched::record::{CoroRef, Head};

/// How many watch.
static WATCHERS: Mutex<u32> = Mutex::new(0);
/// Which time of watching this is: what was seen in an earlier one is not known to be so still.
static ROUND: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// Of the coroutines of one thread.
#[derive(Default)]
struct Seen {
    round: u64,
    /// The locks that each has.
    held: HashMap<u64, Vec<Held>>,
}

impl Seen {
    fn refresh(&mut self) {
        let round = ROUND.load(Ordering::Relaxed);
        if self.round != round {
            *self = Self {
                round,
                ..Self::default()
            };
        }
    }
}

/// Has every lock of the process looked at, until what it gives is dropped: for [`LintKind::LockOrder`].
///
/// Locks are those of [`sync`](crate::sync), `Mutex` and `RwLock`, that coroutines take. While somebody watches, taking one costs
/// some tens of nanoseconds more, and each other lock that the coroutine has at that moment a hundred or so. Orders are kept of
/// 8,192 pairs of locks; then all are forgotten. `#[grapeshot::test(deny_lints)]` watches closely.
///
/// ```
/// use grapeshot::registry::{self, LintKind};
/// use grapeshot::spawn;
/// use grapeshot::sync::Mutex;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let _watch = registry::watch_closely();
///     let (purse, sword) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
///     let (own_purse, own_sword) = (Arc::clone(&purse), Arc::clone(&sword));
///     let thief = spawn(move || {
///         let _first = own_purse.lock();
///         let _then = own_sword.lock();
///     });
///     thief.join().unwrap();
///     {
///         let _first = sword.lock();
///         let _then = purse.lock(); // nobody had to wait, this time
///     }
///     let lint = registry::lints().pop().unwrap();
///     assert_eq!(lint.kind, LintKind::LockOrder);
///     println!("{lint}");
/// });
/// ```
#[must_use = "it is watched until this is dropped"]
pub fn watch_closely() -> CloseWatch {
    let mut watchers = WATCHERS.lock();
    if *watchers == 0 {
        ROUND.fetch_add(1, Ordering::Relaxed);
        hooks::turn_on(hooks::WATCH);
    }
    *watchers += 1;
    CloseWatch(())
}

/// Somebody [watches closely](watch_closely), as long as this is not dropped.
#[derive(Debug)]
pub struct CloseWatch(());

impl Drop for CloseWatch {
    fn drop(&mut self) {
        let mut watchers = WATCHERS.lock();
        *watchers -= 1;
        if *watchers == 0 {
            hooks::turn_off(hooks::WATCH);
        }
    }
}

/// The caller has just taken a lock; `waits`: it would have waited for it.
pub(crate) fn locked(id: &LockId, reads: bool, waits: bool, site: &'static Location<'static>) {
    let next = Held {
        lock: id.number(),
        reads,
        site,
    };
    current::with(|coroutine| {
        let Some(coroutine) = coroutine else { return };
        SEEN.with_borrow_mut(|seen| {
            seen.refresh();
            let held = seen.held.entry(coroutine.head.id).or_default();
            // Who only tries never waits with another lock in hand.
            if waits && !held.is_empty() {
                follow(coroutine, held, next);
            }
            held.push(next);
        });
    });
}

fn follow(coroutine: &CoroRef, held: &[Held], next: Held) {
    let lints = &coroutine.head.runtime.lints;
    let wrong = lints.order.lock().take(coroutine.head.id, held, next);
    if let Some(what) = wrong {
        lints.hint(Hint {
            kind: LintKind::LockOrder,
            coroutine: coroutine.clone(),
            at: SystemTime::now(),
            place: Place::Site(next.site),
            what,
        });
    }
}

/// The caller has let go of a lock, or is about to.
pub(crate) fn unlocked(id: &LockId) {
    let lock = id.number();
    let id = current::with(|coroutine| coroutine.map_or(0, |it| it.head.id));
    SEEN.with_borrow_mut(|seen| {
        seen.refresh();
        // A guard can be given to another coroutine of the same thread.
        let own = seen.held.get(&id).filter(|held| has(held, lock));
        let id = match own {
            Some(_) => Some(id),
            None => seen
                .held
                .iter()
                .find(|(_, held)| has(held, lock))
                .map(|it| *it.0),
        };
        let Some(id) = id else { return };
        let held = seen.held.get_mut(&id).expect("found");
        let place = held.iter().rposition(|it| it.lock == lock);
        held.remove(place.expect("has it"));
        if held.is_empty() {
            seen.held.remove(&id);
        }
    });
}

fn has(held: &[Held], lock: u32) -> bool {
    held.iter().any(|it| it.lock == lock)
}

/// The coroutine has ended; it may have leaked a guard.
pub(crate) fn ended(head: &Head) {
    SEEN.with_borrow_mut(|seen| drop(seen.held.remove(&head.id)));
}
