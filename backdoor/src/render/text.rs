//! Pieces of text: cells, widths, durations, amounts of memory.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::value::{BYTES_KEY, DURATION_KEY};

/// The seconds of a value that is marked as a duration.
fn as_duration(value: &Value) -> Option<f64> {
    marked(value, DURATION_KEY)?.as_f64()
}

/// The number of a value that is marked as an amount of memory.
fn as_bytes(value: &Value) -> Option<u64> {
    marked(value, BYTES_KEY)?.as_u64()
}

/// A number with a unit.
pub(super) fn is_quantity(value: &Value) -> bool {
    as_duration(value).is_some() || as_bytes(value).is_some()
}

fn marked<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    (fields.len() == 1).then(|| fields.get(key)).flatten()
}

/// A value in one line.
pub(super) fn inline(value: &Value) -> String {
    if let Some(seconds) = as_duration(value) {
        return duration(seconds);
    }
    if let Some(number) = as_bytes(value) {
        return bytes(number);
    }
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(inline).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| {
                format!("{}: {}", printable(name), inline(field))
            };
            format!(
                "{{{}}}",
                fields.iter().map(field).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}

/// A duration as a person says it, with two or three digits that matter.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return format!("{seconds} s");
    }
    if seconds < 0.0 {
        return format!("-{}", duration(-seconds));
    }
    let nanos = seconds * 1e9;
    if nanos == 0.0 {
        "0 s".to_owned()
    } else if nanos < 999.5 {
        format!("{nanos:.0} ns")
    } else if nanos < 999_500.0 {
        short(nanos / 1e3, "µs")
    } else if nanos < 999_500_000.0 {
        short(nanos / 1e6, "ms")
    } else if seconds < 59.95 {
        short(seconds, "s")
    } else {
        long(seconds.round() as u64)
    }
}

/// 9.994 → 9.99, 12.34 → 12.3, 123.4 → 123
fn short(value: f64, unit: &str) -> String {
    let decimals = if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    };
    format!("{value:.decimals$} {unit}")
}

/// An amount of memory as a person says it: whole where it is whole, else with two or three digits that matter.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut size = 1024_u64;
    let mut unit = 0;
    // 1023.6 KiB would be shown as 1024.
    while unit + 1 < UNITS.len() && number as f64 / size as f64 >= 1023.5 {
        size *= 1024;
        unit += 1;
    }
    if number.is_multiple_of(size) {
        return format!("{} {}", number / size, UNITS[unit]);
    }
    short(number as f64 / size as f64, UNITS[unit])
}

fn long(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if hours == 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else if days == 0 {
        format!("{hours} h {} min", minutes % 60)
    } else {
        format!("{days} d {} h", hours % 24)
    }
}

/// A count with its digits in groups.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Text in one line, in which control characters are written out instead of obeyed.
pub fn printable(text: &str) -> String {
    clean(text, false)
}

/// The same, but line feeds and tabulators stay.
pub(super) fn printable_lines(text: &str) -> String {
    clean(text, true)
}

fn clean(text: &str, lines: bool) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' if lines => shown.push(character),
            character if is_unsafe(character) => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

/// Control characters, those that turn the direction of the text around them or end a line of it, and those that nobody sees,
/// but for the joiners that scripts and emoji need.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts text to a width, with an ellipsis in place of what is missing.
pub fn cut(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| text.width() > *width) else {
        return text.to_owned();
    };
    let (mut shown, mut used) = (String::new(), 0);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        shown.push(character);
    }
    if width > 0 {
        shown.push('…');
    }
    shown
}

/// The beginning of a text that is wider than this, with how many characters are missing; `None` for one that fits.
pub(super) fn shortened(text: &str, width: usize) -> Option<String> {
    // Mostly it is short, and each character takes a byte at least.
    if text.len() <= width || text.width() <= width {
        return None;
    }
    let all = text.chars().count();
    let missing = |count: usize| format!("… {} characters more", grouped(count as u64));
    let room = width.saturating_sub(missing(all).width());
    let mut kept = cut(text, Some(room + 1));
    kept.pop();
    let rest = missing(all - kept.chars().count());
    kept.push_str(&rest);
    Some(kept)
}

/// Text whose lines are broken between words where they are longer than the width. What goes on stands as far to the right as
/// its line began, and `before` columns further: those that something else takes in front of the text. Words that are longer
/// than a line, and JSON, are left to the terminal.
pub(super) fn wrapped(text: &str, width: Option<usize>, before: usize) -> String {
    let Some(width) = width.filter(|width| *width > 2 * before) else {
        return text.to_owned();
    };
    let lines = text.split('\n').map(|line| {
        let content = line.trim_start_matches(' ');
        let indent = before + line.len() - content.len();
        if before + line.width() <= width
            || 2 * indent > width
            || content.starts_with(['{', '[', '"'])
        {
            return line.to_owned();
        }
        let mut shown = line[..line.len() - content.len()].to_owned();
        let mut used = indent;
        for word in content.split_inclusive(' ') {
            if used > indent && used + word.trim_end().width() > width {
                shown.truncate(shown.trim_end().len());
                shown.push('\n');
                shown.push_str(&" ".repeat(indent));
                used = indent;
            }
            shown.push_str(word);
            used += word.width();
        }
        shown
    });
    lines.collect::<Vec<_>>().join("\n")
}
