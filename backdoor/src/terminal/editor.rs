//! A line editor: keys in, what to show out. Performs no I/O.
//!
//! What is edited may be of several lines, each shown in as many rows as it takes. One column of the window stays free,
//! because terminals differ in what they do once the last one is written.
//!
//! ```text
//!  ship> let a = [     row 0: the prompt
//!  …     1, 2, 3];     row 1: what goes on in the next line, indented as far
//!              ^       `at`: where the cursor stands on the screen
//! ```

use self::drawing::{Place, list};
use super::history::{History, Search};
use super::keys::Key;
use crate::render::{Style, printable};

mod drawing;

/// The longest statement that is edited, in bytes.
const LONGEST: usize = 16 * 1024;

/// A window that is narrower is treated as one of this width.
const NARROWEST: usize = 20;

/// Candidates that are listed.
const CANDIDATES: usize = 100;

const BELL: char = '\x07';

/// What a key asks of whoever owns the editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// The line is to be taken: [`Editor::accept`], or goes on: [`Editor::go_on`].
    Enter,
    /// Candidates for the word before the cursor are wanted: [`Editor::complete`].
    Complete,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D where nothing is typed.
    Leave,
}

/// What is shown of what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Everything: keys come one by one.
    Text,
    /// Nothing but the prompt: a password.
    Nothing,
}

/// One line of a person's, and those before it.
#[derive(Debug)]
pub(crate) struct Editor {
    text: String,
    /// A byte offset, at a character's boundary.
    cursor: usize,
    prompt: String,
    show: Show,
    /// Whether the other side shows what is typed, a line at a time: nothing is drawn then, and nothing edited.
    is_dumb: bool,
    columns: usize,
    style: Style,
    /// Where the cursor stands on the screen.
    at: Place,
    /// What was cut last.
    cut: String,
    history: History,
    search: Option<Search>,
}

impl Editor {
    pub(crate) fn new() -> Self {
        Self {
            text: String::new(),
            cursor: 0,
            prompt: String::new(),
            show: Show::Text,
            is_dumb: true,
            columns: 80,
            style: Style::default(),
            at: Place::default(),
            cut: String::new(),
            history: History::default(),
            search: None,
        }
    }

    /// Whether the other side shows what is typed.
    pub(crate) fn set_dumb(&mut self, is_dumb: bool) {
        self.is_dumb = is_dumb;
    }

    pub(crate) fn set_color(&mut self, color: bool) {
        self.style.color = color;
    }

    /// The window has another width now.
    pub(crate) fn set_columns(&mut self, columns: usize, screen: &mut String) {
        self.columns = columns.max(NARROWEST);
        if !self.prompt.is_empty() {
            self.draw(screen);
        }
    }

    /// How results are to look.
    pub(crate) fn style(&self) -> Style {
        Style {
            width: Some(self.columns),
            ..self.style
        }
    }

    /// Begins a line.
    pub(crate) fn begin(&mut self, prompt: &str, show: Show, screen: &mut String) {
        printable(prompt).clone_into(&mut self.prompt);
        self.show = show;
        self.clear();
        self.at = Place::default();
        self.draw_all(screen);
    }

    /// What is typed so far, and the cursor as a byte offset into it.
    pub(crate) fn text(&self) -> (&str, usize) {
        (&self.text, self.cursor)
    }

    /// Takes one key.
    pub(crate) fn press(&mut self, key: Key, screen: &mut String) -> Option<Pressed> {
        if self.search.is_some() && self.is_searched(key, screen) {
            return None;
        }
        match key {
            Key::Enter | Key::Ctrl('j' | 'm') => return Some(Pressed::Enter),
            Key::Ctrl('c') => return Some(Pressed::Interrupt),
            Key::Ctrl('d') if self.text.is_empty() => return Some(Pressed::Leave),
            Key::Tab if self.show == Show::Text && !self.is_dumb => {
                return Some(Pressed::Complete);
            }
            Key::Tab => self.insert(' ', screen),
            Key::Char(character) => self.insert(character, screen),
            Key::Backspace => self.erase(self.before(1), self.cursor, screen),
            Key::Ctrl('h') => self.erase(self.before(1), self.cursor, screen),
            Key::Delete | Key::Ctrl('d') => self.erase(self.cursor, self.after(1), screen),
            Key::Ctrl('w') => self.cut_out(self.word_before(), self.cursor, screen),
            Key::Ctrl('u') => self.cut_out(0, self.cursor, screen),
            Key::Ctrl('k') => self.cut_out(self.cursor, self.text.len(), screen),
            Key::Ctrl('y') => {
                let cut = self.cut.clone();
                self.insert_text(&cut, screen);
            }
            Key::Left | Key::Ctrl('b') => self.go(self.before(1), screen),
            Key::Right | Key::Ctrl('f') => self.go(self.after(1), screen),
            Key::WordLeft => self.go(self.word_before(), screen),
            Key::WordRight => self.go(self.word_after(), screen),
            Key::Home | Key::Ctrl('a') => self.go(0, screen),
            Key::End | Key::Ctrl('e') => self.go(self.text.len(), screen),
            Key::Ctrl('l') => {
                screen.push_str("\x1b[H\x1b[2J");
                self.at = Place::default();
                self.draw_all(screen);
            }
            Key::Up | Key::Ctrl('p') => self.recall(History::older, screen),
            Key::Down | Key::Ctrl('n') => self.recall(History::newer, screen),
            Key::Ctrl('r') if self.show == Show::Text && !self.is_dumb => {
                self.search = Some(Search::begin(&self.text));
                self.draw(screen);
            }
            Key::Ctrl(_) => {}
        }
        None
    }

