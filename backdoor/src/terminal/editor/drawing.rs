//! How a line is shown: rows, columns, and what moves the cursor between them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Editor, Show};

/// A place on the screen, from the beginning of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
}

impl Editor {
    /// Where the screen's cursor belongs for one in the text.
    pub(super) fn place(&self, cursor: usize) -> Place {
        let mut place = Place::default();
        for character in self.shown_prompt().chars() {
            self.step(&mut place, character);
        }
        if self.show == Show::Text {
            for character in self.text[..cursor].chars() {
                self.step(&mut place, character);
            }
        }
        place
    }

    /// Where the next character goes; whether a row had to be begun for this one.
    fn step(&self, place: &mut Place, character: char) -> bool {
        if character == '\n' {
            place.row += 1;
            place.column = self.indent();
            return true;
        }
        let width = character.width().unwrap_or(0);
        let is_begun = place.column + width >= self.columns;
        if is_begun {
            place.row += 1;
            place.column = 0;
        }
        place.column += width;
        is_begun
    }

    /// How far the lines behind the first are indented.
    fn indent(&self) -> usize {
        self.prompt.width().min(self.columns / 2)
    }

    fn shown_prompt(&self) -> String {
        match &self.search {
            Some(search) => search.prompt(),
            None => self.prompt.clone(),
        }
    }

    /// Shows a character at the end.
    pub(super) fn put(&mut self, character: char, screen: &mut String) {
        if self.is_dumb || self.show == Show::Nothing {
            return;
        }
        let mut at = self.at;
        let is_begun = self.step(&mut at, character);
        self.at = at;
        self.put_one(character, is_begun, screen);
    }

    fn put_one(&self, character: char, is_begun: bool, screen: &mut String) {
        if character == '\n' {
            screen.push_str("\r\n");
            screen.push_str(&self.style.dim("…"));
            screen.push_str(&" ".repeat(self.indent().saturating_sub(1)));
        } else {
            if is_begun {
                screen.push_str("\r\n");
            }
            screen.push(character);
        }
    }

    /// Shows the line anew where it stands.
    pub(super) fn draw(&mut self, screen: &mut String) {
        if self.is_dumb {
            return;
        }
        if self.at.row > 0 {
            screen.push_str(&format!("\x1b[{}A", self.at.row));
        }
        // From here to the end of the screen.
        screen.push_str("\r\x1b[J");
        self.at = Place::default();
        self.draw_all(screen);
    }

    /// Shows the line; the cursor stands where it begins.
    pub(super) fn draw_all(&mut self, screen: &mut String) {
        let prompt = self.shown_prompt();
        if self.is_dumb {
            return screen.push_str(&prompt);
        }
        screen.push_str(&self.style.bold(&prompt));
        let mut place = Place::default();
        for character in prompt.chars() {
            self.step(&mut place, character);
        }
        if self.show == Show::Text {
            for character in self.text.chars() {
                let is_begun = self.step(&mut place, character);
                self.put_one(character, is_begun, screen);
            }
        }
        self.at = place;
        self.move_to(self.place(self.cursor), screen);
    }

    pub(super) fn move_to(&mut self, place: Place, screen: &mut String) {
        if self.is_dumb || self.at == place {
            return;
        }
        let mut by = |count: usize, letter: char| {
            if count > 0 {
                screen.push_str(&format!("\x1b[{count}{letter}"));
            }
        };
        by(self.at.row.saturating_sub(place.row), 'A');
        by(place.row.saturating_sub(self.at.row), 'B');
        screen.push('\r');
        if place.column > 0 {
            screen.push_str(&format!("\x1b[{}C", place.column));
        }
        self.at = place;
    }

    /// Puts the screen's cursor under the line.
    pub(super) fn leave_line(&mut self, screen: &mut String) {
        if !self.is_dumb {
            self.move_to(self.place(self.text.len()), screen);
            screen.push_str("\r\n");
        }
        self.at = Place::default();
    }
}

/// Lists labels in as many columns as fit.
pub(super) fn list(labels: &[String], columns: usize, screen: &mut String) {
    let widest = labels.iter().map(|label| label.width()).max().unwrap_or(0) + 2;
    let across = (columns / widest).max(1);
    for row in labels.chunks(across) {
        for (at, label) in row.iter().enumerate() {
            screen.push_str(label);
            if at + 1 < row.len() {
                screen.push_str(&" ".repeat(widest - label.width()));
            }
        }
        screen.push_str("\r\n");
    }
}
