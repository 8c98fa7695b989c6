//! The table of coroutines or groups.

use std::time::Duration;

use grapeshot_backdoor::render;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::super::app::{App, By, Tab};
use super::super::glance::Row;
use super::theme::Theme;

/// The sparkline's column has so many columns of the terminal, if the terminal is at least so wide.
const SPARK: (u16, u16) = (24, 116);

/// A terminal that is narrower does without some columns.
const ROOMY: u16 = 72;

/// A share of a processor, as a person says it; a dash if it is not known.
pub(super) fn percent(load: Option<f64>) -> String {
    match load.map(|load| load * 100.0) {
        None => "–".to_owned(),
        Some(share) if share < 0.05 => "0 %".to_owned(),
        Some(share) if share < 99.95 => format!("{share:.1} %"),
        Some(share) => format!("{share:.0} %"),
    }
}

/// A duration that fits a narrow column: 1:40 min, 5:07 h, 3.2 d.
fn span(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => render::duration(seconds),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        3600..86400 => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
        _ => format!("{:.1} d", seconds / 86400.0),
    }
}

/// A pause between two looks, without digits that say nothing.
pub(in super::super) fn interval(pause: Duration) -> String {
    let shown = render::duration(pause.as_secs_f64());
    shown.replacen(".00 ", " ", 1).replacen(".0 ", " ", 1)
}

/// So many a second.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "–".to_owned(),
        Some(rate) if rate <= 0.0 => "0".to_owned(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        Some(rate) => render::grouped(rate.round() as u64),
    }
}

pub(super) fn tabs(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let tab = |tab: Tab, name: &'static str| {
        if app.tab == tab {
            Span::styled(format!(" {name} "), theme.selected())
        } else {
            Span::styled(format!(" {name} "), theme.dim())
        }
    };
    let way = if app.reverse { "▲" } else { "▼" };
    let mut line = Line::from(vec![
        tab(Tab::Coroutines, "Coroutines"),
        tab(Tab::Groups, "Groups"),
        Span::raw(format!("  by {} {way}", app.by().name())),
    ]);
    let filter = app.typed.as_ref().unwrap_or(&app.filter);
    if !filter.is_empty() {
        line.push_span(Span::styled(format!("  filter {filter}"), theme.warning()));
    }
    if let Some(glance) = &app.glance {
        let all = glance.groups.unwrap_or(glance.matching);
        let rows = app.rows().len() as u64;
        let mut facts = Vec::new();
        if glance.matching < glance.total {
            facts.push(format!(
                "{} of {} coroutines",
                render::grouped(glance.matching),
                render::grouped(glance.total)
            ));
        }
        if rows < all {
            facts.push(format!(
                "the first {} of {}",
                render::grouped(rows),
                render::grouped(all)
            ));
        }
        if !facts.is_empty() {
            line.push_span(Span::styled(format!("  {}", facts.join(", ")), theme.dim()));
        }
    }
    frame.render_widget(Paragraph::new(line), area);
}

/// A column: its heading, its width, how its text is aligned, and the order that belongs to it.
struct Column {
    heading: &'static str,
    width: Constraint,
    right: bool,
    by: Option<By>,
    cell: fn(&Row, &App, Theme) -> (String, Style),
}

const fn column(
    heading: &'static str,
    width: u16,
    by: Option<By>,
    cell: fn(&Row, &App, Theme) -> (String, Style),
) -> Column {
    Column {
        heading,
        width: Constraint::Length(width),
        right: true,
        by,
        cell,
    }
}

