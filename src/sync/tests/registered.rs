//! What the console shows of those who wait.

use super::yield_until;
use crate::sync::{
    Barrier, Fifo, InvertedSemaphore, LruCache, Once, RateLimiter, broadcast, watch,
};
use crate::time::IdleTimer;
use crate::{registry, sleep, spawn, testing};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// A coroutine that waits for `primitive` is shown with this operation and the primitive's address.
#[track_caller]
fn assert_shown<P: Send + Sync + 'static>(
    operation: &str,
    primitive: &Arc<P>,
    wait: impl FnOnce(&P) + Send + 'static,
) {
    let shown = shown(operation, primitive, wait);
    let object = Arc::as_ptr(primitive).addr() as u64;
    assert_eq!((shown.operation, shown.object), (operation, object));
}

#[track_caller]
fn shown<P: Send + Sync + 'static>(
    operation: &str,
    primitive: &Arc<P>,
    wait: impl FnOnce(&P) + Send + 'static,
) -> registry::WaitFor {
    let ours = Arc::clone(primitive);
    let waiter = spawn(move || wait(&ours));
    let waits_for = || registry::coroutine(waiter.id())?.waits_for;
    yield_until(operation, || waits_for().is_some());
    let shown = waits_for().expect("it still waits");
    waiter.interrupt();
    assert!(waiter.join().is_err());
    shown
}

#[test]
fn each_says_what_it_waits_for() {
    testing::run(0, || {
        let barrier = Arc::new(Barrier::new(2));
        assert_shown("barrier", &barrier, |it| _ = it.wait());
        let zero = Arc::new(InvertedSemaphore::new(1));
        assert_shown("inverted semaphore", &zero, |it| it.wait_zero());
        let fifo = Arc::new(Fifo::<()>::new());
        assert_shown("fifo", &fifo, |it| it.pop());
        let idle = Arc::new(IdleTimer::new(HOUR));
        assert_shown("idle timer", &idle, |it| _ = it.wait());
        // Their addresses are their own business.
        let (_news, mut listener) = broadcast::channel::<()>(1);
        let shown_for = shown("broadcast", &Arc::new(()), move |()| _ = listener.recv());
        assert_eq!(shown_for.operation, "broadcast");
        let (_course, mut watcher) = watch::channel(());
        let shown_for = shown("watch", &Arc::new(()), move |()| _ = watcher.changed());
        assert_eq!(shown_for.operation, "watch");
    });
}

#[test]
fn so_do_those_who_wait_for_another_that_is_at_it() {
    testing::run(0, || {
        let once = Arc::new(Once::new());
        let cache = Arc::new(LruCache::new(1));
        let limiter = Arc::new(RateLimiter::new(1, HOUR));
        limiter.acquire();
        let (first, second, third) = (once.clone(), cache.clone(), limiter.clone());
        let busy = [
            spawn(move || first.call_once(|| sleep(HOUR))),
            spawn(move || _ = second.get_or_insert_with(1, |_| sleep(HOUR))),
            spawn(move || third.acquire()),
        ];
        yield_until("all are at it", || {
            let head = limiter.statistics().wait.waiting == 1;
            head && once.statistics().running && cache.statistics().loads == 1
        });
        assert_shown("once", &once, |it| it.call_once(|| {}));
        assert_shown("cache", &cache, |it| _ = it.get_or_insert_with(1, |_| ()));
        assert_shown("rate limiter", &limiter, |it| it.acquire());
        busy.iter().for_each(|busy| busy.interrupt());
    });
}
