//! Coroutines come and go: from their launch to their first resume, and from their end off the table.

use std::io;
use std::sync::atomic::{Ordering, fence};

use super::super::join::JoinError;
use super::super::record::{self, CoroRef, Newborn, shown};
use super::super::{balance, raise};
use super::{START, Worker};
use crate::context::{Context, cycles};
use crate::testing;

/// Tables and queues with fewer places are left as they are.
const WIDE: usize = 4096;

impl Worker {
    /// Queues a new coroutine of this worker's, or hands it over: see `balance`.
    #[inline]
    pub(super) fn launch(&self, newborn: Newborn) {
        if self.shuffle.is_some() {
            return self.admit(newborn);
        }
        if let Some(other) = balance::better_than(self.shared, self.mine) {
            return other.place(newborn);
        }
        {
            let mut table = self.mine.table.lock();
            table.unstarted.push_back(newborn);
            self.mine
                .unstarted
                .store(table.unstarted.len(), Ordering::Relaxed);
        }
        if self.shared.idle.any().is_some() {
            self.rouse_thief();
        }
    }

    #[inline]
    pub(super) fn rouse_thief(&self) {
        // Not the time of the latest switch: it stands still while a coroutine spawns and computes.
        let now = cycles::now();
        if now.wrapping_sub(self.roused.get()) >= self.rouse_every {
            self.roused.set(now);
            balance::rouse_thief(self.shared);
        }
    }

    /// Makes a new coroutine this worker's for good, and queues it.
    pub(super) fn admit(&self, newborn: Newborn) {
        if self.shuffle.is_some() {
            testing::network::born(newborn.head.parent, newborn.head.id);
        }
        let [for_table, for_queue] = record::adopt(newborn);
        let slot = self.mine.table.lock().live.insert(for_table);
        self.adopt(&for_queue, slot);
        fence(Ordering::SeqCst);
        self.ready.borrow_mut().push_back(for_queue);
    }

    /// Makes those this worker's that others handed over.
    #[cold]
    pub(super) fn admit_assigned(&self) {
        for newborn in self.mine.take_assigned() {
            self.admit(newborn);
        }
    }

    /// Before it starts, the caller fences: whoever interrupts it finds its home then, or it finds itself interrupted.
    #[inline]
    fn adopt(&self, coroutine: &CoroRef, slot: usize) {
        let head = &coroutine.head;
        let mut spare = self.spare.borrow_mut();
        if spare.len() <= slot {
            spare.resize_with(slot + 1, || None);
        }
        head.own.get().slot.set(slot);
        head.home.store(self.mine.index as u32, Ordering::Release);
        if self.stopping.get() {
            head.interrupted.store(true, Ordering::Relaxed);
        }
        let live = self.mine.live.load(Ordering::Relaxed);
        self.mine.live.store(live + 1, Ordering::Relaxed);
        raise(&self.mine.figures.started, 1);
    }

    /// Moves some unstarted coroutines to the ready queue.
    #[inline]
    pub(super) fn admit_unstarted(&self) {
        if self.mine.unstarted.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut ready = self.ready.borrow_mut();
        let mut guard = self.mine.table.lock();
        let table = &mut *guard;
        for _ in 0..START {
            let Some(newborn) = table.unstarted.pop_front() else {
                break;
            };
            let [for_table, for_queue] = record::adopt(newborn);
            let slot = table.live.insert(for_table);
            self.adopt(&for_queue, slot);
            ready.push_back(for_queue);
        }
        fence(Ordering::SeqCst);
        self.mine
            .unstarted
            .store(table.unstarted.len(), Ordering::Relaxed);
    }

    /// Gives a coroutine its stack.
    #[inline]
    pub(super) fn start(&self, coroutine: &CoroRef) -> io::Result<Context> {
        let head = &coroutine.head;
        let stack = self.stacks.borrow_mut().take(head.stack_size)?;
        head.stack_start
            .store(stack.bounds().start, Ordering::Relaxed);
        Ok(Context::new(stack, coroutine.body().entry()))
    }

    /// An ended coroutine leaves the table, and then whoever joins may know.
    #[inline]
    pub(super) fn forget(&self, coroutine: CoroRef) {
        let head = &coroutine.head;
        let own = head.own.get();
        head.stack_start.store(0, Ordering::Relaxed);
        own.scopes.clear();
        let slot = own.slot.get();
        self.spare.borrow_mut()[slot] = None;
        self.mine.live.store(
            self.mine.live.load(Ordering::Relaxed) - 1,
            Ordering::Relaxed,
        );
        raise(&self.mine.figures.ended, 1);
        let in_table = self.mine.table.lock().live.remove(slot);
        record::publish(coroutine, in_table);
    }

    /// There is no stack for it.
    #[cold]
    pub(super) fn give_up(&self, coroutine: CoroRef, error: io::Error) {
        let (name, id) = (coroutine.head.name.with(str::to_owned), coroutine.head.id);
        // Whoever joins is told as well, but nobody may.
        log::error!(
            "coroutine '{}' (#{id}) cannot start, for there is no stack: {error}",
            shown(&name)
        );
        coroutine.discard(JoinError::NoStack(error));
        self.forget(coroutine);
    }

    /// Gives back what a crowd of coroutines that has gone needed beside its records: places in tables and queues.
    pub(super) fn shrink_tables(&self) {
        let is_wide = |len: usize, capacity: usize| capacity > WIDE && len < capacity / 8;
        let mut ready = self.ready.borrow_mut();
        if is_wide(ready.len(), ready.capacity()) {
            let room = 2 * ready.len();
            ready.shrink_to(room);
        }
        let mut table = self.mine.table.lock();
        if is_wide(table.unstarted.len(), table.unstarted.capacity()) {
            let room = 2 * table.unstarted.len();
            table.unstarted.shrink_to(room);
        }
        // Up to the last that lives: a coroutine stays in its slot.
        if is_wide(table.live.len(), table.live.capacity()) {
            table.live.shrink_to_fit();
            let slots = table.live.capacity();
            drop(table);
            let mut spare = self.spare.borrow_mut();
            spare.truncate(slots);
            spare.shrink_to_fit();
        }
    }
}
