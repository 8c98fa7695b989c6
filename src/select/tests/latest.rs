//! Broadcast and watch receivers as arms.

use super::{HOUR, MINUTE, MS, simulate};
use crate::sync::broadcast::{self, RecvError};
use crate::sync::{channel, watch};
use crate::{random, select, sleep, spawn, with_timeout, yield_now};

#[test]
fn the_first_message_ends_the_wait() {
    simulate(|seed| {
        let (news, mut heard) = broadcast::channel(4);
        let (orders, helm) = channel::bounded::<u32>(0);
        let sender = spawn(move || {
            sleep(MS);
            match seed % 2 {
                0 => _ = news.send(String::from("land")).unwrap(),
                _ => orders.send(7).unwrap(),
            }
            sleep(HOUR);
        });
        let got = select! {
            recv(heard) -> message => message.unwrap(),
            recv(helm) -> order => order.unwrap().to_string(),
        };
        assert_eq!(got, ["land", "7"][seed as usize % 2]);
        assert_eq!(heard.statistics().recv.waiting, 0);
        sender.interrupt();
    });
}

#[test]
fn a_gap_and_the_end_are_answers() {
    simulate(|_| {
        let (news, mut heard) = broadcast::channel(1);
        news.send(1).unwrap();
        news.send(2).unwrap();
        let mut hear = || {
            select! {
                recv(heard) -> message => message,
                after(HOUR) => panic!("it is ready"),
            }
        };
        assert_eq!(hear(), Err(RecvError::Lagged(1)));
        assert_eq!(hear(), Ok(2));
        let last = spawn(move || {
            yield_now();
            drop(news);
        });
        assert_eq!(hear(), Err(RecvError::Disconnected));
        last.join().unwrap();
        let (course, mut helm) = watch::channel(90);
        let last = spawn(move || {
            sleep(MS);
            drop(course);
        });
        select! {
            changed(helm) -> end => assert!(end.is_err()),
            after(HOUR) => panic!("there is no sender"),
        }
        last.join().unwrap();
    });
}

#[test]
fn the_arm_that_was_not_chosen_has_seen_nothing() {
    simulate(|_| {
        let (news, mut heard) = broadcast::channel(4);
        let (course, mut helm) = watch::channel(90);
        for degrees in 0..20 {
            news.send(degrees).unwrap();
            course.send(degrees);
            let heard_first = select! {
                recv(heard) -> message => { assert_eq!(message, Ok(degrees)); true }
                changed(helm) -> value => { assert_eq!(*value.unwrap(), degrees); false }
            };
            if heard_first {
                assert!(helm.has_changed() && heard.is_empty());
                assert_eq!(*helm.changed().unwrap(), degrees);
            } else {
                assert!(!helm.has_changed() && heard.len() == 1);
                assert_eq!(heard.recv(), Ok(degrees));
            }
        }
        select! {
            recv(heard) -> _ => panic!("it was heard"),
            changed(helm) -> _ => panic!("it was seen"),
            default => (),
        }
    });
}

/// What an arm has borrowed can be used behind every arrow.
#[test]
fn behind_the_arrow_nothing_is_borrowed() {
    simulate(|_| {
        let (news, mut heard) = broadcast::channel(4);
        let (_course, mut helm) = watch::channel(0);
        news.send(1).unwrap();
        news.send(2).unwrap();
        select! {
            recv(heard) -> message => assert_eq!((message, heard.recv()), (Ok(1), Ok(2))),
            changed(helm) -> value => assert_eq!((value.is_ok(), helm.try_changed().is_ok()), (true, true)),
        }
        select! {
            recv(heard) -> _ => (),
            after(MS) => assert!(heard.try_recv().is_err()),
        }
    });
}

/// From the simulation's seed.
fn below_three() -> u32 {
    let mut byte = [0];
    random::fill(&mut byte).unwrap();
    u32::from(byte[0]) % 3
}

/// Receivers that select between two broadcasts and a watch, with timeouts at random moments: each gets every message
/// once, in order, or is told of the gap, and the last value.
#[test]
fn every_receiver_accounts_for_every_message() {
    simulate(|_| {
        const MESSAGES: u64 = 30;
        let channels = [1, 8].map(broadcast::channel::<u64>);
        let (state, seen) = watch::channel(0);
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let [mut one, mut two] = channels.each_ref().map(|(_, from)| from.clone());
                let mut seen = seen.clone();
                spawn(move || {
                    let (mut next, mut latest) = ([0; 2], 0);
                    let mut ended = [false; 3];
                    let mut account = |which: usize, ended: &mut [bool; 3], message| match message {
                        Ok(number) => {
                            assert_eq!(number, next[which]);
                            next[which] += 1;
                        }
                        Err(RecvError::Lagged(missed)) => next[which] += missed,
                        Err(_) => ended[which] = true,
                    };
                    while !ended.iter().all(|it| *it) {
                        let patience = below_three() * MS;
                        // What ended is ready for ever, and chance chooses the others too.
                        let _elapsed = with_timeout(patience, || {
                            select! {
                                recv(one) -> message => account(0, &mut ended, message),
                                recv(two) -> message => account(1, &mut ended, message),
                                changed(seen) -> value => match value {
                                    Ok(value) => { assert!(*value > latest); latest = *value; }
                                    Err(_) => ended[2] = true,
                                },
                            }
                        });
                    }
                    (next, latest)
                })
            })
            .collect();
        drop(seen);
        let [one, two] = channels.map(|(to, _)| to);
        for number in 0..MESSAGES {
            one.send(number).unwrap();
            two.send(number).unwrap();
            state.send(number + 1);
            match below_three() {
                0 => yield_now(),
                1 => sleep(MS),
                _ => {}
            }
        }
        drop(one);
        drop(two);
        drop(state);
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), ([MESSAGES; 2], MESSAGES));
        }
    });
}

#[test]
fn on_a_plain_thread_too() {
    let (news, mut heard) = broadcast::channel(4);
    let (course, mut helm) = watch::channel(0);
    let (told, seen) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        select! {
            recv(heard) -> _ => panic!("there is nothing"),
            changed(helm) -> value => assert_eq!(*value.unwrap(), 1),
        }
        told.send(()).unwrap();
        select! {
            recv(heard) -> message => assert_eq!(message, Ok("land")),
            changed(helm) -> _ => panic!("it was seen"),
        }
        (heard, helm)
    });
    course.send(1);
    seen.recv_timeout(MINUTE).unwrap();
    news.send("land").unwrap();
    drop(thread.join().unwrap());
}
