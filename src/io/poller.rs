//! A worker's poller, and the table of what is registered with it.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use parking_lot::Mutex;
use slab::Slab;

use super::listing::Nature;
use super::readiness::Readiness;
use super::source::Way;
use crate::context::{cycles, prefetch};
use crate::sched::wait::Waiter;

/// Events taken from the kernel at once.
const EVENTS: usize = 128;
/// Both directions; and urgent data, where the system tells of it.
#[cfg(target_os = "linux")]
const INTEREST: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(target_os = "linux"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// The token of the worker's own wake-up.
const WAKE: Token = Token(usize::MAX);
/// Waking fails for a signal or for want of kernel memory; what passes, passes soon.
const WAKE_ATTEMPTS: u32 = 1_000;

/// The polling side; only the worker's loop has it.
pub(crate) struct Poller {
    poll: mio::Poll,
    events: Events,
}

/// The side that any thread may use: registering, and waking the worker.
pub(crate) struct Reactor {
    /// `None` once the worker has ended.
    open: Mutex<Option<Open>>,
    closed: AtomicBool,
    slots: Mutex<Slots>,
}

struct Open {
    registry: mio::Registry,
    waker: Arc<mio::Waker>,
}

#[derive(Default)]
struct Slots {
    slab: Slab<Watch>,
    /// Given to each registration, so that an event which was meant for its predecessor finds nothing.
    generation: u32,
}

/// One registration.
struct Watch {
    generation: u32,
    slot: Arc<Slot>,
    fd: RawFd,
    /// Cycles, when it was registered.
    since: u64,
}

/// What is known of one registered descriptor.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) read: Direction,
    pub(crate) write: Direction,
    /// The peer has closed its sending side, or has sent urgent data, at which a read stops: from now on a short read
    /// need not have taken all that is there.
    pub(crate) short_means_nothing: AtomicBool,
}

/// What a [`Source`](super::Source) asks of a simulated socket, which fires the events of its [`Slot`] by itself.
pub(crate) trait Simulated: Send + Sync {
    /// Would a call in this direction not have to wait?
    fn is_ready(&self, way: Way) -> bool;
    /// The handle with this slot is closed, though its owners still have it.
    fn close(&self, slot: &Arc<Slot>);
    /// One attempt, as for all of these.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
}

impl Slot {
    /// One whose events a simulation fires.
    pub(crate) fn simulated() -> Self {
        Self {
            // There is no event for what a short read has left.
            short_means_nothing: AtomicBool::new(true),
            ..Self::default()
        }
    }

    /// Something has happened in this direction. The wakers are called with no lock held.
    pub(crate) fn event(&self, way: Way, wakers: &mut Vec<Waker>) {
        Direction::before_events();
        self.direction(way)
            .event(&mut |waiter| waiter.wake_later(wakers));
    }

    #[inline]
    pub(super) fn direction(&self, way: Way) -> &Direction {
        match way {
            Way::Read => &self.read,
            Way::Write => &self.write,
        }
    }

    /// Wakes whoever waits, whether it is ready or not. The wakers are called with no lock held.
    pub(super) fn tell(&self, wakers: &mut Vec<Waker>) {
        for direction in [&self.read, &self.write] {
            direction.event(&mut |waiter| waiter.wake_later(wakers));
        }
    }
}

/// One direction of a descriptor.
pub(crate) type Direction = Readiness<Waiter>;

/// A descriptor's place in a poller.
pub(crate) struct Registration {
    reactor: &'static Reactor,
    watched: Watched,
    pub(crate) slot: Arc<Slot>,
}

enum Watched {
    Descriptor {
        key: usize,
        fd: RawFd,
        left: AtomicBool,
    },
    /// By no poller. It is behind a `Box` so that a registration is not larger for it.
    Simulated(Box<Arc<dyn Simulated>>),
}

impl Poller {
    pub(crate) fn new() -> io::Result<(Self, Reactor)> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Arc::new(mio::Waker::new(&registry, WAKE)?);
        let reactor = Reactor {
            open: Mutex::new(Some(Open { registry, waker })),
            closed: AtomicBool::new(false),
            slots: Mutex::default(),
        };
        Ok((
            Self {
                poll,
                events: Events::with_capacity(EVENTS),
            },
            reactor,
        ))
    }

    /// Waits for events, at most for `timeout`, and wakes whom they concern.
    pub(crate) fn poll(
        &mut self,
        timeout: Option<Duration>,
        reactor: &Reactor,
        wake: &mut dyn FnMut(Waiter) -> bool,
    ) {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            // EBADF, EFAULT, EINVAL: the poller itself is broken, and with it every wait of this worker.
            Err(error) => panic!("the worker's poller failed: {error}"),
        }
        if self.events.is_empty() {
            return;
        }
        Direction::before_events();
        let slots = reactor.slots.lock();
        // Those of many descriptors are cold, and can be fetched all at the same time.
        for event in &self.events {
            if let Some(watch) = slots.slab.get(split(event.token()).0) {
                prefetch(Arc::as_ptr(&watch.slot) as usize, size_of::<Slot>());
            }
        }
        for event in &self.events {
            if event.token() == WAKE {
                continue;
            }
            let (key, generation) = split(event.token());
            let Some(Watch { slot, .. }) = slots
                .slab
                .get(key)
                .filter(|watch| watch.generation == generation)
            else {
                continue;
            };
            let failed = event.is_error();
            if event.is_read_closed() || event.is_priority() || failed {
                slot.short_means_nothing.store(true, Ordering::Release);
            }
            if event.is_readable() || event.is_read_closed() || event.is_priority() || failed {
                slot.read.event(wake);
            }
            if event.is_writable() || event.is_write_closed() || failed {
                slot.write.event(wake);
            }
        }
    }
}

