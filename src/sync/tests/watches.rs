//! Watch channels.

use super::crew::{Crew, WAITERS};
use super::{Random, for_each_seed, yield_until};
use crate::sync::watch::{self, RecvError, TryRecvError};
use crate::{JoinError, sleep, spawn, with_timeout};
use std::time::Duration;

#[test]
fn the_latest_counts() {
    let (sender, mut receiver) = watch::channel(0);
    assert_eq!((*receiver.latest(), receiver.has_changed()), (0, false));
    assert_eq!(*sender.send(1), 0);
    assert_eq!(*sender.update(|value| value + 1), 1);
    assert_eq!((*receiver.latest(), receiver.has_changed()), (2, true));
    assert_eq!(receiver.changed().as_deref(), Ok(&2));
    assert_eq!(receiver.try_changed(), Err(TryRecvError::Empty));
    let mut late = sender.subscribe();
    assert_eq!(late.try_changed(), Err(TryRecvError::Empty));
    assert_eq!(late.wait_for(|&value| value == 2).as_deref(), Ok(&2));
    sender.send(3);
    let mut clone = late.clone();
    assert_eq!(sender.statistics().receivers, 3);
    drop(sender);
    assert!(late.is_disconnected());
    assert_eq!(late.changed().as_deref(), Ok(&3), "the last one");
    assert_eq!(late.changed(), Err(RecvError::Disconnected));
    assert_eq!(clone.changed().as_deref(), Ok(&3));
    assert_eq!(clone.try_changed(), Err(TryRecvError::Disconnected));
    assert_eq!(*clone.latest(), 3);
}

#[test]
fn a_change_that_another_overtook_is_made_again() {
    let (sender, _receiver) = watch::channel(0);
    let mut calls = 0;
    let old = sender.update(|value| {
        calls += 1;
        if calls == 1 {
            sender.send(10);
        }
        value + 1
    });
    assert_eq!((*old, *sender.latest(), calls), (10, 11, 2));
}

#[test]
fn watch_before_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = watch::channel(0);
        let crew = watch_crew(&receiver);
        crew.interrupt_five();
        sender.send(1);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
    });
}

#[test]
fn watch_after_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = watch::channel(0);
        let crew = watch_crew(&receiver);
        sender.send(1);
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("all", || crew.through.get() == WAITERS);
        crew.assert_only_the_sixth_is_done();
    });
}

fn watch_crew(receiver: &watch::Receiver<i32>) -> Crew {
    let ours = receiver.clone();
    let wait = move |then: &dyn Fn()| {
        assert_eq!(ours.clone().changed().as_deref(), Ok(&1));
        then();
    };
    Crew::muster(wait, || receiver.statistics().wait.waiting)
}

#[test]
fn everybody_sees_the_last_value_and_none_twice() {
    for_each_seed(|seed| {
        let (sender, receiver) = watch::channel((0, 0));
        let crew: Vec<_> = (0..5)
            .map(|number| {
                let mut receiver = receiver.clone();
                let mut random = Random(seed << 8 | number);
                spawn(move || {
                    let mut latest = 0;
                    loop {
                        let limit = Duration::from_micros(random.below(50));
                        match with_timeout(limit, || receiver.changed()) {
                            Ok(Ok(value)) => {
                                assert_eq!(value.0 * 2, value.1, "never half a value");
                                assert!(value.0 > latest, "newer each time");
                                latest = value.0;
                            }
                            Ok(Err(error)) => {
                                assert_eq!(error, RecvError::Disconnected);
                                return latest;
                            }
                            Err(_) => sleep(limit),
                        }
                    }
                })
            })
            .collect();
        let senders: Vec<_> = (0..3)
            .map(|number| {
                let sender = sender.clone();
                let mut random = Random(seed << 8 | 0x80 | number);
                spawn(move || {
                    for _ in 0..10 {
                        sender.update(|&(n, twice)| (n + 1, twice + 2));
                        sleep(Duration::from_micros(random.below(60)));
                    }
                })
            })
            .collect();
        let mut random = Random(seed);
        sleep(Duration::from_micros(random.below(300)));
        crew[random.below(5) as usize].interrupt();
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!((sender.latest().0, sender.statistics().changes), (30, 30));
        drop(sender);
        for sailor in crew {
            match sailor.join() {
                Ok(latest) => assert_eq!(latest, 30),
                Err(JoinError::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(receiver.statistics().wait.waiting, 0);
        assert_eq!(receiver.statistics().receivers, 1);
    });
}
