//! Tables and backtraces.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::{Style, text};

/// What stands between two columns.
const GAP: usize = 2;

/// No column is cut narrower than this.
const NARROWEST: usize = 6;

/// No cell is shown longer than this, in columns: each line would be as long.
const LONGEST: usize = 200;

/// Decimals of a column of fractions.
const DECIMALS: usize = 3;

/// Whether a value is a table's row.
pub(super) fn is_row(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| !fields.is_empty()) && !text::is_quantity(value)
}

struct Column {
    name: String,
    cells: Vec<String>,
    right: bool,
    width: usize,
    /// A cell of it was longer than [`LONGEST`].
    shortened: bool,
}

/// The rows with a column for each field, cut to the terminal; a few rows of many fields stand side by side.
pub(super) fn table(rows: &[Value], style: Style) -> String {
    let mut columns: Vec<Column> = names(rows)
        .into_iter()
        .map(|name| column(name, rows))
        .collect();
    let mut hidden = Vec::new();
    let shortened = columns.iter().any(|column| column.shortened);
    if let Some(width) = style.width {
        if headings(&columns) > width
            && let Some(mut turned) = turned(&columns, width, style)
        {
            if shortened {
                turned = format!("{turned}\n{}", whole(style));
            }
            return turned;
        }
        hidden = fit(&mut columns, width);
    }
    let mut lines = Vec::with_capacity(rows.len() + 3);
    let heading = line(&columns, |column| &column.name);
    let rule: Vec<String> = columns
        .iter()
        .map(|column| "─".repeat(column.width))
        .collect();
    lines.push(style.bold(&heading));
    lines.push(style.dim(&rule.join(&" ".repeat(GAP))));
    lines.extend((0..rows.len()).map(|row| line(&columns, |column| &column.cells[row])));
    if !hidden.is_empty() {
        let more = format!("… {} more columns: {}", hidden.len(), hidden.join(", "));
        lines.push(style.dim(&text::cut(&more, style.width)));
    }
    if shortened {
        lines.push(whole(style));
    }
    lines.join("\n")
}

/// Where the rest of a cell is that was shortened.
fn whole(style: Style) -> String {
    style.dim(&text::cut("… json(_) has what is cut", style.width))
}

/// The fields that occur, each where it occurs first.
fn names(rows: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for fields in rows.iter().filter_map(Value::as_object) {
        // Nearly always all rows have the same fields in the same order.
        if fields.len() == names.len() && fields.keys().zip(&names).all(|(key, name)| key == name) {
            continue;
        }
        for key in fields.keys() {
            if !names.contains(&key.as_str()) {
                names.push(key);
            }
        }
    }
    names
}

fn column(name: &str, rows: &[Value]) -> Column {
    let values: Vec<Option<&Value>> = rows
        .iter()
        .map(|row| row.get(name).filter(|cell| !cell.is_null()))
        .collect();
    let numeric = |value: &Value| value.is_number() || text::is_quantity(value);
    let right =
        values.iter().flatten().all(|value| numeric(value)) && values.iter().any(Option::is_some);
    let decimals = values
        .iter()
        .flatten()
        .map(|value| decimals(value))
        .max()
        .unwrap_or(0);
    let cell = |value: &Option<&Value>| match value {
        None => "-".to_owned(),
        Some(Value::Number(number)) if number.is_f64() || decimals > 0 => number
            .as_f64()
            .map_or_else(|| number.to_string(), |float| fraction(float, decimals)),
        Some(value) => text::inline(value),
    };
    let mut cells: Vec<String> = values.iter().map(cell).collect();
    let mut shortened = false;
    for cell in &mut cells {
        if let Some(short) = text::shortened(cell, LONGEST) {
            *cell = short;
            shortened = true;
        }
    }
    let name = text::printable(name);
    let name = text::shortened(&name, LONGEST).unwrap_or(name);
    let width = cells
        .iter()
        .map(|cell| cell.width())
        .chain([name.width()])
        .max()
        .unwrap_or(0);
    Column {
        name,
        cells,
        right,
        width,
        shortened,
    }
}

/// How many decimals a number needs, up to [`DECIMALS`]; none if it is shown with an exponent.
fn decimals(value: &Value) -> usize {
    match value.as_number() {
        Some(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(0.0);
            let digits = format!("{float:.DECIMALS$}");
            if needs_exponent(float) {
                0
            } else {
                digits
                    .trim_end_matches('0')
                    .rsplit('.')
                    .next()
                    .map_or(0, str::len)
            }
        }
        _ => 0,
    }
}

fn fraction(float: f64, decimals: usize) -> String {
    if needs_exponent(float) {
        format!("{float:.2e}")
    } else {
        format!("{float:.decimals$}")
    }
}

fn needs_exponent(float: f64) -> bool {
    let size = float.abs();
    size >= 1e15 || (size > 0.0 && size < 0.001)
}

