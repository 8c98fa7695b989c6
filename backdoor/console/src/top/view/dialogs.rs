//! The help, and the question before something is ended.

use grapeshot_backdoor::render;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Paragraph};

use super::super::app::{App, Dialog};
use super::super::keys;
use super::theme::Theme;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let Some(dialog) = &app.dialog else { return };
    let (title, lines, style) = match dialog {
        Dialog::Help => {
            let line = |(key, what): &(&'static str, &'static str)| {
                let pad = " ".repeat(15_usize.saturating_sub(key.chars().count()));
                Line::from(vec![
                    Span::styled(*key, theme.key()),
                    Span::raw(format!("{pad}{what}")),
                ])
            };
            let lines: Vec<_> = keys::HELP.iter().map(line).collect();
            (" Keys ".to_owned(), lines, theme.dim())
        }
        Dialog::Kill { id, name } => {
            let name = render::cut(&render::printable(name), Some(40));
            let lines = vec![
                Line::from(format!("Ask {name} (#{id}) to end?")),
                Line::default(),
                Line::styled(
                    "It ends at its next blocking call; its destructors run.",
                    theme.dim(),
                ),
                Line::default(),
                Line::from(vec![
                    Span::styled("y", theme.key()),
                    Span::raw(" yes    "),
                    Span::styled("n", theme.key()),
                    Span::raw(" no"),
                ]),
            ];
            (" Kill ".to_owned(), lines, theme.bad())
        }
    };
    let width = lines.iter().map(Line::width).max().unwrap_or(0) + 4;
    let place = centered(area, width, lines.len() + 2);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(style)
        .padding(Padding::horizontal(1))
        .title(Line::styled(title, theme.bold()));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

fn centered(area: Rect, width: usize, height: usize) -> Rect {
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(height).unwrap_or(u16::MAX).min(area.height);
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}
