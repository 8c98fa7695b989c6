//! The server: accepts connections, runs a coroutine for each, and ends them all in order.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use grapeshot::net::{Listener, Peer, Shutdown, Stream};
use grapeshot::sync::Event;
use grapeshot::{Builder, JoinError, JoinHandle};

use crate::accept::accept_loop;
use crate::connection::Connection;
use crate::exchange::{Context, Control};
use crate::services::Besides;
use crate::{AccessLog, Handler, HandlerError, Limits, Phase, Refusal, Request, Response, date};

/// At the limit, this part of the connections is shed at a time.
const SHARE: usize = 64;
/// A connection that has been between requests for so many seconds may be closed to make room, and is closed while draining.
const SILENT: u64 = 2;
/// How often those are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// An HTTP/1.1 server: a handler and the limits under which it is called. A clone is the same server.
///
/// The handler runs in the connection's own coroutine, one request at a time, and may block as it likes. When it
/// fails before it has answered, the client gets a 500 (or the refusal that reading the content ended in); when it
/// panics, the same, and only its connection ends.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    handler: Box<dyn Handler>,
    context: Arc<Context>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Entry>,
    accepting: HashMap<u64, Accepting>,
    /// Listeners so far.
    listeners: u64,
    total: u64,
    /// Requests of connections that have ended.
    requests: u64,
    /// Those who wait for the next change of this table, each by an event of its own: none can take another's.
    waiting: Vec<Arc<Event>>,
    /// When the connections that are left are interrupted; set by the first `shutdown`.
    deadline: Option<Instant>,
}

impl Table {
    /// An event that the next change sets.
    fn next_change(&mut self) -> Arc<Event> {
        let change = Arc::new(Event::new());
        self.waiting.push(Arc::clone(&change));
        change
    }

    fn stop_accepting(&mut self, grace: Duration) {
        self.deadline
            .get_or_insert_with(|| grapeshot::time::now() + grace);
        for accepting in self.accepting.values() {
            accepting.coroutine.interrupt();
        }
    }

    /// Closes at most so many connections that have been between requests for so many seconds at least, those that have been for
    /// longest first; says how many.
    fn shed_idle(&mut self, most: usize, seconds: u64) -> u64 {
        let now = date::now();
        let mut idle: Vec<_> = self
            .open
            .iter()
            .filter_map(|(id, entry)| Some((entry.control.idle_since()?, *id)))
            .filter(|(since, _)| since + seconds <= now)
            .collect();
        if idle.len() > most {
            idle.select_nth_unstable(most);
            idle.truncate(most);
        }
        let mut shed = 0;
        for (_, id) in idle {
            let entry = &self.open[&id];
            if !entry.control.dismiss_if_idle() {
                continue;
            }
            shed += 1;
            // Its wait for a request ends with an end of file; if the stream cannot do that, by an interrupt.
            if entry.stream.shutdown(Shutdown::Both).is_err()
                && let Some(coroutine) = &entry.coroutine
            {
                coroutine.interrupt();
            }
        }
        shed
    }

    fn changed(&mut self) {
        for change in self.waiting.drain(..) {
            change.set();
        }
    }
}

/// A listener that is accepted from.
struct Accepting {
    name: String,
    coroutine: JoinHandle<io::Result<()>>,
}

struct Entry {
    stream: Arc<dyn Stream>,
    control: Arc<Control>,
    /// `None` for the moment between entry and spawn.
    coroutine: Option<JoinHandle<()>>,
}

/// What a server has counted while it ran.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    refused: [AtomicU64; Refusal::ALL.len()],
    pub(crate) panicked: AtomicU64,
    pub(crate) failed: AtomicU64,
    exhausted: AtomicU64,
    full: AtomicU64,
    shed: AtomicU64,
    expired: [AtomicU64; Phase::ALL.len()],
}

impl Counters {
    pub(crate) fn refused(&self, refusal: Refusal, peer: Peer) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(phase) = refusal.phase() {
            self.expired(phase, peer);
        }
    }

    pub(crate) fn expired(&self, phase: Phase, peer: Peer) {
        self.expired[phase as usize].fetch_add(1, Ordering::Relaxed);
        // Idle connections end so every day.
        let level = match phase {
            Phase::Idle | Phase::FirstByte => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(level, "http {peer}: closed, out of time: {phase}");
    }
}

