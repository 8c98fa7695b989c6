//! Several workers, and coroutines that start where there is room. The subscriber is the process's: other tests have their own
//! on their threads.

use std::sync::Arc;
use std::time::Duration;

use grapeshot::sync::{Mutex, channel};
use grapeshot::{Runtime, join_all, spawn, with_timeout, yield_now};
use tracing::span::{EnteredSpan, Id};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use super::claims::{Compare, Findings};

const COROUTINES: usize = 64;
const ROUNDS: usize = 50;

#[test]
fn spans_stay_with_their_coroutines_on_every_worker() {
    let findings = Findings::default();
    registry()
        .with(Compare(findings.clone()))
        .with(grapeshot_tracing::layer())
        .init();
    let runtime = Runtime::builder().workers(4).build().unwrap();
    let theirs = findings.clone();
    runtime.run(move || {
        let lock = Arc::new(Mutex::new(()));
        let (sender, receiver) = channel::bounded(1);
        let crew = (0..COROUTINES).map(|number| {
            let (findings, lock) = (theirs.clone(), lock.clone());
            let (sender, receiver) = (sender.clone(), receiver.clone());
            move || {
                let (_outer, outer) = enter(&[]);
                for round in 0..ROUNDS {
                    let (_inner, both) = enter(&outer);
                    match (number + round) % 3 {
                        0 => yield_now(),
                        1 => drop(lock.lock()),
                        // Whoever receives has sent before, so there is always one more to come.
                        _ => {
                            sender.send(number).unwrap();
                            findings.claim(&both);
                            _ = receiver.recv().unwrap();
                        }
                    }
                    findings.claim(&both);
                    let child = (findings.clone(), lock.clone());
                    let child = spawn(move || {
                        let (findings, lock) = child;
                        findings.claim(&[]);
                        let (_span, alone) = enter(&[]);
                        drop(lock.lock());
                        findings.claim(&alone);
                        if round % 8 == 0 {
                            std::panic::resume_unwind(Box::new("on purpose"));
                        }
                    });
                    assert_eq!(child.join().is_err(), round % 8 == 0);
                    findings.claim(&both);
                }
            }
        });
        let done = with_timeout(Duration::from_secs(60), || join_all(crew));
        done.unwrap().into_iter().for_each(|it| it.unwrap());
    });
    findings.assert_true(4 * COROUTINES * ROUNDS);
}

/// A span below those, with all their ids.
fn enter(above: &[Id]) -> (EnteredSpan, Vec<Id>) {
    let span = tracing::info_span!("span").entered();
    let mut chain = above.to_vec();
    chain.extend(span.id());
    (span, chain)
}
