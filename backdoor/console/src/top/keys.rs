//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, By, Dialog, Tab, Wish};

/// Every key and what it does, in the order of the help. A terminal of 60 columns has room for the longest.
pub(super) const HELP: &[(&str, &str)] = &[
    ("↑ ↓ PgUp PgDn", "move; Home End: the first, the last"),
    ("Enter", "open a coroutine, or those of a group"),
    ("Esc", "close, or drop the filter"),
    ("Tab, g", "coroutines, or groups of like names"),
    ("/", "filter: name, what it waits for, or #id"),
    ("s S, → ←", "sort by the next column, the one before"),
    ("l c w t i n", "by load, cpu, wait, times/s, id, name"),
    ("r", "turn the order; so does the letter again"),
    ("k", "ask it to end; you are asked first"),
    ("p, space", "pause and go on"),
    ("+ -", "look more often, less often"),
    ("? h", "this help"),
    ("q, Ctrl-C", "leave; Ctrl-Z stops it, Ctrl-L redraws"),
];

impl App {
    pub(super) fn press(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c' | 'd') => self.wish(Wish::Leave),
                KeyCode::Char('l') => self.wish(Wish::Redraw),
                KeyCode::Char('z') => self.wish(Wish::Stop),
                _ => {}
            }
            return;
        }
        match self.dialog.take() {
            // Any key closes it.
            Some(Dialog::Help) => return,
            Some(Dialog::Kill { id, name }) => return self.answer(key.code, id, name),
            None => {}
        }
        if self.typed.is_some() {
            return self.type_filter(key.code);
        }
        self.command(key.code);
    }

    fn answer(&mut self, key: KeyCode, id: u64, name: String) {
        match key {
            KeyCode::Char('y' | 'Y') => self.kill(id),
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc | KeyCode::Enter => {
                self.say("not ended", false);
            }
            // Only an answer is one.
            _ => self.dialog = Some(Dialog::Kill { id, name }),
        }
    }

    fn type_filter(&mut self, key: KeyCode) {
        let Some(mut typed) = self.typed.take() else {
            return;
        };
        match key {
            KeyCode::Enter => {
                self.filter = typed;
                return;
            }
            KeyCode::Esc => return self.begin_again(),
            KeyCode::Backspace if typed.pop().is_none() => return self.begin_again(),
            KeyCode::Char(character) if !character.is_control() && typed.len() < 100 => {
                typed.push(character);
            }
            KeyCode::Backspace => {}
            _ => {
                self.typed = Some(typed);
                return;
            }
        }
        self.typed = Some(typed);
        self.begin_again();
    }

    fn command(&mut self, key: KeyCode) {
        let page = isize::try_from(self.page()).unwrap_or(isize::MAX);
        match key {
            KeyCode::Up => self.step(-1),
            KeyCode::Down => self.step(1),
            KeyCode::PageUp => self.step(-page),
            KeyCode::PageDown => self.step(page),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Char('q') => self.wish(Wish::Leave),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.dialog = Some(Dialog::Help),
            KeyCode::Char('p' | ' ') => self.pause(),
            KeyCode::Char('+' | '=') => self.change_interval(false),
            KeyCode::Char('-') => self.change_interval(true),
            KeyCode::Char('k') | KeyCode::Delete => self.propose_kill(),
            KeyCode::Esc | KeyCode::Backspace if self.open.is_some() => self.open = None,
            // What follows is about the rows, which are not there while one is open.
            _ if self.open.is_some() => {}
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                self.begin_again();
            }
            KeyCode::Enter => self.open_selected(),
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Char('g') => self.show_tab(match self.tab {
                Tab::Coroutines => Tab::Groups,
                Tab::Groups => Tab::Coroutines,
            }),
            KeyCode::Char('/') => self.typed = Some(self.filter.clone()),
            KeyCode::Char('s') | KeyCode::Right => self.turn_order(true),
            KeyCode::Char('S') | KeyCode::Left => self.turn_order(false),
            KeyCode::Char('r') => self.sort_by(self.by()),
            KeyCode::Char('l') => self.sort_by(By::Load),
            KeyCode::Char('c') => self.sort_by(By::Cpu),
            KeyCode::Char('w') => self.sort_by(By::Since),
            KeyCode::Char('t') => self.sort_by(By::Rate),
            KeyCode::Char('i') => self.sort_by(By::Id),
            KeyCode::Char('n') => self.sort_by(By::Name),
            _ => {}
        }
    }
}