/// A server's figures, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections open now, those that were upgraded included.
    pub connections: usize,
    /// Connections accepted since the server was made.
    pub connections_total: u64,
    /// Requests handed to the handler.
    pub requests: u64,
    /// Requests refused, by reason; only the reasons that occurred.
    pub refused: Vec<(Refusal, u64)>,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that failed by their own fault before they had answered.
    pub failed: u64,
    /// Episodes in which `accept` lacked descriptors or memory.
    pub accept_exhausted: u64,
    /// Times accepting paused because [`Limits::connections`] were open.
    pub accept_full: u64,
    /// Connections between requests that were closed to make room for new ones.
    pub shed: u64,
    /// Connections that ran out of time, by phase; only the phases that occurred.
    pub expired: Vec<(Phase, u64)>,
    /// Lines that the access log dropped.
    pub log_lines_dropped: u64,
}

/// Settings of a [`Server`].
///
/// ```
/// use grapeshot_http::{Limits, Router, Server};
///
/// let mut limits = Limits::default();
/// limits.body = 64 << 20;
/// let server = Server::builder().limits(limits).build(Router::new().get("/", |_| "hello"));
/// ```
#[derive(Default)]
#[must_use]
pub struct ServerBuilder {
    context: Context,
    connect: Option<Box<dyn Handler>>,
}

impl ServerBuilder {
    /// What a peer may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.context.limits = limits;
        self
    }

    /// Logs each request.
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.context.access_log = Some(log);
        self
    }

    /// Takes `CONNECT` requests, which are refused otherwise with 501, and gives them to this handler: a
    /// [`ConnectProxy`](crate::ConnectProxy), or one that is wrapped.
    pub fn connect(mut self, handler: impl Handler) -> Self {
        self.context.connects = true;
        self.connect = Some(Box::new(handler));
        self
    }

    /// The server.
    #[must_use]
    pub fn build(self, handler: impl Handler) -> Server {
        let handler: Box<dyn Handler> = match self.connect {
            Some(connect) => Box::new(Besides {
                connect,
                handler: Box::new(handler),
            }),
            None => Box::new(handler),
        };
        let inner = Inner {
            handler,
            context: Arc::new(self.context),
            table: Mutex::default(),
        };
        Server {
            inner: Arc::new(inner),
        }
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server that answers with `handler`, with default [`Limits`].
    pub fn new<F, E>(handler: F) -> Self
    where
        F: Fn(&mut Request<'_>, Response<'_>) -> Result<(), E> + Send + Sync + 'static,
        E: Into<HandlerError>,
    {
        Self::with_limits(Limits::default(), handler)
    }

    /// A server that answers with `handler`, within `limits`.
    pub fn with_limits<F, E>(limits: Limits, handler: F) -> Self
    where
        F: Fn(&mut Request<'_>, Response<'_>) -> Result<(), E> + Send + Sync + 'static,
        E: Into<HandlerError>,
    {
        Self::builder().limits(limits).build(handler)
    }

    /// A server that answers with a [`Handler`]: a [`Router`](crate::Router), for instance. With default [`Limits`].
    pub fn with_handler(handler: impl Handler) -> Self {
        Self::builder().build(handler)
    }

    /// A server of which more is to be said than its handler.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(crate) fn downgrade(&self) -> WeakServer {
        WeakServer(Arc::downgrade(&self.inner))
    }

    /// Accepts from `listener` and serves until [`shutdown`](Server::shutdown), then waits for the connections to
    /// end. Accepting is done in a coroutine named `http accept ADDRESS`, each connection is served in one named
    /// `http ADDRESS`. May be called for several listeners at once. **May suspend.**
    ///
    /// When descriptors or memory run out it logs that once an episode, pauses, and goes on. When this call is left
    /// by unwinding, accepting and all connections are interrupted.
    ///
    /// # Errors
    /// An error of `accept` from which there is no recovery.
    pub fn serve<L: Listener>(&self, listener: L) -> io::Result<()> {
        let guard = EndAll(&self.inner);
        let result = self.listen(listener).wait();
        self.inner.wait_for_connections();
        if let Some(log) = &self.inner.context.access_log {
            log.flush();
        }
        std::mem::forget(guard);
        result
    }

    /// Accepts from `listener` as well, from now on, in a coroutine named `http accept ADDRESS`, until it is
    /// [closed](Listening::close) or the server is shut down. Does not suspend.
    pub fn listen<L: Listener>(&self, listener: L) -> Listening {
        if let Some(log) = &self.inner.context.access_log {
            log.start();
        }
        let inner = Arc::clone(&self.inner);
        let listener_name = listener.name();
        let name = format!("http accept {}", listener.name());
        let finished = Arc::new(Event::new());
        let end = Finish(Arc::clone(&finished));
        let mut table = self.inner.table();
        table.listeners += 1;
        let id = table.listeners;
        if table.deadline.is_none() {
            let coroutine = Builder::new().name(name).spawn(move || {
                let _end = end;
                accept_loop(&inner, &listener)
            });
            let accepting = Accepting {
                name: listener_name.clone(),
                coroutine,
            };
            table.accepting.insert(id, accepting);
        }
        drop(table);
        Listening {
            server: self.clone(),
            id,
            name: listener_name,
            finished,
        }
    }

    /// The names of the listeners that are accepted from.
    #[must_use]
    pub fn listeners(&self) -> Vec<String> {
        let table = self.inner.table();
        let mut names: Vec<_> = table
            .accepting
            .iter()
            .filter(|(_, accepting)| !accepting.coroutine.is_finished())
            .collect();
        names.sort_by_key(|(id, _)| **id);
        names
            .into_iter()
            .map(|(_, accepting)| accepting.name.clone())
            .collect()
    }

    /// Stops accepting from the listener of this name, and closes it; false if there is none. The connections that came from it
    /// go on. Does not suspend.
    pub fn close_listener(&self, name: &str) -> bool {
        let table = self.inner.table();
        let found = table
            .accepting
            .values()
            .find(|accepting| accepting.name == name && !accepting.coroutine.is_finished());
        found
            .map(|accepting| accepting.coroutine.interrupt())
            .is_some()
    }

    /// Serves one connection that came from elsewhere, in the calling coroutine, until it ends. **May suspend.**
    pub fn serve_stream(&self, stream: impl Stream, peer: Peer) {
        let (place, control, stream) = self.inner.enter(Arc::new(stream));
        place.serve(stream, peer, control);
    }

    /// Stops accepting, closes the connections that are idle, lets the requests in progress (and upgraded
    /// connections) finish within `grace`, and interrupts what is left then. Returns at once; [`serve`](Server::serve)
    /// returns when all is over. Does not suspend.
    pub fn shutdown(&self, grace: Duration) {
        self.inner.context.draining.store(true, Ordering::SeqCst);
        self.inner.context.closing.store(true, Ordering::SeqCst);
        let mut table = self.inner.table();
        table.stop_accepting(grace);
        for entry in table.open.values() {
            if entry.control.dismiss_if_idle() {
                // Its wait for a request ends with an end of file. If the stream cannot do that, the deadline will.
                let _ = entry.stream.shutdown(Shutdown::Both);
            }
        }
        table.changed();
    }

    /// As [`shutdown`](Server::shutdown), but without a request that is lost: a connection that is open may still ask once, and is
    /// told in the answer that it was the last. One that has been silent for two seconds is closed. For the end of a process
    /// whose [successor](crate::handover) serves already. Does not suspend.
    pub fn drain(&self, grace: Duration) {
        self.inner.context.draining.store(true, Ordering::SeqCst);
        let mut table = self.inner.table();
        table.stop_accepting(grace);
        table.changed();
    }

    /// The server's figures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let counters = &self.inner.context.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let table = self.inner.table();
        let open: u64 = table
            .open
            .values()
            .map(|entry| count(&entry.control.requests))
            .sum();
        Statistics {
            connections: table.open.len(),
            connections_total: table.total,
            requests: table.requests + open,
            refused: Refusal::ALL
                .iter()
                .map(|&refusal| (refusal, count(&counters.refused[refusal as usize])))
                .filter(|&(_, times)| times > 0)
                .collect(),
            panicked: count(&counters.panicked),
            failed: count(&counters.failed),
            accept_exhausted: count(&counters.exhausted),
            accept_full: count(&counters.full),
            shed: count(&counters.shed),
            expired: Phase::ALL
                .iter()
                .map(|&phase| (phase, count(&counters.expired[phase as usize])))
                .filter(|&(_, times)| times > 0)
                .collect(),
            log_lines_dropped: self
                .inner
                .context
                .access_log
                .as_ref()
                .map_or(0, AccessLog::dropped),
        }
    }
}

