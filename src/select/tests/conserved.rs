//! One arm is done, and the others keep what they have.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{MS, simulate};
use crate::net::UnixStream;
use crate::sync::channel;
use crate::{select, spawn, with_timeout, yield_now};

/// What each arm has before and after, when all of them are ready.
#[test]
fn of_many_that_are_ready_one_is_done_and_nothing_is_taken_from_the_others() {
    simulate(|_| {
        let mut chosen = BTreeSet::new();
        while chosen.len() < 6 {
            chosen.insert(one_of_six());
        }
    });
}

fn one_of_six() -> usize {
    let (to_one, one) = channel::bounded(1);
    to_one.send(1).unwrap();
    // Its sender waits, with the message.
    let (to_two, two) = channel::bounded(0);
    let sender = spawn(move || to_two.send(2));
    let (room, held) = channel::bounded(1);
    // Its receiver waits.
    let (meet, met) = channel::bounded(0);
    let receiver = spawn(move || met.recv());
    let child = spawn(|| 5);
    let (mut near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"6").unwrap();
    while !child.is_finished()
        || two.statistics().send.waiting == 0
        || meet.statistics().recv.waiting == 0
    {
        yield_now();
    }
    let chosen = select! {
        recv(one) -> message => message.unwrap(),
        recv(two) -> message => message.unwrap(),
        send(room, 3) -> sent => { sent.unwrap(); 3 }
        send(meet, 4) -> sent => { sent.unwrap(); 4 }
        join(child) -> ended => ended.unwrap(),
        readable(near) -> ready => { ready.unwrap(); 6 }
    };
    assert_eq!(one.try_iter().count(), usize::from(chosen != 1));
    assert_eq!(two.try_iter().count(), usize::from(chosen != 2));
    assert_eq!(sender.join().unwrap(), Ok(()));
    assert_eq!(held.try_iter().count(), usize::from(chosen == 3));
    drop(meet);
    assert_eq!(receiver.join().unwrap().is_ok(), chosen == 4);
    if chosen != 5 {
        assert_eq!(child.join().unwrap(), 5);
    }
    // To be readable is not to be read.
    near.read_exact(&mut [0]).unwrap();
    chosen
}

/// Random programs: senders and receivers over a few channels of all kinds, by `select!` and by plain calls, with
/// timeouts at random moments. Every message that was sent is received once, or is still there.
#[test]
fn messages_are_conserved() {
    simulate(|seed| {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let channels: Vec<_> = (0..3)
            .map(|_| match random(3) {
                0 => channel::bounded::<usize>(0),
                1 => channel::bounded(1 + random(3) as usize),
                _ => channel::unbounded(),
            })
            .collect();
        let next = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..6)
            .map(|_| {
                let channels = channels.clone();
                let next = next.clone();
                let plan: Vec<_> = (0..20).map(|_| (random(6), random(3), random(5))).collect();
                spawn(move || {
                    let (mut sent, mut received) = (BTreeSet::new(), BTreeSet::new());
                    for (what, first, patience) in plan {
                        let one = &channels[first as usize];
                        let two = &channels[(first as usize + 1) % 3];
                        let number = next.fetch_add(2, Ordering::Relaxed);
                        let patience = patience as u32 * MS;
                        // Whether a step was taken is decided in it, so that an interrupt cannot come between.
                        let _elapsed = with_timeout(patience, || match what {
                            0 => select! {
                                recv(one.1) -> message => _ = received.insert(message.unwrap()),
                                recv(two.1) -> message => _ = received.insert(message.unwrap()),
                            },
                            1 => select! {
                                send(one.0, number) -> done => { done.unwrap(); sent.insert(number); }
                                recv(two.1) -> message => _ = received.insert(message.unwrap()),
                            },
                            2 => select! {
                                send(one.0, number) -> done => { done.unwrap(); sent.insert(number); }
                                send(two.0, number + 1) -> done => { done.unwrap(); sent.insert(number + 1); }
                                after(MS) => (),
                            },
                            3 => {
                                one.0.send(number).unwrap();
                                sent.insert(number);
                            }
                            4 => _ = received.insert(one.1.recv().unwrap()),
                            _ => select! {
                                recv(one.1) -> message => _ = received.insert(message.unwrap()),
                                default => yield_now(),
                            },
                        });
                    }
                    (sent, received)
                })
            })
            .collect();
        let (mut sent, mut received) = (BTreeSet::new(), BTreeSet::new());
        let mut count = 0;
        for worker in workers {
            let (theirs, got) = worker.join().unwrap();
            count += got.len();
            sent.extend(theirs);
            received.extend(got);
        }
        for (_, from) in &channels {
            for message in from.try_iter() {
                count += 1;
                received.insert(message);
            }
            let waits = from.statistics();
            assert_eq!(waits.recv.waiting + waits.send.waiting, 0);
        }
        assert_eq!(count, received.len(), "one was received twice");
        assert_eq!(sent, received);
    });
}
