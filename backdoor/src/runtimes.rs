//! What a console looks at: the application's runtime, and those of the backdoor itself.
//!
//! Their coroutines have ids out of the same numbers, so an id says which runtime it is of.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grapeshot::registry::{BacktraceError, CoroutineInfo, Frame};
use grapeshot::{CoroutineId, RuntimeHandle};

use crate::calls::Calls;
use crate::limits;

/// A coroutine and where it runs.
pub(crate) struct Seen {
    pub(crate) info: CoroutineInfo,
    /// The backdoor's thread that it runs on; `None`: it is the application's.
    pub(crate) thread: Option<&'static str>,
}

pub(crate) struct Runtimes {
    /// The one that the backdoor was opened in.
    pub(crate) application: RuntimeHandle,
    /// The one that serves the consoles.
    own: OnceLock<RuntimeHandle>,
    pub(crate) calls: Arc<Calls>,
}

impl Runtimes {
    pub(crate) fn new(application: RuntimeHandle) -> Self {
        Self {
            application,
            own: OnceLock::new(),
            calls: Calls::new(application),
        }
    }

    /// The consoles are served there.
    pub(crate) fn served_by(&self, own: RuntimeHandle) {
        let _ = self.own.set(own);
    }

    /// Every live coroutine, by id.
    pub(crate) fn coroutines(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for (runtime, thread) in self.all() {
            let found = runtime.coroutines().into_iter();
            all.extend(found.map(|info| Seen { info, thread }));
        }
        all.sort_by_key(|it| it.info.id);
        all
    }

    /// Every live coroutine, one after the other and in no order; see [`RuntimeHandle::walk`].
    pub(crate) fn walk(&self) -> impl Iterator<Item = Seen> {
        let all = self.all().collect::<Vec<_>>().into_iter();
        all.flat_map(|(runtime, thread)| runtime.walk().map(move |info| Seen { info, thread }))
    }

    pub(crate) fn coroutine(&self, id: CoroutineId) -> Option<Seen> {
        self.all().find_map(|(runtime, thread)| {
            let info = runtime.coroutine(id)?;
            Some(Seen { info, thread })
        })
    }

    pub(crate) fn interrupt(&self, id: CoroutineId) -> bool {
        self.all().any(|(runtime, _)| runtime.interrupt(id))
    }

    /// May suspend, for a second at most.
    pub(crate) fn backtrace(&self, id: CoroutineId) -> Result<Vec<Frame>, BacktraceError> {
        let answers = self.all().map(|(runtime, _)| runtime.backtrace(id));
        let known = |answer: &Result<_, _>| !matches!(answer, Err(BacktraceError::NotFound(_)));
        let mut answers = answers.filter(known);
        answers
            .next()
            .unwrap_or(Err(BacktraceError::NotFound(id.0)))
    }

    /// How long the backdoor's own threads have been busy, of those that there are now.
    pub(crate) fn busy(&self) -> Duration {
        let own = self.all().filter(|(_, thread)| thread.is_some());
        let workers = own.flat_map(|(runtime, _)| runtime.workers());
        workers.map(|worker| worker.busy).sum()
    }

    fn all(&self) -> impl Iterator<Item = (RuntimeHandle, Option<&'static str>)> {
        let own = self.own.get().map(|own| (*own, Some(limits::THREAD)));
        let calls = self.calls.runtimes().into_iter();
        let calls = calls.map(|it| (it, Some(limits::CALL_THREAD)));
        [(self.application, None)]
            .into_iter()
            .chain(own)
            .chain(calls)
    }
}
