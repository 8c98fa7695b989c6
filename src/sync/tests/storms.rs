//! Interrupts that storm at random points of random programs. No call in them has a limit that could hide a lost wake: a
//! program ends because every wake arrives, or it is reported as stuck. What is in hand when the storm strikes is told of by a
//! destructor, so that every message is accounted for.

use super::harbour::Harbour;
use super::{Count, Random, naming};
use crate::net::TcpStream;
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Condvar, Mutex, RwLock, Semaphore};
use crate::testing::{self, NetworkConfig, Simulation};
use crate::{
    JoinError, JoinHandle, block_on, catch_panic, in_parallel, registry, scope, select, sleep,
    spawn, with_timeout, yield_now,
};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

const SEEDS: u64 = 200;
const MESSAGES: u64 = 8;
/// Of each kind; the first of each is spared.
const CREW: u64 = 4;
const STROKES: u64 = 40;
const BUNKS: usize = 3;

/// A channel with room and one without: a message may take either.
struct Leg {
    senders: [Sender<u64>; 2],
    receivers: [Receiver<u64>; 2],
}

impl Leg {
    fn new(random: &mut Random) -> Self {
        let (to, from) = channel::bounded(1 + random.below(3) as usize);
        let (hand_over, take_over) = channel::bounded(0);
        Self {
            senders: [to, hand_over],
            receivers: [from, take_over],
        }
    }
}

/// What all share. Whoever holds one of the locks takes only those below it.
struct Fleet {
    helm: Mutex<u64>,
    chart: RwLock<u64>,
    bunks: Semaphore,
    desk: Desk,
    harbour: SocketAddr,
    sent: Count,
    arrived: Count,
    dropped: Count,
}

/// Serves whoever comes, in the order of their numbers.
#[derive(Default)]
struct Desk {
    numbers: Mutex<(u64, u64)>,
    called: Condvar,
    served: Condvar,
    closed: AtomicBool,
}

impl Desk {
    fn visit(&self) {
        let mut numbers = self.numbers.lock();
        numbers.0 += 1;
        let mine = numbers.0;
        self.called.notify_one();
        drop(self.served.wait_while(numbers, |it| it.1 < mine));
    }

    fn serve(&self) {
        let mut numbers = self.numbers.lock();
        loop {
            let nobody = |it: &mut (u64, u64)| it.0 == it.1 && !self.closed.load(Ordering::SeqCst);
            numbers = self.called.wait_while(numbers, nobody);
            if numbers.0 == numbers.1 {
                return;
            }
            numbers.1 += 1;
            self.served.notify_all();
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.called.notify_all();
    }
}

/// A message that somebody has taken and not passed on yet.
struct InHand<'a> {
    fleet: &'a Fleet,
    passed: bool,
}

impl<'a> InHand<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        Self {
            fleet,
            passed: false,
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if !self.passed {
            self.fleet.dropped.up();
        }
    }
}

/// The payload of a panic that belongs to the program.
struct Planned;

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(100))
}

fn split(random: &mut Random) -> Random {
    Random(random.below(u64::MAX))
}

/// Takes locks from `level` on, or what is below all of them, and ends by itself.
fn duty(fleet: &Fleet, random: &mut Random, level: u64, depth: u32) {
    let deeper = depth < 3;
    match level.max(random.below(12)) {
        0 => {
            let mut turns = fleet.helm.lock();
            duty(fleet, random, 1, depth);
            *turns += 1;
        }
        1 => {
            let mut drawn = fleet.chart.write();
            duty(fleet, random, 3, depth);
            *drawn += 1;
        }
        2 => {
            let drawn = fleet.chart.read();
            let before = *drawn;
            duty(fleet, random, 3, depth);
            assert_eq!(*drawn, before);
        }
        3 => {
            let _bunk = fleet
                .bunks
                .acquire_many(1 + random.below(BUNKS as u64) as usize);
            duty(fleet, random, 4, depth);
        }
        4 => fleet.desk.visit(),
        5 => promised(random),
        6 => talk(fleet, random),
        7 => first_to_end(random),
        8 if deeper => scope(|s| {
            for _ in 0..=random.below(3) {
                let mut theirs = split(random);
                s.spawn(move || duty(fleet, &mut theirs, level, depth + 1));
            }
            yield_now();
        }),
        9 if deeper => side_by_side(fleet, random, level, depth),
        10 => resume_unwind(Box::new(Planned)),
        _ => sleep(moment(random)),
    }
}

