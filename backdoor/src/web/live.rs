//! The WebSocket of a page.
//!
//! ```text
//!   page                            http … (reads)          page-{look,search,count}-N page-tell-N
//!    │ view{panel, open, wish} ─▶   puts it on the desk ──▶ makes what it shows   ──▶
//!    │                                                                                figures, view, detail, answers, trouble
//!    │                        ◀───────────────────────────────────────────────────    snapshot{number}
//!    │ seen{number}           ──▶   the next one may go ─────────────────────────▶
//!    │ kill{id, why}          ──▶   asks the coroutine to end, if the token has that right
//!    │ stuck{seconds}         ──▶   searches for those that do not go on ─────────▶
//!    │ profile{seconds}       ──▶   starts a profile, if the token has that right; it goes on without the page
//! ```
//!
//! What the desk allows is in [`desk`](super::desk). The five end together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grapeshot::sync::channel::{self, Receiver, Sender};
use grapeshot::{Builder, CoroutineId, JoinHandle, with_timeout};
use grapeshot_websocket::{CloseCode, WebSocket};
use serde_json::{Value, json};

use super::asker::Asker;
use super::desk::{Desk, Due};
use super::trouble::Watch;
use super::view::{Ask, View};
use super::{profiler, snapshot, trouble};
use crate::backdoor::Shared;
use crate::journal;
use crate::limits;
use crate::pace::Pace;
use crate::rights::Right;
use crate::transport::Visitor;

/// A page that is open.
struct Page {
    shared: Arc<Shared>,
    /// What is wrong, for all pages.
    watch: Arc<Watch>,
    visitor: Visitor,
    number: u64,
    socket: WebSocket,
    desk: Mutex<Desk>,
    /// Rung when something was put on the desk.
    to_look: Bell,
    to_tell: Bell,
    /// Rung when `search` was set.
    to_search: Bell,
    /// What is to be searched for next: waits of so many seconds. The latest that was asked for counts.
    search: Mutex<Option<u32>>,
}

/// Wakes one coroutine, however often it is rung meanwhile.
struct Bell {
    ring: Sender<()>,
    rung: Receiver<()>,
}

impl Bell {
    fn new() -> Self {
        let (ring, rung) = channel::bounded(1);
        Self { ring, rung }
    }

    fn ring(&self) {
        // It has been rung already otherwise.
        let _ = self.ring.try_send(());
    }

    /// May suspend, for so long at most.
    fn wait(&self, due: &Due) {
        match due {
            Due::Now => {}
            Due::In(pause) => drop(with_timeout(*pause, || self.rung.recv())),
            Due::Later => drop(self.rung.recv()),
        }
    }
}

/// Ends a page's other coroutines with the one that reads.
struct Helpers([JoinHandle<()>; 4]);

impl Drop for Helpers {
    fn drop(&mut self) {
        self.0.iter().for_each(|helper| helper.interrupt());
    }
}

/// Serves a page until it leaves. **May suspend.**
pub(crate) fn serve(
    shared: &Arc<Shared>,
    watch: &Arc<Watch>,
    visitor: Visitor,
    every: Duration,
    number: u64,
    socket: WebSocket,
) {
    journal::info(format!(
        "page {number}: opened: {visitor}, may {}",
        visitor.rights
    ));
    let page = Arc::new(Page {
        shared: Arc::clone(shared),
        watch: Arc::clone(watch),
        visitor,
        number,
        socket,
        desk: Mutex::new(Desk::new(every)),
        to_look: Bell::new(),
        to_tell: Bell::new(),
        to_search: Bell::new(),
        search: Mutex::default(),
    });
    let spawn = |name: &str, stack: usize, work: fn(&Page)| {
        let page = Arc::clone(&page);
        let builder = Builder::new().name(format!("page-{name}-{number}"));
        builder.stack_size(stack).spawn(move || work(&page))
    };
    let helpers = Helpers([
        // It evaluates what the console's functions give.
        spawn("look", limits::STACK_SIZE, Page::look),
        spawn("tell", limits::SESSION_STACK_SIZE, Page::tell),
        // Apart from what looks: the views go on while it lasts.
        spawn("search", limits::STACK_SIZE, Page::search),
        spawn("count", limits::SESSION_STACK_SIZE, Page::count),
    ]);
    page.listen();
    drop(helpers);
    journal::info(format!("page {number}: closed"));
}

impl Page {
    fn listen(&self) {
        while let Ok(message) = self.socket.recv() {
            match Ask::read(message.as_bytes()) {
                Ok(ask) => self.handle(ask),
                Err(error) => {
                    journal::warn(format!("page {}: {error}", self.number));
                    let _ = self
                        .socket
                        .close(CloseCode::POLICY, "not a message of this page");
                    return;
                }
            }
        }
    }

