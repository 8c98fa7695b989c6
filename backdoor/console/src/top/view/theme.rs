//! Colours: the terminal's own sixteen, so that they fit a light one and a dark one. Without colours, bold, dim and reversed
//! say the same; nothing is said by colour alone.

use ratatui::style::{Color, Modifier, Style};

#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    pub(super) color: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    /// The title's line.
    pub(super) fn title(self) -> Style {
        if self.color {
            Style::new().fg(Color::White).bg(Color::Blue)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// Headings of columns, names of fields.
    pub(super) fn heading(self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn key(self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn selected(self) -> Style {
        if self.color {
            Style::new()
                .fg(Color::Black)
                .bg(Color::Cyan)
                .remove_modifier(Modifier::DIM)
        } else {
            Style::new()
                .add_modifier(Modifier::REVERSED)
                .remove_modifier(Modifier::DIM)
        }
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green).add_modifier(Modifier::BOLD)
    }

    pub(super) fn warning(self) -> Style {
        self.colored(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        let style = self.colored(Color::Red).add_modifier(Modifier::BOLD);
        if self.color {
            style
        } else {
            style.add_modifier(Modifier::REVERSED)
        }
    }

    /// A share of a processor.
    pub(super) fn load(self, load: f64) -> Style {
        match load {
            load if load < 0.0005 => self.dim(),
            load if load < 0.5 => self.colored(Color::Green),
            load if load < 0.85 => self.colored(Color::Yellow),
            _ => self.colored(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// What a coroutine does.
    pub(super) fn doing(self, waits: bool, doing: &str) -> Style {
        match doing {
            _ if waits => Style::new(),
            "running" => self.colored(Color::Green).add_modifier(Modifier::BOLD),
            "ready" => self.colored(Color::Yellow),
            _ => self.dim(),
        }
    }
}
