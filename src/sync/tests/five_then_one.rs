//! Five waiters are interrupted, before or after they are woken; the sixth still gets its turn, exactly once.

use super::crew::{Crew, WAITERS};
use super::{for_each_seed, yield_until};
use crate::sync::{Condvar, Event, Mutex, RwLock, Semaphore, channel};
use std::sync::Arc;

#[test]
fn mutex_before_the_wake() {
    for_each_seed(|_| {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let crew = mutex_crew(&mutex);
        crew.interrupt_five();
        drop(held);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1, "the five never had the mutex");
        crew.assert_only_the_sixth_is_done();
        assert!(mutex.try_lock().is_some());
        assert_eq!(mutex.statistics().interrupted, 5);
    });
}

#[test]
fn mutex_after_the_wake() {
    for_each_seed(|_| {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let crew = mutex_crew(&mutex);
        drop(held);
        assert!(
            mutex.try_lock().is_none(),
            "handed over: nobody gets in between"
        );
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(
            crew.through.get(),
            2,
            "the first was granted it, and passed it on as it unwound"
        );
        crew.assert_only_the_sixth_is_done();
        assert!(mutex.try_lock().is_some());
    });
}

fn mutex_crew(mutex: &Arc<Mutex<()>>) -> Crew {
    let ours = Arc::clone(mutex);
    let wait = move |then: &dyn Fn()| {
        let _held = ours.lock();
        then();
    };
    Crew::muster(wait, || mutex.statistics().waiting)
}

#[test]
fn rwlock_read_before_the_wake() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.write();
        let crew = read_crew(&lock);
        crew.interrupt_five();
        drop(held);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn rwlock_read_after_the_wake() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.write();
        let crew = read_crew(&lock);
        drop(held);
        assert_eq!(
            lock.statistics().readers,
            WAITERS,
            "all readers go together"
        );
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        crew.assert_only_the_sixth_is_done();
        assert!(
            lock.try_write().is_some(),
            "what the five were granted was given back"
        );
    });
}

fn read_crew(lock: &Arc<RwLock<()>>) -> Crew {
    let ours = Arc::clone(lock);
    let wait = move |then: &dyn Fn()| {
        let _held = ours.read();
        then();
    };
    Crew::muster(wait, || lock.statistics().wait.waiting)
}

#[test]
fn rwlock_write_before_the_wake() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.read();
        let crew = write_crew(&lock);
        crew.interrupt_five();
        drop(held);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn rwlock_write_after_the_wake() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.read();
        let crew = write_crew(&lock);
        drop(held);
        assert!(
            lock.try_read().is_none(),
            "handed over: nobody gets in between"
        );
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(
            crew.through.get(),
            2,
            "the first was granted it, and passed it on as it unwound"
        );
        crew.assert_only_the_sixth_is_done();
        assert!(lock.try_write().is_some());
    });
}

fn write_crew(lock: &Arc<RwLock<()>>) -> Crew {
    let ours = Arc::clone(lock);
    let wait = move |then: &dyn Fn()| {
        let _held = ours.write();
        then();
    };
    Crew::muster(wait, || lock.statistics().wait.waiting)
}

