//! One evaluation, from the statement to its last message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use grapeshot::sync::channel::{Sender, TrySendError};
use grapeshot::{Builder, catch_panic};
use rhai::Dynamic;
use serde_json::Value;

use crate::complaint::Complaint;
use crate::language::{Interpreter, Outcome, Printer};
use crate::pace::{Pace, Stop};
use crate::protocol::ServerMessage;
use crate::value::{self, Units};

/// Rows are sent in pieces of about this many bytes of JSON.
const PIECE_BYTES: usize = 32 * 1024;

/// The longest text of one `Output`, in bytes.
const OUTPUT_BYTES: usize = 32 * 1024;

/// What a console asked for.
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) source: String,
    pub(crate) rows: Option<u64>,
}

/// Owns the last message of an evaluation: exactly one is sent, however the evaluation ends.
pub(crate) struct Ending {
    id: u64,
    current: Arc<Mutex<Option<u64>>>,
    outbox: Sender<ServerMessage>,
    pace: Arc<Pace>,
    started: Instant,
    finished: bool,
}

impl Ending {
    pub(crate) fn new(
        id: u64,
        current: &Arc<Mutex<Option<u64>>>,
        outbox: &Sender<ServerMessage>,
        pace: &Arc<Pace>,
    ) -> Self {
        Self {
            id,
            current: Arc::clone(current),
            outbox: outbox.clone(),
            pace: Arc::clone(pace),
            started: grapeshot::time::now(),
            finished: false,
        }
    }

    fn finish(&mut self, message: ServerMessage) {
        self.finished = true;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match self.outbox.try_send(message) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            // This may be an unwinding, where nobody may wait: somebody else does.
            Err(TrySendError::Full(message)) => {
                let outbox = self.outbox.clone();
                let send = move || drop(outbox.send(message));
                drop(Builder::new().name("console-last-message").spawn(send));
            }
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.finished {
            // Only an interrupt unwinds past the evaluation.
            let stop = self.pace.check().err().unwrap_or(Stop::Interrupted);
            let complaint = stopped(stop, &self.pace);
            self.finish(error(self.id, complaint));
        }
    }
}

/// Evaluates and answers. May suspend.
pub(crate) fn run(
    request: &Request,
    interpreter: &grapeshot::sync::Mutex<Interpreter>,
    outbox: &Sender<ServerMessage>,
    mut ending: Ending,
) {
    let mut session = Rewinding::of(interpreter);
    // No `with_timeout` around all of it: what is meant to last begins its time limit anew, see `Pace::renew`. Whoever waits
    // looks at the pace.
    let message = match catch_panic(|| session.guard.evaluate(&request.source)) {
        Err(panic) => error(
            request.id,
            Complaint::new(format!("panicked: {}", panic_text(&*panic))),
        ),
        Ok(outcome) => {
            // What was evaluated stays, even if it cannot be shown.
            session.keep();
            answer(request, outcome, &session.guard, outbox, ending.started)
        }
    };
    drop(session);
    ending.finish(message);
}

fn stopped(stop: Stop, pace: &Pace) -> Complaint {
    Complaint {
        hint: pace.note(),
        ..Complaint::new(stop.to_string())
    }
}

/// A locked session that forgets the variables of an evaluation which did not come to its end.
struct Rewinding<'a> {
    guard: grapeshot::sync::MutexGuard<'a, Interpreter>,
    mark: Option<usize>,
}

impl<'a> Rewinding<'a> {
    fn of(interpreter: &'a grapeshot::sync::Mutex<Interpreter>) -> Self {
        let guard = interpreter.lock();
        let mark = Some(guard.mark());
        Self { guard, mark }
    }

    fn keep(&mut self) {
        self.mark = None;
    }
}

impl Drop for Rewinding<'_> {
    fn drop(&mut self) {
        if let Some(mark) = self.mark {
            self.guard.rewind(mark);
        }
    }
}

