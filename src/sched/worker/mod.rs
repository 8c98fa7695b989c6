//! A worker: one OS thread, its loop, and its coroutines.
//!
//! ```text
//!   ┌▶ take the inbox       ── what other threads left
//!   │  fire timers          ── they only queue
//!   │  run ready coroutines ── at most BUDGET, or for a SLICE of time; if not all have had a turn, once more from above
//!   └─ poll                 ── events only queue; blocks if there is nothing else to do
//! ```
//!
//! Only `run_one` ever resumes a coroutine.

mod admission;
mod chance;
mod delay;
mod idle;
mod simulation;
mod soonest;
mod stopping;
mod thread;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{Ordering, fence};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::hooks::{Cause, Leaves};
use super::join::JoinError;
use super::owner::Owner;
use super::record::{self, CoroRef, EndedBy, Head, NOWHERE, Newborn};
use super::spawn::Placement;
use super::wait::{WaitKind, Waiter};
use super::word::Epoch;
use super::{Message, Shared, WorkerShared, balance, current, hooks, raise};
use crate::context::{Context, StackPool, Switched, cycles, prefetch};
use crate::io::Poller;
use crate::testing;
use crate::time::clock::Clock;
use crate::time::wheel::{TimerKey, Wheel};
use crate::trace::stream::Tape;
pub(crate) use chance::random;
use delay::Probe;
pub(crate) use simulation::ClockHeld;
pub(crate) use soonest::soonest_timers;
pub(crate) use thread::main;

/// Resumes between two looks at the poller, the timers and the inbox.
pub(super) const BUDGET: u32 = 256;
/// Nanoseconds after which a worker looks there though its budget is not used up.
const SLICE: u64 = 200_000;
/// Without accounting, resumes between two looks at the time.
const UNSTAMPED: u32 = 16;
/// Unstarted coroutines that are started at once; what waits in the queue can still be stolen.
const START: usize = 32;
/// When so many were woken at once, the memory of the next ones is fetched while one runs: it may well be cold.
const CROWD: usize = 8;
/// Calls in a row that a coroutine completes without suspending before it must go through the poller.
const SELFISH: u32 = 32;
/// Yields in a row, with nothing else going on, after which time passes in a simulation.
const YIELDS: u32 = 4096;
/// Ids that a worker takes at once.
const IDS: u64 = 64;

thread_local! {
    static WORKER: OnceCell<Worker> = const { OnceCell::new() };
}

/// What the running coroutine wants when it suspends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// To be woken.
    Wait,
    /// To run again after the others.
    Again,
    /// To run again after the others and the poller.
    AfterPoll,
}

/// What a timer does.
enum Alarm {
    /// Ends a sleep.
    Wake(Waiter),
    /// A `with_timeout` of the coroutine has expired.
    Scope(CoroRef, u64),
    /// Something is due on the simulated network.
    Network,
}

/// The part of a worker that only its own thread sees.
pub(crate) struct Worker {
    shared: &'static Shared,
    mine: &'static WorkerShared,
    ready: RefCell<VecDeque<CoroRef>>,
    after_poll: RefCell<Vec<CoroRef>>,
    /// Of futures whose wait is over: called when nothing is borrowed or locked.
    wakers: RefCell<Vec<Waker>>,
    wheel: RefCell<Wheel<Alarm>>,
    clock: Clock,
    next: Cell<Next>,
    /// By slot, a reference to the coroutine there that its next wait's waiter takes, so that a wait need not count any.
    spare: RefCell<Vec<Option<CoroRef>>>,
    stacks: RefCell<StackPool>,
    poller: RefCell<Poller>,
    /// Next id, and the end of the block it is from.
    ids: Cell<(u64, u64)>,
    /// Resumes since the poller's latest turn.
    resumed: Cell<u32>,
    /// How many were ready after it.
    round: Cell<u32>,
    /// Calls completed in a row without a suspension.
    selfish: Cell<u32>,
    /// Cycles, at the latest switch, or when ids were last taken.
    stamp: Cell<u64>,
    /// Cycles, when an idle worker was last woken to steal.
    roused: Cell<u64>,
    rouse_every: u64,
    slice: u64,
    trimmed: Cell<u64>,
    trim_left: Cell<usize>,
    stopping: Cell<bool>,
    /// Resumes in a row that ended in a yield: nothing happens but that somebody polls.
    yields: Cell<u32>,
    /// Waits of its coroutines for which a virtual clock stands still.
    held: Cell<u32>,
    /// [`CROWD`] or more were ready after the latest look at timers and poller.
    crowd: Cell<bool>,
    /// It stole since its latest sleep, so the next one is short.
    linger: Cell<bool>,
    /// It waits awake for messages, a little: see `linger_awake`.
    awake: Cell<bool>,
    /// Rounds in a row in which it did not look at the poller.
    unpolled: Cell<u32>,
    /// As its runtime had it at the beginning of this turn.
    accounting: Cell<bool>,
    /// How long coroutines wait for it.
    probe: Probe,
    /// Where it writes what happens, if that is recorded.
    tape: Tape,
    /// Picks the next ready coroutine in a simulation.
    shuffle: Option<Cell<u64>>,
}

