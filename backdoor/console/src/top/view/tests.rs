//! What the screen shows, cell by cell, against the pictures in `pictures/`. `PICTURES=write` draws them anew: look at them
//! before they are committed.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use serde_json::{Value, json};

use super::super::app::{App, Dialog, Link, Tab, Wish};
use super::super::asker::{About, Answer};
use super::draw;
use crate::connection::Greeting;

struct Screen {
    app: App,
    terminal: Terminal<TestBackend>,
    now: Instant,
}

impl Screen {
    fn new(width: u16, height: u16) -> Self {
        Self::with(width, height, true)
    }

    fn with(width: u16, height: u16, color: bool) -> Self {
        let greeting = Greeting {
            application: "harbour".into(),
            pid: 4711,
            uptime: 1.0,
        };
        let place = "/run/harbour.sock".to_owned();
        let mut app = App::new(place, &greeting, Duration::from_secs(1), color);
        let now = app.now;
        app.set_now(now);
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        Self { app, terminal, now }
    }

    /// Draws, asks, and gives the answers; then a second passes.
    fn look(&mut self, answer: impl Fn(&About) -> Value) {
        self.draw();
        for question in self.app.questions() {
            let value = Ok(answer(&question.about));
            self.app.take(Answer::Value(question.about, value));
        }
        self.pass(Duration::from_secs(1));
        self.draw();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.app.set_now(self.now);
    }

    fn press(&mut self, code: KeyCode) {
        self.app.press(KeyEvent::new(code, KeyModifiers::NONE));
        self.draw();
    }

    fn type_text(&mut self, text: &str) {
        text.chars().for_each(|it| self.press(KeyCode::Char(it)));
    }

    fn draw(&mut self) {
        let app = &mut self.app;
        self.terminal.draw(|frame| draw(frame, app)).unwrap();
    }

    fn text(&self) -> String {
        let buffer = self.terminal.backend().buffer();
        let lines = buffer.content().chunks(usize::from(buffer.area.width));
        let line = |cells: &[ratatui::buffer::Cell]| {
            let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            format!("{}\n", line.trim_end())
        };
        lines.map(line).collect()
    }

    #[track_caller]
    fn is(&self, picture: &str) {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("src/top/view/pictures")
            .join(format!("{picture}.txt"));
        let text = self.text();
        if std::env::var_os("PICTURES").is_some_and(|it| it == "write") {
            fs::write(&file, &text).unwrap();
        }
        let drawn = fs::read_to_string(&file).unwrap();
        assert!(
            text == drawn,
            "{picture} is now:\n{text}\nand was:\n{drawn}"
        );
    }
}

#[test]
fn a_narrow_terminal_has_room_for_names_help_and_the_way_out() {
    let mut screen = Screen::new(60, 20);
    screen.look(answers);
    screen.is("narrow");
    screen.press(KeyCode::Char('?'));
    let text = screen.text();
    let inside: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once('│')?.1.rsplit_once('│')?.0))
        .collect();
    assert_eq!(inside.len(), super::super::keys::HELP.len(), "{text}");
    for line in inside {
        assert!(line.ends_with(' '), "{line} is cut in:\n{text}");
    }
}

const KINDS: [&str; 4] = [
    "sleep",
    "read fd 12",
    "mutex 0x7f10a4",
    "channel recv 0x7f22",
];

fn worker(number: u64, load: f64) -> Value {
    json!({
        "worker": number, "load": load, "rate": 12345.6 * load, "coroutines": 10_050 + number,
        "ready": number * 7, "timers": 1, "running": null, "runs_for": null
    })
}

fn glance(workers: u64) -> Value {
    let row = |n: u64| {
        let load = 0.9 / (n + 1) as f64;
        json!({
            "id": 100 + n, "name": format!("crane-{n}"), "waits": !n.is_multiple_of(5),
            "doing": if n.is_multiple_of(5) { "running" } else { KINDS[n as usize % 4] },
            "since": 0.017 * (n * n) as f64, "load": load, "cpu": 3.0 / (n + 1) as f64, "switches": 1000 * n,
            "rate": 25.0, "worker": n % workers, "thread": null
        })
    };
    let workers: Vec<Value> = (0..workers)
        .map(|n| worker(n, 0.93 / (1.0 + n as f64)))
        .collect();
    json!({
        "total": 20_103, "matching": 20_103, "groups": null, "since": 1.0, "backdoor": 0.004,
        "stats": {
            "uptime": 4000.0, "spawned": 30_500, "ended": 10_397, "panicked": 2, "resident_bytes": 224_395_264
        },
        "workers": workers,
        "rows": (0..60).map(row).collect::<Vec<_>>()
    })
}

