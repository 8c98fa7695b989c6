//! Waits for channels whose other end nobody has: `stuck()` suspects them, and no others.
// The sanitizer reserves more address space than is searched.
#![cfg(all(target_os = "linux", not(grapeshot_asan)))]

use super::{naming, yield_until};
use crate::registry::{self, Certainty, Stuck};
use crate::sched::handle::RuntimeHandle;
use crate::sync::channel::{self, Receiver, Sender};
use crate::{Builder, JoinHandle, Runtime, local, scope, testing, with_timeout};
use parking_lot::{Mutex, MutexGuard};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

type Message = [u64; 3];

/// Searches wait for each other, and without optimization each takes a while: longer than a simulation has patience, if there
/// are many.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

fn for_some_seeds(program: impl Fn() + Send + Sync + 'static) {
    let _turn = alone();
    let program = Arc::new(program);
    for seed in 0..2 {
        let program = Arc::clone(&program);
        naming(seed, || testing::run(seed, move || program()));
    }
}

/// A channel at an address that nothing had before: what that left in memory would count as a handle.
#[inline(never)]
fn pair(capacity: Option<usize>) -> (Sender<Message>, Receiver<Message>) {
    // The allocator gives away what was used before it gives new memory.
    for size in (96..=512).step_by(16) {
        (0..100).for_each(|_| std::mem::forget(black_box(vec![0_u8; size])));
    }
    let (sender, receiver) = match capacity {
        Some(capacity) => channel::bounded(capacity),
        None => channel::unbounded(),
    };
    // One of each is counted for good, so its memory is never given back.
    std::mem::forget(receiver.clone());
    (sender, receiver)
}

fn named(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name).spawn(body)
}

fn until_it_waits(coroutine: &JoinHandle<()>) {
    let waits = || registry::coroutine(coroutine.id()).is_some_and(|it| it.waits_for.is_some());
    yield_until("it waits", waits);
}

fn suspects() -> Vec<Stuck> {
    let mut found = RuntimeHandle::current().unwrap().stuck_for(Duration::ZERO);
    found.retain(|it| it.certainty == Certainty::Suspected);
    found
}

fn names(found: &[Stuck]) -> Vec<&str> {
    found.iter().map(|it| it.name.as_str()).collect()
}

fn nobody_is_suspected() {
    let found = suspects();
    assert!(found.is_empty(), "{found:#?}");
}

fn end(coroutine: JoinHandle<()>) {
    coroutine.interrupt();
    assert!(coroutine.join().is_err());
}

/// It forgets to drop its own sender.
#[inline(never)]
fn forgets() {
    let (orders, helm) = pair(None);
    let copy = orders.clone();
    copy.send([1; 3]).unwrap();
    drop(copy);
    for order in &helm {
        black_box(order);
    }
    drop(orders);
}

#[test]
fn a_forgotten_sender_of_ones_own_is_suspected() {
    for_some_seeds(|| {
        let waiter = named("forgets", forgets);
        until_it_waits(&waiter);
        for _ in 0..2 {
            let found = suspects();
            assert_eq!(names(&found), ["forgets"]);
            assert_eq!(found[0].needs, [waiter.id()]);
            let text = found[0].to_string();
            assert!(
                text.ends_with("the channel's only sender it seems to hold itself: drop it"),
                "{text}"
            );
            let at = |it: &registry::Frame| {
                let function = it.function.as_deref().unwrap_or_default();
                function.ends_with("forsaken::forgets") && it.line.is_some()
            };
            assert!(found[0].backtrace.iter().any(at), "{found:?}");
        }
        end(waiter);
        nobody_is_suspected();
    });
}

#[test]
fn a_receiver_of_ones_own_that_leaves_the_channel_full_is_suspected() {
    #[inline(never)]
    fn fills() {
        let (orders, helm) = pair(Some(1));
        orders.send([1; 3]).unwrap();
        let sent = orders.send([2; 3]);
        drop((sent, helm));
    }
    for_some_seeds(|| {
        let waiter = named("fills", fills);
        until_it_waits(&waiter);
        let found = suspects();
        assert_eq!(names(&found), ["fills"]);
        let text = found[0].to_string();
        assert!(text.contains("only receiver it seems to hold"), "{text}");
        end(waiter);
    });
}

/// The maker of a channel keeps a sender and waits for the end of the one that receives, which does not come: both.
#[test]
fn who_keeps_a_sender_and_waits_for_the_receivers_end_is_suspected() {
    #[inline(never)]
    fn crew() {
        let (orders, helm) = pair(None);
        orders.send([1; 3]).unwrap();
        let helm = named("helm", move || helm.iter().for_each(|it| _ = black_box(it)));
        let ended = helm.join();
        drop((ended, orders));
    }
    for_some_seeds(|| {
        let maker = named("maker", crew);
        let is_there = |it: &registry::CoroutineInfo| it.name == "helm" && it.waits_for.is_some();
        yield_until("the helm waits", || {
            registry::coroutines().iter().any(is_there)
        });
        until_it_waits(&maker);
        let found = suspects();
        assert_eq!(names(&found), ["maker", "helm"]);
        let helm = found[1].id;
        assert_eq!(found[0].needs, [helm]);
        assert!(found[1].needs.contains(&maker.id()));
        let text = found[1].to_string();
        assert!(text.contains("seem to be held by none but #"), "{text}");
        end(maker);
    });
}