fn columns(tab: Tab, width: u16) -> Vec<Column> {
    let name = Column {
        width: Constraint::Fill(3),
        right: false,
        ..column("NAME", 0, Some(By::Name), |row, _, _| {
            (render::printable(&row.name), Style::new())
        })
    };
    let load = column("LOAD", 7, Some(By::Load), |row, _, theme| {
        (percent(row.load), theme.load(row.load.unwrap_or(0.0)))
    });
    let cpu = column("CPU", 9, Some(By::Cpu), |row, _, _| {
        (span(row.cpu), Style::new())
    });
    let per_second = column("TIMES/s", 8, Some(By::Rate), |row, _, _| {
        (rate(row.rate), Style::new())
    });
    let spark = column("THE LATEST", SPARK.0, None, |row, app, theme| {
        let series = match row.id {
            Some(id) => app.coroutines.of(&id),
            None => app.groups.of(&row.name),
        };
        let width = usize::from(SPARK.0);
        let text = series.map_or_else(String::new, |series| {
            // Of its own height: what is small elsewhere has a shape here.
            series.spark(width, series.peak(width).max(0.01))
        });
        (text, theme.load(row.load.unwrap_or(0.0)))
    });
    let switches = column("SWITCHES", 12, Some(By::Switches), |row, _, _| {
        (render::grouped(row.switches), Style::new())
    });
    let mut columns = Vec::new();
    match tab {
        Tab::Coroutines => {
            columns.push(column("ID", 7, Some(By::Id), |row, _, theme| {
                (
                    row.id.map_or_else(String::new, |id| id.to_string()),
                    theme.dim(),
                )
            }));
            columns.push(name);
            columns.push(Column {
                width: Constraint::Fill(2),
                right: false,
                ..column("DOES", 0, None, |row, _, theme| {
                    (row.doing.clone(), theme.doing(row.waits, &row.doing))
                })
            });
            columns.push(column("FOR", 9, Some(By::Since), |row, _, _| {
                (span(row.since), Style::new())
            }));
        }
        Tab::Groups => {
            columns.push(name);
            columns.push(column(
                "THERE ARE",
                10,
                Some(By::Coroutines),
                |row, _, _| (render::grouped(row.coroutines), Style::new()),
            ));
            columns.push(column("WAITING", 10, None, |row, _, _| {
                (render::grouped(row.waiting), Style::new())
            }));
            columns.push(column("FOR UP TO", 10, Some(By::Since), |row, _, _| {
                (span(row.since), Style::new())
            }));
        }
    }
    columns.push(load);
    // What has a name is known by it: the others leave it room.
    if width >= ROOMY {
        columns.push(cpu);
    }
    if width >= ROOMY || tab == Tab::Groups {
        columns.push(per_second);
    }
    if width >= 100 {
        columns.push(switches);
    }
    if tab == Tab::Coroutines && width >= 110 {
        columns.push(column("WORKER", 13, None, |row, _, theme| {
            let worker = row.worker.map(|worker| worker.to_string());
            let worker = row.thread.clone().or(worker);
            (worker.unwrap_or_default(), theme.dim())
        }));
    }
    if width >= SPARK.1 {
        columns.push(spark);
    }
    columns
}

pub(super) fn table(frame: &mut Frame<'_>, area: Rect, app: &mut App, theme: Theme) {
    app.set_fits(usize::from(area.height.saturating_sub(1)));
    let columns = columns(app.tab, area.width);
    let way = if app.reverse { "▲" } else { "▼" };
    let headings = columns.iter().map(|column| {
        let sorted = column.by == Some(app.by());
        let text = if sorted {
            format!("{}{way}", column.heading)
        } else {
            column.heading.to_owned()
        };
        aligned(
            text,
            if sorted {
                theme.warning()
            } else {
                theme.heading()
            },
            column.right,
        )
    });
    let lines = app.rows().iter().map(|row| {
        let cells = columns.iter().map(|column| {
            let (text, style) = (column.cell)(row, app, theme);
            aligned(text, style, column.right)
        });
        TableRow::new(cells.collect::<Vec<_>>())
    });
    // The first column of coroutines has room at its left anyway.
    let margin = u16::from(app.tab == Tab::Groups);
    let table = Table::new(lines.collect::<Vec<_>>(), columns.iter().map(|it| it.width))
        .header(TableRow::new(headings.collect::<Vec<_>>()))
        .column_spacing(1)
        .row_highlight_style(theme.selected());
    if app.rows().is_empty() && app.glance.is_some() {
        let text = if app.filter.is_empty() && app.typed.is_none() {
            ""
        } else {
            "\n  nothing has that in its name, its state or what it waits for"
        };
        frame.render_widget(Paragraph::new(text).style(theme.dim()), area);
        return;
    }
    let mut state = app.table;
    let inside = Rect {
        x: area.x + margin,
        width: area.width - margin,
        ..area
    };
    frame.render_stateful_widget(table, inside, &mut state);
    app.table = state;
}

fn aligned(text: String, style: Style, right: bool) -> Cell<'static> {
    let alignment = if right {
        Alignment::Right
    } else {
        Alignment::Left
    };
    Cell::new(Text::from(Line::styled(text, style).alignment(alignment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_fit_their_columns() {
        let spans = [
            0.0,
            0.0123,
            59.9,
            60.0,
            3599.9,
            3600.0,
            86_399.0,
            8_640_000.0,
        ];
        let shown = spans.map(span).join(", ");
        assert_eq!(
            shown,
            "0 s, 12.3 ms, 59.9 s, 1:00 min, 59:59 min, 1:00 h, 23:59 h, 100.0 d"
        );
        let loads = [
            None,
            Some(0.0),
            Some(0.0004),
            Some(0.123),
            Some(0.9996),
            Some(64.0),
        ];
        assert_eq!(
            loads.map(percent).join(", "),
            "–, 0 %, 0 %, 12.3 %, 100 %, 6400 %"
        );
        let rates = [None, Some(0.0), Some(0.26), Some(9.96), Some(1234.5)];
        assert_eq!(rates.map(rate).join(", "), "–, 0, 0.3, 10, 1,235");
        assert_eq!(interval(Duration::from_millis(500)), "500 ms");
        assert_eq!(interval(Duration::from_millis(1500)), "1.50 s");
        assert_eq!(interval(Duration::from_secs(10)), "10 s");
    }
}
