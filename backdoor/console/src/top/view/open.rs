//! One coroutine: what is known of it, and where it is.

use grapeshot_backdoor::render;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Padding, Paragraph};

use super::super::app::{App, Open};
use super::super::glance::{Frame as Call, Info};
use super::theme::Theme;

/// Lines of facts, with the frame around them.
const FACTS: u16 = 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, theme: Theme) {
    let Some(open) = &mut app.open else { return };
    let [facts, backtrace] =
        Layout::vertical([Constraint::Length(FACTS), Constraint::Fill(1)]).areas(area);
    let name = render::printable(&open.name);
    let mut title = Line::from(vec![
        Span::styled(format!(" {name} "), theme.bold()),
        Span::styled(format!("#{} ", open.id), theme.dim()),
    ]);
    if open.ended {
        title.push_span(Span::styled(
            "has ended: this was the last ",
            theme.warning(),
        ));
    } else if open.info.as_ref().is_some_and(|info| info.interrupted) {
        title.push_span(Span::styled("was asked to end ", theme.warning()));
    }
    let block = block(title, theme);
    let inside = block.inner(facts);
    frame.render_widget(block, facts);
    match &open.info {
        Some(info) => facts_of(frame, inside, open, info, theme),
        None => frame.render_widget(
            Line::styled(
                if open.ended {
                    "it ended before it could be looked at"
                } else {
                    "waiting for the answer …"
                },
                theme.dim(),
            ),
            inside,
        ),
    }
    draw_backtrace(frame, backtrace, open, theme);
}

fn block(title: Line<'static>, theme: Theme) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .padding(Padding::horizontal(1))
        .title(title)
}

fn facts_of(frame: &mut Frame<'_>, area: Rect, open: &Open, info: &Info, theme: Theme) {
    let since = info.since.map(render::duration).unwrap_or_default();
    let doing = match &info.waits_for {
        Some(wait) => format!("waits for {wait}, for {since}"),
        None if since.is_empty() => info.state.clone(),
        None => format!("{}, for {since}", info.state),
    };
    let worker = match &info.worker {
        serde_json::Value::Null => "none yet".to_owned(),
        serde_json::Value::String(thread) => render::printable(thread),
        number => number.to_string(),
    };
    let stack = match info.stack_used {
        Some(used) => format!(
            "{} of {}",
            render::bytes(used),
            render::bytes(info.stack_size)
        ),
        None => render::bytes(info.stack_size),
    };
    let parent = info
        .parent
        .map_or_else(|| "none".to_owned(), |id| format!("#{id}"));
    let spark = usize::from(area.width / 2).saturating_sub(24).min(40);
    let left = [
        ("does", doing),
        (
            "cpu",
            format!(
                "{:<9} {}",
                render::duration(info.cpu),
                open.load.spark(spark, open.load.peak(spark).max(0.01))
            ),
        ),
        ("switches", render::grouped(info.switches)),
        ("parent", parent),
    ];
    let right = [
        ("worker", worker),
        ("age", render::duration(info.age)),
        ("stack", stack),
    ];
    let lines = |facts: &[(&'static str, String)]| {
        let line = |(name, fact): &(&'static str, String)| {
            Line::from(vec![
                Span::styled(format!("{name:<9}"), theme.heading()),
                Span::raw(fact.clone()),
            ])
        };
        Paragraph::new(facts.iter().map(line).collect::<Vec<_>>())
    };
    let [one, two] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)])
        .spacing(1)
        .areas(area);
    frame.render_widget(lines(&left), one);
    frame.render_widget(lines(&right), two);
}

fn draw_backtrace(frame: &mut Frame<'_>, area: Rect, open: &mut Open, theme: Theme) {
    let mut title = String::from(" where it is, the innermost first ");
    let block_lines = usize::from(area.height.saturating_sub(2));
    open.scroll = open
        .scroll
        .min(open.frames.len().saturating_sub(block_lines));
    if open.frames.len() > block_lines {
        title = format!(
            " where it is, the innermost first: {} to {} of {} ",
            open.scroll + 1,
            open.frames.len().min(open.scroll + block_lines),
            open.frames.len()
        );
    }
    let block = block(Line::styled(title, theme.bold()), theme);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if let Some(why) = &open.no_frames {
        let why = Paragraph::new(render::printable(why))
            .style(theme.warning())
            .wrap(ratatui::widgets::Wrap { trim: true });
        return frame.render_widget(why, inside);
    }
    let shown = open.frames.iter().skip(open.scroll).take(block_lines);
    let lines: Vec<_> = shown
        .map(|call| call_line(call, inside.width, theme))
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}

/// The function at the left, its place at the right, as much of the function as there is room.
fn call_line(call: &Call, width: u16, theme: Theme) -> Line<'static> {
    let place = match (&call.file, call.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.clone(),
        _ => String::new(),
    };
    let place = render::printable(&place);
    let width = usize::from(width);
    let place = if place.chars().count() > width / 2 {
        let skip = place.chars().count() - width / 2 + 1;
        format!("…{}", place.chars().skip(skip).collect::<String>())
    } else {
        place
    };
    let room = width.saturating_sub(place.chars().count() + 5);
    let function = render::cut(&render::printable(&call.function), Some(room));
    let gap = room.saturating_sub(unicode_width::UnicodeWidthStr::width(function.as_str())) + 1;
    Line::from(vec![
        Span::styled(format!("{:>3} ", call.frame), theme.dim()),
        Span::raw(function),
        Span::raw(" ".repeat(gap)),
        Span::styled(place, theme.dim()),
    ])
}