/// Calls with this thread's worker, if it is one.
#[inline(always)]
pub(crate) fn with<R>(call: impl FnOnce(Option<&Worker>) -> R) -> R {
    WORKER.with(|worker| call(worker.get()))
}

/// The time in nanoseconds, by the worker's clock; on a plain thread since the process's first look.
#[inline]
pub(crate) fn now() -> u64 {
    with(|worker| match worker {
        Some(worker) => worker.clock.now(),
        None => {
            static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
            u64::try_from(BASE.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
        }
    })
}

/// Ends a wait with a grant, and queues the coroutine at its own worker. False: the wait is over already.
#[inline]
pub(crate) fn grant(coroutine: CoroRef, epoch: Epoch) -> bool {
    with(|worker| match worker {
        Some(worker) if worker.is_home(&coroutine) => {
            let granted = coroutine.head.word.grant_at_home(epoch);
            if granted {
                if hooks::is_on() {
                    hooks::woken(&coroutine.head, Cause::Caller);
                }
                worker.ready.borrow_mut().push_back(coroutine);
            }
            granted
        }
        _ => {
            let granted = coroutine.head.word.grant(epoch);
            if granted {
                if hooks::is_on() {
                    hooks::woken(&coroutine.head, Cause::Caller);
                }
                let home = coroutine.head.home.load(Ordering::Relaxed) as usize;
                coroutine.head.runtime.workers[home].send(Message::Ready(coroutine));
            }
            granted
        }
    })
}

/// Is it pinned to this thread's worker?
#[inline]
pub(crate) fn is_home(coroutine: &CoroRef) -> bool {
    with(|worker| worker.is_some_and(|worker| worker.is_home(coroutine)))
}

/// Asks a coroutine to end; see `JoinHandle::interrupt`.
pub(crate) fn interrupt(coroutine: &CoroRef) {
    if hooks::is_on() {
        hooks::interrupt_asked(&coroutine.head);
    }
    coroutine.head.interrupted.store(true, Ordering::Relaxed);
    // Either this finds the home that a worker has just given it, or that worker finds it interrupted: see `adopt`.
    fence(Ordering::SeqCst);
    let home = coroutine.head.home.load(Ordering::Acquire);
    if home == NOWHERE || coroutine.head.has_ended() {
        return;
    }
    // Only its own worker may look whether it is shielded. There it takes effect at once.
    with(|worker| match worker {
        Some(worker) if worker.is_home(coroutine) => worker.interrupt_wait(coroutine),
        _ => coroutine.head.runtime.workers[home as usize]
            .send(Message::Interrupt(coroutine.clone())),
    });
}

/// Cycles, when this thread's worker last looked: that is what a spawn is dated by, since a look costs as much as half a
/// switch. It was when the spawner was resumed, or a few spawns ago. A thread that is no worker of `shared` looks anew.
#[inline]
pub(crate) fn stamp(shared: &'static Shared) -> u64 {
    with(|worker| match worker {
        Some(worker) if std::ptr::eq(worker.shared, shared) => worker.stamp.get(),
        _ => cycles::now(),
    })
}

/// Has this thread's worker look whether its runtime's events are recorded still.
pub(crate) fn refresh_tape() {
    with(|worker| worker.map(|worker| worker.tape.refresh(worker.shared, worker.mine.index)));
}

/// A fresh id.
#[inline]
pub(crate) fn new_id(shared: &'static Shared) -> u64 {
    with(|worker| match worker {
        Some(worker) if std::ptr::eq(worker.shared, shared) => worker.new_id(),
        _ => shared.next_id.fetch_add(1, Ordering::Relaxed),
    })
}

/// Queues a new coroutine where it is to start.
#[inline]
pub(crate) fn launch(newborn: Newborn, placement: Placement) {
    let shared = newborn.head.runtime;
    if shared.is_stopping() {
        // A loop of spawns and joins never has to wait any more, so its worker may not come to tell it.
        current::with(|spawner| {
            if let Some(spawner) = spawner.filter(|it| std::ptr::eq(it.head.runtime, shared)) {
                spawner.head.interrupted.store(true, Ordering::Relaxed);
            }
        });
        record::discard(newborn, JoinError::Interrupted);
        return;
    }
    with(|worker| {
        match (
            worker.filter(|worker| std::ptr::eq(worker.shared, shared)),
            placement,
        ) {
            (Some(worker), Placement::Here) => worker.admit(newborn),
            (Some(worker), Placement::Balanced) => worker.launch(newborn),
            (_, Placement::Worker(index)) => {
                shared.workers[index % shared.workers.len()].hand_over(newborn);
            }
            (None, _) => balance::least_loaded(shared).place(newborn),
        }
    });
}

impl Worker {
    fn new(shared: &'static Shared, index: usize, poller: Poller) -> Self {
        let clock = if shared.config.seed.is_some() {
            Clock::simulated()
        } else {
            Clock::real(shared.base)
        };
        let scale = cycles::scale();
        Self {
            shared,
            mine: &shared.workers[index],
            ready: RefCell::default(),
            after_poll: RefCell::default(),
            wakers: RefCell::default(),
            wheel: RefCell::new(Wheel::new(clock.now())),
            clock,
            next: Cell::new(Next::Wait),
            spare: RefCell::default(),
            stacks: RefCell::new(StackPool::new(
                shared.config.stack_size,
                shared.config.max_pooled_stacks,
            )),
            poller: RefCell::new(poller),
            ids: Cell::new((0, 0)),
            resumed: Cell::new(0),
            round: Cell::new(0),
            selfish: Cell::new(0),
            stamp: Cell::new(cycles::now()),
            roused: Cell::new(0),
            rouse_every: scale.cycles(balance::ROUSE_EVERY),
            // Real time must not decide the order in a simulation.
            slice: if shared.config.seed.is_some() {
                u64::MAX
            } else {
                scale.cycles(SLICE)
            },
            trimmed: Cell::new(0),
            trim_left: Cell::new(0),
            stopping: Cell::new(false),
            crowd: Cell::new(false),
            linger: Cell::new(false),
            awake: Cell::new(false),
            unpolled: Cell::new(0),
            yields: Cell::new(0),
            held: Cell::new(0),
            accounting: Cell::new(shared.accounting.is_on()),
            probe: Probe::new(cycles::now(), shared.config.seed.is_some()),
            tape: Tape::default(),
            shuffle: shared
                .config
                .seed
                .map(|seed| Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)),
        }
    }

    // ---- what the rest of the runtime asks of the current worker ----

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }

    #[inline]
    fn is_home(&self, coroutine: &CoroRef) -> bool {
        std::ptr::eq(self.shared, coroutine.head.runtime)
            && self.mine.index == coroutine.head.home.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn mine(&self) -> &'static WorkerShared {
        self.mine
    }

    pub(crate) fn tape(&self) -> &Tape {
        &self.tape
    }

    pub(crate) fn virtual_now(&self) -> Option<Instant> {
        self.clock
            .is_virtual()
            .then(|| self.shared.base + Duration::from_nanos(self.clock.now()))
    }

    pub(crate) fn set_next(&self, next: Next) {
        self.next.set(next);
    }

    /// Arms a timer that ends a sleep of `nanos` from now.
    pub(crate) fn arm_wake(&self, nanos: u64, waiter: Waiter) -> TimerKey {
        let deadline = self.clock.now().saturating_add(nanos);
        self.wheel
            .borrow_mut()
            .insert(deadline, Alarm::Wake(waiter))
    }

    /// Arms a timer for a `with_timeout` scope.
    pub(crate) fn arm_scope(&self, deadline: u64, coroutine: CoroRef, scope: u64) -> TimerKey {
        self.wheel
            .borrow_mut()
            .insert(deadline, Alarm::Scope(coroutine, scope))
    }

    /// Arms a look at the simulated network.
    pub(crate) fn arm_network(&self, time: u64) {
        self.wheel.borrow_mut().insert(time, Alarm::Network);
    }

    pub(crate) fn disarm(&self, timer: TimerKey) {
        let alarm = self.wheel.borrow_mut().cancel(timer);
        drop(alarm);
    }

    pub(crate) fn count_timeout(&self) {
        raise(&self.mine.figures.timeouts, 1);
    }

    /// The reference that the latest suspension of `coroutine` left for its next waiter.
    #[inline]
    pub(crate) fn spare(&self, coroutine: &CoroRef) -> Option<CoroRef> {
        let slot = coroutine.head.own.get().slot.get();
        self.spare.borrow_mut().get_mut(slot)?.take()
    }

    /// Counts a call that did not have to wait. True: so many in a row that the caller must go through the poller.
    #[inline]
    pub(crate) fn is_selfish(&self) -> bool {
        let calls = self.selfish.get() + 1;
        self.selfish.set(calls);
        calls >= SELFISH
    }

    /// As [`Worker::is_selfish`], for what cannot suspend itself and asks others to: it may begin to count anew.
    #[cfg(feature = "futures-io")]
    pub(crate) fn has_spent_its_turn(&self) -> bool {
        let spent = self.is_selfish();
        if spent {
            self.selfish.set(0);
        }
        spent
    }

    fn new_id(&self) -> u64 {
        let (mut id, mut end) = self.ids.get();
        if id == end {
            id = self.shared.next_id.fetch_add(IDS, Ordering::Relaxed);
            end = id + IDS;
            // Who spawns without end shall not date them all by its latest resume.
            if self.accounting.get() {
                self.stamp.set(cycles::now());
            }
        }
        self.ids.set((id + 1, end));
        id
    }

    fn count_end(&self, ended: EndedBy) {
        match ended {
            EndedBy::Return => {}
            EndedBy::Panic => raise(&self.mine.figures.panicked, 1),
            EndedBy::Interrupt => raise(&self.mine.figures.interrupted, 1),
        }
    }

    // ---- the loop ----

    fn run(&self) {
        loop {
            self.take_inbox();
            self.fire_timers();
            let turn_of_poller = self.run_ready();
            if self.stopping.get() && self.has_stopped() {
                break;
            }
            if turn_of_poller {
                self.poll();
                let ready = self.ready.borrow().len();
                self.round
                    .set(u32::try_from(ready).map_or(BUDGET, |ready| ready.min(BUDGET)));
            }
        }
    }

    /// Runs what is ready, for a slice of time at most. True: it is the poller's turn.
    ///
    /// That comes after `BUDGET` resumes, and after a slice of time if everything that was ready at the poller's last turn
    /// has had its own since: what the poller finds queues behind it anyway, and looking costs a system call.
    fn run_ready(&self) -> bool {
        let accounting = self.shared.accounting.is_on();
        if self.accounting.replace(accounting) != accounting || hooks::is_on() {
            // Nobody's time has run meanwhile, and what was woken shall not seem to run before that.
            self.stamp.set(cycles::now());
        }
        let start = self.stamp.get();
        let mut left = self.probe.begin(start, self.ready.borrow().len());
        let mut slice_is_over = false;
        while self.resumed.get() < BUDGET {
            let turn = self.resumed.replace(self.resumed.get() + 1);
            if turn.is_multiple_of(64) {
                self.admit_unstarted();
            }
            let next = self.next_ready().or_else(|| {
                self.admit_unstarted();
                self.next_ready()
            });
            let Some(coroutine) = next else { break };
            left = left.wrapping_sub(1);
            if left == 0 {
                self.probe.resumed(self.stamp.get(), &self.mine.delays);
            }
            self.run_one(coroutine);
            if !self.accounting.get() && turn.is_multiple_of(UNSTAMPED) {
                self.stamp.set(cycles::now());
            }
            if self.stamp.get().wrapping_sub(start) > self.slice {
                slice_is_over = true;
                break;
            }
        }
        self.probe.pause(left);
        if self.mine.unstarted.load(Ordering::Relaxed) > 0 && self.shared.idle.any().is_some() {
            self.rouse_thief();
        }
        if slice_is_over && self.resumed.get() < self.round.get() {
            return false;
        }
        self.resumed.set(0);
        true
    }

    #[inline]
    fn next_ready(&self) -> Option<CoroRef> {
        let mut ready = self.ready.borrow_mut();
        if self.shuffle.is_some() {
            return self.pick(&mut ready);
        }
        let next = ready.pop_front();
        if self.crowd.get() {
            if ready.len() < CROWD {
                self.crowd.set(false);
            }
            prefetch_next(&ready);
        }
        next
    }

    /// Resumes a coroutine until it suspends or ends. The only place that does.
    #[inline]
    fn run_one(&self, coroutine: CoroRef) {
        let head = &coroutine.head;
        let own = head.own.get();
        let figures = &self.mine.figures;
        let mut context = own.context.borrow_mut();
        if context.is_none() {
            match self.start(&coroutine) {
                Ok(started) => *context = Some(started),
                Err(error) => {
                    drop(context);
                    return self.give_up(coroutine, error);
                }
            }
        }
        figures.running.store(head.id, Ordering::Relaxed);
        raise(&figures.resumes, 1);
        self.selfish.set(0);
        let before = self.stamp.get();
        if self.accounting.get() {
            figures.resumed.store(before, Ordering::Relaxed);
        }
        if hooks::is_on() {
            hooks::resumed(&coroutine, before, context.as_ref().expect("started"));
        }
        let switched = current::set(&coroutine, || context.as_mut().expect("started").resume());
        if hooks::is_on() {
            hooks::left(&coroutine, switched);
        }
        if self.accounting.get() {
            let after = cycles::now();
            self.stamp.set(after);
            // Nobody asks what one that has ended came to.
            if matches!(switched, Switched::Suspended) {
                head.since.store(after, Ordering::Relaxed);
                raise(&head.cpu, after.wrapping_sub(before));
                raise(&head.switches, 1);
            }
        }
        if hooks::is_on() && matches!(switched, Switched::Suspended) {
            self.tell_suspended(&coroutine, context.as_ref());
        }
        figures.running.store(0, Ordering::Relaxed);
        match switched {
            Switched::Suspended => {
                let slot = own.slot.get();
                drop(context);
                let next = self.next.get();
                if self.shuffle.is_some() {
                    self.yields.set(if next == Next::Wait {
                        0
                    } else {
                        self.yields.get() + 1
                    });
                }
                match next {
                    // The waker has a reference, or will look it up; this one is for the next wait's.
                    Next::Wait => self.spare.borrow_mut()[slot] = Some(coroutine),
                    Next::Again => self.ready.borrow_mut().push_back(coroutine),
                    Next::AfterPoll => self.after_poll.borrow_mut().push(coroutine),
                }
            }
            Switched::Ended(by) => {
                let by = EndedBy::from_u8(by);
                let told = hooks::is_on().then(|| coroutine.clone());
                self.count_end(by);
                let stack = context.take().expect("ran").into_stack();
                drop(context);
                self.stacks.borrow_mut().put(stack);
                self.forget(coroutine);
                // Last, since its end wakes whoever joins it.
                if let Some(coroutine) = told {
                    hooks::ended(&coroutine, by, self.stamp_of_switch());
                }
            }
        }
    }

    /// When the latest switch was, for what hangs on it: without accounting, now.
    fn stamp_of_switch(&self) -> u64 {
        if !self.accounting.get() {
            self.stamp.set(cycles::now());
        }
        self.stamp.get()
    }

    /// Tells what hangs on the suspension of one.
    #[cold]
    fn tell_suspended(&self, coroutine: &CoroRef, context: Option<&Context>) {
        let head = &coroutine.head;
        let after = self.stamp_of_switch();
        let leaves = match self.next.get() {
            Next::Wait => {
                let kind = WaitKind::from_u8(head.waits_for.load(Ordering::Relaxed));
                Leaves::For(kind, head.waits_on.load(Ordering::Relaxed))
            }
            Next::Again => Leaves::Yields,
            Next::AfterPoll => Leaves::ThroughPoller,
        };
        let owner = context.and_then(Context::lent).and_then(Owner::read);
        hooks::suspended(coroutine, leaves, owner, after);
    }

    fn take_inbox(&self) {
        if self.mine.assigned.load(Ordering::Relaxed) > 0 {
            self.admit_assigned();
        }
        if self.mine.inbox.is_empty() {
            return;
        }
        // What arrives meanwhile is for the next round.
        for _ in 0..self.mine.inbox.len() {
            let Some(message) = self.mine.inbox.pop() else {
                break;
            };
            match message {
                Message::Ready(coroutine) => self.ready.borrow_mut().push_back(coroutine),
                Message::Interrupt(coroutine) => self.interrupt_wait(&coroutine),
                Message::Stop => self.stop(),
                Message::Call(call) => call(),
            }
        }
    }

    fn fire_timers(&self) {
        let mut wheel = self.wheel.borrow_mut();
        if wheel.len() == 0 {
            return;
        }
        let mut ready = self.ready.borrow_mut();
        let mut network = false;
        wheel.advance(self.clock.now(), &mut |alarm| match alarm {
            Alarm::Wake(waiter) => drop(waiter.wake_on(&mut ready, &self.wakers, Cause::Timer)),
            Alarm::Network => network = true,
            Alarm::Scope(coroutine, scope) => {
                if coroutine.head.own.get().scopes.expire(scope) {
                    end_wait(coroutine, &mut ready, Cause::Deadline);
                }
            }
        });
        self.crowd.set(self.crowd.get() || ready.len() >= CROWD);
        self.mine
            .figures
            .timers
            .store(wheel.len(), Ordering::Relaxed);
        drop((wheel, ready));
        if network {
            testing::network::deliver();
        }
        self.call_wakers();
    }

    /// Calls the wakers of the futures whose wait is over.
    #[inline]
    fn call_wakers(&self) {
        if !self.wakers.borrow().is_empty() {
            let wakers = self.wakers.take();
            wakers.into_iter().for_each(call_waker);
        }
    }

    /// It was asked to end: its wait, if it is in one and hears it, is over.
    fn interrupt_wait(&self, coroutine: &CoroRef) {
        if coroutine.head.has_ended() {
            return;
        }
        if coroutine.head.own.get().scopes.hears_kill() {
            end_wait(
                coroutine.clone(),
                &mut self.ready.borrow_mut(),
                Cause::Interrupt,
            );
        }
    }
}

