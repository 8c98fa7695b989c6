//! The record of a coroutine: everything that is known of it, from its spawn until nobody asks any more.
//!
//! One allocation holds the record, the closure and the result. Who may touch what:
//!
//! | part | written by | read by |
//! |---|---|---|
//! | `word`, `interrupted` | anybody | anybody |
//! | `own` (context, scopes) | its worker | its worker |
//! | the figures | its worker | anybody: relaxed, each right by itself |

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::interrupt::{Raised, Scopes};
use super::join::JoinError;
use super::spawn::{Builder, spawn_unlimited};
use super::wait::{WaitKind, Waiter};
use super::word::WaitWord;
use super::{Shared, current, worker};
use crate::context::lend::Returned;
use crate::context::{
    Bequest, Binder, Context, Counted, Entry, First, Fresh, HandOver, Heir, PinnedCell, Published,
    SpinMutex, Typed,
};
use crate::local::{self, Locals};

/// `home` of a coroutine that no worker has taken yet.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What a coroutine is called. Nameless ones are called after the place that spawned them.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) given: Option<Box<str>>,
    pub(crate) site: &'static Location<'static>,
}

impl Name {
    pub(crate) fn with<R>(&self, show: impl FnOnce(&str) -> R) -> R {
        if let Some(name) = &self.given {
            return show(name);
        }
        let file = self.site.file().rsplit('/').next().unwrap_or_default();
        show(&format!("{file}:{}", self.site.line()))
    }
}

/// A name as it stands in a sentence, `coroutine '{}'`: in one line, and what a terminal would obey is written out. What a name
/// is made of may have come from a stranger.
pub(crate) fn shown(name: &str) -> impl fmt::Display + '_ {
    name.escape_debug()
}

/// What a reference gives. Behind it is the body: what the coroutine runs.
pub(crate) struct Record {
    pub(crate) head: Head,
}

pub(crate) type CoroRef = Counted<Record, dyn Body>;

/// The reference with which a coroutine is joined.
pub(crate) type CoroHeir = Heir<Record, dyn Body>;

/// A coroutine that no worker has taken yet, with the two references that its worker needs: one for its table, one for its
/// queue.
pub(crate) type Newborn = First<Record, dyn Body>;

/// Binds a new coroutine to the calling thread, for good.
#[inline]
pub(crate) fn adopt(newborn: Newborn) -> [CoroRef; 2] {
    newborn.bind(|record, binder| {
        binder.bind(&record.head.own);
        record.body().bind(binder);
    })
}

/// Gives up what no worker will take: whoever joins gets `error`.
#[cold]
pub(crate) fn discard(newborn: Newborn, error: JoinError) {
    let [coroutine, other] = adopt(newborn);
    coroutine.discard(error);
    publish(coroutine, other);
}

/// Lets whoever joins have what came of a coroutine of this thread: nothing is done with it any more. These are its
/// worker's references.
#[inline]
pub(crate) fn publish(one: CoroRef, other: CoroRef) {
    match CoroRef::publish(one, other) {
        Published::Left => {}
        Published::Awaited(coroutine) => tell_joiner(&coroutine),
        Published::Unwanted(coroutine, _other) => {
            if let Some(unwanted) = coroutine.body().take_unwanted(&coroutine) {
                dispose(coroutine.head.runtime, unwanted);
            }
        }
    }
}

/// Wakes whoever waits for the coroutine's end.
#[cold]
fn tell_joiner(coroutine: &CoroRef) {
    let mut wakers = Vec::new();
    // It is the coroutine that wakes, for whoever takes that down.
    current::set(coroutine, || {
        if let Some(waiter) = coroutine.head.joiner.take() {
            waiter.wake_later(&mut wakers);
        }
    });
    wakers.into_iter().for_each(worker::call_waker);
}

/// Whoever would have joined has gone between the coroutine's end and now. Destructors may block, which they may not on the
/// worker's stack.
#[cold]
#[track_caller]
fn dispose(runtime: &'static Shared, unwanted: Box<dyn Any + Send>) {
    let spec = Builder::new().name("drops what a coroutine returned and nobody took");
    let spec = spec.with_site(Location::caller());
    drop(spawn_unlimited(runtime, spec, move || drop(unwanted)));
}

