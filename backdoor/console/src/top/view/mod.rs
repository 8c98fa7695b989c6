//! Draws the live view.
//!
//! ```text
//!   title      who, for how long, how many; what looking costs
//!   workers    a line each: bar, sparkline, what waits to run there
//!   tabs       coroutines or groups, their order and filter
//!   rows       the table, or one coroutine with its backtrace
//!   last line  keys, or what happened
//! ```

mod dialogs;
mod head;
mod open;
mod rows;
mod theme;

#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::{App, Link};
use theme::Theme;

pub(super) use rows::interval;

/// Below this nothing can be told from anything.
const LEAST: (u16, u16) = (40, 8);

pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let theme = Theme { color: app.color };
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!(
            "The terminal is too small: {}×{}, at least {}×{} are needed.",
            area.width, area.height, LEAST.0, LEAST.1
        );
        let text = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true });
        return frame.render_widget(text, area);
    }
    let roomy = u16::from(area.height >= 30);
    let workers = head::worker_lines(app, area);
    let [title, _, workers, _, tabs, body, last] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(roomy),
        Constraint::Length(workers),
        Constraint::Length(roomy),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    head::title(frame, title, app, theme);
    head::workers(frame, workers, app, theme);
    if app.open.is_some() {
        let whole = tabs.union(body);
        open::draw(frame, whole, app, theme);
    } else {
        rows::tabs(frame, tabs, app, theme);
        rows::table(frame, body, app, theme);
    }
    last_line(frame, last, app, theme);
    dialogs::draw(frame, area, app, theme);
}

/// The keys, or what is more important now.
fn last_line(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let line = if let Link::Lost { why, since } = &app.link {
        let seconds = app.now.saturating_duration_since(*since).as_secs();
        Line::from(format!(
            " lost for {seconds} s, trying again: {}",
            why.replace('\n', "; ")
        ))
        .style(theme.bad())
    } else if let Some(typed) = &app.typed {
        Line::from(vec![
            Span::styled(" filter: ", theme.key()),
            Span::raw(typed.clone()),
            Span::styled("█", theme.dim()),
            Span::styled("   Enter keeps it, Esc drops it", theme.dim()),
        ])
    } else if let Some(note) = &app.note {
        let style = if note.bad { theme.bad() } else { theme.good() };
        Line::from(format!(
            " {}",
            grapeshot_backdoor::render::printable(&note.text)
        ))
        .style(style)
    } else if let Some(waited) = app.unanswered_for() {
        let text = format!(
            " no answer for {} s: is the process stopped, or the machine without a processor for it?",
            waited.as_secs()
        );
        Line::from(text).style(theme.warning())
    } else {
        hints(app, area.width, theme)
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn hints(app: &App, width: u16, theme: Theme) -> Line<'static> {
    const ROWS: &[(&str, &str)] = &[
        ("Enter", "open"),
        ("k", "kill"),
        ("s", "sort"),
        ("/", "filter"),
        ("Tab", "groups"),
        ("p", "pause"),
        ("?", "help"),
        ("q", "leave"),
    ];
    const OPEN: &[(&str, &str)] = &[
        ("Esc", "back"),
        ("k", "kill"),
        ("↑↓", "scroll"),
        ("p", "pause"),
        ("?", "help"),
        ("q", "leave"),
    ];
    const LAST: usize = " ? help  q leave ".len();
    let keys = if app.open.is_some() { OPEN } else { ROWS };
    let mut line = Line::default();
    for (key, what) in keys {
        // Who knows nothing yet needs the help, and the way out: they are kept room for.
        let kept = if matches!(*key, "?" | "q") { 0 } else { LAST };
        let needed = line.width() + key.chars().count() + what.len() + 3;
        if needed + kept > usize::from(width) {
            continue;
        }
        line.push_span(Span::styled(format!(" {key}"), theme.key()));
        line.push_span(Span::styled(format!(" {what} "), theme.dim()));
    }
    line
}
