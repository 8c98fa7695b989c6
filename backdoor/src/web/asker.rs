//! What a page asks the console's functions: those that only look and want no arguments, built in or exposed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grapeshot::{catch_panic, with_timeout};
use rhai::Dynamic;
use serde_json::{Value, json};

use crate::backdoor::Shared;
use crate::builtin::{self, Entry};
use crate::language::{Interpreter, Outcome, Printer};
use crate::pace::Pace;
use crate::rights::Right;
use crate::transport::Visitor;
use crate::value::{self, Units};

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Rows of one answer.
const MOST_ROWS: usize = 1000;
/// Built-in functions that have a view of their own, where the console has them.
const VIEWS: &[&str] = &["fds", "timers", "locks", "latency", "memory", "cost"];

/// How long one that did not answer in time is left alone: all others wait for it.
const REST: Duration = Duration::from_secs(30);

/// Asks on behalf of one page. It is not logged: nothing is changed by it.
pub(crate) struct Asker {
    interpreter: Interpreter,
    /// Those that did not answer in time, and when they are asked again.
    late: HashMap<String, Instant>,
}

/// Whether a page may ask for `name()` again and again: it only looks.
pub(crate) fn is_askable(name: &str, shared: &Shared) -> bool {
    let mut own = shared.functions.iter();
    own.any(|it| it.name == name && it.parameters.is_empty() && it.right == Right::Observe)
        || views().any(|entry| entry.name == name)
}

/// The built-in functions that have a view of their own.
pub(crate) fn views() -> impl Iterator<Item = &'static Entry> {
    let entries = VIEWS
        .iter()
        .filter_map(|name| builtin::entries().find(|entry| entry.name == *name));
    entries.filter(|entry| entry.right == Right::Observe && entry.receiver().is_none())
}

impl Asker {
    pub(crate) fn new(shared: &Arc<Shared>, visitor: &Visitor, number: u64) -> Self {
        let pace = Arc::new(Pace::new(PATIENCE, number));
        let silent: Printer = Arc::new(|_| {});
        Self {
            interpreter: Interpreter::new(shared, &pace, &silent, visitor),
            late: HashMap::new(),
        }
    }

    /// What they answer, one after the other; those that may not be asked are left out. To be called where there is an
    /// evaluation's stack. **May suspend.**
    pub(crate) fn answers(&mut self, names: &[String], shared: &Shared) -> Value {
        let known = names.iter().filter(|name| is_askable(name, shared));
        let answer = |name: &String| match self.ask_once(name) {
            Ok(value) => json!({"name": name, "value": value}),
            Err(error) => json!({"name": name, "failed": error}),
        };
        known.map(answer).collect()
    }

    /// Asks, unless that took too long a short while ago.
    fn ask_once(&mut self, name: &str) -> Result<Value, String> {
        let now = grapeshot::time::now();
        if let Some(again) = self.late.get(name) {
            let rest = again.saturating_duration_since(now);
            if !rest.is_zero() {
                return Err(format!(
                    "no answer within {} s; it is asked again in {} s",
                    PATIENCE.as_secs(),
                    rest.as_secs() + 1
                ));
            }
        }
        let answer = self.ask(&format!("{name}()"));
        let end = grapeshot::time::now();
        if end.saturating_duration_since(now) >= PATIENCE {
            self.late.insert(name.to_owned(), end + REST);
        } else {
            self.late.remove(name);
        }
        answer
    }

    fn ask(&mut self, call: &str) -> Result<Value, String> {
        let session = &mut self.interpreter;
        session.pace().start();
        let mark = session.mark();
        let outcome = with_timeout(PATIENCE, || catch_panic(|| session.evaluate(call)));
        let answer = match outcome {
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            Ok(Err(_)) => Err("it panicked".to_owned()),
            Ok(Ok(Outcome::Failed(complaint))) => Err(complaint.message),
            Ok(Ok(Outcome::Incomplete)) => Err("it is no call".to_owned()),
            Ok(Ok(Outcome::Value)) => self.shown(),
        };
        // Whatever it left behind, and the value as well.
        self.interpreter.rewind(mark);
        answer
    }

    fn shown(&self) -> Result<Value, String> {
        let (value, pace) = (self.interpreter.result(), self.interpreter.pace());
        let shapes = &self.interpreter.shared().shapes;
        let json = |value: &Dynamic| {
            let json = value::to_json(value, Units::Marked, shapes, pace);
            json.map_err(|stop| stop.to_string())
        };
        let Ok(rows) = value.as_array_ref() else {
            return json(value);
        };
        let shown: Result<Vec<Value>, String> = rows.iter().take(MOST_ROWS).map(json).collect();
        Ok(json!({"$rows": shown?, "total": rows.len()}))
    }
}