/// The part that every coroutine has, whatever it computes.
pub(crate) struct Head {
    pub(crate) id: u64,
    /// 0: spawned by a plain thread.
    pub(crate) parent: u64,
    pub(crate) name: Name,
    pub(crate) runtime: &'static Shared,
    /// The worker that it is pinned to, or [`NOWHERE`].
    pub(crate) home: AtomicU32,
    pub(crate) word: WaitWord,
    /// It was asked to end. Never taken back.
    pub(crate) interrupted: AtomicBool,
    pub(crate) own: PinnedCell<Own>,
    /// Address space for the stack, guard included.
    pub(crate) stack_size: usize,
    /// The stack's lowest address; 0 before the start and after the end.
    pub(crate) stack_start: AtomicUsize,
    /// A [`WaitKind`]; meaningful while `word` has a wait on.
    pub(crate) waits_for: AtomicU8,
    pub(crate) waits_on: AtomicUsize,
    /// Cycles, at the latest suspension.
    pub(crate) since: AtomicU64,
    /// While a profile is taken: when and by whom its latest wait was ended; see `profile`.
    pub(crate) woken: AtomicU64,
    /// Cycles, at the spawn; see `worker::stamp`.
    pub(crate) spawned: u64,
    /// Cycles on the processor so far, up to the latest suspension.
    pub(crate) cpu: AtomicU64,
    pub(crate) switches: AtomicU64,
    /// The closure has returned, or never will be run.
    pub(crate) ended: AtomicBool,
    /// Its scope interrupts it when the scope has to end. `parent` has the scope's owner then.
    pub(crate) scoped: bool,
    joiner: Joiner,
}

/// What only the coroutine's own worker touches.
pub(crate) struct Own {
    pub(crate) context: RefCell<Option<Context>>,
    pub(crate) scopes: Scopes,
    /// Where the worker's table of live coroutines keeps it.
    pub(crate) slot: Cell<usize>,
    /// The wait that is on takes no interrupts.
    pub(crate) masked: Cell<bool>,
    /// Its own values, from the first on. One word, since most have none.
    pub(crate) locals: Cell<Option<Box<Locals>>>,
}

impl Fresh for Own {
    const FRESH: Self = Self {
        context: RefCell::new(None),
        scopes: Scopes::FRESH,
        slot: Cell::new(0),
        masked: Cell::new(false),
        locals: Cell::new(None),
    };
}

impl Head {
    #[inline]
    pub(crate) fn new(
        name: Name,
        parent: u64,
        id: u64,
        runtime: &'static Shared,
        stack_size: usize,
        spawned: u64,
        scoped: bool,
    ) -> Self {
        Self {
            id,
            parent,
            name,
            runtime,
            home: AtomicU32::new(NOWHERE),
            word: WaitWord::new(),
            interrupted: AtomicBool::new(runtime.is_stopping()),
            own: PinnedCell::unbound(),
            stack_size,
            stack_start: AtomicUsize::new(0),
            waits_for: AtomicU8::new(WaitKind::Sleep as u8),
            waits_on: AtomicUsize::new(0),
            since: AtomicU64::new(spawned),
            woken: AtomicU64::new(0),
            spawned,
            cpu: AtomicU64::new(0),
            switches: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            scoped,
            joiner: Joiner::new(),
        }
    }

    #[inline]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Address space of its stack, guard included; empty before the start and after the end.
    pub(crate) fn stack(&self) -> Range<usize> {
        match self.stack_start.load(Ordering::Relaxed) {
            0 => 0..0,
            start => start..start + self.stack_size,
        }
    }

    /// Nothing of it is left but this record.
    pub(crate) fn is_gone(&self) -> bool {
        self.has_ended() && self.stack_start.load(Ordering::Relaxed) == 0
    }

    /// See [`Joiner::wake_at_end`].
    pub(crate) fn wake_at_end(&self, waiter: Waiter, ask: impl FnOnce() -> bool) {
        self.joiner.wake_at_end(waiter, ask);
    }

    /// See [`Joiner::forget`].
    pub(crate) fn forget_joiner(&self) {
        self.joiner.forget();
    }
}

/// Whoever waits for an outcome.
pub(crate) struct Joiner(SpinMutex<Option<Waiter>>);

impl Joiner {
    pub(crate) const fn new() -> Self {
        Self(SpinMutex::new(None))
    }

    /// Leaves `waiter` to be woken when there is an outcome; `ask` asks for that. It is woken at once if that is too late.
    pub(crate) fn wake_at_end(&self, waiter: Waiter, ask: impl FnOnce() -> bool) {
        *self.0.lock() = Some(waiter);
        if !ask() {
            self.wake();
        }
    }

    /// Takes back what [`Joiner::wake_at_end`] was given.
    pub(crate) fn forget(&self) {
        let waiter = self.0.lock().take();
        drop(waiter);
    }

    #[cold]
    pub(crate) fn wake(&self) {
        if let Some(waiter) = self.take() {
            waiter.wake();
        }
    }

    fn take(&self) -> Option<Waiter> {
        self.0.lock().take()
    }
}

/// How a coroutine ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EndedBy {
    Return,
    Panic,
    Interrupt,
}

