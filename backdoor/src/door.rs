//! Where connections come in: a coroutine for each, and a cap on those that have not said who they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::net::{Listener, Peer};
use grapeshot::{Builder, JoinHandle};

use crate::backdoor::Shared;
use crate::journal;
use crate::limits;

/// A connection whose peer is not known yet.
pub(crate) struct Guest {
    pub(crate) number: u64,
    /// By what and from where: `tcp 127.0.0.1:40112`.
    pub(crate) from: String,
    strangers: Strangers,
}

impl Guest {
    /// It has said who it is, and counts no longer as a stranger.
    pub(crate) fn is_known(&self) {
        self.strangers.lock().remove(&self.number);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.is_known();
    }
}

/// The numbers of those that have not said who they are: the oldest first.
#[derive(Clone, Default)]
struct Strangers(Arc<Mutex<BTreeSet<u64>>>);

impl Strangers {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All connections of a door; dropping it asks their coroutines to end.
#[derive(Default)]
struct Connections(BTreeMap<u64, JoinHandle<()>>);

impl Drop for Connections {
    fn drop(&mut self) {
        for connection in self.0.values() {
            connection.interrupt();
        }
    }
}

/// Connections that were closed to make room, and when that was last told: a flood is one line a second of the log.
#[derive(Default)]
struct Crowd {
    closed: u64,
    told: Option<Instant>,
}

impl Crowd {
    const PAUSE: Duration = Duration::from_secs(1);

    fn count(&mut self, door: &str) {
        self.closed += 1;
        let now = grapeshot::time::now();
        if self.told.is_none_or(|told| now - told >= Self::PAUSE) {
            self.told = Some(now);
            journal::warn(format!(
                "console: {} connections to {door} that did not log in were closed to make room for others",
                std::mem::take(&mut self.closed)
            ));
        }
    }
}

/// Accepts connections, and has `enter` serve each in a coroutine of its own. `door` names it, as in `tcp` or `telnet`.
///
/// Of those that have not logged in there are at most [`limits::STRANGERS`]: whoever comes then takes the place of the
/// oldest, so that connections which only wait keep nobody out. May suspend; never returns.
pub(crate) fn accept_forever<L: Listener>(
    shared: &Arc<Shared>,
    listener: &L,
    door: &str,
    enter: fn(&Arc<Shared>, L::Stream, Guest),
) {
    let strangers = Strangers::default();
    let mut connections = Connections::default();
    let mut crowd = Crowd::default();
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // Descriptors may be exhausted; the backlog keeps whoever waits.
                journal::warn(format!(
                    "console: cannot accept: {error}; trying again in 100 ms"
                ));
                grapeshot::sleep(Duration::from_millis(100));
                continue;
            }
        };
        connections.0.retain(|_, it| !it.is_finished());
        while let Some(oldest) = strangers.too_many() {
            if let Some(coroutine) = connections.0.get(&oldest) {
                coroutine.interrupt();
            }
            crowd.count(door);
        }
        let number = shared.seats.next_number();
        strangers.lock().insert(number);
        let guest = Guest {
            number,
            from: match peer {
                Peer::Tcp(address) => format!("{door} {address}"),
                _ => door.to_owned(),
            },
            strangers: strangers.clone(),
        };
        let shared = Arc::clone(shared);
        let coroutine = Builder::new()
            .name(format!("console-session-{number}"))
            .stack_size(limits::SESSION_STACK_SIZE)
            .spawn(move || enter(&shared, stream, guest));
        connections.0.insert(number, coroutine);
    }
}

impl Strangers {
    /// Takes out the oldest if there is no room for another.
    fn too_many(&self) -> Option<u64> {
        let mut all = self.lock();
        (all.len() >= limits::STRANGERS)
            .then(|| all.pop_first())
            .flatten()
    }
}