impl Reactor {
    /// Wakes the worker from its sleep.
    pub(crate) fn wake(&self) {
        let waker = self.open.lock().as_ref().map(|open| open.waker.clone());
        let Some(waker) = waker else { return };
        // Nobody would say it again: given up, the wake-up is lost, and whoever it was for waits for ever.
        for _ in 1..WAKE_ATTEMPTS {
            if waker.wake().is_ok() {
                return;
            }
            std::thread::yield_now();
        }
        if let Err(error) = waker.wake() {
            log::error!("cannot wake a worker: {error}");
        }
    }

    /// The worker ends: its descriptors are given back, and whoever waits for one of them, in a thread or in another
    /// runtime, is woken to register it elsewhere.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // A registration that came before this is found below, one that comes later fails.
        *self.open.lock() = None;
        Direction::before_events();
        let left: Vec<_> = {
            let slots = self.slots.lock();
            slots
                .slab
                .iter()
                .map(|(_, watch)| watch.slot.clone())
                .collect()
        };
        let mut wakers = Vec::new();
        for slot in left {
            slot.tell(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has the worker ended? What is registered here will hear no more events.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Registers `fd` for both directions.
    ///
    /// # Errors
    /// The kernel's: `EPERM` for a regular file, `EEXIST` if it is there already, `ENOSPC` at the limit of watches.
    pub(crate) fn register(&'static self, fd: RawFd) -> io::Result<Registration> {
        let slot = Arc::new(Slot::default());
        let (key, generation) = {
            let mut slots = self.slots.lock();
            slots.generation = slots.generation.wrapping_add(1) & GENERATION;
            let generation = slots.generation;
            let watch = Watch {
                generation,
                slot: slot.clone(),
                fd,
                since: cycles::now(),
            };
            (slots.slab.insert(watch), generation)
        };
        match self.watch(fd, join(key, generation)) {
            Ok(()) => Ok(Registration {
                reactor: self,
                watched: Watched::Descriptor {
                    key,
                    fd,
                    left: AtomicBool::new(false),
                },
                slot,
            }),
            Err(error) => {
                // It is not there, or is there for somebody else: only its slot is given back.
                self.slots.lock().slab.remove(key);
                Err(error)
            }
        }
    }

    /// Shows some of what is watched: number, nature, and when it was registered, in cycles. `from` is 0 at first and then what
    /// the previous call returned. The table is locked meanwhile, so none of them is closed.
    pub(crate) fn show(
        &self,
        from: usize,
        most: usize,
        show: &mut impl FnMut(RawFd, Nature, u64),
    ) -> Option<usize> {
        let slots = self.slots.lock();
        let end = from + most;
        for key in from..end.min(slots.slab.capacity()) {
            if let Some(watch) = slots.slab.get(key) {
                show(watch.fd, Nature::of(watch.fd), watch.since);
            }
        }
        (end < slots.slab.capacity()).then_some(end)
    }

    fn watch(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let open = self.open.lock();
        let open = open
            .as_ref()
            .ok_or_else(|| io::Error::other("the runtime has ended"))?;
        open.registry.register(&mut SourceFd(&fd), token, INTEREST)
    }
}

impl Registration {
    /// For a simulated socket: no poller knows it, but it lives as long as this one.
    pub(crate) fn simulated(
        reactor: &'static Reactor,
        by: Arc<dyn Simulated>,
        slot: Arc<Slot>,
    ) -> Self {
        Self {
            reactor,
            watched: Watched::Simulated(Box::new(by)),
            slot,
        }
    }

    pub(super) fn as_simulated(&self) -> Option<&dyn Simulated> {
        match &self.watched {
            Watched::Simulated(by) => Some(&***by),
            Watched::Descriptor { .. } => None,
        }
    }

    /// Its poller has gone.
    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.reactor.is_closed()
    }

    /// Takes the descriptor out of the poller, once; dropping does so too.
    pub(crate) fn leave(&self) {
        let Watched::Descriptor { key, fd, left } = &self.watched else {
            return;
        };
        if left.swap(true, Ordering::AcqRel) {
            return;
        }
        let slot = self.reactor.slots.lock().slab.remove(*key);
        drop(slot);
        if let Some(open) = self.reactor.open.lock().as_ref() {
            // It has gone by itself, if the descriptor was closed behind our back.
            let _ = open.registry.deregister(&mut SourceFd(fd));
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}

const GENERATION: u32 = 0x7fff_ffff;

/// A token holds the slot's key and the registration's generation; it is never [`WAKE`].
fn join(key: usize, generation: u32) -> Token {
    Token(key & 0xffff_ffff | (generation as usize) << 32)
}

fn split(token: Token) -> (usize, u32) {
    (token.0 & 0xffff_ffff, (token.0 >> 32) as u32)
}