impl EndedBy {
    pub(crate) fn from_u8(by: u8) -> Self {
        [Self::Return, Self::Panic, Self::Interrupt][usize::from(by)]
    }

    /// The closure returned this. A scope's child catches its own panic, and says so here.
    #[inline]
    fn of_value(value: &dyn Any) -> Self {
        match value.downcast_ref::<Returned<Self>>() {
            Some(returned) => returned.value,
            None => Self::Return,
        }
    }
}

/// What a coroutine runs.
pub(crate) trait Body: Send + Sync + 'static {
    /// The function that runs the current coroutine's closure, on its own stack, and keeps the outcome. It holds on to
    /// nothing of the record while the closure runs, so that no reference need be counted for it. Returns an
    /// [`EndedBy`]; never unwinds.
    fn entry(&self) -> Entry;
    /// Binds what is pinned to the thread that it will run on.
    fn bind(&self, binder: &Binder);
    /// An [`Inheritance`], for whoever joins and knows the type.
    fn inheritance(&self) -> Typed<'_>;
    /// See [`CoroRef::discard`].
    fn discard(&self, coroutine: &CoroRef, error: JoinError);
    /// What nobody will join for, if it was kept; `coroutine` has this body.
    fn take_unwanted(&self, coroutine: &CoroRef) -> Option<Box<dyn Any + Send>>;
}

/// What whoever joins a scope's child gets.
pub(crate) type Outcome<T> = HandOver<Result<T, JoinError>>;

/// What whoever joins gets.
pub(crate) type Inheritance<T> = Bequest<Result<T, JoinError>>;

/// A closure and what became of it.
pub(crate) struct Run<F, T> {
    closure: PinnedCell<Cell<Option<F>>>,
    inheritance: Inheritance<T>,
}

impl<F, T> Run<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pub(crate) fn new(closure: F) -> Self {
        Self {
            closure: PinnedCell::sent(Cell::new(Some(closure))),
            inheritance: Bequest::none(),
        }
    }

    /// Calls with the current coroutine, which runs this.
    fn with_current<R>(call: impl FnOnce(&CoroRef, &Self) -> R) -> R {
        current::with(|coroutine| {
            let coroutine = coroutine.expect("an entry runs in its coroutine");
            let run = coroutine.body_as();
            call(coroutine, run.expect("an entry runs in its own coroutine"))
        })
    }

    fn run_current() -> EndedBy {
        let (closure, interrupted) = Self::with_current(|coroutine, run| {
            (run.closure.get().take(), coroutine.head.is_interrupted())
        });
        let Some(closure) = closure else {
            return EndedBy::Interrupt;
        };
        let result = if interrupted {
            // It was asked to end before it began: its body never runs, but what it owns is dropped, here.
            catch_unwind(AssertUnwindSafe(|| drop(closure)))
                .and(Err(Box::new(Raised::KILL) as Box<dyn Any + Send>))
        } else {
            catch_unwind(AssertUnwindSafe(closure))
        };
        local::drop_all();
        let (outcome, by) = match result {
            Ok(value) => {
                let by = EndedBy::of_value(&value);
                (Ok(value), by)
            }
            Err(payload) if payload.is::<Raised>() => {
                (Err(JoinError::Interrupted), EndedBy::Interrupt)
            }
            Err(payload) => (Err(JoinError::Panicked(payload)), EndedBy::Panic),
        };
        // Its worker lets whoever joins have it, when all else is done.
        let unwanted = Self::with_current(|coroutine, run| {
            coroutine.head.ended.store(true, Ordering::Release);
            coroutine.leave(&run.inheritance, outcome).err()
        });
        // Its destructor may panic, which has been reported then, and may block, which it may not on the worker's stack.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unwanted)));
        by
    }
}

impl CoroRef {
    /// Gives up what has not started: whoever joins will get `error`. On its own thread.
    #[cold]
    pub(crate) fn discard(&self, error: JoinError) {
        self.body().discard(self, error);
    }
}

impl<F, T> Body for Run<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn entry(&self) -> Entry {
        || Self::run_current() as u8
    }

    fn bind(&self, binder: &Binder) {
        binder.bind(&self.closure);
    }

    fn inheritance(&self) -> Typed<'_> {
        Typed::new(&self.inheritance)
    }

    fn discard(&self, coroutine: &CoroRef, error: JoinError) {
        let closure = self.closure.get().take();
        // A destructor that panics must not take the worker with it.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(closure)));
        coroutine.head.ended.store(true, Ordering::Release);
        drop(coroutine.leave(&self.inheritance, Err(error)));
    }

    fn take_unwanted(&self, coroutine: &CoroRef) -> Option<Box<dyn Any + Send>> {
        let unwanted = coroutine.take_back(&self.inheritance)?;
        Some(Box::new(unwanted))
    }
}