/// The width of the headings alone.
fn headings(columns: &[Column]) -> usize {
    columns
        .iter()
        .map(|column| column.name.width() + GAP)
        .sum::<usize>()
        .saturating_sub(GAP)
}

/// A line for each field and a column for each row; `None` if that is too wide as well.
fn turned(columns: &[Column], width: usize, style: Style) -> Option<String> {
    let names = columns.iter().map(|column| column.name.width()).max()?;
    let mut total = names;
    let mut widths = Vec::new();
    for row in 0..columns[0].cells.len() {
        let cells = columns.iter().map(|column| column.cells[row].width());
        let widest = cells.max()?;
        total += GAP + widest;
        if total > width {
            return None;
        }
        widths.push(widest);
    }
    let lines = columns.iter().map(|column| {
        let mut line = style.bold(&column.name);
        line.push_str(&" ".repeat(names - column.name.width()));
        for (cell, width) in column.cells.iter().zip(&widths) {
            line.push_str(&" ".repeat(GAP + width - cell.width()));
            line.push_str(cell);
        }
        line
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Narrows the widest columns until the table fits; gives back the names of those that had to be left out.
fn fit(columns: &mut Vec<Column>, width: usize) -> Vec<String> {
    let mut hidden = Vec::new();
    let total = |columns: &[Column]| {
        columns
            .iter()
            .map(|column| column.width + GAP)
            .sum::<usize>()
            .saturating_sub(GAP)
    };
    let least = |columns: &[Column]| {
        columns
            .iter()
            .map(|column| column.width.min(NARROWEST) + GAP)
            .sum::<usize>()
            .saturating_sub(GAP)
    };
    while columns.len() > 1 && least(columns) > width {
        hidden.extend(columns.pop().map(|column| column.name));
    }
    hidden.reverse();
    while total(columns) > width {
        // Text gives way before numbers do: a number without its last digits is another number.
        let widest = columns
            .iter_mut()
            .filter(|column| column.width > NARROWEST)
            .max_by_key(|c| (!c.right, c.width));
        let Some(widest) = widest else { break };
        widest.width -= 1;
    }
    hidden
}

fn line<'a>(columns: &'a [Column], cell: impl Fn(&'a Column) -> &'a String) -> String {
    let mut line = String::new();
    for (at, column) in columns.iter().enumerate() {
        let text = text::cut(cell(column), Some(column.width));
        let padding = " ".repeat(column.width.saturating_sub(text.width()));
        let last = at + 1 == columns.len();
        match (column.right, last) {
            (true, _) => line.extend([padding.as_str(), text.as_str()]),
            (false, true) => line.push_str(&text),
            (false, false) => line.extend([text.as_str(), padding.as_str()]),
        }
        if !last {
            line.push_str(&" ".repeat(GAP));
        }
    }
    line
}

const BACKTRACE: [&str; 4] = ["frame", "function", "file", "line"];

/// Whether the rows are frames of a stack.
pub(super) fn is_backtrace(rows: &[Value]) -> bool {
    let is_frame = |row: &Value| {
        row.as_object()
            .is_some_and(|fields| fields.len() == BACKTRACE.len() && fields.keys().eq(BACKTRACE))
    };
    !rows.is_empty() && rows.iter().all(is_frame)
}

/// A frame a line if the terminal is wide enough, else the place of each in a line of its own.
pub(super) fn backtrace(rows: &[Value], style: Style) -> String {
    let frames: Vec<[String; 3]> = rows
        .iter()
        .map(|row| {
            let place = match (row["file"].as_str(), row["line"].as_u64()) {
                (Some(file), Some(line)) => format!("{}:{line}", text::printable(file)),
                (Some(file), None) => text::printable(file),
                _ => String::new(),
            };
            [
                text::inline(&row["frame"]),
                text::inline(&row["function"]),
                place,
            ]
        })
        .collect();
    let widest = |at: usize| {
        frames
            .iter()
            .map(|frame| frame[at].width())
            .max()
            .unwrap_or(0)
    };
    let (number, function, place) = (widest(0), widest(1), widest(2));
    let one_line = style
        .width
        .is_none_or(|width| number + function + place + 2 * GAP <= width);
    let lines = frames.iter().map(|[n, name, place]| {
        let indent = " ".repeat(number - n.width());
        // The framework's own frames are not what one looks for.
        let painted = if name.contains("grapeshot::") {
            style.dim(name)
        } else {
            style.bold(name)
        };
        if place.is_empty() {
            format!("{indent}{n}  {painted}")
        } else if one_line {
            let padding = " ".repeat(function - name.width());
            format!("{indent}{n}  {painted}{padding}  {}", style.dim(place))
        } else {
            let under = " ".repeat(number + GAP);
            format!("{indent}{n}  {painted}\n{under}at {}", style.dim(place))
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