fn answer(
    request: &Request,
    outcome: Outcome,
    session: &Interpreter,
    outbox: &Sender<ServerMessage>,
    started: Instant,
) -> ServerMessage {
    let id = request.id;
    let elapsed = || {
        grapeshot::time::now()
            .saturating_duration_since(started)
            .as_secs_f64()
    };
    let result = |value, total| ServerMessage::Result {
        id,
        value,
        total,
        elapsed: elapsed(),
    };
    match outcome {
        Outcome::Incomplete => ServerMessage::Incomplete { id },
        Outcome::Failed(mut complaint) => {
            let note = session.pace().note();
            complaint.hint = complaint.hint.or(note);
            error(id, complaint)
        }
        Outcome::Value => match show(request, session.result(), session, outbox) {
            Ok((value, total)) => result(value, total),
            Err(stop) => error(id, Complaint::new(stop.to_string())),
        },
    }
}

/// Sends an array's rows, as many as were asked for; gives everything else back to be sent with the result.
fn show(
    request: &Request,
    value: &Dynamic,
    session: &Interpreter,
    outbox: &Sender<ServerMessage>,
) -> Result<(Value, Option<u64>), Stop> {
    let (pace, shapes) = (session.pace(), &session.shared().shapes);
    let Ok(rows) = value.as_array_ref() else {
        return Ok((value::to_json(value, Units::Marked, shapes, pace)?, None));
    };
    let wanted = request.rows.map_or(rows.len(), |wanted| {
        usize::try_from(wanted).unwrap_or(usize::MAX)
    });
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for row in rows.iter().take(wanted) {
        let row = value::to_json(row, Units::Marked, shapes, pace)?;
        bytes += rough_size(&row);
        piece.push(row);
        if bytes >= PIECE_BYTES {
            bytes = 0;
            if outbox
                .send(ServerMessage::Rows {
                    id: request.id,
                    rows: std::mem::take(&mut piece),
                })
                .is_err()
            {
                return Err(Stop::Interrupted);
            }
            pace.breathe()?;
        }
    }
    if !piece.is_empty()
        && outbox
            .send(ServerMessage::Rows {
                id: request.id,
                rows: piece,
            })
            .is_err()
    {
        return Err(Stop::Interrupted);
    }
    Ok((Value::Null, Some(rows.len() as u64)))
}

/// About how long a value is in JSON.
fn rough_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(rough_size).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields
                .iter()
                .map(|(name, field)| name.len() + 4 + rough_size(field))
                .sum::<usize>()
                + 2
        }
        _ => 8,
    }
}

/// What `print` and `debug` of a session do: their text goes to the session's own console, as it comes.
pub(crate) fn printer(
    outbox: &Sender<ServerMessage>,
    current: &Arc<Mutex<Option<u64>>>,
    pace: &Arc<Pace>,
) -> Printer {
    let (outbox, current, pace) = (outbox.clone(), Arc::clone(current), Arc::clone(pace));
    Arc::new(move |text| {
        let id = *current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = id.filter(|_| pace.count_output(text.len() + 1)) else {
            return;
        };
        let mut rest = text;
        loop {
            let (piece, behind) = split_near(rest, OUTPUT_BYTES);
            let message = ServerMessage::Output {
                id,
                text: piece.to_owned(),
                partial: !behind.is_empty(),
            };
            if outbox.send(message).is_err() {
                pace.interrupt();
                return;
            }
            if behind.is_empty() {
                return;
            }
            rest = behind;
        }
    })
}

/// Splits at a character's boundary, at most `longest` bytes from the start.
fn split_near(text: &str, longest: usize) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(longest))
}

pub(crate) fn error(id: u64, complaint: Complaint) -> ServerMessage {
    let Complaint {
        message,
        line,
        column,
        hint,
    } = complaint;
    ServerMessage::Error {
        id,
        message,
        line,
        column,
        hint,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "with something that is no text".to_owned())
}
