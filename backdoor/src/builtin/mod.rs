//! The functions that every console has, by subject.
//!
//! One [`Entry`] is all there is to a function: what `help()` says of it, the right that it needs and what is called. A
//! subject's file lists its own; [`SUBJECTS`] lists the files, in the order of `help()`. To add a function, write
//! `fn name(console: &Console, ..) -> Answer` and an entry for it. It looks at the application through
//! [`Runtimes`](crate::runtimes::Runtimes), needs none of its workers, and calls [`Console::step`] as it goes through
//! what may be long.

mod binder;
mod coroutines;
mod cost;
mod descriptors;
mod events;
mod fields;
mod filter;
mod general;
mod glance;
mod logging;
mod places;
mod profile;
mod rows;
mod stuck;
mod values;
mod workers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grapeshot::CoroutineId;
use rhai::{Dynamic, Engine, EvalAltResult, INT, Scope};

pub(crate) use self::binder::Binder;
pub(crate) use self::cost::Costs;
pub(crate) use self::fields::without_numbers;
pub(crate) use self::glance::Looked;
use crate::backdoor::Shared;
use crate::journal;
use crate::language::{Printer, failed, terminated};
use crate::pace::Pace;
use crate::rights::{Right, Rights};
use crate::transport::Visitor;

/// What every console has, in the order of `help()`.
const SUBJECTS: &[&[Entry]] = &[
    general::FIRST,
    coroutines::ENTRIES,
    places::ENTRIES,
    events::ENTRIES,
    stuck::ENTRIES,
    workers::ENTRIES,
    descriptors::ENTRIES,
    logging::ENTRIES,
    values::ENTRIES,
    glance::ENTRIES,
    profile::ENTRIES,
    general::ENTRIES,
    cost::ENTRIES,
    rows::ENTRIES,
];

/// One function, whatever the numbers of its arguments.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// How it is called, as `help()` shows it. A method stands behind a point: `rows.top(field, n)`.
    pub(crate) call: &'static str,
    /// What it does, in one line.
    pub(crate) about: &'static str,
    /// What `help("name")` adds.
    pub(crate) more: &'static str,
    /// A session without it is refused, in words. It is looked at in each call.
    pub(crate) right: Right,
    /// Adds what is called, once for each number or kind of arguments.
    pub(crate) bind: fn(&mut Binder<'_>),
}

impl Entry {
    /// What stands before the point of a method.
    pub(crate) fn receiver(&self) -> Option<&'static str> {
        self.call.split_once('.').map(|(receiver, _)| receiver)
    }

    /// Whether `help(name)` means it: `kill`, `top` and `rows.top` do.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.call.split('(').next() == Some(name)
    }
}

/// All entries, in the order of `help()`.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    SUBJECTS.iter().copied().flatten()
}

/// Whether the console has that name for itself: a function, or what stands before the point of its methods.
pub(crate) fn is_taken(name: &str) -> bool {
    entries().any(|entry| match entry.receiver() {
        Some(receiver) => receiver == name,
        None => entry.name == name,
    })
}

/// What a function gives, or an error for the person at the console.
pub(crate) type Answer = Result<Dynamic, Box<EvalAltResult>>;

/// What the functions of one session work with.
pub(crate) struct Console {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) printer: Printer,
    pub(crate) visitor: Visitor,
    /// What every evaluation finds by name.
    pub(crate) constants: OnceLock<Scope<'static>>,
    /// What the function that runs has left out so far: see [`Console::lose`].
    pub(crate) lost: AtomicU64,
    pub(crate) looked: Looked,
}

impl Console {
    /// One for tests, that prints nowhere.
    #[cfg(test)]
    pub(crate) fn of(backdoor: crate::Backdoor, rights: Rights) -> Arc<Self> {
        Arc::new(Self {
            looked: Looked::default(),
            shared: Shared::of(backdoor).expect("it opens no door"),
            pace: Arc::new(Pace::unlimited()),
            printer: Arc::new(|_| {}),
            visitor: Visitor {
                name: "tester".into(),
                from: "a test".into(),
                rights,
            },
            constants: OnceLock::new(),
            lost: AtomicU64::new(0),
        })
    }

