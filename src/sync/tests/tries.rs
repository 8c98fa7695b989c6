//! No `try_…` suspends or raises an interrupt, whether it succeeds or not.

use super::{Count, for_each_seed};
use crate::sync::{
    Fifo, LruCache, Mutex, RateLimiter, RwLock, Semaphore, broadcast, channel, watch,
};
use crate::time::{IdleTimer, interval};
use crate::{spawn, with_timeout, yield_now};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_try_suspends_nobody_and_raises_nothing() {
    for_each_seed(|_| {
        let switches = Count::default();
        let count = switches.clone();
        let other = spawn(move || {
            loop {
                count.up();
                yield_now();
            }
        });
        yield_now();
        let before = switches.get();
        // The time is up from the first call on: whatever looked for interrupts would raise one.
        assert_eq!(with_timeout(Duration::ZERO, || try_all(true)), Ok(()));
        assert_eq!(with_timeout(Duration::ZERO, || try_all(false)), Ok(()));
        assert_eq!(switches.get(), before, "nobody else ran");
        other.interrupt();
    });
}

/// Each, so that it succeeds or so that its blocking form would wait.
fn try_all(succeeds: bool) {
    let (mutex, rwlock) = (Mutex::new(()), RwLock::new(()));
    let held = (!succeeds).then(|| (mutex.try_lock(), rwlock.try_write()));
    assert_eq!(mutex.try_lock().is_some(), succeeds);
    assert_eq!(rwlock.try_read().is_some(), succeeds);
    assert_eq!(rwlock.try_write().is_some(), succeeds);
    drop(held);
    let semaphore = Arc::new(Semaphore::new(usize::from(succeeds)));
    assert_eq!(semaphore.try_acquire().is_some(), succeeds);
    assert_eq!(semaphore.try_acquire_many(1).is_some(), succeeds);
    assert_eq!(semaphore.try_acquire_owned().is_some(), succeeds);
    let (sender, receiver) = channel::bounded(1);
    if !succeeds {
        assert!(receiver.try_recv().is_err());
        sender.try_send(1).unwrap();
    }
    assert_eq!(sender.try_send(1).is_ok(), succeeds);
    let fifo = Fifo::new();
    assert!(succeeds || fifo.try_pop().is_none() && fifo.try_pop_all().is_empty());
    fifo.push(1);
    fifo.push(2);
    assert_eq!((fifo.try_pop(), fifo.try_pop_all().len()), (Some(1), 1));
    let (news, mut listener) = broadcast::channel(1);
    let (course, mut watcher) = watch::channel(1);
    if succeeds {
        news.send(1).unwrap();
        course.send(2);
    }
    assert_eq!(listener.try_recv().is_ok(), succeeds);
    assert_eq!(watcher.try_changed().is_ok(), succeeds);
    let limiter = RateLimiter::new(1 + u32::from(succeeds), MINUTE);
    assert!(limiter.try_acquire());
    assert_eq!(limiter.try_acquire(), succeeds);
    let idle = IdleTimer::new(MINUTE);
    assert_eq!(idle.try_wait(), None);
    assert_eq!(interval(MINUTE).try_tick(), None);
    let cache = LruCache::new(1);
    assert!(cache.get(&1).is_none());
    cache.insert(1, 1).unwrap();
    assert!(cache.get(&1).is_some());
}
