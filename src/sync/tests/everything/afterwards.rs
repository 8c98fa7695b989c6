//! What must hold at any moment, and when all are done.

use super::{PARTIES, PERMITS, Ship};
use crate::select::sealed::Arm;
use crate::sync::channel;
use std::io::Read;
use std::net::Shutdown;

/// At any moment nobody waits for what is there.
pub(super) fn assert_settled(ship: &Ship) {
    let waits_in_vain = [
        !ship.mutex.is_locked() && ship.mutex.statistics().waiting > 0,
        {
            let rwlock = ship.rwlock.statistics();
            // Readers wait for none but writers.
            let for_none = rwlock.readers == 0 || ship.writers.get() == 0;
            !rwlock.writer && for_none && rwlock.wait.waiting > 0
        },
        ship.semaphore.available() == PERMITS && ship.semaphore.statistics().wait.waiting > 0,
        ship.inverted.count() == 0 && ship.inverted.statistics().wait.waiting > 0,
        ship.event.is_set() && ship.event.statistics().waiting > 0,
        ship.barrier.statistics().arrived == PARTIES,
        {
            let once = ship.once.statistics();
            (once.done || !once.running) && once.wait.waiting > 0
        },
        !ship.fifo.is_empty() && ship.fifo.statistics().wait.waiting > 0,
        is_stuck(&ship.receiver),
        is_stuck(&ship.boat.1),
        // A message has gone into the line, and nobody tells who waits for one.
        {
            let mut arrival = ship.line.1.__select_readable();
            arrival.is_watched() && arrival.attempt()
        },
        {
            let mut room = ship.line.0.__select_writable();
            room.is_watched() && room.attempt()
        },
        {
            let cache = ship.cache.statistics();
            cache.loading == 0 && cache.waiting > 0
        },
    ];
    assert!(waits_in_vain.iter().all(|&vain| !vain), "{waits_in_vain:?}");
}

fn is_stuck(receiver: &channel::Receiver<u64>) -> bool {
    let channel = receiver.statistics();
    let full = Some(channel.len) == channel.capacity;
    (channel.len > 0 || channel.send.waiting > 0) && channel.recv.waiting > 0
        || !full && channel.send.waiting > 0
}

pub(super) fn assert_free(ship: &Ship) {
    assert!(ship.mutex.try_lock().is_some());
    assert!(ship.rwlock.try_write().is_some());
    assert_eq!(ship.semaphore.available(), PERMITS);
    assert_eq!(ship.inverted.count(), 0);
    assert_eq!(ship.barrier.statistics().arrived, 0);
    assert_eq!(ship.cache.statistics().pinned, 0);
    assert_eq!(ship.cache.statistics().loading, 0);
    assert!(!ship.once.statistics().running);
    let channels = [&ship.receiver, &ship.boat.1, &ship.ferry.1].map(|it| it.statistics());
    let waiting = [
        ship.mutex.statistics().waiting,
        ship.rwlock.statistics().wait.waiting,
        ship.condvar.statistics().waiting,
        ship.semaphore.statistics().wait.waiting,
        ship.inverted.statistics().wait.waiting,
        ship.event.statistics().waiting,
        ship.barrier.statistics().wait.waiting,
        ship.once.statistics().wait.waiting,
        ship.routine.statistics().wait.waiting,
        ship.fifo.statistics().wait.waiting,
        ship.limiter.statistics().wait.waiting,
        ship.idle.statistics().waiting,
        ship.cache.statistics().waiting,
        channels
            .iter()
            .map(|it| it.send.waiting + it.recv.waiting)
            .sum(),
        ship.news.statistics().recv.waiting,
        ship.course.statistics().wait.waiting,
    ];
    assert!(waiting.iter().all(|&waiting| waiting == 0), "{waiting:?}");
    assert_eq!(ship.news.statistics().receivers, 0);
    assert_eq!(ship.course.statistics().receivers, 0);
}

pub(super) fn assert_conserved(ship: &Ship) {
    assert_eq!(*ship.mutex.try_lock().unwrap(), ship.added.0.get() as u64);
    assert_eq!(*ship.rwlock.try_read().unwrap(), ship.added.1.get() as u64);
    assert_eq!(ship.succeeded.get(), usize::from(ship.once.get().is_some()));
    let left = ship.fifo.try_pop_all().len() + ship.receiver.try_iter().count();
    let left = left + ship.mailbox.left();
    assert_eq!(ship.sent.get(), ship.received.get() + left);
    let (first, mut second) = (&ship.line.0, &ship.line.1);
    first.shutdown(Shutdown::Write).unwrap();
    let left = second.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(ship.poured.get(), ship.drunk.get() + left);
    assert_eq!(
        ship.routines.get(),
        usize::from(ship.routine.is_completed())
    );
}
