//! How results look: tables that line up and fit the terminal, backtraces, errors with their place.
//!
//! Performs no I/O: values in, text out. Works on what the protocol carries, so any front end can use it.
//!
//! * an array of maps is a table, with a column for each field that occurs; a cell of more than 200 columns is cut, with how
//!   much is missing,
//! * a table with exactly the columns `frame`, `function`, `file` and `line` is a backtrace,
//! * any other array is shown in one line if it fits a terminal's width, else one element a line,
//! * a map is a list of its fields,
//! * text is shown as it is, but for control characters: what a player chose as a name moves nobody's cursor.

mod table;
mod text;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

pub use text::{bytes, cut, duration, grouped, printable};

use crate::value::{BYTES_KEY, DURATION_KEY};

/// For whom to render.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// The terminal's width in columns; without it nothing is cut.
    pub width: Option<usize>,
    /// Whether the terminal takes colours.
    pub color: bool,
}

impl Style {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Less important text.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Headings.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn red(&self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

/// A single value, without a line feed at its end; empty for null.
pub fn value(value: &Value, style: Style) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(items) => rows(items, items.len() as u64, style),
        Value::Object(fields) if !text::is_quantity(value) => {
            if fields.is_empty() {
                return "{}".to_owned();
            }
            let widest = fields
                .keys()
                .map(|name| printable(name).width())
                .max()
                .unwrap_or(0);
            let room = style.width.map(|width| width.saturating_sub(widest + 2));
            let line = |(name, field): (&String, &Value)| {
                let name = printable(name);
                let padding = " ".repeat(widest - name.width() + 2);
                format!(
                    "{}{padding}{}",
                    style.bold(&name),
                    text::cut(&text::inline(field), room)
                )
            };
            fields.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::String(text) => text::wrapped(&text::printable_lines(text), style.width, 0),
        other => text::inline(other),
    }
}

/// The rows of an array result, of which there were `total`. No line feed at the end.
pub fn rows(rows: &[Value], total: u64, style: Style) -> String {
    let mut shown = if rows.is_empty() && total == 0 {
        "[]".to_owned()
    } else if table::is_backtrace(rows) {
        table::backtrace(rows, style)
    } else if rows.iter().all(table::is_row) {
        table::table(rows, style)
    } else {
        list(rows, style)
    };
    let more = total.saturating_sub(rows.len() as u64);
    if more > 0 {
        let plural = if more == 1 { "" } else { "s" };
        shown.push('\n');
        shown.push_str(&style.dim(&format!("… {} more row{plural}", text::grouped(more))));
    }
    shown
}

fn list(items: &[Value], style: Style) -> String {
    let items: Vec<String> = items.iter().map(text::inline).collect();
    if let Some(width) = style.width {
        let line = format!("[{}]", items.join(", "));
        if line.width() <= width {
            return line;
        }
    }
    items
        .iter()
        .map(|item| text::cut(item, style.width))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What went wrong, and where in `source` (a statement as it was typed).
pub fn error(
    message: &str,
    place: Option<(u64, Option<u64>)>,
    hint: Option<&str>,
    source: &str,
    style: Style,
) -> String {
    let mut shown = String::new();
    let lines: Vec<&str> = source.split('\n').collect();
    if let Some((line, Some(column))) = place
        && let Some(text) = usize::try_from(line).ok().and_then(|line| lines.get(line.checked_sub(1)?))
        // The start of the only line is no news.
        && (line, column) != (1, 1)
        // The caret lines up only if the line does not wrap.
        && style.width.is_none_or(|width| text.width() + 2 < width)
    {
        let before: String = text
            .chars()
            .take(usize::try_from(column).unwrap_or(1).saturating_sub(1))
            .collect();
        let indent = " ".repeat(printable(&before).width());
        shown = format!(
            "  {}\n  {indent}{}\n",
            style.dim(&printable(text)),
            style.red("^")
        );
    }
    // As wide as `error: `, under which the hint stands.
    const BEFORE: usize = 7;
    let wrapped = |said: &str| text::wrapped(&text::printable_lines(said), style.width, BEFORE);
    shown.push_str(&style.red("error: "));
    shown.push_str(&wrapped(message));
    if let Some((line, _)) = place
        && lines.len() > 1
    {
        shown.push_str(&style.dim(&format!(" (line {line})")));
    }
    if let Some(hint) = hint {
        shown.push_str(&format!("\n{}{}", " ".repeat(BEFORE), wrapped(hint)));
    }
    shown
}

/// The value with its durations as plain numbers of seconds and its amounts of memory as bytes, as `--json` prints it.
pub fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(mut fields) => {
            for key in [DURATION_KEY, BYTES_KEY] {
                if fields.len() == 1
                    && let Some(number) = fields.get_mut(key)
                {
                    return number.take();
                }
            }
            Value::Object(
                fields
                    .into_iter()
                    .map(|(name, field)| (name, plain(field)))
                    .collect(),
            )
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
