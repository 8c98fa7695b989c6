//! Sessions: for each browser a coroutine, which takes its requests one after the other.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cookie::{Cookie, SameSite};
use grapeshot::Builder;
use grapeshot::sync::channel::{Receiver, Sender, bounded};

use crate::{Handler, HandlerError, Rejection, Request, Response, Status};

/// Requests of one session that wait at most.
const QUEUE: usize = 16;

/// Gives each browser, known by a cookie, a coroutine of its own. What the program knows of a visitor are local variables, and what
/// comes next is the next line:
///
/// ```
/// use grapeshot_http::{Server, Session, Sessions};
///
/// fn visitor(session: &mut Session) {
///     for visit in 1..=10 {
///         let Some(turn) = session.next() else { return };
///         turn.answer(format!("This is your visit {visit}.\n"));
///     }
///     if let Some(turn) = session.next() {
///         turn.answer("You have been here often enough.\n");
///     }
/// }
/// let server = Server::with_handler(Sessions::new(visitor));
/// ```
///
/// The session ends when the closure returns, when nothing was asked for half an hour ([`idle`](Sessions::idle)), or when there are
/// too many (10,000; [`most`](Sessions::most)): then that which was silent for longest. The next request of that browser
/// begins another. A clone is the same sessions.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    visit: Box<dyn Fn(&mut Session) + Send + Sync>,
    cookie: String,
    secure: bool,
    idle: Duration,
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<String, Seat>,
    total: u64,
    evicted: u64,
}

struct Seat {
    number: u64,
    turns: Sender<Turn>,
    last: Instant,
}

/// How many sessions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SessionStatistics {
    /// Now.
    pub open: usize,
    /// So far.
    pub total: u64,
    /// Ended because there were too many.
    pub evicted: u64,
}

impl Sessions {
    /// Runs `visit` for each session.
    pub fn new(visit: impl Fn(&mut Session) + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                visit: Box::new(visit),
                cookie: "session".to_owned(),
                secure: false,
                idle: Duration::from_secs(1800),
                most: 10_000,
                table: Mutex::default(),
            }),
        }
    }

    /// Ends a session that nothing was asked of for so long.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        self.with(|inner| inner.idle = idle)
    }

    /// Has so many sessions at most.
    #[must_use]
    pub fn most(self, sessions: usize) -> Self {
        self.with(|inner| inner.most = sessions.max(1))
    }

    /// Has the cookie sent under TLS only.
    #[must_use]
    pub fn secure(self) -> Self {
        self.with(|inner| inner.secure = true)
    }

    /// Settings are made before there is a clone.
    fn with(mut self, set: impl FnOnce(&mut Inner)) -> Self {
        let inner =
            Arc::get_mut(&mut self.inner).expect("settings are made before the first clone");
        set(inner);
        self
    }

    /// How many there are.
    #[must_use]
    pub fn statistics(&self) -> SessionStatistics {
        let table = self.inner.table();
        SessionStatistics {
            open: table.open.len(),
            total: table.total,
            evicted: table.evicted,
        }
    }
}

impl Inner {
    /// Locked for moments, never across a suspension.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the turns of this session go, if there is such a session.
    fn find(&self, id: &str) -> Option<Sender<Turn>> {
        let mut table = self.table();
        let seat = table.open.get_mut(id)?;
        seat.last = grapeshot::time::now();
        Some(seat.turns.clone())
    }

    fn open(self: &Arc<Self>) -> std::io::Result<(String, Sender<Turn>)> {
        let mut random = [0; 16];
        grapeshot::random::fill(&mut random)?;
        let id = format!("{:032x}", u128::from_ne_bytes(random));
        let (turns, receiver) = bounded(QUEUE);
        let mut table = self.table();
        if table.open.len() >= self.most {
            let oldest = table.open.iter().min_by_key(|(_, seat)| seat.last);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                table.open.remove(&oldest);
                table.evicted += 1;
            }
        }
        table.total += 1;
        let number = table.total;
        let seat = Seat {
            number,
            turns: turns.clone(),
            last: grapeshot::time::now(),
        };
        table.open.insert(id.clone(), seat);
        drop(table);
        let mut session = Session {
            turns: receiver,
            idle: self.idle,
        };
        let place = Place {
            inner: Arc::clone(self),
            id: id.clone(),
            number,
        };
        Builder::new()
            .name(format!("http session {number}"))
            .spawn(move || (place.inner.visit)(&mut session));
        Ok((id, turns))
    }
}