impl Inner {
    /// Locked for moments, never across a suspension.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, stream: Arc<dyn Stream>) -> (Place, Arc<Control>, Arc<dyn Stream>) {
        let control = Arc::new(Control::new(date::now()));
        let mut table = self.table();
        table.total += 1;
        let id = table.total;
        let entry = Entry {
            stream: Arc::clone(&stream),
            control: Arc::clone(&control),
            coroutine: None,
        };
        table.open.insert(id, entry);
        (
            Place {
                inner: Arc::clone(self),
                id,
            },
            control,
            stream,
        )
    }

    pub(crate) fn count_exhausted(&self) {
        self.context
            .counters
            .exhausted
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until there are fewer than the allowed connections. **May suspend.**
    pub(crate) fn wait_for_room(&self) {
        let most = self.context.limits.connections.max(1);
        let mut told = false;
        loop {
            let (change, shed) = {
                let mut table = self.table();
                if table.open.len() < most {
                    return;
                }
                let change = table.next_change();
                let shed = table.shed_idle(most.div_ceil(SHARE), SILENT);
                self.context
                    .counters
                    .shed
                    .fetch_add(shed, Ordering::Relaxed);
                (change, shed)
            };
            if shed == 0 && !std::mem::replace(&mut told, true) {
                self.context.counters.full.fetch_add(1, Ordering::Relaxed);
                log::warn!(
                    "http: {most} connections are open, which is the limit; accepting pauses"
                );
            }
            // Others become idle meanwhile.
            let _ = grapeshot::with_timeout(LOOK, || change.wait());
        }
    }

    /// Waits for the last connection to end, and past the deadline interrupts those that are left. **May suspend.**
    fn wait_for_connections(&self) {
        let mut interrupted = false;
        loop {
            let (change, deadline) = {
                let mut table = self.table();
                if table.open.is_empty() {
                    return;
                }
                let change = table.next_change();
                if table.deadline.is_some() {
                    table.shed_idle(usize::MAX, SILENT);
                }
                (change, table.deadline.filter(|_| !interrupted))
            };
            let Some(deadline) = deadline else {
                change.wait();
                continue;
            };
            let now = grapeshot::time::now();
            if now >= deadline {
                self.interrupt_connections();
                interrupted = true;
                continue;
            }
            // Now and then those are looked for that have become silent.
            let _ = grapeshot::with_deadline(deadline.min(now + LOOK), || change.wait());
        }
    }

    fn interrupt_connections(&self) {
        for entry in self.table().open.values() {
            if let Some(coroutine) = &entry.coroutine {
                coroutine.interrupt();
            }
        }
    }
}