/// A future that another coroutine completes.
fn promised(random: &mut Random) {
    let promise = Arc::new(parking_lot::Mutex::new((false, None::<Waker>)));
    let (theirs, nap) = (Arc::clone(&promise), moment(random));
    let keeper = spawn(move || {
        sleep(nap);
        let waker = {
            let mut place = theirs.lock();
            place.0 = true;
            place.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    block_on(poll_fn(|context| {
        let mut place = promise.lock();
        if place.0 {
            return Poll::Ready(());
        }
        place.1 = Some(context.waker().clone());
        Poll::Pending
    }));
    keeper.join().expect("nobody interrupts it");
}

/// Says something to the harbour, which says it again.
fn talk(fleet: &Fleet, random: &mut Random) {
    /// Tells the harbour that this was all, even if the storm struck halfway, or before a word was said.
    struct Over<'a>(&'a TcpStream);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.shutdown(Shutdown::Write).expect("it is open");
        }
    }
    let stream = TcpStream::connect(fleet.harbour).expect("it is open");
    let words = vec![random.below(256) as u8; 1 + random.below(200) as usize];
    let all = &words;
    scope(|s| {
        let over = Over(&stream);
        let writer = s.spawn(move || {
            let mut mouth = over.0;
            mouth.write_all(all).expect("it listens");
            drop(over);
        });
        select! {
            readable(stream) -> ready => ready.expect("nobody else reads"),
        }
        let mut echo = Vec::new();
        let mut ear = &stream;
        ear.read_to_end(&mut echo).expect("it answers");
        assert!(words.starts_with(&echo));
        if writer.join().is_ok() {
            assert_eq!(echo.len(), words.len());
        }
    });
}

fn first_to_end(random: &mut Random) {
    let naps = [moment(random), moment(random)];
    let [one, other] = naps.map(|nap| spawn(move || sleep(nap)));
    select! {
        join(one) -> ended => {
            ended.expect("nobody interrupts it");
            other.join().expect("nor this");
        }
        join(other) -> ended => {
            ended.expect("nobody interrupts it");
            one.join().expect("nor this");
        }
    }
}

fn side_by_side(fleet: &Fleet, random: &mut Random, level: u64, depth: u32) {
    let duties = (0..=random.below(3)).map(|_| {
        let mut theirs = split(random);
        move || duty(fleet, &mut theirs, level, depth + 1)
    });
    if let Err(error) = in_parallel(duties) {
        for result in error.results {
            accept(result);
        }
    }
}

/// Struck or not is chance; a panic that nobody planned is not.
fn accept(result: Result<(), JoinError>) {
    if let Err(JoinError::Panicked(payload)) = result
        && !payload.is::<Planned>()
    {
        resume_unwind(payload);
    }
}

/// A duty, sometimes given up halfway.
fn work(fleet: &Fleet, random: &mut Random) {
    let limit = moment(random);
    let ended = catch_panic(|| match random.below(3) {
        // Elapsed or not is chance.
        0 => drop(with_timeout(limit, || duty(fleet, random, 0, 0))),
        _ => duty(fleet, random, 0, 0),
    });
    accept(ended.map_err(JoinError::Panicked));
}

fn pass(mut hand: InHand<'_>, to: &[Sender<u64>; 2]) {
    let sent = select! {
        send(to[0], 1) -> sent => sent,
        send(to[1], 1) -> sent => sent,
    };
    hand.passed = true;
    sent.expect("one who takes it is spared");
}

fn take<'a>(fleet: &'a Fleet, [room, hand]: &[Receiver<u64>; 2]) -> Option<InHand<'a>> {
    let (message, other) = select! {
        recv(room) -> message => (message, hand),
        recv(hand) -> message => (message, room),
    };
    // Of those who send, each may use either way: when one way is at its end, the other may not be empty yet.
    message.or_else(|_| other.recv()).ok()?;
    Some(InHand::new(fleet))
}

fn produce(fleet: &Fleet, random: &mut Random, to: &[Sender<u64>; 2]) {
    for _ in 0..MESSAGES {
        fleet.sent.up();
        let hand = InHand::new(fleet);
        if random.below(2) == 0 {
            work(fleet, random);
        }
        pass(hand, to);
    }
}

