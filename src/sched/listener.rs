//! A wait of a future: what is told has a [`Waker`] called, instead of a coroutine queued.

use std::sync::Arc;
use std::task::{Context, Waker};

use crate::context::SpinMutex;

/// Hears once of what it is left for, from whichever thread, and has the latest waker called then.
#[derive(Default)]
pub(crate) struct Listener(SpinMutex<Hearing>);

#[derive(Default)]
enum Hearing {
    /// Nobody wants to know.
    #[default]
    Idle,
    Listening(Waker),
    Told,
}

impl Listener {
    /// Listens from now on; it must not be left for two things at the same time.
    pub(crate) fn listen(self: &Arc<Self>, context: &Context<'_>) {
        self.put(Hearing::Listening(context.waker().clone()));
    }

    /// Still listens, with the waker of the latest poll; false if it has been told, or does not listen.
    pub(crate) fn still_listens(&self, context: &Context<'_>) -> bool {
        let mut old = None;
        let mut hearing = self.0.lock();
        let Hearing::Listening(waker) = &mut *hearing else {
            return false;
        };
        if !waker.will_wake(context.waker()) {
            old = Some(std::mem::replace(waker, context.waker().clone()));
        }
        drop(hearing);
        // Where foreign code may run.
        drop(old);
        true
    }

    /// Listens no more; false if it did not anyway.
    pub(crate) fn stop(&self) -> bool {
        matches!(self.put(Hearing::Idle), Hearing::Listening(_))
    }

    /// It has happened. Gives the waker to call, with no lock held; `None` if nobody listens.
    pub(super) fn tell(&self) -> Option<Waker> {
        let mut hearing = self.0.lock();
        match std::mem::replace(&mut *hearing, Hearing::Told) {
            Hearing::Listening(waker) => Some(waker),
            before => {
                *hearing = before;
                None
            }
        }
    }

    fn put(&self, hearing: Hearing) -> Hearing {
        std::mem::replace(&mut *self.0.lock(), hearing)
    }
}
