//! What the live view knows and what was chosen in it. Performs no I/O and reads no clock: keys and answers in, questions out.

mod answers;
mod choices;

use std::time::{Duration, Instant};

use ratatui::widgets::TableState;
use serde_json::Value;

use super::asker::{About, Question};
use super::glance::{Frame, Glance, Info, Row};
use super::history::{Histories, Series};
use crate::connection::Greeting;

/// How long a note stands in the last line.
const NOTE: Duration = Duration::from_secs(6);

/// Rows that are asked for, at most; the server gives no more.
const MOST_ROWS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Coroutines,
    Groups,
}

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Load,
    Cpu,
    Since,
    Rate,
    Switches,
    Coroutines,
    Id,
    Name,
}

impl By {
    /// As the server calls it, and the person too.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Cpu => "cpu",
            Self::Since => "since",
            Self::Rate => "rate",
            Self::Switches => "switches",
            Self::Coroutines => "coroutines",
            Self::Id => "id",
            Self::Name => "name",
        }
    }
}

/// The connection to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Lost { why: String, since: Instant },
}

/// What stands over the rows and takes the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dialog {
    Help,
    Kill { id: u64, name: String },
}

/// What a key wants of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Leave,
    /// As Ctrl-Z does with other programs.
    Stop,
    Redraw,
}

/// A line that says what happened.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) text: String,
    pub(super) bad: bool,
    until: Instant,
}

/// One coroutine that is looked at.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) info: Option<Info>,
    pub(super) frames: Vec<Frame>,
    /// Why there is no backtrace, if there is none.
    pub(super) no_frames: Option<String>,
    /// The last that was known still stands there.
    pub(super) ended: bool,
    pub(super) scroll: usize,
    pub(super) load: Series,
    /// Its processor time at the latest look, and when that was.
    latest: Option<(f64, Instant)>,
}

pub(super) struct App {
    pub(super) place: String,
    pub(super) application: String,
    pub(super) pid: u32,
    pub(super) color: bool,
    pub(super) now: Instant,
    pub(super) every: Duration,
    pub(super) paused: bool,
    pub(super) link: Link,
    pub(super) glance: Option<Glance>,
    pub(super) workers: Histories<u64>,
    pub(super) coroutines: Histories<u64>,
    pub(super) groups: Histories<String>,
    pub(super) tab: Tab,
    by: [By; 2],
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// The filter while it is typed.
    pub(super) typed: Option<String>,
    pub(super) table: TableState,
    /// The row that the selection follows when the order changes; without one it stays at the top.
    follows: Option<String>,
    pub(super) dialog: Option<Dialog>,
    pub(super) open: Option<Open>,
    pub(super) note: Option<Note>,
    /// Rows of the table that fit the screen.
    fits: usize,
    wish: Option<Wish>,
    /// Asked and not answered, and since when.
    outstanding: Vec<(About, Instant)>,
    /// When to look again.
    due: Instant,
    /// Something was chosen that needs other rows, even while it is paused.
    forced: bool,
    kill: Option<u64>,
}

impl App {
    pub(super) fn new(place: String, greeting: &Greeting, every: Duration, color: bool) -> Self {
        let now = Instant::now();
        Self {
            place,
            application: greeting.application.clone(),
            pid: greeting.pid,
            color,
            now,
            every,
            paused: false,
            link: Link::Up,
            glance: None,
            workers: Histories::default(),
            coroutines: Histories::default(),
            groups: Histories::default(),
            tab: Tab::Coroutines,
            by: [By::Load; 2],
            reverse: false,
            filter: String::new(),
            typed: None,
            table: TableState::default().with_selected(0),
            follows: None,
            dialog: None,
            open: None,
            note: None,
            fits: 20,
            wish: None,
            outstanding: Vec::new(),
            due: now,
            forced: false,
            kill: None,
        }
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = now;
        if self.note.as_ref().is_some_and(|note| note.until <= now) {
            self.note = None;
        }
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        self.wish = Some(wish);
    }

    pub(super) fn take_wish(&mut self) -> Option<Wish> {
        self.wish.take()
    }

    pub(super) fn by(&self) -> By {
        self.by[self.tab as usize]
    }

    pub(super) fn rows(&self) -> &[Row] {
        self.glance.as_ref().map_or(&[], |glance| &glance.rows)
    }

    pub(super) fn selected(&self) -> Option<&Row> {
        self.rows().get(self.table.selected()?)
    }

    /// For how long the server has not answered, once that is long.
    pub(super) fn unanswered_for(&self) -> Option<Duration> {
        const LONG: Duration = Duration::from_secs(3);
        let oldest = self.outstanding.iter().map(|(_, asked)| *asked).min()?;
        Some(self.now.saturating_duration_since(oldest)).filter(|waited| *waited >= LONG)
    }

    /// How many rows the screen has for the table; the next question asks for a screen more.
    pub(super) fn set_fits(&mut self, rows: usize) {
        if rows > self.fits {
            self.forced = true;
        }
        self.fits = rows;
    }

    pub(super) fn page(&self) -> usize {
        self.fits.saturating_sub(1).max(1)
    }

    pub(super) fn say(&mut self, text: impl Into<String>, bad: bool) {
        self.note = Some(Note {
            text: text.into(),
            bad,
            until: self.now + NOTE,
        });
    }

    /// When something is due without any key or answer.
    pub(super) fn next_refresh(&self) -> Option<Instant> {
        let waits = self.paused || self.link != Link::Up || self.awaits(&About::Glance);
        (!waits).then_some(self.due)
    }

    fn awaits(&self, about: &About) -> bool {
        self.outstanding.iter().any(|(asked, _)| asked == about)
    }

    /// What to ask now.
    pub(super) fn questions(&mut self) -> Vec<Question> {
        if self.link != Link::Up {
            return Vec::new();
        }
        let mut questions = Vec::new();
        if let Some(id) = self.kill.take() {
            questions.push((About::Kill, format!("kill({id})")));
        }
        let is_due = self.forced || (!self.paused && self.due <= self.now);
        if is_due && !self.awaits(&About::Glance) {
            self.forced = false;
            questions.push((About::Glance, self.statement()));
            if let Some(open) = self.open.as_ref().filter(|open| !open.ended) {
                let id = open.id;
                questions.push((About::Info(id), format!("info({id})")));
                questions.push((About::Backtrace(id), format!("where({id})")));
            }
        }
        questions.retain(|(about, _)| !self.awaits(about));
        let asked = questions.iter().map(|(about, _)| (about.clone(), self.now));
        self.outstanding.extend(asked);
        let question = |(about, statement)| Question { about, statement };
        questions.into_iter().map(question).collect()
    }

    fn statement(&self) -> String {
        let shown = self.table.offset() + 2 * self.fits;
        // The quotes of JSON are those of the language: control characters never get into the filter.
        let text = Value::from(self.typed.as_ref().unwrap_or(&self.filter).as_str());
        format!(
            "glance(#{{by: \"{}\", reverse: {}, rows: {}, text: {text}, groups: {}}})",
            self.by().name(),
            self.reverse,
            shown.clamp(1, MOST_ROWS),
            self.tab == Tab::Groups,
        )
    }
}

/// What names a row in every order.
fn key_of(row: &Row) -> String {
    row.id.map_or_else(|| row.name.clone(), |id| id.to_string())
}
