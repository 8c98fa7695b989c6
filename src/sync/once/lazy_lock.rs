//! A value that is made when it is first used.

use super::{OnceLock, OnceStatistics};
use std::fmt;
use std::ops::Deref;

/// A value that is made when somebody first looks at it; a `static` that may suspend to come into being.
///
/// Dereferencing it **may suspend**, and raises interrupts, until there is a value; from then on it returns at once.
/// If the initialiser panics or is interrupted, the next in line calls it again: so, unlike std's, it is a function
/// that can be called more than once, and there is no poisoning.
///
/// ```
/// use grapeshot::sync::LazyLock;
///
/// static PORTS: LazyLock<Vec<&str>> = LazyLock::new(|| {
///     grapeshot::yield_now();
///     vec!["Genoa", "Tunis"]
/// });
///
/// grapeshot::run(|| assert_eq!(PORTS.len(), 2));
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    init: F,
}

impl<T, F: Fn() -> T> LazyLock<T, F> {
    /// A value that `init` will make.
    pub const fn new(init: F) -> Self {
        Self {
            value: OnceLock::new(),
            init,
        }
    }

    /// The value; makes it if there is none. **May suspend**, as dereferencing does.
    ///
    /// # Panics
    /// As [`OnceLock::get_or_init`].
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        this.value.get_or_init(&this.init)
    }

    /// How far it is, and how much it has been waited for.
    pub fn statistics(this: &Self) -> OnceStatistics {
        this.value.statistics()
    }
}

impl<T, F: Fn() -> T> Deref for LazyLock<T, F> {
    type Target = T;
    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
