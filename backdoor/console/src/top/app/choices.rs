//! What the person chooses: rows, their order, one to look at, one to end, how often to look.

use std::time::Duration;

use ratatui::widgets::TableState;

use super::{App, By, Dialog, Open, Tab, key_of};
use crate::top::view;

/// Refresh intervals that + and - go through.
const INTERVALS: [Duration; 7] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

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
}

impl App {
    /// Moves the selection by so many rows.
    pub(in crate::top) fn step(&mut self, rows: isize) {
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
    pub(in crate::top) fn begin_again(&mut self) {
        self.follows = None;
        self.table = TableState::default().with_selected(0);
        self.forced = true;
    }

    pub(in crate::top) fn sort_by(&mut self, by: By) {
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
    pub(in crate::top) fn turn_order(&mut self, forward: bool) {
        let known = match self.tab {
            Tab::Coroutines => By::OF_COROUTINES,
            Tab::Groups => By::OF_GROUPS,
        };
        let at = known.iter().position(|by| *by == self.by()).unwrap_or(0);
        let steps = if forward { 1 } else { known.len() - 1 };
        self.sort_by(known[(at + steps) % known.len()]);
    }

    pub(in crate::top) fn show_tab(&mut self, tab: Tab) {
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
    pub(in crate::top) fn open_selected(&mut self) {
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
    pub(in crate::top) fn propose_kill(&mut self) {
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

    pub(in crate::top) fn kill(&mut self, id: u64) {
        self.kill = Some(id);
        self.forced = true;
    }

    pub(in crate::top) fn pause(&mut self) {
        self.paused = !self.paused;
        self.due = self.now;
    }

    /// Looks more often, or less.
    pub(in crate::top) fn change_interval(&mut self, slower: bool) {
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
        let every = view::interval(self.every);
        self.say(format!("looks every {every}"), false);
    }
}

/// The part of a group's name that the names of its coroutines have in common, as far as a filter can say it.
fn longest_piece(group: &str) -> &str {
    group
        .split('*')
        .rev()
        .max_by_key(|piece| piece.len())
        .unwrap_or("")
}
