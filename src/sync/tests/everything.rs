//! Random programs over all primitives at once, with timeouts, kills, shields and panics anywhere: what must hold of any
//! program afterwards.

use super::{Count, Random, for_each_seed, with_seed};
use crate::sync::{
    Barrier, Condvar, Event, Fifo, InvertedSemaphore, LruCache, Mutex, OnceLock, RateLimiter,
    RwLock, Semaphore, broadcast, channel, watch,
};
use crate::time::{IdleTimer, interval};
use crate::{
    JoinError, JoinHandle, catch_panic, registry, shield, sleep, spawn, with_timeout, yield_now,
};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
    fifo: Fifo<u64>,
    limiter: RateLimiter,
    idle: IdleTimer,
    cache: LruCache<u64, u64>,
    sender: channel::Sender<u64>,
    receiver: channel::Receiver<u64>,
    news: broadcast::Sender<u64>,
    course: watch::Sender<u64>,
    /// Additions to what `mutex` and `rwlock` protect.
    added: (Count, Count),
    /// Messages put into the channel and the fifo, and taken out.
    sent: Count,
    received: Count,
    succeeded: Count,
    /// Calls of `RwLock::write` that have not returned.
    writers: Count,
}

impl Ship {
    fn new(random: &mut Random) -> Self {
        let (sender, receiver) = channel::bounded(random.below(3) as usize);
        Self {
            mutex: Mutex::new(0),
            rwlock: RwLock::new(0),
            condvar: Condvar::new(),
            semaphore: Semaphore::new(PERMITS),
            inverted: Arc::new(InvertedSemaphore::new(0)),
            event: Event::new(),
            barrier: Barrier::new(PARTIES),
            once: OnceLock::new(),
            fifo: Fifo::new(),
            limiter: RateLimiter::new(1_000, Duration::from_millis(1)).with_burst(3),
            idle: IdleTimer::new(Duration::from_micros(300)),
            cache: LruCache::new(2),
            sender,
            receiver,
            news: broadcast::channel(2).0,
            course: watch::channel(0).0,
            added: Default::default(),
            sent: Count::default(),
            received: Count::default(),
            succeeded: Count::default(),
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
    match random.below(24) {
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
        22 => {
            let (mut news, mut course) = (ship.news.subscribe(), ship.course.subscribe());
            pause(random);
            match random.below(2) {
                0 => drop(news.recv()),
                _ => drop(course.changed()),
            }
        }
        _ => {
            // Nobody may listen.
            let _ = ship.news.send(1);
            ship.course.update(|at| at + 1);
            interval(Duration::from_micros(50)).tick();
        }
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
    for_each_seed(|seed| program(seed, 10, 12));
}

/// `cargo xtask soak`: larger programs, one after the other in as many threads as there are processors, for as many seconds
/// as `GRAPESHOT_SOAK_SECONDS` says, from the seed `GRAPESHOT_SOAK_SEED` on.
#[test]
#[ignore = "`cargo xtask soak` runs it, for as long as one wishes"]
fn soak() {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seconds = number("GRAPESHOT_SOAK_SECONDS").unwrap_or(10);
    let seeds = AtomicU64::new(number("GRAPESHOT_SOAK_SEED").unwrap_or(1_000));
    let first = seeds.load(Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while Instant::now() < end {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    let mut random = Random(seed);
                    let (crew, steps) = (2 + random.below(30), 1 + random.below(60));
                    with_seed(seed, move || program(seed, crew, steps));
                }
            });
        }
    });
    let programs = seeds.load(Ordering::Relaxed) - first;
    assert!(programs > 0, "there was time for none");
    println!("{programs} programs ran well");
}

fn program(seed: u64, crew: u64, steps: u64) {
    let mut random = Random(seed);
    let ship = Arc::new(Ship::new(&mut random));
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
    assert!(matches!(watchman.join(), Err(JoinError::Interrupted)));
    assert_eq!(registry::coroutines().len(), 1, "only this one");
    assert_free(&ship);
    assert_conserved(&ship);
}

/// At any moment nobody waits for what is there.
fn assert_settled(ship: &Ship) {
    let waits_in_vain = [
        !ship.mutex.is_locked() && ship.mutex.statistics().waiting > 0,
        {
            let rwlock = ship.rwlock.statistics();
            // Readers wait for none but writers.
            let for_none = rwlock.readers == 0 || ship.writers.get() == 0;
            !rwlock.writer && for_none && rwlock.wait.waiting > 0
        },
        ship.semaphore.available() == PERMITS && ship.semaphore.statistics().wait.waiting > 0,
        ship.inverted.count() == 0 && ship.inverted.statistics().wait.waiting > 0,
        ship.event.is_set() && ship.event.statistics().waiting > 0,
        ship.barrier.statistics().arrived == PARTIES,
        {
            let once = ship.once.statistics();
            (once.done || !once.running) && once.wait.waiting > 0
        },
        !ship.fifo.is_empty() && ship.fifo.statistics().wait.waiting > 0,
        {
            let channel = ship.receiver.statistics();
            let full = Some(channel.len) == channel.capacity;
            (channel.len > 0 || channel.send.waiting > 0) && channel.recv.waiting > 0
                || !full && channel.send.waiting > 0
        },
        {
            let cache = ship.cache.statistics();
            cache.loading == 0 && cache.waiting > 0
        },
    ];
    assert!(waits_in_vain.iter().all(|&vain| !vain), "{waits_in_vain:?}");
}

fn assert_free(ship: &Ship) {
    assert!(ship.mutex.try_lock().is_some());
    assert!(ship.rwlock.try_write().is_some());
    assert_eq!(ship.semaphore.available(), PERMITS);
    assert_eq!(ship.inverted.count(), 0);
    assert_eq!(ship.barrier.statistics().arrived, 0);
    assert_eq!(ship.cache.statistics().pinned, 0);
    assert_eq!(ship.cache.statistics().loading, 0);
    assert!(!ship.once.statistics().running);
    let channel = ship.receiver.statistics();
    let waiting = [
        ship.mutex.statistics().waiting,
        ship.rwlock.statistics().wait.waiting,
        ship.condvar.statistics().waiting,
        ship.semaphore.statistics().wait.waiting,
        ship.inverted.statistics().wait.waiting,
        ship.event.statistics().waiting,
        ship.barrier.statistics().wait.waiting,
        ship.once.statistics().wait.waiting,
        ship.fifo.statistics().wait.waiting,
        ship.limiter.statistics().wait.waiting,
        ship.idle.statistics().waiting,
        ship.cache.statistics().waiting,
        channel.send.waiting,
        channel.recv.waiting,
        ship.news.statistics().recv.waiting,
        ship.course.statistics().wait.waiting,
    ];
    assert!(waiting.iter().all(|&waiting| waiting == 0), "{waiting:?}");
    assert_eq!(ship.news.statistics().receivers, 0);
    assert_eq!(ship.course.statistics().receivers, 0);
}

fn assert_conserved(ship: &Ship) {
    assert_eq!(*ship.mutex.try_lock().unwrap(), ship.added.0.get() as u64);
    assert_eq!(*ship.rwlock.try_read().unwrap(), ship.added.1.get() as u64);
    assert_eq!(ship.succeeded.get(), usize::from(ship.once.get().is_some()));
    let left = ship.fifo.try_pop_all().len() + ship.receiver.try_iter().count();
    assert_eq!(ship.sent.get(), ship.received.get() + left);
}
