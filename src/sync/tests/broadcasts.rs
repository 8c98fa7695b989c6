//! Broadcast channels.

use super::crew::{Crew, WAITERS};
use super::{Count, Random, for_each_seed, yield_until};
use crate::sync::broadcast::{self, RecvError, SendError, TryRecvError};
use crate::{JoinError, sleep, spawn, with_timeout};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn everybody_gets_everything_in_order() {
    for_each_seed(|_| {
        let (sender, receiver) = broadcast::channel(20);
        let mut crew = Vec::new();
        for _ in 0..3 {
            let mut receiver = receiver.clone();
            crew.push(spawn(move || {
                std::iter::from_fn(|| receiver.recv().ok()).collect::<Vec<_>>()
            }));
        }
        drop(receiver);
        for number in 0..20 {
            assert_eq!(sender.send(number), Ok(3));
            crate::yield_now();
        }
        drop(sender);
        for sailor in crew {
            assert_eq!(sailor.join().unwrap(), (0..20).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_slow_receiver_learns_how_many_it_missed() {
    let (sender, mut slow) = broadcast::channel(3);
    let mut fast = sender.subscribe();
    for number in 0..8 {
        sender.send(number).unwrap();
        assert_eq!(fast.try_recv(), Ok(number));
    }
    assert_eq!((slow.len(), fast.len()), (3, 0));
    assert_eq!(slow.recv(), Err(RecvError::Lagged(5)));
    assert_eq!(slow.recv(), Ok(5));
    sender.send(8).unwrap();
    sender.send(9).unwrap();
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(1)));
    let statistics = sender.statistics();
    assert_eq!((statistics.missed, statistics.sent), (6, 10));
    drop(sender);
    assert_eq!([7, 8, 9].map(Ok), [0; 3].map(|_| slow.recv()));
    assert_eq!(slow.recv(), Err(RecvError::Disconnected));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Disconnected));
    assert!(slow.is_disconnected());
}

#[test]
fn a_new_receiver_gets_what_is_sent_from_then_on_and_a_clone_what_its_original_gets() {
    let (sender, mut early) = broadcast::channel(4);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    let mut late = sender.subscribe();
    assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(early.recv(), Ok(1));
    let mut clone = early.clone();
    sender.send(3).unwrap();
    assert_eq!((clone.recv(), clone.recv()), (Ok(2), Ok(3)));
    assert_eq!((early.recv(), early.recv()), (Ok(2), Ok(3)));
    assert_eq!(late.recv(), Ok(3));
    assert_eq!(sender.statistics().len, 0, "all have had all");
}

/// Counts its drops, and uses its channel as it is cloned and dropped.
struct Letter(broadcast::Sender<Letter>, Count);

impl Clone for Letter {
    fn clone(&self) -> Self {
        assert!(self.0.statistics().receivers > 0);
        Self(self.0.clone(), self.1.clone())
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.0.statistics();
        self.1.up();
    }
}

#[test]
fn a_message_is_dropped_when_its_last_receiver_has_had_it_or_is_gone() {
    let (sender, mut first) = broadcast::channel(2);
    let mut second = sender.subscribe();
    let dropped = Count::default();
    let send = || sender.send(Letter(sender.clone(), dropped.clone()));
    send().unwrap();
    drop(first.recv());
    assert_eq!(dropped.get(), 1, "the clone");
    drop(second.recv());
    assert_eq!(dropped.get(), 2, "and the letter itself");
    (0..3).for_each(|_| assert_eq!(send().unwrap(), 2));
    assert_eq!(dropped.get(), 3, "overwritten");
    drop(first);
    assert_eq!(dropped.get(), 3, "the second wants them still");
    drop(second);
    assert_eq!(dropped.get(), 5);
    let SendError(_back) = send().unwrap_err();
    assert_eq!(dropped.get(), 5);
}

#[test]
fn the_last_sender_ends_receivers_that_wait() {
    for_each_seed(|_| {
        let (sender, receiver) = broadcast::channel::<i32>(1);
        let crew: Vec<_> = (0..3)
            .map(|_| {
                let mut receiver = receiver.clone();
                spawn(move || receiver.recv())
            })
            .collect();
        yield_until("three", || sender.statistics().recv.waiting == 3);
        drop(sender);
        for sailor in crew {
            assert_eq!(sailor.join().unwrap(), Err(RecvError::Disconnected));
        }
    });
}

#[test]
fn broadcast_before_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = broadcast::channel(1);
        let crew = broadcast_crew(&receiver);
        crew.interrupt_five();
        sender.send(()).unwrap();
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
    });
}

