//! Barrier and InvertedSemaphore.

use super::crew::{Crew, WAITERS};
use super::{Count, Random, for_each_seed, yield_until};
use crate::sync::{Barrier, InvertedSemaphore};
use crate::{JoinError, sleep, spawn, with_timeout, yield_now};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn nobody_goes_on_before_all_have_come() {
    for_each_seed(|seed| {
        const ROUNDS: usize = 5;
        let parties = 1 + seed as usize % 5;
        let barrier = Arc::new(Barrier::new(parties));
        let (come, led) = (Count::default(), Count::default());
        let crew: Vec<_> = (0..parties)
            .map(|_| {
                let (barrier, come, led) = (Arc::clone(&barrier), come.clone(), led.clone());
                spawn(move || {
                    for round in 1..=ROUNDS {
                        come.up();
                        if barrier.wait().is_leader() {
                            led.up();
                        }
                        assert!(come.get() >= round * parties, "too early");
                    }
                })
            })
            .collect();
        for sailor in crew {
            sailor.join().unwrap();
        }
        assert_eq!(led.get(), ROUNDS, "one leads each meeting");
        let statistics = barrier.statistics();
        assert_eq!((statistics.meetings, statistics.arrived), (5, 0));
    });
}

#[test]
fn an_interrupted_party_takes_its_arrival_back() {
    for_each_seed(|_| {
        let barrier = Arc::new(Barrier::new(3));
        let wait = || {
            let barrier = Arc::clone(&barrier);
            spawn(move || barrier.wait().is_leader())
        };
        let gone = wait();
        yield_until("one", || barrier.statistics().arrived == 1);
        gone.interrupt();
        assert!(matches!(gone.join(), Err(JoinError::Interrupted)));
        assert_eq!(barrier.statistics().arrived, 0);
        let (first, second) = (wait(), wait());
        yield_until("two", || barrier.statistics().arrived == 2);
        assert!(!first.is_finished() && !second.is_finished());
        assert!(barrier.wait().is_leader());
        assert!(!first.join().unwrap() && !second.join().unwrap());
    });
}

#[test]
fn barrier_before_the_wake() {
    for_each_seed(|_| {
        let barrier = Arc::new(Barrier::new(WAITERS + 1));
        let crew = barrier_crew(&barrier);
        crew.interrupt_five();
        assert!(
            barrier.wait().is_leader(),
            "all had come, and nobody has had the time to take it back"
        );
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        let statistics = barrier.statistics();
        assert_eq!((statistics.meetings, statistics.arrived), (1, 0));
    });
}

#[test]
fn barrier_after_the_wake() {
    for_each_seed(|_| {
        let barrier = Arc::new(Barrier::new(WAITERS + 1));
        let crew = barrier_crew(&barrier);
        barrier.wait();
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("all", || crew.through.get() == WAITERS);
        crew.assert_only_the_sixth_is_done();
    });
}

fn barrier_crew(barrier: &Arc<Barrier>) -> Crew {
    let ours = Arc::clone(barrier);
    let wait = move |then: &dyn Fn()| {
        ours.wait();
        then();
    };
    Crew::muster(wait, || barrier.statistics().wait.waiting)
}

#[test]
fn who_leaves_is_not_waited_for() {
    for_each_seed(|_| {
        let barrier = Arc::new(Barrier::new(3));
        let crew: Vec<_> = (0..2)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                spawn(move || barrier.wait().is_leader())
            })
            .collect();
        yield_until("two", || barrier.statistics().arrived == 2);
        barrier.leave();
        let leaders = crew.into_iter().map(|sailor| sailor.join().unwrap());
        assert_eq!(leaders.filter(|&leads| leads).count(), 1);
        let statistics = barrier.statistics();
        assert_eq!((statistics.parties, statistics.meetings), (2, 1));
    });
}