    /// Takes the line.
    pub(crate) fn accept(&mut self, screen: &mut String) -> String {
        self.leave_line(screen);
        let text = std::mem::take(&mut self.text);
        self.clear();
        text
    }

    /// Makes a line part of the history.
    pub(crate) fn remember(&mut self, text: &str) {
        self.history.add(text);
    }

    /// Gives the line up.
    pub(crate) fn give_up(&mut self, screen: &mut String) {
        self.leave_line(screen);
        self.clear();
    }

    /// The statement goes on in another line.
    pub(crate) fn go_on(&mut self, screen: &mut String) {
        self.go(self.text.len(), screen);
        self.insert('\n', screen);
        if self.is_dumb {
            screen.push_str("... ");
        }
    }

    /// Takes candidates for what stands between `start` and the cursor: their text and how they are listed.
    pub(crate) fn complete(
        &mut self,
        start: usize,
        names: &[(String, String)],
        screen: &mut String,
    ) {
        let Some(word) = self.text.get(start..self.cursor) else {
            return;
        };
        let common = common_beginning(names.iter().map(|(text, _)| text.as_str()));
        if common.len() > word.len() && common.starts_with(word) {
            let rest = common[word.len()..].to_owned();
            return self.insert_text(&rest, screen);
        }
        if names.len() < 2 {
            return screen.push(BELL);
        }
        self.leave_line(screen);
        let shown = names.iter().take(CANDIDATES);
        let labels: Vec<String> = shown.map(|(_, label)| printable(label)).collect();
        list(&labels, self.columns, screen);
        if names.len() > CANDIDATES {
            screen.push_str(&format!("… {} more\r\n", names.len() - CANDIDATES));
        }
        self.at = Place::default();
        self.draw_all(screen);
    }

    fn clear(&mut self) {
        self.text.clear();
        self.cursor = 0;
        self.history.forget_place();
        self.search = None;
    }

    fn insert(&mut self, character: char, screen: &mut String) {
        if self.text.len() + character.len_utf8() > LONGEST {
            return screen.push(BELL);
        }
        let is_last = self.cursor == self.text.len();
        self.text.insert(self.cursor, character);
        self.cursor += character.len_utf8();
        if is_last && self.search.is_none() {
            // The usual case, which must not cost a whole statement's output for each key.
            self.put(character, screen);
        } else {
            self.draw(screen);
        }
    }

    fn insert_text(&mut self, text: &str, screen: &mut String) {
        for character in text.chars() {
            self.insert(character, screen);
        }
    }

    fn erase(&mut self, from: usize, to: usize, screen: &mut String) {
        if from < to {
            self.text.replace_range(from..to, "");
            self.cursor = from;
            self.draw(screen);
        }
    }

    fn cut_out(&mut self, from: usize, to: usize, screen: &mut String) {
        if from < to {
            if self.show == Show::Text {
                self.text[from..to].clone_into(&mut self.cut);
            }
            self.erase(from, to, screen);
        }
    }

    fn go(&mut self, cursor: usize, screen: &mut String) {
        self.cursor = cursor;
        self.move_to(self.place(cursor), screen);
    }

    fn recall(
        &mut self,
        which: impl FnOnce(&mut History, &str) -> Option<String>,
        screen: &mut String,
    ) {
        if self.show == Show::Nothing || self.is_dumb {
            return;
        }
        match which(&mut self.history, &self.text) {
            Some(text) => {
                self.cursor = text.len();
                self.text = text;
                self.draw(screen);
            }
            None => screen.push(BELL),
        }
    }

    /// Whether the search took the key; if not, it has ended with what it found.
    fn is_searched(&mut self, key: Key, screen: &mut String) -> bool {
        let Some(search) = &mut self.search else {
            return false;
        };
        let found = match key {
            Key::Char(character) => search.narrow(character, &self.history),
            Key::Ctrl('r') => search.older(&self.history),
            Key::Backspace => search.widen(&self.history),
            Key::Ctrl('g' | 'c') => {
                let before = search.before().to_owned();
                self.end_search(before, screen);
                return true;
            }
            _ => {
                let text = self.text.clone();
                self.end_search(text, screen);
                return false;
            }
        };
        match found {
            Some(text) => {
                self.cursor = text.len();
                self.text = text;
            }
            None => screen.push(BELL),
        }
        self.draw(screen);
        true
    }

    fn end_search(&mut self, text: String, screen: &mut String) {
        self.search = None;
        self.cursor = text.len();
        self.text = text;
        self.draw(screen);
    }

    /// Where the character before the cursor begins, or the one before that ….
    fn before(&self, count: usize) -> usize {
        let mut starts = self.text[..self.cursor].char_indices().rev();
        starts.nth(count - 1).map_or(0, |(at, _)| at)
    }

    fn after(&self, count: usize) -> usize {
        let mut starts = self.text[self.cursor..].char_indices();
        starts
            .nth(count)
            .map_or(self.text.len(), |(at, _)| self.cursor + at)
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end_matches(|c: char| !is_word(c));
        before.trim_end_matches(is_word).len()
    }

    fn word_after(&self) -> usize {
        let behind = self.text[self.cursor..].trim_start_matches(|c: char| !is_word(c));
        self.text.len() - behind.trim_start_matches(is_word).len()
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// With what all of them begin.
fn common_beginning<'a>(mut texts: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = texts.next() else {
        return "";
    };
    texts.fold(first, |common, text| {
        let same = common.chars().zip(text.chars()).take_while(|(a, b)| a == b);
        &common[..same.map(|(a, _)| a.len_utf8()).sum()]
    })
}

#[cfg(test)]
mod tests;