#[test]
fn those_that_have_each_others_senders_are_suspected() {
    #[inline(never)]
    fn ring(here: Receiver<Message>, next: Sender<Message>) {
        if let Ok(token) = here.recv() {
            next.send(token).unwrap();
        }
    }
    #[inline(never)]
    fn rings(out: Sender<JoinHandle<()>>) {
        let ((one, first), (other, second)) = (pair(None), pair(None));
        let left = named("left", move || ring(first, other));
        let right = named("right", move || ring(second, one));
        out.send(left).unwrap();
        out.send(right).unwrap();
    }
    for_some_seeds(|| {
        let (out, both) = channel::unbounded();
        named("maker", move || rings(out)).join().unwrap();
        let [left, right] = [both.recv().unwrap(), both.recv().unwrap()];
        until_it_waits(&left);
        until_it_waits(&right);
        let found = suspects();
        // What the maker left in memory may hide them: but not one of them alone.
        let found = names(&found);
        assert!(found.is_empty() || found == ["left", "right"], "{found:?}");
        end(left);
        drop(right.join());
    });
}

/// The sender is where nobody looks at a stack for it.
#[test]
fn what_somebody_may_still_end_is_not_suspected() {
    struct World {
        _orders: Box<Sender<Message>>,
    }
    local!(static ORDERS: std::cell::RefCell<Option<Sender<Message>>> = std::cell::RefCell::new(None));
    static KEPT: Mutex<Option<Sender<Message>>> = Mutex::new(None);
    #[inline(never)]
    fn waits(helm: Receiver<Message>) {
        for order in &helm {
            black_box(order);
        }
    }
    /// A waiter made in a coroutine of its own, so that nothing of it is left but what `keep` keeps.
    fn waiter(keep: impl FnOnce(Sender<Message>) + Send + 'static) -> JoinHandle<()> {
        named("waiter", move || {
            let (orders, helm) = pair(None);
            keep(orders);
            waits(helm);
        })
    }
    for_some_seeds(|| {
        let (worlds, world) = channel::unbounded::<World>();
        let (handles, handle) = channel::unbounded();
        let (stops, stop) = std::sync::mpsc::channel::<()>();
        let stops = Mutex::new(Some(stops));
        let (threads, thread) = std::sync::mpsc::channel();

        // In the heap of somebody who may go on.
        let heap = waiter(move |orders| {
            let world = World {
                _orders: Box::new(orders),
            };
            worlds.send(world).unwrap();
        });
        // On the stack of another coroutine, which waits for something else.
        let pair = waiter(move |orders| {
            let other = named("other", move || {
                crate::sleep(Duration::from_secs(3_600));
                drop(orders);
            });
            handles.send(other).unwrap();
        });
        // On a plain thread.
        let plain = waiter(move |orders| {
            let thread = std::thread::spawn(move || {
                let _ = stop.recv();
                drop(orders);
            });
            threads.send(thread).unwrap();
        });
        // With the waiter itself, but not on its stack.
        let own = waiter(|orders| ORDERS.with(|it| *it.borrow_mut() = Some(orders)));
        let fixed = waiter(|orders| *KEPT.lock() = Some(orders));
        // It will give up by itself.
        let patient = named("patient", || {
            let _ = with_timeout(Duration::from_secs(7_200), forgets);
        });
        // Its children have what it has.
        let parent = named("parent", || {
            let (orders, helm) = self::pair(None);
            scope(|scope| {
                let orders = &orders;
                scope.spawn(move || {
                    crate::sleep(Duration::from_secs(3_600));
                    orders.send([1; 3]).unwrap();
                });
                waits(helm);
            });
        });
        let all = [heap, pair, plain, own, fixed, patient, parent];
        all.iter().for_each(until_it_waits);
        nobody_is_suspected();
        all.into_iter().for_each(end);
        drop(stops.lock().take());
        drop(KEPT.lock().take());
        drop(world.recv().unwrap());
        end(handle.recv().unwrap());
        thread.recv().unwrap().join().unwrap();
    });
}

#[test]
fn it_is_found_on_several_workers_too() {
    let _turn = alone();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| {
        let waiters = [0, 1].map(|worker| {
            let there = Builder::new().placement(crate::Placement::Worker(worker));
            there.name("forgets").spawn(forgets)
        });
        waiters.iter().for_each(until_it_waits);
        assert_eq!(names(&suspects()), ["forgets"; 2]);
        waiters.into_iter().for_each(end);
    });
}