#[test]
fn meetings_go_on_whoever_gives_up_or_dies() {
    struct Leave(Arc<Barrier>);
    impl Drop for Leave {
        fn drop(&mut self) {
            self.0.leave();
        }
    }
    for_each_seed(|seed| {
        const PARTIES: usize = 5;
        let mut random = Random(seed);
        let barrier = Arc::new(Barrier::new(PARTIES));
        let met = Count::default();
        let crew: Vec<_> = (0..PARTIES)
            .map(|number| {
                let leave = Leave(Arc::clone(&barrier));
                let met = met.clone();
                let mut random = Random(seed << 8 | number as u64);
                spawn(move || {
                    while leave.0.statistics().meetings < 20 {
                        let limit = Duration::from_micros(random.below(40));
                        if with_timeout(limit, || leave.0.wait()).is_ok() {
                            met.up();
                        }
                        sleep(Duration::from_micros(random.below(20)));
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            sleep(Duration::from_micros(random.below(400)));
            crew[random.below(PARTIES as u64) as usize].interrupt();
        }
        for sailor in crew {
            assert!(!matches!(sailor.join(), Err(JoinError::Panicked(_))));
        }
        let statistics = barrier.statistics();
        assert_eq!((statistics.parties, statistics.arrived), (0, 0));
        assert!(statistics.meetings >= 20, "{statistics:?}");
        // Each who met came to a meeting of its own time.
        assert!(met.get() as u64 <= statistics.meetings * PARTIES as u64);
        assert_eq!(statistics.wait.waiting, 0);
    });
}

#[test]
fn zero_is_waited_for() {
    for_each_seed(|_| {
        let aboard = Arc::new(InvertedSemaphore::new(1));
        let _ = with_timeout(Duration::ZERO, || aboard.wait_zero()).unwrap_err();
        let hold = aboard.acquire_many(2);
        let owned = aboard.acquire_owned();
        let waiting = spawn({
            let aboard = Arc::clone(&aboard);
            move || aboard.wait_zero()
        });
        yield_until("one", || aboard.statistics().wait.waiting == 1);
        drop(hold);
        aboard.release(1);
        assert_eq!(aboard.count(), 1);
        assert!(!waiting.is_finished());
        drop(owned);
        waiting.join().unwrap();
        aboard.wait_zero();
    });
}

#[test]
fn who_waited_when_it_came_to_zero_gets_through_although_it_is_taken_again() {
    for_each_seed(|_| {
        let aboard = Arc::new(InvertedSemaphore::new(1));
        let crew = zero_crew(&aboard);
        aboard.release(1);
        let _again = aboard.acquire();
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("all", || crew.through.get() == WAITERS);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(aboard.count(), 1);
    });
}

#[test]
fn inverted_semaphore_before_the_wake() {
    for_each_seed(|_| {
        let aboard = Arc::new(InvertedSemaphore::new(1));
        let crew = zero_crew(&aboard);
        crew.interrupt_five();
        aboard.release(1);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(aboard.statistics().wait.interrupted, 5);
    });
}

fn zero_crew(aboard: &Arc<InvertedSemaphore>) -> Crew {
    let ours = Arc::clone(aboard);
    let wait = move |then: &dyn Fn()| {
        ours.wait_zero();
        then();
    };
    Crew::muster(wait, || aboard.statistics().wait.waiting)
}

#[test]
fn holds_are_given_back_however_their_owners_end() {
    for_each_seed(|seed| {
        let aboard = Arc::new(InvertedSemaphore::new(0));
        let crew: Vec<_> = (0..6)
            .map(|number| {
                let hold = aboard.acquire_owned();
                spawn(move || {
                    let _hold = hold;
                    for _ in 0..number {
                        yield_now();
                    }
                    if number == 3 {
                        std::panic::resume_unwind(Box::new("as planned"));
                    }
                })
            })
            .collect();
        crew[seed as usize % 6].interrupt();
        aboard.wait_zero();
        assert_eq!(aboard.count(), 0);
    });
}

#[test]
#[should_panic(expected = "no more is released than was acquired")]
fn what_was_not_acquired_is_not_released() {
    InvertedSemaphore::new(1).release(2);
}
