//! Handlers in order, of which the first that wants a request gets it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Handler, not_found};
use crate::{HandlerError, Request, Response};

/// A list of named handlers, which can be changed while it serves. A request goes to the first that
/// [`matches`](Handler::matches) it; if none does, the answer is 404. A clone is the same list.
///
/// ```
/// use grapeshot_http::{Handlers, Router, Server};
///
/// let handlers = Handlers::new();
/// handlers.push("main", Router::new().get("/", |_| "hello"));
/// let server = Server::with_handler(handlers.clone());
/// // Later, from wherever:
/// handlers.push_front("closed", grapeshot_http::answer(|_| grapeshot_http::Status::SERVICE_UNAVAILABLE));
/// assert_eq!(handlers.names(), ["closed", "main"]);
/// assert!(handlers.remove("closed"));
/// ```
///
/// The console can change it too, with a line for each function that it is to have:
/// `backdoor.expose("switch_off", "a handler, by name", Right::Operate, move |name: String| handlers.set_enabled(&name, false))`.
#[derive(Clone, Default)]
pub struct Handlers {
    entries: Arc<RwLock<Arc<Vec<Entry>>>>,
}

#[derive(Clone)]
struct Entry {
    name: String,
    enabled: bool,
    handler: Arc<dyn Handler>,
}

impl Handlers {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler at the end; one of that name is replaced where it is.
    pub fn push(&self, name: impl Into<String>, handler: impl Handler) {
        self.install(name.into(), Arc::new(handler), usize::MAX);
    }

    /// Adds a handler at the front; one of that name is replaced where it is.
    pub fn push_front(&self, name: impl Into<String>, handler: impl Handler) {
        self.install(name.into(), Arc::new(handler), 0);
    }

    fn install(&self, name: String, handler: Arc<dyn Handler>, at: usize) {
        self.change(|entries| {
            let entry = Entry {
                name,
                enabled: true,
                handler,
            };
            match entries.iter_mut().find(|other| other.name == entry.name) {
                Some(other) => *other = entry,
                None => entries.insert(at.min(entries.len()), entry),
            }
        });
    }

    /// Takes a handler out; false if there was none of that name. Requests that it is busy with go on.
    pub fn remove(&self, name: &str) -> bool {
        self.change(|entries| {
            let before = entries.len();
            entries.retain(|entry| entry.name != name);
            entries.len() < before
        })
    }

    /// Lets requests pass a handler by, or no longer; false if there is none of that name.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> bool {
        self.change(|entries| {
            let entry = entries.iter_mut().find(|entry| entry.name == name);
            entry.map(|entry| entry.enabled = enabled).is_some()
        })
    }

    /// The names, in order; those of handlers that are disabled included.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.snapshot()
            .iter()
            .map(|entry| entry.name.clone())
            .collect()
    }

    /// Locked for moments: who serves looks at the list as it was.
    fn snapshot(&self) -> Arc<Vec<Entry>> {
        Arc::clone(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut entries))
    }
}

impl Handler for Handlers {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let entries = self.snapshot();
        let first = entries
            .iter()
            .find(|entry| entry.enabled && entry.handler.matches(request));
        match first {
            Some(entry) => entry.handler.handle(request, response),
            None => Ok(not_found(response)?),
        }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        let entries = self.snapshot();
        entries
            .iter()
            .any(|entry| entry.enabled && entry.handler.matches(request))
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handlers").field(&self.names()).finish()
    }
}