/// Has the processor fetch what the next resumes need: the record of the one after the next, and the stack of the next,
/// whose record was fetched a resume ago.
fn prefetch_next(ready: &VecDeque<CoroRef>) {
    if let Some(after) = ready.get(1) {
        prefetch(std::ptr::from_ref(&after.head) as usize, size_of::<Head>());
    }
    let next = ready.front().and_then(|next| next.head.own.try_get());
    if let Some(next) = next
        && let Ok(context) = next.context.try_borrow()
        && let Some(context) = context.as_ref()
    {
        context.prefetch();
    }
}

/// Foreign code, which must not end the worker.
#[cold]
pub(crate) fn call_waker(waker: Waker) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        log::error!("the waker of a future panicked");
        std::mem::forget(panic);
    }
}

/// Ends a wait that may be on, with an interrupt, and queues the coroutine if it was. By its own worker only.
fn end_wait(coroutine: CoroRef, ready: &mut VecDeque<CoroRef>, cause: Cause) {
    let head = &coroutine.head;
    if head.own.get().masked.get() {
        return;
    }
    if let Some(epoch) = head.word.current()
        && head.word.interrupt(epoch)
    {
        if hooks::is_on() {
            hooks::woken(&coroutine.head, cause);
        }
        ready.push_back(coroutine);
    }
}

/// The coroutine with this id, if it lives.
pub(crate) fn find(shared: &Shared, id: u64) -> Option<CoroRef> {
    let of_worker = |worker: &WorkerShared| worker.find(id, || true);
    let found = shared.workers.iter().find_map(of_worker);
    found.filter(|coroutine| !coroutine.head.is_gone())
}
