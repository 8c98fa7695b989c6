//! The title and the workers.

use grapeshot_backdoor::render;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::app::{App, Link};
use super::super::glance::Worker;
use super::rows::{interval, percent, rate};
use super::theme::Theme;

/// A column of workers is at least so wide.
const COLUMN: u16 = 76;

/// Columns of workers are so far apart.
const BETWEEN: u16 = 2;

pub(super) fn title(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let mut facts = vec![format!(" {}", render::printable(&app.application))];
    facts.push(format!("process {}", app.pid));
    if let Some(glance) = &app.glance {
        let stats = &glance.stats;
        facts.push(format!("up {}", whole(stats.uptime)));
        facts.push(format!("{} coroutines", render::grouped(glance.total)));
        if let Some(resident) = stats.resident_bytes {
            facts.push(render::bytes(resident));
        }
        if stats.panicked > 0 {
            facts.push(format!("{} panicked", render::grouped(stats.panicked)));
        }
        facts.push(format!(
            "{} spawned, {} ended",
            render::grouped(stats.spawned),
            render::grouped(stats.ended)
        ));
        facts.push(app.place.clone());
    } else {
        facts.push(app.place.clone());
    }
    let every = interval(app.every);
    let mut right = match (&app.link, app.paused) {
        (Link::Lost { .. }, _) => "✗ lost ".to_owned(),
        (Link::Up, true) => "‖ paused ".to_owned(),
        (Link::Up, false) => format!("● every {every} "),
    };
    // What looking costs the server; so also of the consoles of others.
    if let Some(cost) = app.glance.as_ref().and_then(|glance| glance.backdoor) {
        right = format!("backdoor {} · {right}", percent(Some(cost)));
    }
    let room = usize::from(area.width).saturating_sub(right.chars().count() + 1);
    let mut left = String::new();
    for fact in facts {
        let separated = if left.is_empty() {
            fact
        } else {
            format!(" · {fact}")
        };
        if left.chars().count() + separated.chars().count() > room {
            break;
        }
        left += &separated;
    }
    let gap = " ".repeat(
        usize::from(area.width).saturating_sub(left.chars().count() + right.chars().count()),
    );
    let alarm = match (&app.link, app.paused) {
        (Link::Lost { .. }, _) => theme.bad(),
        (Link::Up, true) => theme.warning(),
        (Link::Up, false) => theme.title(),
    };
    let line = Line::from(vec![
        Span::styled(left, theme.title().patch(theme.bold())),
        Span::styled(gap, theme.title()),
        Span::styled(right, theme.title().patch(alarm)),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

/// Whole seconds, as a person says them.
fn whole(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.0} s");
    }
    render::duration(seconds)
}

/// How many columns of workers there are, and lines of each.
fn grid(app: &App, area: Rect) -> (u16, u16) {
    let workers = app.glance.as_ref().map_or(1, |glance| glance.workers.len());
    let columns = ((area.width + BETWEEN) / (COLUMN + BETWEEN)).clamp(1, 4);
    let most = (area.height / 5).max(2);
    let lines = workers.div_ceil(usize::from(columns));
    (columns, u16::try_from(lines).unwrap_or(most).clamp(1, most))
}

pub(super) fn worker_lines(app: &App, area: Rect) -> u16 {
    // The height of the whole screen decides: see `workers`.
    grid(app, area).1
}

pub(super) fn workers(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let Some(glance) = &app.glance else {
        return frame.render_widget(
            Line::styled(" waiting for the first answer …", theme.dim()),
            area,
        );
    };
    let (columns, _) = grid(app, frame.area());
    let places = usize::from(columns) * usize::from(area.height);
    let mut shown: Vec<&Worker> = glance.workers.iter().collect();
    let left_out = shown.len().saturating_sub(places);
    if left_out > 0 {
        // The last place is for a line about the others.
        shown.sort_by(|a, b| b.load.unwrap_or(0.0).total_cmp(&a.load.unwrap_or(0.0)));
    }
    let rest = if left_out > 0 {
        shown.split_off(places - 1)
    } else {
        Vec::new()
    };
    let mut lines: Vec<_> = vec![Vec::new(); usize::from(columns)];
    let widths = Layout::horizontal(vec![Constraint::Fill(1); usize::from(columns)])
        .spacing(BETWEEN)
        .split(area);
    let height = usize::from(area.height).max(1);
    for (at, worker) in shown.iter().enumerate() {
        let column = at / height;
        lines[column].push(worker_line(worker, app, widths[column].width, theme));
    }
    if let Some(last) = lines.last_mut().filter(|_| left_out > 0) {
        let loads: f64 = rest.iter().filter_map(|worker| worker.load).sum();
        let text = format!(
            "    and {} more, {} of each on average",
            rest.len(),
            percent(Some(loads / rest.len().max(1) as f64))
        );
        last.push(Line::styled(text, theme.dim()));
    }
    for (lines, area) in lines.into_iter().zip(widths.iter()) {
        frame.render_widget(Paragraph::new(lines), *area);
    }
}

fn worker_line(worker: &Worker, app: &App, width: u16, theme: Theme) -> Line<'static> {
    let load = worker.load.unwrap_or(0.0);
    // Number, bar, percent, sparkline, figures: all but bar and sparkline take 48 columns.
    let free = usize::from(width).saturating_sub(48);
    let (bar, spark) = (free / 2, free - free / 2);
    let full = (load * bar as f64 * 2.0).round() as usize;
    let (whole, half) = (full / 2, full % 2);
    let history = app.workers.of(&worker.worker);
    let history = history.map_or_else(String::new, |series| series.spark(spark, 1.0));
    let figures = format!(
        "{:>18} ready {:>9}/s ",
        format!(
            "{} of {}",
            render::grouped(worker.ready),
            render::grouped(worker.coroutines)
        ),
        rate(worker.rate),
    );
    let running = match (worker.running, worker.runs_for) {
        // A glance at a moment says nothing, but that one has run for long does.
        (Some(id), Some(seconds)) if seconds > 0.2 => {
            format!("#{id} runs for {}", render::duration(seconds))
        }
        _ => String::new(),
    };
    let mut line = Line::from(vec![
        Span::styled(format!("{:>3} ", worker.worker), theme.heading()),
        Span::styled(
            "━".repeat(whole) + if half == 1 { "╸" } else { "" },
            theme.load(load),
        ),
        Span::styled("─".repeat(bar.saturating_sub(whole + half)), theme.dim()),
        Span::styled(format!(" {:>6} ", percent(worker.load)), theme.load(load)),
        Span::styled(history, theme.load(load)),
    ]);
    if running.is_empty() {
        line.push_span(Span::raw(figures));
    } else {
        line.push_span(Span::styled(format!(" {running}"), theme.bad()));
    }
    line
}