    /// What this session may do.
    pub(crate) fn rights(&self) -> Rights {
        self.visitor.rights
    }

    /// Prints a line at this session's console. May suspend.
    pub(crate) fn print(&self, text: &str) {
        (self.printer)(text);
    }

    /// One step of work, such as a row; lets others run every so often. May suspend.
    ///
    /// # Errors
    /// If the evaluation has to stop.
    pub(crate) fn step(&self) -> Result<(), Box<EvalAltResult>> {
        self.pace
            .step()
            .map_err(|stop| terminated(&stop.to_string()))
    }

    /// Sleeps, which is not what the time limit is for. May suspend.
    ///
    /// # Errors
    /// If the evaluation has to stop.
    pub(crate) fn rest(&self, time: Duration) -> Result<(), Box<EvalAltResult>> {
        /// How often it looks whether it was asked to end.
        const LOOK: Duration = Duration::from_millis(100);
        let until = grapeshot::time::now() + time;
        grapeshot::shield(|| {
            while grapeshot::time::now() < until {
                self.pace.renew();
                self.pace
                    .check()
                    .map_err(|stop| terminated(&stop.to_string()))?;
                let rest = until.saturating_duration_since(grapeshot::time::now());
                grapeshot::sleep(rest.min(LOOK));
            }
            Ok(())
        })
    }

    /// The tag of rows with these columns; see [`record`](crate::value::record).
    pub(crate) fn columns<const N: usize>(&self, columns: [&str; N]) -> INT {
        self.shared.shapes.tag(columns.map(str::to_owned).to_vec())
    }

    /// One value with the fields in this order.
    pub(crate) fn record<const N: usize>(&self, fields: [(&'static str, Dynamic); N]) -> Dynamic {
        let names = fields.each_ref().map(|(name, _)| *name);
        crate::value::record(self.columns(names), fields)
    }

    /// Counts what a view leaves out, for `cost()`.
    pub(crate) fn lose(&self, number: usize) {
        self.lost.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Runs what may hold its thread on another one: see [`Calls`](crate::calls::Calls). May suspend.
    pub(crate) fn elsewhere<T: Send + 'static>(
        &self,
        name: &str,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<EvalAltResult>> {
        self.shared.runtimes.calls.call(name, &self.pace, f)
    }

    /// Refuses what this session has no right to do with something of the application, and logs who operates it. The statement is
    /// in the log too, but not all of a long one, nor one that names a secret.
    pub(crate) fn may_use(&self, right: Right, call: &str) -> Result<(), Box<EvalAltResult>> {
        self.may(right, call)?;
        if right == Right::Operate && self.pace.operates(call) {
            let session = self.pace.session();
            journal::info(format!(
                "console session {session}: {} operates {call}",
                self.visitor
            ));
        }
        Ok(())
    }

    /// Refuses what this session has no right to.
    pub(crate) fn may(&self, right: Right, call: &str) -> Result<(), Box<EvalAltResult>> {
        let (session, rights) = (self.pace.session(), self.rights());
        if rights.contains(right) {
            return Ok(());
        }
        journal::warn(format!(
            "console session {session}: {}: refused {call}: it needs {right}, there is {rights}",
            self.visitor
        ));
        Err(failed(&format!(
            "{call} needs the right `{right}`, which this session does not have: it has {rights}"
        )))
    }
}

/// Makes all of them callable, and puts the constants that they are methods of into `scope`.
pub(crate) fn register(engine: &mut Engine, scope: &mut Scope<'static>, console: &Arc<Console>) {
    for entry in entries() {
        (entry.bind)(&mut Binder::new(engine, scope, console, entry));
    }
}

fn gone(id: INT) -> String {
    format!("no coroutine has the id {id}: it may have ended; ps() lists those that live")
}

fn coroutine_id(id: INT) -> Result<CoroutineId, Box<EvalAltResult>> {
    u64::try_from(id)
        .map(CoroutineId)
        .map_err(|_| failed(&gone(id)))
}