fn relay(fleet: &Fleet, random: &mut Random, from: &[Receiver<u64>; 2], to: &[Sender<u64>; 2]) {
    while let Some(hand) = take(fleet, from) {
        work(fleet, random);
        pass(hand, to);
    }
}

fn consume(fleet: &Fleet, random: &mut Random, from: &[Receiver<u64>; 2]) {
    while let Some(mut hand) = take(fleet, from) {
        hand.passed = true;
        fleet.arrived.up();
        work(fleet, random);
    }
}

/// Strikes at those who are not spared, and at anybody's children.
fn storm(crew: &[JoinHandle<()>], random: &mut Random) {
    for _ in 0..STROKES {
        sleep(moment(random));
        let number = random.below(crew.len() as u64);
        if random.below(4) == 0 && !number.is_multiple_of(CREW) {
            crew[number as usize].interrupt();
            continue;
        }
        let mut children = registry::coroutines();
        children.retain(|it| it.scoped);
        if !children.is_empty() {
            registry::interrupt(children[random.below(children.len() as u64) as usize].id);
        }
    }
}

#[test]
fn interrupts_storming_at_random_points_lose_no_wake_and_leak_no_coroutine() {
    for seed in 0..SEEDS {
        weather(seed);
    }
}

/// A program on a network of its own.
pub(super) fn weather(seed: u64) {
    let narrow = NetworkConfig::new().chop(true).buffer(64);
    let simulation = Simulation::new(seed).network(narrow);
    naming(seed, || simulation.run(move || program(seed)));
}

fn program(seed: u64) {
    let mut random = Random(seed);
    let harbour = Harbour::open();
    let fleet = Arc::new(Fleet {
        helm: Mutex::new(0),
        chart: RwLock::new(0),
        bunks: Semaphore::new(BUNKS),
        desk: Desk::default(),
        harbour: harbour.address,
        sent: Count::default(),
        arrived: Count::default(),
        dropped: Count::default(),
    });
    let desk = {
        let fleet = Arc::clone(&fleet);
        spawn(move || fleet.desk.serve())
    };
    let legs = [Leg::new(&mut random), Leg::new(&mut random)];
    let mut crew = Vec::new();
    for number in 0..3 * CREW {
        let (fleet, mut random) = (Arc::clone(&fleet), Random(seed << 8 | number));
        let to = legs.each_ref().map(|leg| leg.senders.clone());
        let from = legs.each_ref().map(|leg| leg.receivers.clone());
        let ([first, second], [taken, delivered]) = (to, from);
        crew.push(match number / CREW {
            0 => spawn(move || produce(&fleet, &mut random, &first)),
            1 => spawn(move || relay(&fleet, &mut random, &taken, &second)),
            _ => spawn(move || consume(&fleet, &mut random, &delivered)),
        });
    }
    let legs = legs.map(|leg| {
        drop(leg.senders);
        leg.receivers
    });
    storm(&crew, &mut random);
    for sailor in crew {
        accept(sailor.join());
    }
    fleet.desk.close();
    desk.join().expect("nobody interrupts it");
    harbour.close();
    testing::assert_no_leaks();
    assert_eq!(registry::coroutines().len(), 1, "only this one");
    assert_calm(&fleet, &legs);
}

fn assert_calm(fleet: &Fleet, legs: &[[Receiver<u64>; 2]; 2]) {
    assert!(fleet.helm.try_lock().is_some());
    assert!(fleet.chart.try_write().is_some());
    assert_eq!(fleet.bunks.available(), BUNKS);
    let channels = legs.iter().flatten().map(Receiver::statistics);
    let in_line: usize = channels.map(|it| it.send.waiting + it.recv.waiting).sum();
    let waiting = [
        in_line,
        fleet.helm.statistics().waiting,
        fleet.chart.statistics().wait.waiting,
        fleet.bunks.statistics().wait.waiting,
        fleet.desk.called.statistics().waiting,
        fleet.desk.served.statistics().waiting,
        fleet.desk.numbers.statistics().waiting,
    ];
    assert_eq!(waiting, [0; 7]);
    let left = legs.iter().flatten().map(|it| it.try_iter().count());
    assert_eq!(left.sum::<usize>(), 0, "one who takes them is spared");
    assert_eq!(fleet.sent.get(), fleet.arrived.get() + fleet.dropped.get());
    assert!(fleet.arrived.get() > 0);
}
