//! A value that is made once.

use super::gate::{Call, Entered, Gate, OnceStatistics};
use crate::sched::wait::WaitKind;
use crate::sync::address;
use std::convert::Infallible;
use std::fmt;

/// A place for a value that is made once, by the first who needs it; the others wait for that.
///
/// The initialiser may suspend: connect, read, ask. If it panics, fails or is interrupted, there is still no
/// value, and the next in line tries with the initialiser that it brought: there is no poisoning.
///
/// ```
/// use grapeshot::sync::OnceLock;
/// use std::time::Duration;
///
/// static CHART: OnceLock<String> = OnceLock::new();
///
/// fn chart() -> &'static str {
///     CHART.get_or_init(|| {
///         grapeshot::sleep(Duration::from_millis(1));
///         "here be dragons".to_owned()
///     })
/// }
///
/// grapeshot::run(|| {
///     let reader = grapeshot::spawn(chart);
///     assert_eq!(chart(), reader.join().unwrap());
/// });
/// ```
pub struct OnceLock<T> {
    gate: Gate,
    /// Filled by whoever has the turn, just before the gate opens.
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    /// A place without a value.
    pub const fn new() -> Self {
        Self {
            gate: Gate::new(),
            value: std::sync::OnceLock::new(),
        }
    }

    /// The value, if it has been made. Never suspends.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it has been made; no wait is needed, since nobody else can see it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value; makes it with `init` if there is none, or waits for whoever is making it. **May suspend**, and
    /// raises interrupts, until there is a value; from then on it returns at once.
    ///
    /// # Panics
    /// If `init` does. If `init` comes back to this: it would wait for itself. If it would have to wait and the
    /// caller is unwinding; see [`Mutex::lock`](crate::sync::Mutex::lock).
    #[inline]
    #[track_caller]
    pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        match self.get_or_try_init(|| Ok::<T, Infallible>(init())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_init`](Self::get_or_init), with an initialiser that may fail. **May suspend.**
    ///
    /// # Errors
    /// That of `init`. It is for this caller only: others who wait try with their own.
    ///
    /// # Panics
    /// As [`get_or_init`](Self::get_or_init).
    #[inline]
    #[track_caller]
    pub fn get_or_try_init<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.make(init),
        }
    }

    /// Puts a value in; if somebody is making one, waits for that first. **May suspend.**
    ///
    /// # Errors
    /// The value, if there is one already.
    ///
    /// # Panics
    /// As [`get_or_init`](Self::get_or_init).
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("an initialiser runs once"));
        value.map_or(Ok(()), Err)
    }

    /// The value, and the place is empty again.
    pub fn take(&mut self) -> Option<T> {
        self.gate = Gate::new();
        self.value.take()
    }

    /// The value, if it has been made.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// How far it is, and how much it has been waited for.
    pub fn statistics(&self) -> OnceStatistics {
        self.gate.statistics()
    }

    #[cold]
    #[track_caller]
    fn make<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let call = Call {
            kind: WaitKind::Once,
            object: address(self),
            name: "OnceLock::get_or_init",
            instead: "get",
        };
        if let Entered::Turn(turn) = self.gate.enter(&call) {
            let value = init()?;
            assert!(
                self.value.set(value).is_ok(),
                "only who has the turn makes it"
            );
            turn.done();
        }
        Ok(self.get().expect("the gate opens when there is a value"))
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
