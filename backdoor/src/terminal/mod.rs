//! A session at a terminal: a person's keys come in, a screen goes out, and lines are edited on the server's side. So whatever
//! has keys and a screen is a console: telnet here.
//!
//! ```text
//!  console-keys-N ── keys ──▶ ┌──────────┐ ── asks ──▶ the session
//!                             │ Dialogue │
//!  console-screen-N ◀─ bytes ─└──────────┘ ◀─ answers ── its writer
//! ```
//!
//! `console-screen-N` alone writes to the stream. The session's writer waits while it is behind; keys do not, so that
//! Ctrl-C is heard while nothing can be shown.

mod dialogue;
mod editor;
mod history;
mod keys;
mod telnet;

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grapeshot::net::Stream;
use grapeshot::sync::channel::{self, Receiver, Sender};
use grapeshot::{Builder, with_timeout};

use self::dialogue::{Dialogue, Outcome};
use crate::backdoor::Shared;
use crate::door::Guest;
use crate::journal;
use crate::limits;
use crate::protocol::{ClientMessage, ReceiveError, ServerMessage};
use crate::session::{self, for_log};
use crate::transport::{SendError, Transport, Visitor};

pub(crate) use self::editor::Show;

/// Bytes that wait for a slow screen before the session waits too.
const BEHIND: usize = 64 * 1024;

/// Outcomes that wait for the session. There is one question at a time, and one interrupt.
const OUTCOMES: usize = 16;

struct State {
    dialogue: Dialogue,
    /// What is to be sent.
    outgoing: Vec<u8>,
    /// The stream ends once everything is sent.
    is_closing: bool,
}

/// A terminal as a session's transport.
pub(crate) struct Terminal {
    stream: Arc<dyn Stream>,
    state: Mutex<State>,
    /// Told whenever there is something to send.
    more: Sender<()>,
    /// Heard of whenever something was sent.
    sent: Receiver<()>,
    /// Where outcomes go, and come out.
    outcome: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
}

impl Terminal {
    /// Telnet over `stream`.
    pub(crate) fn telnet(stream: Arc<dyn Stream>, number: u64) -> Arc<Self> {
        let (more, is_more) = channel::bounded(1);
        let (to_session, sent) = channel::bounded(1);
        let (to_keys, shown) = channel::bounded(1);
        let (outcome, outcomes) = channel::bounded(OUTCOMES);
        let terminal = Arc::new(Self {
            stream,
            state: Mutex::new(State {
                dialogue: Dialogue::new(),
                outgoing: Vec::new(),
                is_closing: false,
            }),
            more,
            sent,
            outcome,
            outcomes,
        });
        let screen = Arc::clone(&terminal);
        let builder = Builder::new().name(format!("console-screen-{number}"));
        drop(builder.spawn(move || screen.show_all(&is_more, [&to_session, &to_keys])));
        let keys = Arc::clone(&terminal);
        let builder = Builder::new().name(format!("console-keys-{number}"));
        drop(builder.spawn(move || keys.take_all(&shown)));
        terminal
    }

    /// Asks for a line; `None` if the person leaves instead. May suspend.
    pub(crate) fn ask(&self, prompt: &str, show: Show) -> Option<String> {
        self.with(|dialogue, outcomes| dialogue.begin_line(prompt, show, outcomes));
        loop {
            match self.outcomes.recv().ok()? {
                Outcome::Line(line) => return Some(line),
                Outcome::Left => return None,
                // There is no session yet that could be asked.
                Outcome::Ask(_) => {}
            }
        }
    }