/// A connection's place in the table. It is given back however the connection's coroutine ends, even before it began.
struct Place {
    inner: Arc<Inner>,
    id: u64,
}

impl Place {
    fn serve(self, stream: Arc<dyn Stream>, peer: Peer, control: Arc<Control>) {
        Connection::new(stream, peer, Arc::clone(&self.inner.context), control)
            .serve(&*self.inner.handler);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.inner.table();
        let entry = table.open.remove(&self.id);
        if let Some(entry) = &entry {
            table.requests += entry.control.requests.load(Ordering::Relaxed);
        }
        table.changed();
        // Its last reference closes the stream, which is nothing to do under a lock.
        drop(table);
    }
}

/// Ends everything if `serve` is left by unwinding: its coroutines must not outlive it.
struct EndAll<'s>(&'s Inner);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        self.0.context.draining.store(true, Ordering::SeqCst);
        self.0.context.closing.store(true, Ordering::SeqCst);
        self.0
            .table()
            .accepting
            .values()
            .for_each(|accepting| accepting.coroutine.interrupt());
        self.0.interrupt_connections();
    }
}

/// A server that may have gone.
pub(crate) struct WeakServer(Weak<Inner>);

impl WeakServer {
    pub(crate) fn upgrade(&self) -> Option<Server> {
        let inner = self.0.upgrade()?;
        Some(Server { inner })
    }
}

/// A listener that a server accepts from: what [`Server::listen`] gives. Dropped, it changes nothing.
pub struct Listening {
    server: Server,
    id: u64,
    name: String,
    finished: Arc<Event>,
}

impl Listening {
    /// What the console calls it: its address.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stops accepting, and closes the listener. The connections that came from it go on. Does not suspend.
    pub fn close(&self) {
        if let Some(accepting) = self.server.inner.table().accepting.get(&self.id) {
            accepting.coroutine.interrupt();
        }
    }

    /// Waits until nothing is accepted from it any more. **May suspend.**
    ///
    /// # Errors
    /// An error of `accept` from which there is no recovery.
    pub fn wait(self) -> io::Result<()> {
        self.finished.wait();
        let accepting = self.server.inner.table().accepting.remove(&self.id);
        match accepting.map(|accepting| accepting.coroutine.join()) {
            Some(Ok(result)) => result,
            Some(Err(JoinError::Panicked(_))) => {
                Err(io::Error::other("the accepting coroutine panicked"))
            }
            // `shutdown` interrupts it; so may an operator, from the console.
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Says that the accepting coroutine has ended, however it ended.
struct Finish(Arc<Event>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.set();
    }
}

pub(crate) fn spawn_connection(inner: &Arc<Inner>, stream: Arc<dyn Stream>, peer: Peer) {
    let (place, control, stream) = inner.enter(stream);
    let id = place.id;
    let coroutine = Builder::new()
        .name(format!("http {peer}"))
        .spawn(move || place.serve(stream, peer, control));
    if let Some(entry) = inner.table().open.get_mut(&id) {
        entry.coroutine = Some(coroutine);
    }
}
