//! Statements that were entered, and the search among them. Performs no I/O.

/// Statements that are remembered.
const ENTRIES: usize = 500;

/// The latest stands last.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<String>,
    /// The entry that is shown; `None`: what is being typed.
    place: Option<usize>,
    /// What was being typed before an entry was shown.
    draft: String,
}

impl History {
    /// Remembers a statement, unless it is the same as the last, or empty.
    pub(crate) fn add(&mut self, text: &str) {
        if text.trim().is_empty() || self.entries.last().is_some_and(|last| last == text) {
            return;
        }
        if self.entries.len() == ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(text.to_owned());
    }

    /// What is typed now is shown again.
    pub(crate) fn forget_place(&mut self) {
        self.place = None;
        self.draft.clear();
    }

    /// The entry before the one that is shown; `typed` is kept if that is none.
    pub(crate) fn older(&mut self, typed: &str) -> Option<String> {
        let place = self.place.unwrap_or(self.entries.len()).checked_sub(1)?;
        if self.place.is_none() {
            typed.clone_into(&mut self.draft);
        }
        self.place = Some(place);
        self.entries.get(place).cloned()
    }

    /// The entry behind the one that is shown, or what was being typed.
    pub(crate) fn newer(&mut self, _typed: &str) -> Option<String> {
        let place = self.place? + 1;
        let entry = self.entries.get(place).cloned();
        self.place = entry.is_some().then_some(place);
        entry.or_else(|| Some(std::mem::take(&mut self.draft)))
    }

    /// The latest entry before `end` that contains `pattern`.
    fn find(&self, pattern: &str, end: usize) -> Option<usize> {
        let before = &self.entries[..end.min(self.entries.len())];
        before.iter().rposition(|entry| entry.contains(pattern))
    }
}

/// A search backwards, as Ctrl-R begins it.
#[derive(Debug)]
pub(crate) struct Search {
    pattern: String,
    /// The entry that was found.
    place: usize,
    before: String,
}

impl Search {
    /// `typed` is what comes back if the search is given up.
    pub(crate) fn begin(typed: &str) -> Self {
        Self {
            pattern: String::new(),
            place: usize::MAX,
            before: typed.to_owned(),
        }
    }

    pub(crate) fn before(&self) -> &str {
        &self.before
    }

    pub(crate) fn prompt(&self) -> String {
        format!("(search `{}`) ", self.pattern)
    }

    /// One more character; what is found now.
    pub(crate) fn narrow(&mut self, character: char, history: &History) -> Option<String> {
        const LONGEST: usize = 64;
        if self.pattern.len() < LONGEST {
            self.pattern.push(character);
        }
        self.look(history, self.place.saturating_add(1))
    }

    /// One character less.
    pub(crate) fn widen(&mut self, history: &History) -> Option<String> {
        self.pattern.pop();
        self.look(history, usize::MAX)
    }

    /// The next one before what was found.
    pub(crate) fn older(&mut self, history: &History) -> Option<String> {
        self.look(history, self.place)
    }

    fn look(&mut self, history: &History, end: usize) -> Option<String> {
        self.place = history.find(&self.pattern, end)?;
        history.entries.get(self.place).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[&str]) -> History {
        let mut history = History::default();
        for entry in entries {
            history.add(entry);
        }
        history
    }

    #[test]
    fn there_and_back_again() {
        let mut history = history(&["a", "b", "b", "", "c"]);
        let older: Vec<_> = (0..4).map(|_| history.older("draft")).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(older, [some("c"), some("b"), some("a"), None]);
        let newer: Vec<_> = (0..4).map(|_| history.newer("a")).collect();
        assert_eq!(newer, [some("b"), some("c"), some("draft"), None]);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut history = History::default();
        for number in 0..2 * ENTRIES {
            history.add(&number.to_string());
        }
        assert_eq!(history.entries.len(), ENTRIES);
        assert_eq!(history.older(""), Some((2 * ENTRIES - 1).to_string()));
    }

    #[test]
    fn the_latest_that_fits_is_found_first() {
        let history = history(&["ps()", "workers()", "ps(1)"]);
        let mut search = Search::begin("typed");
        assert_eq!(search.narrow('p', &history).as_deref(), Some("ps(1)"));
        assert_eq!(search.narrow('s', &history).as_deref(), Some("ps(1)"));
        assert_eq!(search.older(&history).as_deref(), Some("ps()"));
        assert_eq!(search.older(&history), None);
        assert_eq!(search.prompt(), "(search `ps`) ");
        assert_eq!(search.narrow('x', &history), None);
        assert_eq!(search.widen(&history).as_deref(), Some("ps(1)"));
        assert_eq!(search.before(), "typed");
    }
}
