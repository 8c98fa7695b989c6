//! What the live view knows and what was chosen in it. Performs no I/O and reads no clock: keys and answers in, questions out.

use std::time::{Duration, Instant};

use ratatui::widgets::TableState;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::asker::{About, Answer, Question};
use super::glance::{Frame, Glance, Info, Row};
use super::history::{Histories, Series};
use crate::connection::Greeting;

/// Refresh intervals that + and - go through.
pub(super) const INTERVALS: [Duration; 7] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// How long a note stands in the last line.
const NOTE: Duration = Duration::from_secs(6);

/// Rows that are asked for, at most; the server gives no more.
const MOST_ROWS: usize = 1_000;

/// A server that takes long to answer is asked less often: it works for us at most a quarter of the time.
const REST: u32 = 3;

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
    const OF_COROUTINES: &[By] = &[
        By::Load,
        By::Cpu,
        By::Since,
        By::Rate,
        By::Switches,
        By::Id,
        By::Name,
    ];
    const OF_GROUPS: &[By] = &[
        By::Load,
        By::Cpu,
        By::Since,
        By::Rate,
        By::Switches,
        By::Coroutines,
        By::Name,
    ];

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

    pub(super) fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Lost(why) => {
                self.outstanding.clear();
                self.kill = None;
                self.link = Link::Lost {
                    why,
                    since: self.now,
                };
            }
            Answer::Connected { pid, application } => {
                self.link = Link::Up;
                self.due = self.now;
                self.forced = true;
                if pid == self.pid {
                    return self.say("connected again", false);
                }
                self.say(format!("a new process: {pid}, it was {}", self.pid), false);
                self.pid = pid;
                self.application = application;
                self.glance = None;
                self.open = None;
                self.dialog = None;
                self.workers = Histories::default();
                self.coroutines = Histories::default();
                self.groups = Histories::default();
            }
            Answer::Value(about, value) => {
                let asked = self.outstanding.iter().find(|(it, _)| *it == about);
                let asked = asked.map_or(self.now, |(_, asked)| *asked);
                self.outstanding.retain(|(it, _)| *it != about);
                match about {
                    About::Glance => self.take_glance(value, asked),
                    About::Info(id) => self.take_info(id, value),
                    About::Backtrace(id) => self.take_backtrace(id, value),
                    About::Kill => match value {
                        Ok(said) => self.say(said.as_str().unwrap_or("asked it to end"), false),
                        Err(why) => self.say(why, true),
                    },
                }
            }
        }
    }

    fn take_glance(&mut self, value: Result<Value, String>, asked: Instant) {
        let took = self.now.saturating_duration_since(asked);
        self.due = (asked + self.every).max(self.now + took * REST);
        let glance: Glance = match value.and_then(read) {
            Ok(glance) => glance,
            Err(why) => return self.say(why, true),
        };
        let loads = glance.workers.iter();
        let loads = loads.filter_map(|worker| Some((worker.worker, worker.load?)));
        self.workers.push(loads);
        let rows = glance.rows.iter();
        // A change of tab may have come in between.
        if glance.groups.is_some() {
            let loads = rows.filter_map(|row| Some((row.name.clone(), row.load?)));
            self.groups.push(loads);
        } else {
            let loads = rows.filter_map(|row| Some((row.id?, row.load?)));
            self.coroutines.push(loads);
        }
        self.glance = Some(glance);
        self.follow();
    }

    /// Puts the selection where its row is now.
    fn follow(&mut self) {
        let key = self.follows.as_ref();
        let place = key.and_then(|key| self.rows().iter().position(|row| key_of(row) == *key));
        let last = self.rows().len().saturating_sub(1);
        let stays = if key.is_some() {
            self.table.selected().unwrap_or(0)
        } else {
            0
        };
        self.table.select(Some(place.unwrap_or(stays).min(last)));
    }

    fn take_info(&mut self, id: u64, value: Result<Value, String>) {
        let now = self.now;
        let Some(open) = self.open.as_mut().filter(|open| open.id == id) else {
            return;
        };
        match value.and_then(read::<Info>) {
            Ok(info) => {
                if let Some((cpu, at)) = open.latest {
                    let past = now.saturating_duration_since(at).as_secs_f64();
                    open.load.push((info.cpu - cpu) / past.max(1e-6));
                }
                open.latest = Some((info.cpu, now));
                open.name.clone_from(&info.name);
                open.info = Some(info);
            }
            // The only reason that there is, but for a server that is no more.
            Err(_) => open.ended = true,
        }
    }

    fn take_backtrace(&mut self, id: u64, value: Result<Value, String>) {
        let Some(open) = self.open.as_mut().filter(|open| open.id == id) else {
            return;
        };
        match value.and_then(read::<Vec<Frame>>) {
            Ok(frames) => {
                open.frames = frames;
                open.no_frames = None;
            }
            Err(_) if open.ended => {}
            Err(why) => {
                open.frames.clear();
                open.no_frames = Some(why);
            }
        }
        open.scroll = open.scroll.min(open.frames.len().saturating_sub(1));
    }

    /// Moves the selection by so many rows.
    pub(super) fn step(&mut self, rows: isize) {
        if let Some(open) = &mut self.open {
            let last = open.frames.len().saturating_sub(1);
            open.scroll = open.scroll.saturating_add_signed(rows).min(last);
            return;
        }
        let last = self.rows().len().saturating_sub(1);
        let at = self.table.selected().unwrap_or(0);
        let at = at.saturating_add_signed(rows).min(last);
        self.table.select(Some(at));
        self.follows = (at > 0).then(|| self.selected().map(key_of)).flatten();
        // There may be more rows than were asked for.
        if at + self.fits > self.rows().len() {
            self.forced = true;
        }
    }

    /// Another order, another filter or other rows: from the top again.
    pub(super) fn begin_again(&mut self) {
        self.follows = None;
        self.table = TableState::default().with_selected(0);
        self.forced = true;
    }

    pub(super) fn sort_by(&mut self, by: By) {
        let known = match self.tab {
            Tab::Coroutines => By::OF_COROUTINES,
            Tab::Groups => By::OF_GROUPS,
        };
        if !known.contains(&by) {
            return;
        }
        if self.by() == by {
            self.reverse = !self.reverse;
        } else {
            self.by[self.tab as usize] = by;
            self.reverse = false;
        }
        self.begin_again();
    }

    /// The next order, or the one before.
    pub(super) fn turn_order(&mut self, forward: bool) {
        let known = match self.tab {
            Tab::Coroutines => By::OF_COROUTINES,
            Tab::Groups => By::OF_GROUPS,
        };
        let at = known.iter().position(|by| *by == self.by()).unwrap_or(0);
        let steps = if forward { 1 } else { known.len() - 1 };
        self.sort_by(known[(at + steps) % known.len()]);
    }

    pub(super) fn show_tab(&mut self, tab: Tab) {
        if self.tab != tab {
            self.tab = tab;
            self.glance
                .iter_mut()
                .for_each(|glance| glance.rows.clear());
            self.reverse = false;
            self.begin_again();
        }
    }

    /// Opens the selected coroutine; of a group, shows its coroutines.
    pub(super) fn open_selected(&mut self) {
        let Some(row) = self.selected().cloned() else {
            return;
        };
        let Some(id) = row.id else {
            self.filter = longest_piece(&row.name).to_owned();
            return self.show_tab(Tab::Coroutines);
        };
        self.open = Some(Open {
            id,
            name: row.name,
            info: None,
            frames: Vec::new(),
            no_frames: None,
            ended: false,
            scroll: 0,
            load: self.coroutines.of(&id).cloned().unwrap_or_default(),
            latest: None,
        });
        self.forced = true;
    }

    /// Asks the person whether to end the coroutine that is open or selected.
    pub(super) fn propose_kill(&mut self) {
        let open = self.open.as_ref().filter(|open| !open.ended);
        let open = open.map(|open| (open.id, open.name.clone()));
        let chosen = open.or_else(|| {
            let row = self.selected().filter(|_| self.open.is_none())?;
            Some((row.id?, row.name.clone()))
        });
        match chosen {
            Some((id, name)) => self.dialog = Some(Dialog::Kill { id, name }),
            None if self.open.is_some() => self.say("it has ended", false),
            None => self.say(
                "open a group with Enter, then choose a coroutine of it",
                false,
            ),
        }
    }

    pub(super) fn kill(&mut self, id: u64) {
        self.kill = Some(id);
        self.forced = true;
    }

    pub(super) fn pause(&mut self) {
        self.paused = !self.paused;
        self.due = self.now;
    }

    /// Looks more often, or less.
    pub(super) fn change_interval(&mut self, slower: bool) {
        let mut next = INTERVALS
            .iter()
            .filter(|it| (**it > self.every) == slower && **it != self.every);
        let next = if slower {
            next.next()
        } else {
            next.next_back()
        };
        self.every = next.copied().unwrap_or(self.every);
        self.due = self.due.min(self.now + self.every);
        let every = super::view::interval(self.every);
        self.say(format!("looks every {every}"), false);
    }
}

/// What names a row in every order.
fn key_of(row: &Row) -> String {
    row.id.map_or_else(|| row.name.clone(), |id| id.to_string())
}

/// The part of a group's name that the names of its coroutines have in common, as far as a filter can say it.
fn longest_piece(group: &str) -> &str {
    group
        .split('*')
        .rev()
        .max_by_key(|piece| piece.len())
        .unwrap_or("")
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("the server's answer is not understood: {error}"))
}
