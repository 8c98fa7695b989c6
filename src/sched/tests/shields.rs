//! `shield`: what it holds off, and that it is raised after.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{HOUR, MS, SECOND, simulate, swallow};
use crate::sync::{Event, channel};
use crate::{Elapsed, JoinError, shield, sleep, spawn, time, with_timeout, yield_now};

/// Spawns `body` with a counter of how far it came, interrupts it after a millisecond, and says how it ended.
fn interrupted_after_a_moment(
    body: impl FnOnce(&AtomicUsize) + Send + 'static,
) -> (usize, Result<(), JoinError>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let inside = reached.clone();
    let child = spawn(move || body(&inside));
    sleep(MS);
    child.interrupt();
    let result = child.join();
    (reached.load(Ordering::Relaxed), result)
}

#[test]
fn an_interrupt_waits_for_the_end_of_the_shield() {
    simulate(|| {
        let start = time::now();
        let (reached, result) = interrupted_after_a_moment(|reached| {
            shield(|| {
                for _ in 0..10 {
                    sleep(SECOND);
                    reached.fetch_add(1, Ordering::Relaxed);
                }
            });
            reached.fetch_add(100, Ordering::Relaxed);
            sleep(HOUR);
            reached.fetch_add(1_000, Ordering::Relaxed);
        });
        assert_eq!(reached, 110, "all of the shield, none of the wait after it");
        assert!(matches!(result, Err(JoinError::Interrupted)));
        assert_eq!(time::now() - start, 10 * SECOND);
    });
}

#[test]
fn one_that_was_asked_before_is_held_off_as_well() {
    simulate(|| {
        let (reached, result) = interrupted_after_a_moment(|reached| {
            assert!(swallow(|| sleep(HOUR)).is_none());
            shield(|| sleep(SECOND));
            reached.store(1, Ordering::Relaxed);
            yield_now();
            reached.store(2, Ordering::Relaxed);
        });
        assert_eq!(reached, 1);
        assert!(matches!(result, Err(JoinError::Interrupted)));
    });
}

#[test]
fn only_the_outermost_of_nested_shields_lets_it_in() {
    simulate(|| {
        let (reached, result) = interrupted_after_a_moment(|reached| {
            shield(|| {
                shield(|| sleep(SECOND));
                reached.fetch_add(1, Ordering::Relaxed);
                sleep(SECOND);
                shield(|| shield(|| sleep(SECOND)));
                reached.fetch_add(1, Ordering::Relaxed);
                sleep(SECOND);
                reached.fetch_add(1, Ordering::Relaxed);
            });
            sleep(Duration::ZERO);
            reached.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(reached, 3);
        assert!(matches!(result, Err(JoinError::Interrupted)));
    });
}

#[test]
fn a_timeout_inside_works_and_one_outside_waits() {
    simulate(|| {
        let start = time::now();
        let mut steps = vec![];
        let result = with_timeout(SECOND, || {
            shield(|| {
                steps.push(with_timeout(3 * SECOND, || sleep(HOUR)));
                // A scope inside a shield inside a scope inside a shield.
                let inner = with_timeout(HOUR, || {
                    shield(|| with_timeout(SECOND, || Event::new().wait()))
                });
                steps.push(inner.unwrap());
                sleep(SECOND);
            });
            steps.push(Ok(()));
            sleep(HOUR);
            steps.push(Ok(()));
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(steps, [Err(Elapsed), Err(Elapsed), Ok(())]);
        assert_eq!(time::now() - start, 5 * SECOND);
    });
}

/// A scope that was entered under a shield and left before its end hides nothing of what is outside.
#[test]
fn a_timeout_outside_is_armed_again_after_the_shield() {
    simulate(|| {
        let start = time::now();
        let result = with_timeout(5 * SECOND, || {
            shield(|| sleep(SECOND));
            sleep(HOUR);
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(
            time::now() - start,
            5 * SECOND,
            "its first wait was inside the shield"
        );
    });
}

#[test]
fn a_panic_inside_ends_the_shield() {
    simulate(|| {
        let (reached, result) = interrupted_after_a_moment(|reached| {
            let caught =
                crate::catch_panic(|| shield(|| std::panic::resume_unwind(Box::new("on purpose"))));
            assert!(caught.is_err());
            reached.store(1, Ordering::Relaxed);
            sleep(HOUR);
        });
        assert_eq!(reached, 1);
        assert!(matches!(result, Err(JoinError::Interrupted)));
    });
}

#[test]
fn a_shield_that_is_entered_while_unwinding_does_not_wait() {
    simulate(|| {
        let (sender, receiver) = channel::unbounded::<()>();
        let (reached, _) = interrupted_after_a_moment(move |reached| {
            let _cleanup = super::OnDrop(|| {
                shield(|| {
                    sleep(HOUR);
                    assert!(receiver.recv().is_err());
                });
                reached.store(1, Ordering::Relaxed);
            });
            sleep(HOUR);
        });
        assert_eq!(reached, 1);
        drop(sender);
    });
}

#[test]
fn on_a_plain_thread_a_shield_holds_timeouts_off() {
    let mut done = false;
    let result = with_timeout(MS, || {
        shield(|| sleep(3 * MS));
        done = true;
        sleep(HOUR);
    });
    assert!(done);
    assert_eq!(result, Err(Elapsed));
}
