//! Values of which each coroutine has its own: see [`local!`](crate::local!).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use crate::sched::current;

/// A value of which each coroutine (and each plain thread) has its own, made when it is first asked for. Declared by
/// [`local!`](crate::local!).
pub struct LocalKey<T: 'static> {
    make: fn() -> T,
}

/// The values of one coroutine or thread, each by the address of its key.
pub(crate) type Locals = Vec<(usize, Rc<dyn Any>)>;

/// Times that destructors may make new values before those are left to themselves.
const ROUNDS: usize = 8;

impl<T: 'static> LocalKey<T> {
    /// For `local!`.
    #[doc(hidden)]
    pub const fn new(make: fn() -> T) -> Self {
        Self { make }
    }

    /// Calls with the caller's own value. `f` may suspend; so may what makes the value. **May suspend** if they do.
    ///
    /// # Panics
    /// If what makes the value asks for it.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let value = self.find().unwrap_or_else(|| self.make());
        f(&value)
    }

    fn key(&'static self) -> usize {
        ptr::from_ref(self) as usize
    }

    fn find(&'static self) -> Option<Rc<T>> {
        let value = with_locals(|list| {
            let found = list.iter().find(|(key, _)| *key == self.key());
            found.map(|(_, value)| value.clone())
        })?;
        match value.downcast::<T>() {
            Ok(value) => Some(value),
            Err(_) => panic!("a local value was asked for by what makes it"),
        }
    }

    #[cold]
    fn make(&'static self) -> Rc<T> {
        /// In place of the value while it is made.
        struct Making;
        struct Pending(usize);
        impl Drop for Pending {
            fn drop(&mut self) {
                with_locals(|list| list.retain(|(key, _)| *key != self.0));
            }
        }
        with_locals(|list| list.push((self.key(), Rc::new(Making))));
        let pending = Pending(self.key());
        let value = Rc::new((self.make)());
        drop(pending);
        with_locals(|list| list.push((self.key(), value.clone())));
        value
    }
}

impl<T: Clone + 'static> LocalKey<T> {
    /// A copy of the caller's own value.
    pub fn get(&'static self) -> T {
        self.with(T::clone)
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

thread_local! {
    /// Coroutines of this thread have values: most programs have none, and their coroutines' ends need not look.
    static USED: Cell<bool> = const { Cell::new(false) };
}

/// Calls with the caller's values. `call` must neither suspend nor drop a value.
fn with_locals<R>(call: impl FnOnce(&mut Locals) -> R) -> R {
    thread_local! {
        static OF_THREAD: RefCell<Locals> = const { RefCell::new(Vec::new()) };
    }
    current::with(|coroutine| match coroutine {
        Some(coroutine) => {
            USED.set(true);
            let place = &coroutine.head.own.get().locals;
            let mut list = place.take().unwrap_or_default();
            let result = call(&mut list);
            place.set(Some(list));
            result
        }
        None => OF_THREAD.with_borrow_mut(call),
    })
}

/// Takes the values out of the running coroutine.
fn take_all() -> Locals {
    current::with(|coroutine| {
        let taken = coroutine.and_then(|coroutine| coroutine.head.own.get().locals.take());
        taken.map_or_else(Vec::new, |list| *list)
    })
}

/// The running coroutine ends: drops its values, the latest first. Their destructors may block; their panics have been
/// reported when they come here.
#[inline]
pub(crate) fn drop_all() {
    if USED.get() {
        drop_those_there_are();
    }
}

#[cold]
fn drop_those_there_are() {
    for _ in 0..ROUNDS {
        // Out of their place while they are dropped: a destructor may ask for another value.
        let values = take_all();
        if values.is_empty() {
            return;
        }
        for (_, value) in values.into_iter().rev() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
        }
    }
}