    fn handle(&self, ask: Ask) {
        match ask {
            Ask::View(view) => {
                self.desk().look_at(view);
                self.to_look.ring();
            }
            Ask::Seen { number } => {
                self.desk().saw(number);
                self.to_tell.ring();
            }
            Ask::Kill { id, why } => self.answer(self.kill(id, &why)),
            Ask::Stuck { seconds } => {
                *self.search.lock().unwrap_or_else(PoisonError::into_inner) = Some(seconds);
                self.to_search.ring();
            }
            Ask::Profile {
                seconds,
                hertz,
                allocations,
            } => self.answer(profiler::start(
                &self.shared,
                &self.visitor,
                self.number,
                seconds,
                hertz,
                allocations,
            )),
            Ask::StopProfile { keep } => {
                self.answer(profiler::stop(&self.visitor, self.number, keep));
            }
        }
    }

    fn answer(&self, answer: Value) {
        self.desk().answer(answer);
        self.to_tell.ring();
    }

    fn kill(&self, id: u64, why: &str) -> Value {
        let answer = |done: bool, text: String| json!({"kill": id, "done": done, "text": text});
        if !self.visitor.rights.contains(Right::Operate) {
            journal::warn(format!(
                "page {}: {} may not operate, and asked to kill coroutine {id}",
                self.number, self.visitor
            ));
            return answer(
                false,
                "this page may look and not operate: its token has no such right".into(),
            );
        }
        let runtimes = &self.shared.runtimes;
        // Read before it is asked: it may be gone at once.
        let name = runtimes
            .coroutine(CoroutineId(id))
            .map(|seen| seen.info.name);
        let asked = name.filter(|_| runtimes.interrupt(CoroutineId(id)));
        let Some(name) = asked else {
            return answer(
                false,
                format!("no coroutine has the id {id}: it may have ended"),
            );
        };
        // JSON's quotes escape what could forge another line.
        let why = Value::from(why);
        journal::info(format!(
            "page {}: {} asked coroutine {id} ({name}) to end, because {why}",
            self.number, self.visitor
        ));
        answer(
            true,
            format!("asked {name} to end; it does at its next blocking call"),
        )
    }

    /// Makes what the page looks at, again and again.
    fn look(&self) {
        let pace = Pace::new(Duration::MAX, self.number);
        let mut asker = Asker::new(&self.shared, &self.visitor, self.number);
        loop {
            let now = grapeshot::time::now();
            let due = self.desk().view_due(now);
            if due != Due::Now {
                self.to_look.wait(&due);
                continue;
            }
            let view: View = self.desk().begin_view();
            let shown = snapshot::panel(
                &view.panel,
                &self.shared,
                self.visitor.rights,
                &mut asker,
                &pace,
            );
            // What comes beside it mostly waits, and costs little.
            let took = grapeshot::time::now().saturating_duration_since(now);
            let detail = view
                .open
                .map(|id| snapshot::detail(id, &self.shared, &pace));
            let end = grapeshot::time::now();
            self.desk().end_view(&view, shown, detail, end, took);
            self.to_tell.ring();
        }
    }

    /// Searches for coroutines that are stuck when the page asks for that, one search after the other.
    fn search(&self) {
        loop {
            self.to_search.wait(&Due::Later);
            let asked = self.search.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = { asked }.take();
            if let Some(seconds) = asked {
                self.answer(trouble::search(
                    &self.shared,
                    &self.visitor,
                    self.number,
                    seconds,
                ));
            }
        }
    }

    /// Counts what is wrong, now and then, if the page fetches it.
    fn count(&self) {
        let pace = Pace::new(Duration::MAX, self.number);
        loop {
            let wanted = self.desk().wants_count();
            let counted =
                wanted.then(|| self.watch.count(&self.shared, self.visitor.rights, &pace));
            if let Some(trouble) = counted.flatten() {
                self.desk().count(trouble);
            }
            grapeshot::sleep(trouble::COUNT_EVERY);
        }
    }

    /// Sends snapshots, as the desk allows.
    fn tell(&self) {
        loop {
            let now = grapeshot::time::now();
            let due = self.desk().snapshot_due(now);
            if due != Due::Now {
                self.to_tell.wait(&due);
                continue;
            }
            let parts = self.desk().take(now);
            // What was taken makes room for the next.
            self.to_look.ring();
            let snapshot = json!({
                "type": "snapshot", "number": parts.number, "figures": snapshot::figures(&self.shared),
                "view": parts.view, "wish": parts.wish, "detail": parts.detail, "trouble": parts.trouble, "answers": parts.answers, "took": parts.took.as_secs_f64(), "pause": parts.pause.as_secs_f64(),
            });
            if self.socket.send_text(&snapshot.to_string()).is_err() {
                // The reader hears of it as well.
                return;
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
