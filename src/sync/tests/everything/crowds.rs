//! Steps that take several things, several coroutines, or other ways to wait.

use super::{Inside, Planned, Ship, inner, moment, pause, step};
use crate::net::TcpStream;
use crate::sync::broadcast::RecvError;
use crate::sync::tests::{Count, Random};
use crate::{
    JoinError, JoinHandle, block_on, futures, in_parallel, join_all, registry, scope, select,
    sleep, spawn, time, unblock, with_timeout,
};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::panic::resume_unwind;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Messages for futures: whoever awaits one leaves its waker.
#[derive(Default)]
pub(super) struct Mailbox(parking_lot::Mutex<(VecDeque<u64>, Vec<Waker>)>);

impl Mailbox {
    fn put(&self, message: u64) {
        let wakers = {
            let mut place = self.0.lock();
            place.0.push_back(message);
            std::mem::take(&mut place.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn take(&self) -> impl Future<Output = u64> + '_ {
        poll_fn(|context| {
            let mut place = self.0.lock();
            match place.0.pop_front() {
                Some(message) => Poll::Ready(message),
                None => {
                    place.1.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    pub(super) fn left(&self) -> usize {
        self.0.lock().0.len()
    }
}

/// A coroutine that does not outlive its handle by much.
struct Leashed(JoinHandle<()>);

impl Drop for Leashed {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// Nobody is left inside when this is dropped, however that comes.
struct Empty<'a>(&'a Count);

impl Drop for Empty<'_> {
    fn drop(&mut self) {
        assert_eq!(self.0.get(), 0, "children have outlived their scope");
    }
}

fn split(random: &mut Random) -> Random {
    Random(random.below(u64::MAX))
}

/// What a coroutine of the program may end with.
fn accept(error: JoinError) {
    if let JoinError::Panicked(payload) = error
        && !payload.is::<Planned>()
    {
        resume_unwind(payload);
    }
}

/// One random call of those.
pub(super) fn crowd(ship: &Ship, random: &mut Random, depth: u32) {
    match random.below(11) {
        0 if depth < 3 => children(ship, random, depth),
        1 if depth < 3 => side_by_side(ship, random, depth),
        2 => first_of_several(ship, random),
        3 => one_rendezvous_of_two(ship, random),
        4 => none_or_one(ship, random),
        5 => future(ship, random),
        6 => blocking(ship, random),
        7 => talk(ship, random),
        8 => pour(ship, random),
        9 if depth < 3 => limits_in_limits(ship, random, depth),
        10 => kill(random),
        _ => pause(random),
    }
}

fn children(ship: &Ship, random: &mut Random, depth: u32) {
    let alive = Count::default();
    let _empty = Empty(&alive);
    scope(|s| {
        for _ in 0..=random.below(3) {
            let (mut theirs, alive) = (split(random), &alive);
            let child = s.spawn(move || {
                let _inside = Inside::new(alive);
                step(ship, &mut theirs, depth + 1);
            });
            match random.below(4) {
                0 => child.interrupt(),
                // If it panicked, that is the scope's end.
                1 => drop(child.join()),
                _ => {}
            }
        }
        inner(ship, random, depth);
    });
}

fn side_by_side(ship: &Ship, random: &mut Random, depth: u32) {
    let closures: Vec<_> = (0..=random.below(3))
        .map(|number| {
            let mut theirs = split(random);
            move || {
                step(ship, &mut theirs, depth + 1);
                number
            }
        })
        .collect();
    let count = closures.len();
    let results = match random.below(2) {
        0 => join_all(closures),
        _ => match in_parallel(closures) {
            Ok(values) => values.into_iter().map(Ok).collect(),
            Err(error) => error.results,
        },
    };
    assert_eq!(results.len(), count);
    for (number, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert_eq!(value, number, "in their order"),
            Err(error) => accept(error),
        }
    }
}

fn first_of_several(ship: &Ship, random: &mut Random) {
    let (limit, nap) = (moment(random), moment(random));
    match random.below(4) {
        0 => select! {
            recv(ship.receiver) -> message => if message.is_ok() { ship.received.up(); },
            recv(ship.boat.1) -> message => if message.is_ok() { ship.received.up(); },
            after(limit) => {}
        },
        1 => {
            let child = Leashed(spawn(move || sleep(nap)));
            select! {
                send(ship.sender, 1) -> sent => if sent.is_ok() { ship.sent.up(); },
                send(ship.boat.0, 1) -> sent => if sent.is_ok() { ship.sent.up(); },
                join(child.0) -> ended => ended.expect("nobody else can interrupt it"),
            }
        }
        2 => {
            let (mut news, mut course) = (ship.news.subscribe(), ship.course.subscribe());
            select! {
                recv(news) -> heard => assert_ne!(heard, Err(RecvError::Disconnected)),
                changed(course) -> seen => _ = seen.expect("the ship is there"),
                after(limit) => {}
            }
        }
        _ => select! {
            recv(ship.boat.1) -> message => if message.is_ok() { ship.received.up(); },
            send(ship.sender, 1) -> sent => if sent.is_ok() { ship.sent.up(); },
            readable(ship.line.1) -> ready => match ready {
                Ok(()) => drink(ship),
                // Somebody else waits for it.
                Err(_) => pause(random),
            },
            at(time::now() + limit) => {}
        },
    }
}

/// Both sides of the same rendezvous: nobody meets itself there.
fn one_rendezvous_of_two(ship: &Ship, random: &mut Random) {
    let limit = moment(random);
    let met = select! {
        send(ship.ferry.0, 1) -> sent => sent.is_ok() && { ship.sent.up(); true },
        recv(ship.ferry.1) -> got => got.is_ok() && { ship.received.up(); true },
        after(limit) => true,
    };
    assert!(met, "neither side is gone");
}

fn none_or_one(ship: &Ship, random: &mut Random) {
    select! {
        recv(ship.boat.1) -> message => if message.is_ok() { ship.received.up(); },
        send(ship.sender, 1) -> sent => if sent.is_ok() { ship.sent.up(); },
        writable(ship.line.0) -> _ => pause(random),
        default => pause(random),
    }
}

fn future(ship: &Ship, random: &mut Random) {
    match random.below(3) {
        0 => {
            ship.sent.up();
            ship.mailbox.put(1);
        }
        1 => {
            block_on(ship.mailbox.take());
            ship.received.up();
        }
        _ => block_on(async {
            futures::sleep(moment(random)).await;
            pause(random);
        }),
    }
}

fn blocking(ship: &Ship, random: &mut Random) {
    if !ship.unblocks {
        return pause(random);
    }
    let number = random.below(4);
    let called = unblock(move || match number {
        0 => resume_unwind(Box::new(Planned)),
        number => number + 1,
    });
    assert_eq!(called.expect("it does not unwind"), number + 1);
}

/// With the harbour, which sends back what it hears.
fn talk(ship: &Ship, random: &mut Random) {
    let stream = TcpStream::connect(ship.harbour).expect("it is open");
    pause(random);
    let words = vec![random.below(256) as u8; 1 + random.below(100) as usize];
    (&stream).write_all(&words).expect("it listens");
    pause(random);
    let mut echo = vec![0; words.len()];
    (&stream).read_exact(&mut echo).expect("it answers");
    assert_eq!(echo, words);
}

/// Into the line or out of it, whose ends belong to all.
fn pour(ship: &Ship, random: &mut Random) {
    match random.below(2) {
        0 => {
            let drops = vec![1; 1 + random.below(100) as usize];
            let count = (&ship.line.0).write(&drops).expect("it is whole");
            (0..count).for_each(|_| _ = ship.poured.up());
        }
        _ => drink(ship),
    }
}

fn drink(ship: &Ship) {
    let mut cup = [0; 50];
    let count = (&ship.line.1).read(&mut cup).expect("it is whole");
    assert_ne!(count, 0, "nobody has closed it");
    (0..count).for_each(|_| _ = ship.drunk.up());
}

/// The earliest wins, wherever it is.
fn limits_in_limits(ship: &Ship, random: &mut Random, depth: u32) {
    let (short, long) = (moment(random), Duration::from_millis(1));
    match random.below(2) {
        0 => {
            let ended = with_timeout(short, || {
                with_timeout(short + long, || step(ship, random, depth + 1))
            });
            assert!(!matches!(ended, Ok(Err(_))), "the inner had time left");
        }
        _ => {
            let ended = with_timeout(short + long, || {
                with_timeout(short, || step(ship, random, depth + 1))
            });
            assert!(ended.is_ok(), "the outer had time left");
        }
    }
}

/// Somebody's child, which may be the caller.
fn kill(random: &mut Random) {
    let mut victims = registry::coroutines();
    victims.retain(|it| it.scoped);
    if !victims.is_empty() {
        let victim = &victims[random.below(victims.len() as u64) as usize];
        registry::interrupt(victim.id);
    }
}
