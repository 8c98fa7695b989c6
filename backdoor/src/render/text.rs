//! Pieces of text: cells, widths, durations.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::value::DURATION_KEY;

/// The seconds of a value that is marked as a duration.
pub(super) fn as_duration(value: &Value) -> Option<f64> {
    let fields = value.as_object()?;
    (fields.len() == 1)
        .then(|| fields.get(DURATION_KEY)?.as_f64())
        .flatten()
}

/// A value in one line.
pub(super) fn inline(value: &Value) -> String {
    if let Some(seconds) = as_duration(value) {
        return duration(seconds);
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
    let short = |value: f64, unit: &str| {
        // 9.994 → 9.99, 12.34 → 12.3, 123.4 → 123
        let decimals = if value < 9.995 {
            2
        } else {
            usize::from(value < 99.95)
        };
        format!("{value:.decimals$} {unit}")
    };
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
pub(super) fn grouped(number: u64) -> String {
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

/// Control characters, and those that turn the direction of the text around them.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts text to a width, with an ellipsis in place of what is missing.
pub(super) fn cut(text: &str, width: Option<usize>) -> String {
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
