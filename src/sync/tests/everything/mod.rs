//! Random programs over all primitives at once, with timeouts, kills, shields and panics anywhere: what must hold of any
//! program afterwards.

mod afterwards;
mod crowds;
mod soak;

use super::harbour::Harbour;
use super::{Count, Random, naming};
use crate::net::{TcpListener, TcpStream};
use crate::sync::{
    Barrier, Condvar, Event, Fifo, InvertedSemaphore, LruCache, Mutex, Once, OnceLock, RateLimiter,
    RwLock, Semaphore, broadcast, channel, watch,
};
use crate::testing::{self, NetworkConfig, Simulation};
use crate::time::{IdleTimer, interval};
use crate::{
    JoinError, JoinHandle, catch_panic, registry, shield, sleep, spawn, with_timeout, yield_now,
};
use afterwards::{assert_conserved, assert_free, assert_settled};
use crowds::{Mailbox, crowd};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

const PERMITS: usize = 3;
const PARTIES: usize = 3;

/// One of each.
struct Ship {
    mutex: Mutex<u64>,
    rwlock: RwLock<u64>,
    condvar: Condvar,
    semaphore: Semaphore,
    inverted: Arc<InvertedSemaphore>,
    event: Event,
    barrier: Barrier,
    once: OnceLock<u64>,
    routine: Once,
    fifo: Fifo<u64>,
    limiter: RateLimiter,
    idle: IdleTimer,
    cache: LruCache<u64, u64>,
    sender: channel::Sender<u64>,
    receiver: channel::Receiver<u64>,
    /// Without room for any: who sends meets who receives. On the ferry both are arms of the same `select!`.
    boat: (channel::Sender<u64>, channel::Receiver<u64>),
    ferry: (channel::Sender<u64>, channel::Receiver<u64>),
    mailbox: Mailbox,
    /// One stream, from its first end to its second.
    line: (TcpStream, TcpStream),
    /// Where it is answered.
    harbour: SocketAddr,
    /// Whether it makes calls that truly block: what threads do does not come from the seed.
    unblocks: bool,
    news: broadcast::Sender<u64>,
    course: watch::Sender<u64>,
    /// Additions to what `mutex` and `rwlock` protect.
    added: (Count, Count),
    /// Messages put into the channels, the fifo and the mailbox, and taken out.
    sent: Count,
    received: Count,
    /// Bytes put into the line, and taken out.
    poured: Count,
    drunk: Count,
    /// The number of the latest news.
    published: Count,
    succeeded: Count,
    routines: Count,
    /// Calls of `RwLock::write` that have not returned.
    writers: Count,
}

impl Ship {
    fn new(random: &mut Random, harbour: SocketAddr) -> Self {
        let (sender, receiver) = channel::bounded(random.below(3) as usize);
        let slip = TcpListener::bind("localhost:0").unwrap();
        let first = TcpStream::connect(slip.local_addr().unwrap()).unwrap();
        let (second, _) = slip.accept().unwrap();
        Self {
            mutex: Mutex::new(0),
            rwlock: RwLock::new(0),
            condvar: Condvar::new(),
            semaphore: Semaphore::new(PERMITS),
            inverted: Arc::new(InvertedSemaphore::new(0)),
            event: Event::new(),
            barrier: Barrier::new(PARTIES),
            once: OnceLock::new(),
            routine: Once::new(),
            fifo: Fifo::new(),
            limiter: RateLimiter::new(1_000, Duration::from_millis(1)).with_burst(3),
            idle: IdleTimer::new(Duration::from_micros(300)),
            cache: LruCache::new(2),
            sender,
            receiver,
            boat: channel::bounded(0),
            ferry: channel::bounded(0),
            mailbox: Mailbox::default(),
            line: (first, second),
            harbour,
            unblocks: random.below(4) == 0,
            news: broadcast::channel(2).0,
            course: watch::channel(0).0,
            added: Default::default(),
            sent: Count::default(),
            received: Count::default(),
            poured: Count::default(),
            drunk: Count::default(),
            published: Count::default(),
            succeeded: Count::default(),
            routines: Count::default(),
            writers: Count::default(),
        }
    }
}

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(120))
}

/// Counts one in for as long as it lives, however that ends.
struct Inside<'a>(&'a Count);