fn answers(about: &About) -> Value {
    match about {
        About::Glance => glance(2),
        About::Info(id) => json!({
            "id": id, "name": "crane-1", "parent": 1, "worker": 1, "state": "waiting",
            "waits_for": "mutex 0x7f10a4", "since": 3.2, "age": 812.0, "cpu": 1.5, "switches": 123_456,
            "stack_size": 262_144, "stack_used": 12_288, "interrupted": false
        }),
        About::Backtrace(_) => (0..12)
            .map(|n| {
                json!({
                    "frame": n + 2, "function": format!("harbour::crane::lift_{n}"),
                    "file": "src/crane.rs", "line": 88 + n
                })
            })
            .collect(),
        About::Kill => json!("asked crane-1 (101) to end"),
    }
}

fn groups(_: &About) -> Value {
    let mut glance = glance(2);
    glance["groups"] = json!(3);
    let row = |name: &str, count: u64, load: f64| {
        json!({
            "name": name, "coroutines": count, "waiting": count - 3, "since": 61.0, "load": load,
            "cpu": 100.0 * load, "switches": count * 100, "rate": count
        })
    };
    glance["rows"] = json!([
        row("crane-*", 20_000, 1.3),
        row("ship *.*.*.*:*", 100, 0.07),
        row("pilot", 3, 0.0)
    ]);
    glance
}

#[test]
fn all_is_legible_on_a_small_terminal() {
    let mut screen = Screen::new(80, 24);
    screen.look(answers);
    screen.look(answers);
    screen.is("small");
}

#[test]
fn a_large_terminal_shows_more() {
    let mut screen = Screen::new(200, 60);
    for _ in 0..20 {
        screen.look(answers);
    }
    screen.is("large");
}

#[test]
fn groups_are_summed_up_and_lead_to_their_coroutines() {
    let mut screen = Screen::new(80, 24);
    screen.press(KeyCode::Tab);
    screen.look(groups);
    screen.is("groups");
    screen.press(KeyCode::Down);
    screen.press(KeyCode::Enter);
    assert_eq!(
        (screen.app.tab, screen.app.filter.as_str()),
        (Tab::Coroutines, "ship ")
    );
}

#[test]
fn an_open_coroutine_has_its_facts_and_its_backtrace() {
    let mut screen = Screen::new(80, 24);
    screen.look(answers);
    screen.press(KeyCode::Down);
    screen.press(KeyCode::Enter);
    screen.look(answers);
    screen.is("open");
    screen.terminal.backend_mut().resize(80, 16);
    screen.press(KeyCode::End);
    assert!(screen.text().contains("9 to 12 of 12"), "{}", screen.text());
    // It ends: what was known of it stays.
    for question in screen.app.questions() {
        let gone = match question.about {
            About::Glance => Ok(answers(&About::Glance)),
            _ => Err("no coroutine has the id 101".into()),
        };
        screen.app.take(Answer::Value(question.about, gone));
    }
    screen.draw();
    assert!(screen.text().contains("has ended") && screen.text().contains("lift_11"));
    screen.press(KeyCode::Esc);
    assert!(screen.app.open.is_none());
}

#[test]
fn nothing_is_ended_before_the_person_says_yes() {
    let mut screen = Screen::new(80, 24);
    screen.look(answers);
    let kills = |screen: &mut Screen| {
        let asked = screen.app.questions();
        let kill = asked.into_iter().find(|it| it.about == About::Kill);
        kill.map(|it| it.statement)
    };
    for refusal in [KeyCode::Char('n'), KeyCode::Esc, KeyCode::Enter] {
        screen.press(KeyCode::Char('k'));
        assert!(matches!(
            screen.app.dialog,
            Some(Dialog::Kill { id: 100, .. })
        ));
        screen.press(KeyCode::Char('x'));
        assert!(screen.app.dialog.is_some(), "x is no answer");
        screen.press(refusal);
        assert_eq!(kills(&mut screen), None, "{refusal:?}");
    }
    screen.press(KeyCode::Char('k'));
    screen.is("kill");
    screen.press(KeyCode::Char('y'));
    assert_eq!(kills(&mut screen).as_deref(), Some("kill(100)"));
    screen
        .app
        .take(Answer::Value(About::Kill, Ok(answers(&About::Kill))));
    screen.draw();
    assert!(screen.text().contains("asked crane-1 (101) to end"));
}

#[test]
fn a_lost_server_is_said_and_found_again() {
    let mut screen = Screen::new(80, 24);
    screen.look(answers);
    screen
        .app
        .take(Answer::Lost("the server has closed the connection".into()));
    screen.pass(Duration::from_secs(3));
    screen.draw();
    screen.is("lost");
    assert!(screen.app.questions().is_empty(), "there is nobody to ask");
    assert!(screen.app.next_refresh().is_none());
    let again = |pid| Answer::Connected {
        pid,
        application: "harbour".into(),
    };
    screen.app.take(again(4712));
    assert_eq!(screen.app.link, Link::Up);
    screen.look(answers);
    assert!(
        screen.text().contains("a new process: 4712"),
        "{}",
        screen.text()
    );
}

