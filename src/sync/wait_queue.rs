//! Who waits for a primitive, first come first served. Itself it never waits: it lives under the primitive's lock.
//!
//! An entry ends in one of two ways, and [`Waiter::wake`] decides which:
//!
//! ```text
//!                    wake() is true             the granter frees the entry and takes its payload
//!   push ── queued ─┤
//!                    the wait was interrupted   the owner frees it (`withdraw`), even if a granter has
//!                                               met it since and taken it out of the line
//! ```
//!
//! So a payload (a message to be sent, a number of permits) always has exactly one owner, and what a waiter was
//! granted is never granted to one that is gone.

use crate::sched::wait::Waiter;

/// No entry: the end of a list.
const NONE: u32 = u32::MAX;
/// Below this many entries the memory of a past crowd is not worth giving back.
const KEEP: usize = 64;

/// How much a primitive has been waited for. Part of every `statistics()` of this module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitStatistics {
    /// Coroutines and threads that wait now.
    pub waiting: usize,
    /// Calls that had to wait, since the primitive was made; calls that got what they wanted at once are not counted.
    pub waits: u64,
    /// Those of `waits` which ended by an interrupt or a timeout.
    pub interrupted: u64,
}

/// Names an entry to its owner. Never used twice, so a late one finds nothing.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Ticket {
    index: u32,
    generation: u32,
}

/// The waiters of one primitive, each with a payload.
pub(crate) struct WaitQueue<P> {
    entries: Vec<Entry<P>>,
    /// Head and tail of the line, linked by `prev` and `next`.
    first: u32,
    last: u32,
    /// First free entry, linked by `next`.
    free: u32,
    /// Entries in line.
    waiting: u32,
    /// Entries not free: those in line, and those whose owners have yet to collect them.
    used: u32,
    waits: u64,
    interrupted: u64,
}

struct Entry<P> {
    /// Raised when the entry is freed, so that old tickets do not fit.
    generation: u32,
    prev: u32,
    next: u32,
    /// `Some` exactly while the entry is in line.
    waiter: Option<Waiter>,
    /// `None` exactly while the entry is free.
    payload: Option<P>,
}

impl<P> WaitQueue<P> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            first: NONE,
            last: NONE,
            free: NONE,
            waiting: 0,
            used: 0,
            waits: 0,
            interrupted: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Is anybody but the caller in line?
    pub(crate) fn has_others(&self) -> bool {
        let mut index = self.first;
        while let Some(entry) = self.entries.get(index as usize) {
            if entry.waiter.as_ref().is_some_and(|waiter| !waiter.is_own()) {
                return true;
            }
            index = entry.next;
        }
        false
    }

    pub(crate) fn statistics(&self) -> WaitStatistics {
        WaitStatistics {
            waiting: self.waiting as usize,
            waits: self.waits,
            interrupted: self.interrupted,
        }
    }

    /// What the first in line wants.
    pub(crate) fn front(&self) -> Option<&P> {
        self.entries.get(self.first as usize)?.payload.as_ref()
    }

    /// Joins the end of the line.
    pub(crate) fn push(&mut self, waiter: Waiter, payload: P) -> Ticket {
        let index = self.allocate();
        let prev = std::mem::replace(&mut self.last, index);
        match self.entries.get_mut(prev as usize) {
            Some(prev) => prev.next = index,
            None => self.first = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = prev;
        entry.next = NONE;
        entry.waiter = Some(waiter);
        entry.payload = Some(payload);
        let generation = entry.generation;
        self.waiting += 1;
        self.used += 1;
        self.waits += 1;
        Ticket { index, generation }
    }

    /// Takes the first out of the line and ends its wait; its payload, or `None` if it was interrupted before
    /// (or nobody is there).
    pub(crate) fn grant_front(&mut self) -> Option<P> {
        let index = self.first;
        let waiter = self.unlink(index)?;
        if waiter.wake() {
            self.release(index)
        } else {
            None
        }
    }

    /// Ends the wait of the first in line who still waits; its payload, or `None` if nobody does.
    #[inline]
    pub(crate) fn grant_first(&mut self) -> Option<P> {
        // Most of the time there is nobody.
        if self.is_empty() {
            return None;
        }
        self.grant_one()
    }

    fn grant_one(&mut self) -> Option<P> {
        while !self.is_empty() {
            if let Some(payload) = self.grant_front() {
                return Some(payload);
            }
        }
        None
    }

    /// Ends all waits.
    pub(crate) fn grant_all(&mut self) {
        while self.grant_first().is_some() {}
    }

    /// Ends all waits, and leaves every payload to be collected by its owner with [`collect`](Self::collect).
    pub(crate) fn dismiss_all(&mut self) {
        while let Some(waiter) = self.unlink(self.first) {
            waiter.wake();
        }
    }

    /// Takes an entry back whose wait was interrupted. Its place in line is free afterwards, so the caller passes
    /// on whatever that lets through.
    pub(crate) fn withdraw(&mut self, ticket: Ticket) -> Option<P> {
        let payload = self.collect(ticket);
        debug_assert!(payload.is_some(), "an interrupted wait owns its entry");
        self.interrupted += 1;
        payload
    }

    /// The payload of an entry that no granter has taken, in line or not.
    pub(crate) fn collect(&mut self, ticket: Ticket) -> Option<P> {
        let entry = self.entries.get(ticket.index as usize)?;
        if entry.generation != ticket.generation {
            return None;
        }
        drop(self.unlink(ticket.index));
        self.release(ticket.index)
    }

    /// Takes an entry out of the line. `None` if it is not in line.
    fn unlink(&mut self, index: u32) -> Option<Waiter> {
        let entry = self.entries.get_mut(index as usize)?;
        let waiter = entry.waiter.take()?;
        let (prev, next) = (entry.prev, entry.next);
        match self.entries.get_mut(prev as usize) {
            Some(prev) => prev.next = next,
            None => self.first = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(next) => next.prev = prev,
            None => self.last = prev,
        }
        self.waiting -= 1;
        Some(waiter)
    }

    /// A free entry's index.
    fn allocate(&mut self) -> u32 {
        let index = self.free;
        if let Some(entry) = self.entries.get(index as usize) {
            self.free = entry.next;
            return index;
        }
        let index = u32::try_from(self.entries.len())
            .ok()
            .filter(|&index| index != NONE);
        self.entries.push(Entry {
            generation: 0,
            prev: NONE,
            next: NONE,
            waiter: None,
            payload: None,
        });
        index.expect("fewer than 2^32 - 1 waiters")
    }

    /// Frees an entry that is out of the line.
    fn release(&mut self, index: u32) -> Option<P> {
        let entry = self.entries.get_mut(index as usize)?;
        let payload = entry.payload.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = std::mem::replace(&mut self.free, index);
        self.used -= 1;
        if self.used == 0 && self.entries.len() > KEEP {
            // No ticket is out there any more, so nothing can confuse new generations with old ones.
            self.entries = Vec::new();
            self.free = NONE;
        }
        Some(payload)
    }
}
