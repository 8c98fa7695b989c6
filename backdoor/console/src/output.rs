//! Shows what the server sends.

use std::io::{self, Write};

use grapeshot_backdoor::render::{self, Style};
use serde_json::Value;

use crate::terminal;

/// What results look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// An evaluation that took longer than this many seconds says how long.
const SLOW: f64 = 1.0;

pub(crate) struct Output {
    format: Format,
    /// Asked for; otherwise the terminal's, read anew for each result.
    width: Option<usize>,
    color: bool,
    /// Rows of the result that have come so far.
    rows: Vec<Value>,
    /// Whether results say how long they took.
    timing: bool,
    errors_among_results: bool,
}

impl Output {
    pub(crate) fn new(format: Format, width: Option<usize>) -> Self {
        Self {
            format,
            width,
            color: terminal::has_color(),
            rows: Vec::new(),
            timing: false,
            errors_among_results: false,
        }
    }

    pub(crate) fn show_timing(&mut self) {
        self.timing = true;
    }

    pub(crate) fn style(&self) -> Style {
        Style {
            width: self.width.or_else(terminal::width),
            color: self.color,
        }
    }

    /// The statement as if it had been typed at the prompt. From now on errors stand between the results.
    pub(crate) fn echo(&mut self, application: &str, statement: &str, first: bool) {
        self.errors_among_results = true;
        let separator = if first { "" } else { "\n" };
        let prompt = self
            .style()
            .bold(&format!("{}>", render::printable(application)));
        self.line(&format!("{separator}{prompt} {statement}"));
    }

    pub(crate) fn note(&self, text: &str) {
        let text = render::value(&Value::from(text), self.style());
        self.line(&self.style().dim(&text));
    }

    pub(crate) fn printed(&self, text: &str, partial: bool) {
        let text = render::value(&Value::from(text), Style::default());
        let end = if partial { "" } else { "\n" };
        match self.format {
            Format::Text => put(&mut io::stdout(), &format!("{text}{end}")),
            // The standard output is for JSON alone.
            Format::Json => put(&mut io::stderr(), &format!("{text}{end}")),
        }
    }

    pub(crate) fn rows(&mut self, mut rows: Vec<Value>) {
        self.rows.append(&mut rows);
    }

    pub(crate) fn result(&mut self, value: Value, total: Option<u64>, elapsed: f64) {
        let rows = std::mem::take(&mut self.rows);
        let shown = match (self.format, total) {
            (Format::Json, None) => render::plain(value).to_string(),
            (Format::Json, Some(_)) => render::plain(Value::Array(rows)).to_string(),
            (Format::Text, None) => render::value(&value, self.style()),
            (Format::Text, Some(total)) => render::rows(&rows, total, self.style()),
        };
        if !shown.is_empty() {
            self.line(&shown);
        }
        if self.timing && elapsed > SLOW {
            self.note(&format!("({})", render::duration(elapsed)));
        }
    }

    pub(crate) fn error(
        &mut self,
        message: &str,
        place: Option<(u64, Option<u64>)>,
        hint: Option<&str>,
        source: &str,
    ) {
        self.rows.clear();
        if self.errors_among_results {
            return self.line(&render::error(message, place, hint, source, self.style()));
        }
        let style = Style {
            color: terminal::errors_have_color(),
            ..self.style()
        };
        put(
            &mut io::stderr(),
            &format!("{}\n", render::error(message, place, hint, source, style)),
        );
    }

    fn line(&self, text: &str) {
        put(&mut io::stdout(), &format!("{text}\n"));
    }
}

fn put(to: &mut impl Write, text: &str) {
    if to
        .write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .is_err()
    {
        // Whoever read our output has seen enough, as `head` does.
        std::process::exit(0);
    }
}