impl<'a> Inside<'a> {
    fn new(count: &'a Count) -> Self {
        count.up();
        Self(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.down();
    }
}

/// The payload of a panic that belongs to the program.
struct Planned;

/// Whatever a coroutine may be in the middle of when it is interrupted.
fn pause(random: &mut Random) {
    match random.below(8) {
        0 => sleep(moment(random)),
        1 => yield_now(),
        2 => resume_unwind(Box::new(Planned)),
        _ => {}
    }
}

/// One random call, which may hold something while it does another.
fn step(ship: &Ship, random: &mut Random, depth: u32) {
    match random.below(36) {
        0 => {
            let mut value = ship.mutex.lock();
            inner(ship, random, depth);
            *value += 1;
            ship.added.0.up();
        }
        1 => {
            let mut value = {
                let _writer = Inside::new(&ship.writers);
                ship.rwlock.write()
            };
            inner(ship, random, depth);
            *value += 1;
            ship.added.1.up();
        }
        2 => {
            let before = ship.rwlock.read();
            pause(random);
            assert_eq!(*before, ship.added.1.get() as u64, "no writer is in");
        }
        3 => {
            let _permit = ship.semaphore.acquire_many(1 + random.below(3) as usize);
            inner(ship, random, depth);
        }
        4 => drop(ship.condvar.wait(ship.mutex.lock())),
        5 => {
            ship.condvar.notify_one();
        }
        6 => {
            let _hold = ship.inverted.acquire_owned();
            inner(ship, random, depth);
        }
        7 => ship.inverted.wait_zero(),
        8 => ship.event.wait(),
        9 => {
            ship.event.set();
            pause(random);
            ship.event.clear();
        }
        10 => drop(ship.barrier.wait().is_leader()),
        11 => {
            let init = || {
                pause(random);
                ship.succeeded.up() as u64
            };
            assert_eq!(*ship.once.get_or_init(init), 0, "it succeeds once");
        }
        12 => {
            // Counted before: whoever takes it may be faster than this.
            ship.sent.up();
            ship.fifo.push(1);
        }
        13 => {
            ship.fifo.pop();
            ship.received.up();
        }
        14 => (0..ship.fifo.pop_all().len()).for_each(|_| _ = ship.received.up()),
        15 => ship.limiter.acquire_many(1 + random.below(5) as u32),
        16 => drop(ship.idle.wait()),
        17 => match random.below(2) {
            0 => ship.idle.hurry(),
            _ => ship.idle.touch(),
        },
        18 => {
            let key = random.below(4);
            let load = |&key: &u64| {
                pause(random);
                if key == 3 { Err(key) } else { Ok(key) }
            };
            match ship.cache.get_or_load(key, load) {
                Ok(value) => assert_eq!(*value, key),
                Err(error) => assert_eq!((*error, key), (3, 3)),
            }
        }
        19 => {
            let pin = ship.cache.pin(&random.below(4));
            inner(ship, random, depth);
            drop(pin);
            ship.cache.remove(&random.below(4));
            if let Ok(_pinned) = ship.cache.insert_pinned(2, 2) {
                inner(ship, random, depth);
            }
        }
        20 => {
            if ship.sender.send(1).is_ok() {
                ship.sent.up();
            }
        }
        21 => {
            if ship.receiver.recv().is_ok() {
                ship.received.up();
            }
        }
        22 => hear(ship, random),
        23 => {
            // Nobody may listen.
            let _ = ship.news.send(ship.published.up() as u64);
            ship.course.update(|at| at + 1);
            interval(Duration::from_micros(50)).tick();
        }
        24 => {
            ship.routine.call_once(|| {
                pause(random);
                ship.routines.up();
            });
            assert_eq!(ship.routines.get(), 1);
        }
        _ => crowd(ship, random, depth),
    }
}

/// What is told to all comes to each in order, and the latest state is never older than one seen before.
fn hear(ship: &Ship, random: &mut Random) {
    let (mut news, mut course) = (ship.news.subscribe(), ship.course.subscribe());
    pause(random);
    if random.below(2) == 0 {
        let mut latest = None;
        for _ in 0..3 {
            match news.recv() {
                Ok(number) => assert!(latest.replace(number) < Some(number)),
                Err(error) => assert!(matches!(error, broadcast::RecvError::Lagged(_))),
            }
        }
    } else {
        let before = *course.latest();
        let after = course.changed().expect("the ship is there");
        assert!(*after >= before);
    }
}

/// Something else while the caller holds what it has; not too deep, so that the stack bears it.
fn inner(ship: &Ship, random: &mut Random, depth: u32) {
    pause(random);
    if depth < 3 && random.below(2) == 0 {
        let limit = moment(random);
        // A lock in a lock may wait for itself; so no step in a step goes without a limit.
        let _ = with_timeout(limit, || step(ship, random, depth + 1));
    }
}

fn sailor(ship: &Ship, steps: u64, random: &mut Random) {
    for _ in 0..steps {
        let limit = moment(random);
        let ended = catch_panic(|| match random.below(6) {
            0 => shield(|| with_timeout(limit, || step(ship, random, 0))),
            _ => with_timeout(limit, || step(ship, random, 0)),
        });
        if let Err(payload) = ended
            && !payload.is::<Planned>()
        {
            resume_unwind(payload);
        }
    }
}

#[test]
fn nothing_is_lost_held_or_waited_for_when_all_are_done() {
    for seed in 0..300 {
        voyage(seed, 10, 12);
    }
}

/// A program on a network of its own.
fn voyage(seed: u64, crew: u64, steps: u64) {
    let narrow = NetworkConfig::new().chop(true).buffer(64);
    let simulation = Simulation::new(seed).network(narrow);
    naming(seed, || simulation.run(move || program(seed, crew, steps)));
}

fn program(seed: u64, crew: u64, steps: u64) {
    let mut random = Random(seed);
    let harbour = Harbour::open();
    let ship = Arc::new(Ship::new(&mut random, harbour.address));
    let sailors: Vec<JoinHandle<()>> = (0..crew)
        .map(|number| {
            let ship = Arc::clone(&ship);
            let mut random = Random(seed << 8 | number);
            spawn(move || sailor(&ship, steps, &mut random))
        })
        .collect();
    let watched = Arc::clone(&ship);
    let watchman = spawn(move || {
        loop {
            assert_settled(&watched);
            sleep(Duration::from_micros(1));
        }
    });
    for _ in 0..crew / 2 {
        sleep(moment(&mut random));
        sailors[random.below(crew) as usize].interrupt();
    }
    for one in sailors {
        // Killed or not is chance; a panic that nobody planned is not.
        if let Err(JoinError::Panicked(payload)) = one.join() {
            resume_unwind(payload);
        }
    }
    watchman.interrupt();
    match watchman.join() {
        Err(JoinError::Interrupted) => {}
        Err(JoinError::Panicked(payload)) => resume_unwind(payload),
        ended => panic!("{ended:?}"),
    }
    harbour.close();
    testing::assert_no_leaks();
    assert_eq!(registry::coroutines().len(), 1, "only this one");
    assert_free(&ship);
    assert_conserved(&ship);
}