/// A session's entry in the table, given back however its coroutine ends.
struct Place {
    inner: Arc<Inner>,
    id: String,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.inner.table();
        if table
            .open
            .get(&self.id)
            .is_some_and(|seat| seat.number == self.number)
        {
            table.open.remove(&self.id);
        }
    }
}

/// What the coroutine of a session takes its requests from.
#[derive(Debug)]
pub struct Session {
    turns: Receiver<Turn>,
    idle: Duration,
}

impl Session {
    /// Waits for the next request; `None` when the session is to end. **May suspend.**
    #[expect(
        clippy::should_implement_trait,
        reason = "it waits, and is not for loops that collect"
    )]
    pub fn next(&mut self) -> Option<Turn> {
        self.turns.recv_timeout(self.idle).ok()
    }
}

/// A request of a session, to be answered.
pub struct Turn {
    /// The method.
    pub method: String,
    /// The path, percent-encoded.
    pub path: String,
    /// What follows the `?`, percent-encoded.
    pub query: Option<String>,
    /// The header lines; of those that are no text none.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub content: Vec<u8>,
    reply: Sender<Answered>,
}

struct Answered {
    status: Status,
    headers: Vec<(String, String)>,
    content: Vec<u8>,
}

impl Turn {
    /// Answers with text.
    pub fn answer(self, text: impl Into<String>) {
        self.answer_with(Status::OK, "text/plain; charset=utf-8", text.into());
    }

    /// Answers with a page.
    pub fn answer_html(self, page: impl Into<String>) {
        self.answer_with(Status::OK, "text/html; charset=utf-8", page.into());
    }

    /// Answers with anything.
    pub fn answer_with(self, status: Status, media_type: &str, content: impl Into<Vec<u8>>) {
        let answered = Answered {
            status,
            headers: vec![("Content-Type".to_owned(), media_type.to_owned())],
            content: content.into(),
        };
        // Who asked may have gone.
        let _ = self.reply.try_send(answered);
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Handler for Sessions {
    fn handle(
        &self,
        request: &mut Request<'_>,
        mut response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let inner = &self.inner;
        let known = request.cookie(&inner.cookie).map(str::to_owned);
        let known = known.and_then(|id| inner.find(&id));
        let content = request.read_body()?;
        let turns = match known {
            Some(turns) if !turns.is_disconnected() => turns,
            _ => {
                let (id, turns) = inner.open()?;
                let cookie = Cookie::build((inner.cookie.clone(), id))
                    .path("/")
                    .http_only(true)
                    .same_site(SameSite::Lax)
                    .secure(inner.secure);
                response = response.cookie(&cookie.build());
                turns
            }
        };
        let (reply, answer) = bounded(1);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).ok();
        let turn = Turn {
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            headers: request
                .headers()
                .filter_map(|(name, value)| Some((name.to_owned(), text(value)?)))
                .collect(),
            content,
            reply,
        };
        if turns.try_send(turn).is_err() {
            let text = "this session has more requests than it can answer";
            return Err(Rejection::new(Status::SERVICE_UNAVAILABLE, text).into());
        }
        drop(turns);
        let Ok(answered) = answer.recv() else {
            return Err(
                Rejection::new(Status::SERVICE_UNAVAILABLE, "the session has ended").into(),
            );
        };
        response = response.status(answered.status);
        for (name, value) in &answered.headers {
            response = response.header(name, value);
        }
        Ok(response
            .header("Cache-Control", "no-store")
            .send(answered.content)?)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.statistics().fmt(f)
    }
}