#[test]
fn semaphore_before_the_wake() {
    for_each_seed(|_| {
        let semaphore = Arc::new(Semaphore::new(0));
        let crew = semaphore_crew(&semaphore);
        crew.interrupt_five();
        semaphore.release(1);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn semaphore_after_the_wake() {
    for_each_seed(|_| {
        let semaphore = Arc::new(Semaphore::new(0));
        let crew = semaphore_crew(&semaphore);
        semaphore.release(1);
        assert!(
            semaphore.try_acquire().is_none(),
            "handed over: nobody gets in between"
        );
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(
            crew.through.get(),
            2,
            "the first was granted it, and passed it on as it unwound"
        );
        crew.assert_only_the_sixth_is_done();
        assert_eq!(semaphore.available(), 1);
    });
}

fn semaphore_crew(semaphore: &Arc<Semaphore>) -> Crew {
    let ours = Arc::clone(semaphore);
    let wait = move |then: &dyn Fn()| {
        let _permit = ours.acquire();
        then();
    };
    Crew::muster(wait, || semaphore.statistics().wait.waiting)
}

#[test]
fn condvar_before_the_wake() {
    for_each_seed(|_| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let crew = condvar_crew(&pair);
        crew.interrupt_five();
        assert!(pair.1.notify_one(), "the notification goes to the sixth");
        assert!(!pair.1.notify_one());
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert!(pair.0.try_lock().is_some());
    });
}

#[test]
fn condvar_after_the_wake() {
    for_each_seed(|_| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let crew = condvar_crew(&pair);
        pair.1.notify_all();
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("all", || crew.through.get() == WAITERS);
        crew.assert_only_the_sixth_is_done();
        assert!(pair.0.try_lock().is_some(), "each guard was dropped once");
    });
}

fn condvar_crew(pair: &Arc<(Mutex<()>, Condvar)>) -> Crew {
    let ours = Arc::clone(pair);
    let wait = move |then: &dyn Fn()| {
        let _held = ours.1.wait(ours.0.lock());
        then();
    };
    Crew::muster(wait, || pair.1.statistics().waiting)
}

#[test]
fn event_before_the_wake() {
    for_each_seed(|_| {
        let event = Arc::new(Event::new());
        let crew = event_crew(&event);
        crew.interrupt_five();
        event.set();
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
    });
}

#[test]
fn event_after_the_wake() {
    for_each_seed(|_| {
        let event = Arc::new(Event::new());
        let crew = event_crew(&event);
        event.set();
        event.clear();
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("all, although it was cleared", || {
            crew.through.get() == WAITERS
        });
        crew.assert_only_the_sixth_is_done();
    });
}

fn event_crew(event: &Arc<Event>) -> Crew {
    let ours = Arc::clone(event);
    let wait = move |then: &dyn Fn()| {
        ours.wait();
        then();
    };
    Crew::muster(wait, || event.statistics().waiting)
}

#[test]
fn recv_before_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        let got = Arc::new(Mutex::new(Vec::new()));
        let crew = recv_crew(&receiver, &got);
        crew.interrupt_five();
        sender.send(1).unwrap();
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(*got.lock(), [1]);
        assert!(receiver.is_empty());
    });
}

#[test]
fn recv_after_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        let got = Arc::new(Mutex::new(Vec::new()));
        let crew = recv_crew(&receiver, &got);
        sender.send(1).unwrap();
        assert!(receiver.try_recv().is_err(), "it is promised to the first");
        crew.interrupt_five();
        sender.send(2).unwrap();
        yield_until("the sixth", || crew.done.get() == 1);
        yield_until("the first", || crew.through.get() == 2);
        crew.assert_only_the_sixth_is_done();
        let mut got = got.lock().clone();
        got.sort_unstable();
        assert_eq!(got, [1, 2], "neither lost nor received twice");
    });
}

fn recv_crew(receiver: &channel::Receiver<i32>, got: &Arc<Mutex<Vec<i32>>>) -> Crew {
    let (ours, got) = (receiver.clone(), Arc::clone(got));
    let wait = move |then: &dyn Fn()| {
        let message = ours.recv().unwrap();
        // Not a blocking call, so that it is recorded even if an interrupt is pending.
        got.try_lock().unwrap().push(message);
        then();
    };
    Crew::muster(wait, || receiver.statistics().recv.waiting)
}

#[test]
fn send_before_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(0).unwrap();
        let crew = send_crew(&sender);
        crew.interrupt_five();
        assert_eq!(receiver.recv(), Ok(0));
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(
            receiver.try_iter().count(),
            1,
            "the messages of the five were never sent"
        );
    });
}

#[test]
fn send_after_the_wake() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(0).unwrap();
        let crew = send_crew(&sender);
        assert_eq!(receiver.recv(), Ok(0));
        crew.interrupt_five();
        assert_eq!(
            receiver.recv(),
            Ok(1),
            "the first was granted its place: its message counts"
        );
        yield_until("the sixth", || crew.done.get() == 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(receiver.try_iter().count(), 1);
    });
}

fn send_crew(sender: &channel::Sender<i32>) -> Crew {
    let ours = sender.clone();
    let wait = move |then: &dyn Fn()| {
        ours.send(1).unwrap();
        then();
    };
    Crew::muster(wait, || sender.statistics().send.waiting)
}