    /// Has the dialogue do something, and passes on what comes of it. Never suspends.
    fn with(&self, act: impl FnOnce(&mut Dialogue, &mut Vec<Outcome>) -> Vec<u8>) {
        let mut outcomes = Vec::new();
        let mut state = self.lock();
        let bytes = act(&mut state.dialogue, &mut outcomes);
        state.outgoing.extend_from_slice(&bytes);
        drop(state);
        for outcome in outcomes {
            // There is room for all that a dialogue asks before it is answered.
            let _ = self.outcome.try_send(outcome);
        }
        let _ = self.more.try_send(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes keys until there are no more.
    fn take_all(&self, shown: &Receiver<()>) {
        let _left = Leaves(self);
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = self.stream.read(&mut chunk) {
            self.with(|dialogue, outcomes| dialogue.feed(&chunk[..count], outcomes));
            // Whoever types faster than the screen shows waits for it.
            while self.lock().outgoing.len() > 2 * BEHIND {
                if shown.recv().is_err() {
                    return;
                }
            }
        }
    }

    /// Sends what there is to send, until the session has ended or the other side takes no more.
    fn show_all(&self, is_more: &Receiver<()>, who_waits: [&Sender<()>; 2]) {
        let _end = Ends(self);
        while is_more.recv().is_ok() {
            let (bytes, is_last) = {
                let mut state = self.lock();
                (std::mem::take(&mut state.outgoing), state.is_closing)
            };
            let written = with_timeout(limits::WRITE_TIMEOUT, || (&*self.stream).write_all(&bytes));
            if !matches!(written, Ok(Ok(()))) || is_last {
                return;
            }
            for waits in who_waits {
                let _ = waits.try_send(());
            }
        }
    }
}

/// Tells the session that no more keys come, even if the coroutine was killed.
struct Leaves<'a>(&'a Terminal);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let _ = self.0.outcome.try_send(Outcome::Left);
    }
}

/// Ends the stream with its screen.
struct Ends<'a>(&'a Terminal);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let _ = self.0.stream.shutdown(Shutdown::Both);
    }
}

impl Transport for Terminal {
    fn receive(&self) -> Result<Option<ClientMessage>, ReceiveError> {
        loop {
            match self.outcomes.recv() {
                Ok(Outcome::Ask(message)) => return Ok(Some(message)),
                Ok(Outcome::Line(_)) => {}
                Ok(Outcome::Left) | Err(_) => return Ok(None),
            }
        }
    }

    fn send(&self, message: &ServerMessage) -> Result<(), SendError> {
        while self.lock().outgoing.len() > BEHIND {
            // Once the screen has ended, nobody tells any more.
            self.sent
                .recv()
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        }
        self.with(|dialogue, outcomes| dialogue.handle(message, outcomes));
        Ok(())
    }

    fn shutdown(&self, how: Shutdown) {
        if how == Shutdown::Read {
            // It fails for a peer that has gone already.
            let _ = self.stream.shutdown(how);
            return;
        }
        self.lock().is_closing = true;
        let _ = self.more.try_send(());
    }
}

/// Serves one connection that speaks telnet.
pub(crate) fn enter<S: Stream>(shared: &Arc<Shared>, stream: S, guest: Guest) {
    let terminal = Terminal::telnet(Arc::new(stream), guest.number);
    let _screen = Closes(&terminal);
    let visitor = match with_timeout(limits::TYPING_TIMEOUT, || log_in(shared, &terminal, &guest)) {
        Ok(Some(visitor)) => visitor,
        Ok(None) => return,
        Err(_elapsed) => {
            refused(&guest, "no login came in time");
            return session::refuse(&*terminal, "no login came in time");
        }
    };
    guest.is_known();
    session::run(
        shared,
        Arc::clone(&terminal) as Arc<dyn Transport>,
        visitor,
        guest.number,
    );
}

/// Has the screen end with whoever serves it: it is shown what there is to show first.
struct Closes<'a>(&'a Terminal);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Both);
    }
}

fn refused(guest: &Guest, why: &str) {
    journal::warn(format!(
        "console session {}: {}: {why}",
        guest.number, guest.from
    ));
}

/// Who logs in; `None` if nobody does, and then the peer has been told. May suspend.
fn log_in(shared: &Shared, terminal: &Terminal, guest: &Guest) -> Option<Visitor> {
    let user = terminal.ask("login: ", Show::Text)?;
    let password = terminal.ask("password: ", Show::Nothing)?;
    let user = user.trim();
    let Some(rights) = shared.users.said(user, &password) else {
        // Whoever guesses waits, and takes up one of few places meanwhile.
        grapeshot::sleep(limits::LOGIN_PENALTY);
        refused(guest, &format!("failed to log in as {}", for_log(user)));
        session::refuse(terminal, "wrong user or password");
        return None;
    };
    Some(Visitor {
        name: user.to_owned(),
        from: guest.from.clone(),
        rights,
    })
}

#[cfg(test)]
mod tests;