#[test]
fn a_server_that_does_not_answer_is_said_too() {
    let mut screen = Screen::new(80, 24);
    assert_eq!(screen.app.questions().len(), 1);
    screen.pass(Duration::from_secs(7));
    assert!(screen.app.questions().is_empty(), "one question at a time");
    screen.draw();
    assert!(
        screen.text().contains("no answer for 7 s"),
        "{}",
        screen.text()
    );
}

#[test]
fn keys_choose_order_filter_and_pace() {
    let mut screen = Screen::new(80, 24);
    screen.look(answers);
    let asked = |screen: &mut Screen| {
        let mut asked = screen.app.questions();
        let statement = asked.remove(0).statement;
        let value = Ok(answers(&About::Glance));
        screen.app.take(Answer::Value(About::Glance, value));
        statement
    };
    screen.press(KeyCode::Char('w'));
    assert!(asked(&mut screen).contains("by: \"since\", reverse: false"));
    screen.press(KeyCode::Char('w'));
    assert!(asked(&mut screen).contains("by: \"since\", reverse: true"));
    screen.press(KeyCode::Char('/'));
    screen.type_text("a\"b\\q");
    let statement = asked(&mut screen);
    assert!(statement.contains(r#"text: "a\"b\\q""#), "{statement}");
    screen.press(KeyCode::Esc);
    assert!(asked(&mut screen).contains("text: \"\""));
    screen.press(KeyCode::Char('p'));
    screen.pass(Duration::from_secs(100));
    assert!(screen.app.questions().is_empty() && screen.app.next_refresh().is_none());
    screen.press(KeyCode::Char('s'));
    assert!(
        asked(&mut screen).contains("by: \"rate\""),
        "even while it is paused"
    );
    screen.press(KeyCode::Char('p'));
    screen.press(KeyCode::Char('-'));
    assert_eq!(screen.app.every, Duration::from_secs(2));
    screen.press(KeyCode::Char('q'));
    assert_eq!(screen.app.take_wish(), Some(Wish::Leave));
}

#[test]
fn a_chosen_row_is_followed_and_the_top_is_not() {
    let mut screen = Screen::new(80, 24);
    screen.look(answers);
    let turned = |_: &About| {
        let mut glance = glance(2);
        glance["rows"].as_array_mut().unwrap().reverse();
        glance
    };
    screen.look(turned);
    assert_eq!(screen.app.selected().unwrap().id, Some(159));
    screen.press(KeyCode::Down);
    assert_eq!(screen.app.selected().unwrap().id, Some(158));
    screen.look(answers);
    assert_eq!(screen.app.selected().unwrap().id, Some(158));
}

#[test]
fn many_workers_take_no_more_than_their_share() {
    let mut screen = Screen::new(80, 24);
    screen.look(|_| glance(64));
    screen.is("many-workers");
}

#[test]
fn a_slow_server_is_asked_less_often() {
    let mut screen = Screen::new(80, 24);
    screen.draw();
    assert_eq!(screen.app.questions().len(), 1);
    screen.pass(Duration::from_secs(2));
    screen.app.take(Answer::Value(About::Glance, Ok(glance(1))));
    assert_eq!(
        screen.app.next_refresh(),
        Some(screen.now + Duration::from_secs(6))
    );
}

#[test]
fn every_size_is_drawn() {
    for width in [1, 39, 40, 77, 99, 116, 220] {
        for height in [1, 8, 12, 64] {
            let mut screen = Screen::new(width, height);
            screen.look(answers);
            screen.press(KeyCode::Char('?'));
            screen.press(KeyCode::Char('?'));
            screen.press(KeyCode::Enter);
            screen.look(answers);
            screen.press(KeyCode::Char('k'));
        }
    }
}

#[test]
fn without_colours_none_is_used() {
    let mut screen = Screen::with(120, 30, false);
    screen.look(answers);
    screen.press(KeyCode::Char('k'));
    screen.app.take(Answer::Lost("gone".into()));
    screen.draw();
    let buffer = screen.terminal.backend().buffer();
    let plain = |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
    assert!(buffer.content().iter().all(plain));
}

#[test]
fn names_move_nobodys_cursor() {
    let mut screen = Screen::new(80, 24);
    screen.look(|_| {
        let mut glance = glance(2);
        glance["rows"][0]["name"] = json!("a\x1b[2Jb\nc");
        glance
    });
    assert!(
        screen.text().contains(r"a\u{1b}[2Jb\nc"),
        "{}",
        screen.text()
    );
}

#[test]
fn the_help_names_every_key() {
    let mut screen = Screen::new(80, 24);
    screen.press(KeyCode::Char('?'));
    screen.is("help");
}