/// Declares values of which each coroutine has its own, as `thread_local!` does for threads.
///
/// A value is made when it is first asked for, lives across suspensions, and is dropped when its coroutine has ended, before
/// anybody who joins goes on. A coroutine does not inherit its parent's. On a plain thread it is the thread's.
///
/// ```
/// use std::cell::Cell;
///
/// grapeshot::local! {
///     /// The request that this coroutine serves.
///     static REQUEST: Cell<u64> = Cell::new(0);
/// }
///
/// grapeshot::run(|| {
///     REQUEST.with(|request| request.set(17));
///     let other = grapeshot::spawn(|| REQUEST.with(Cell::get));
///     assert_eq!(other.join().unwrap(), 0);
///     assert_eq!(REQUEST.with(Cell::get), 17);
/// });
/// ```
#[macro_export]
macro_rules! local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr);+ $(;)?) => {
        $(
            $(#[$attribute])*
            $visibility static $name: $crate::LocalKey<$type> = $crate::LocalKey::new(|| $value);
        )+
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;
    use crate::{JoinError, sleep, spawn, spawn_local, testing, with_timeout, yield_now};
    use std::sync::Arc;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    crate::local! {
        static NUMBER: Cell<u32> = Cell::new(7);
        static LOG: RefCell<Vec<&'static str>> = RefCell::new(Vec::new());
        static LAZY: u32 = { yield_now(); NUMBER.with(Cell::get) + 1 };
        static ITSELF: u32 = ITSELF.get() + 1;
    }

    /// Says when it is dropped, and blocks before it does.
    struct Goodbye(Arc<Mutex<Vec<u32>>>, u32);

    impl Drop for Goodbye {
        fn drop(&mut self) {
            crate::shield(|| {
                sleep(MS);
                self.0.lock().push(self.1);
            });
        }
    }

    crate::local! {
        static LAST: RefCell<Option<Goodbye>> = RefCell::new(None);
        static FIRST: RefCell<Option<Goodbye>> = RefCell::new(None);
    }

    #[test]
    fn each_has_its_own_across_suspensions() {
        for seed in 0..100 {
            testing::run(seed, || {
                let each = |number: u32| {
                    assert_eq!(NUMBER.with(Cell::get), 7);
                    for _ in 0..5 {
                        NUMBER.with(|own| {
                            own.set(own.get() + number);
                            yield_now();
                        });
                    }
                    assert_eq!(LAZY.get(), NUMBER.with(Cell::get) + 1);
                    NUMBER.with(Cell::get)
                };
                let sent: Vec<_> = (0..5).map(|i| spawn(move || each(i))).collect();
                let local = spawn_local(move || each(9));
                for (i, coroutine) in (0..).zip(sent) {
                    assert_eq!(coroutine.join().unwrap(), 7 + 5 * i);
                }
                assert_eq!(local.join().unwrap(), 7 + 45);
                assert_eq!(NUMBER.with(Cell::get), 7);
            });
        }
    }

    #[test]
    fn they_are_dropped_at_the_end_and_may_block() {
        for seed in 0..100 {
            testing::run(seed, || {
                let said = Arc::new(Mutex::new(Vec::new()));
                let body = {
                    let said = said.clone();
                    move || {
                        FIRST.with(|own| *own.borrow_mut() = Some(Goodbye(said.clone(), 1)));
                        LAST.with(|own| *own.borrow_mut() = Some(Goodbye(said, 2)));
                    }
                };
                spawn(body.clone()).join().unwrap();
                assert_eq!(*said.lock(), [2, 1], "before the join, the latest first");
                let stuck = spawn(move || {
                    body();
                    sleep(Duration::from_secs(3_600));
                });
                assert!(with_timeout(MS, || sleep(2 * MS)).is_err());
                stuck.interrupt();
                assert!(matches!(stuck.join(), Err(JoinError::Interrupted)));
                assert_eq!(*said.lock(), [2, 1, 2, 1]);
            });
        }
    }

    #[test]
    fn what_asks_for_itself_is_told_so() {
        testing::run(1, || {
            let failed = spawn(|| ITSELF.get()).join().unwrap_err();
            assert!(failed.message().unwrap().contains("by what makes it"));
            // And nothing of the failure is left.
            assert!(catch_unwind(|| ITSELF.get()).is_err());
            assert!(catch_unwind(|| ITSELF.get()).is_err());
        });
    }

    #[test]
    fn a_plain_thread_has_its_own_too() {
        std::thread::spawn(|| {
            LOG.with(|log| log.borrow_mut().push("thread"));
            let inner = crate::run(|| LOG.with(|log| log.borrow().len()));
            assert_eq!(inner, 0);
            assert_eq!(LOG.with(|log| log.borrow().clone()), ["thread"]);
        })
        .join()
        .unwrap();
    }
}