#[test]
fn broadcast_after_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = broadcast::channel(1);
        let crew = broadcast_crew(&receiver);
        sender.send(()).unwrap();
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("all", || crew.through.get() == WAITERS);
        crew.assert_only_the_sixth_is_done();
    });
}

fn broadcast_crew(receiver: &broadcast::Receiver<()>) -> Crew {
    let ours = receiver.clone();
    let wait = move |then: &dyn Fn()| {
        ours.clone().recv().unwrap();
        then();
    };
    Crew::muster(wait, || receiver.statistics().recv.waiting)
}

#[test]
fn what_is_received_and_what_is_missed_add_up() {
    for_each_seed(|seed| {
        const SENDERS: u64 = 3;
        const EACH: u64 = 15;
        let (sender, receiver) = broadcast::channel(1 + seed as usize % 4);
        let receivers: Vec<_> = (0..4)
            .map(|number| {
                let mut receiver = receiver.clone();
                let mut random = Random(seed << 8 | number);
                // The receiver outlives the coroutine, so that a killed one's can be read to the end.
                let tally = Arc::new(parking_lot::Mutex::new((0_u64, 0_u64)));
                let ours = Arc::clone(&tally);
                let coroutine = spawn(move || {
                    let mut latest = [None; SENDERS as usize];
                    loop {
                        let limit = Duration::from_micros(random.below(50));
                        let received = match random.below(3) {
                            0 => receiver.recv(),
                            1 => match with_timeout(limit, || receiver.recv()) {
                                Ok(received) => received,
                                Err(_) => continue,
                            },
                            _ => match receiver.try_recv() {
                                Ok(message) => Ok(message),
                                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                                Err(_) => {
                                    sleep(limit);
                                    continue;
                                }
                            },
                        };
                        match received {
                            Ok((sender, number)) => {
                                assert!(latest[sender as usize] < Some(number), "in order");
                                latest[sender as usize] = Some(number);
                                ours.lock().0 += 1;
                            }
                            Err(RecvError::Lagged(missed)) => ours.lock().1 += missed,
                            Err(_) => return,
                        }
                        if random.below(3) == 0 {
                            sleep(limit);
                        }
                    }
                });
                (coroutine, tally)
            })
            .collect();
        drop(receiver);
        for number in 0..SENDERS {
            let sender = sender.clone();
            let mut random = Random(seed << 8 | 0x80 | number);
            spawn(move || {
                for message in 0..EACH {
                    // All receivers may be dead.
                    let _ = sender.send((number, message));
                    sleep(Duration::from_micros(random.below(60)));
                }
            });
        }
        let statistics = sender.statistics();
        assert_eq!(statistics.receivers, 4);
        drop(sender);
        let mut random = Random(seed);
        sleep(Duration::from_micros(random.below(500)));
        let killed = random.below(8) as usize;
        if let Some((coroutine, _)) = receivers.get(killed) {
            coroutine.interrupt();
        }
        for (coroutine, tally) in receivers {
            let ended = coroutine.join();
            let (received, missed) = *tally.lock();
            match ended {
                Ok(()) => assert_eq!(received + missed, SENDERS * EACH),
                Err(JoinError::Interrupted) => assert!(received + missed <= SENDERS * EACH),
                Err(error) => panic!("{error}"),
            }
        }
    });
}
