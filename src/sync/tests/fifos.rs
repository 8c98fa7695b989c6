//! Fifo.

use super::crew::Crew;
use super::{Random, for_each_seed, yield_until};
use crate::sync::Fifo;
use crate::{JoinError, sleep, spawn, with_timeout, yield_now};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn items_come_out_from_the_front() {
    let fifo = Fifo::new();
    assert_eq!(fifo.top(), None);
    (0..4).for_each(|n| fifo.push(n));
    fifo.push_front(9);
    assert_eq!((fifo.top(), fifo.len()), (Some(9), 5));
    assert_eq!((fifo.pop(), fifo.try_pop()), (9, Some(0)));
    assert_eq!(fifo.pop_all(), [1, 2, 3]);
    assert_eq!(fifo.try_pop(), None);
    assert!(fifo.try_pop_all().is_empty());
    assert_eq!(fifo.statistics().pushed, 5);
}

#[test]
fn who_waits_for_all_leaves_what_others_were_granted() {
    for_each_seed(|_| {
        let fifo = Arc::new(Fifo::new());
        let all = spawn({
            let fifo = Arc::clone(&fifo);
            move || fifo.pop_all()
        });
        yield_until("one", || fifo.statistics().wait.waiting == 1);
        let one = spawn({
            let fifo = Arc::clone(&fifo);
            move || fifo.pop()
        });
        yield_until("two", || fifo.statistics().wait.waiting == 2);
        (0..4).for_each(|n| fifo.push(n));
        assert_eq!((fifo.len(), fifo.top()), (2, Some(0)));
        let (all, one) = (all.join().unwrap(), one.join().unwrap());
        let mut got: Vec<_> = all.iter().copied().chain([one]).collect();
        got.sort_unstable();
        assert_eq!(all.len(), 3, "its own, and the two that nobody was granted");
        assert_eq!(got, [0, 1, 2, 3]);
    });
}

#[test]
fn fifo_before_the_wake() {
    for_each_seed(|_| {
        let (fifo, got) = (Arc::new(Fifo::new()), Arc::new(Fifo::new()));
        let crew = fifo_crew(&fifo, &got);
        crew.interrupt_five();
        fifo.push(1);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(got.try_pop_all(), [1]);
        assert!(fifo.is_empty());
    });
}

#[test]
fn fifo_after_the_wake() {
    for_each_seed(|_| {
        let (fifo, got) = (Arc::new(Fifo::new()), Arc::new(Fifo::new()));
        let crew = fifo_crew(&fifo, &got);
        fifo.push(1);
        assert_eq!(fifo.try_pop(), None, "it is promised to the first");
        crew.interrupt_five();
        fifo.push(2);
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("the first", || crew.through.get() == 2);
        crew.assert_only_the_sixth_is_done();
        let mut got = got.try_pop_all();
        got.make_contiguous().sort_unstable();
        assert_eq!(got, [1, 2], "neither lost nor taken twice");
    });
}

fn fifo_crew(fifo: &Arc<Fifo<i32>>, got: &Arc<Fifo<i32>>) -> Crew {
    let (ours, got) = (Arc::clone(fifo), Arc::clone(got));
    let wait = move |then: &dyn Fn()| {
        got.push(ours.pop());
        then();
    };
    Crew::muster(wait, || fifo.statistics().wait.waiting)
}

#[test]
fn fifos_conserve_items() {
    for_each_seed(|seed| {
        let mut random = Random(seed);
        let (fifo, received) = (Arc::new(Fifo::new()), Arc::new(Fifo::new()));
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let fifo = Arc::clone(&fifo);
                let mut random = Random(seed << 8 | producer);
                spawn(move || {
                    for number in 0..12 {
                        if random.below(4) == 0 {
                            fifo.push_front((producer, number));
                        } else {
                            fifo.push((producer, number));
                        }
                        if random.below(3) == 0 {
                            sleep(Duration::from_micros(random.below(100)));
                        }
                    }
                })
            })
            .collect();
        let consumers: Vec<_> = (0..4)
            .map(|number| {
                let (fifo, received) = (Arc::clone(&fifo), Arc::clone(&received));
                let mut random = Random(seed << 8 | 0x80 | number);
                spawn(move || {
                    loop {
                        let limit = Duration::from_micros(random.below(100));
                        match random.below(5) {
                            0 => fifo
                                .try_pop()
                                .into_iter()
                                .for_each(|item| received.push(item)),
                            1 => received.push(fifo.pop()),
                            2 => fifo.pop_all().into_iter().for_each(|i| received.push(i)),
                            3 => {
                                // In the closure, so that what it got is written down whatever comes after.
                                let _ = with_timeout(limit, || received.push(fifo.pop()));
                            }
                            _ => yield_now(),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            sleep(Duration::from_micros(random.below(300)));
            consumers[random.below(3) as usize].interrupt();
        }
        for producer in producers {
            producer.join().unwrap();
        }
        yield_until("the last consumer", || fifo.is_empty());
        for consumer in consumers {
            consumer.interrupt();
            assert!(matches!(consumer.join(), Err(JoinError::Interrupted)));
        }
        received
            .try_pop_all()
            .into_iter()
            .for_each(|item| fifo.push(item));
        let mut received = fifo.try_pop_all();
        received.make_contiguous().sort_unstable();
        let sent: Vec<_> = (0..4)
            .flat_map(|producer| (0..12).map(move |number| (producer, number)))
            .collect();
        assert_eq!(received, sent);
        assert_eq!(fifo.statistics().wait.waiting, 0);
    });
}
