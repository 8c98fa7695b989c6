//! `console top`: a live view of a server, on the whole terminal.
//!
//! | file | what |
//! |---|---|
//! | `glance` | what the server answers |
//! | `app` | what is known and chosen; takes keys and answers, says what to ask (no I/O) |
//! | `history` | the latest figures of each row, for the sparklines |
//! | `view` | draws it (no I/O) |
//! | `asker` | asks the server, and connects again when it is lost |
//!
//! One `glance(..)` a refresh is asked, for the rows that fit the screen; the walk over the registry is the server's backdoor's,
//! on its own thread, and what that costs stands in the title.

mod app;
mod asker;
mod glance;
mod history;
mod keys;
mod view;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Login;
use crate::connection::Lost;
use crate::target::Target;
use crate::terminal;
use app::{App, Wish};
use asker::{Answer, Asker, Place};

/// The screen is drawn at least so often, because it tells for how long there has been no answer.
const TICK: Duration = Duration::from_secs(1);

/// What the main thread waits for.
enum Input {
    Terminal(Event),
    /// The terminal is of no use any more.
    TerminalGone,
    Answer(Answer),
    /// The process was asked to end.
    End,
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the server's backdoor is: a socket's path, tcp://HOST:PORT (or HOST:PORT), tls://HOST:PORT.
    #[arg(required_unless_present = "pid")]
    server: Option<OsString>,

    /// Attach to the backdoor of this process instead.
    #[arg(long, value_name = "PROCESS", conflicts_with = "server")]
    pid: Option<u32>,

    #[command(flatten)]
    login: Login,

    /// Look so often.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err("give a number from 0.1 to 3600".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Shows the live view until the person leaves it.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Lost> {
    let place = match (&options.server, options.pid) {
        (Some(named), _) => Place::Server(options.login.at(Target::parse(named)?)?),
        (None, Some(pid)) => Place::Process(pid),
        (None, None) => return Err(Lost::new("say where the server is, or --pid".into())),
    };
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Lost::new(
            "top needs a terminal; `console PATH -c 'glance()'` prints the same once".into(),
        ));
    }
    let connection = place.connect()?;
    let greeting = connection.greeting();
    let mut app = App::new(
        place.to_string(),
        greeting,
        options.every,
        terminal::has_color(),
    );
    let (inputs, events) = mpsc::channel();
    let asker = Asker::start(place, connection, inputs.clone());
    end_on_signals(inputs.clone());
    // Also puts a hook in front of panics that leaves the terminal in order.
    let mut screen = ratatui::try_init()
        .map_err(|error| Lost::new(format!("cannot use the terminal: {error}")))?;
    read_terminal(inputs);
    let shown = show(&mut screen, &mut app, &asker, &events);
    ratatui::restore();
    shown.map(|()| ExitCode::SUCCESS)
}

fn show(
    screen: &mut DefaultTerminal,
    app: &mut App,
    asker: &Asker,
    events: &mpsc::Receiver<Input>,
) -> Result<(), Lost> {
    let cannot_draw = |error: io::Error| Lost::new(format!("cannot draw: {error}"));
    loop {
        app.set_now(Instant::now());
        screen
            .draw(|frame| view::draw(frame, app))
            .map_err(cannot_draw)?;
        for question in app.questions() {
            asker.ask(question);
        }
        let patience = app.next_refresh().map_or(TICK, |due| {
            due.saturating_duration_since(Instant::now()).min(TICK)
        });
        let mut next = match events.recv_timeout(patience) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        app.set_now(Instant::now());
        // Keys that are held down are drawn once.
        while let Some(input) = next {
            match input {
                Input::Terminal(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    app.press(key);
                }
                // A resize needs nothing but another drawing, which asks for as many rows as fit.
                Input::Terminal(_) => {}
                Input::Answer(answer) => app.take(answer),
                Input::TerminalGone | Input::End => return Ok(()),
            }
            next = events.try_recv().ok();
        }
        match app.take_wish() {
            Some(Wish::Leave) => return Ok(()),
            Some(Wish::Redraw) => screen.clear().map_err(cannot_draw)?,
            Some(Wish::Stop) => {
                ratatui::restore();
                // Returns once the shell lets us go on.
                let _ = kill_process(getpid(), Signal::TSTP);
                *screen = ratatui::try_init().map_err(cannot_draw)?;
            }
            None => {}
        }
    }
}

fn read_terminal(inputs: Sender<Input>) {
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if inputs.send(Input::Terminal(event)).is_err() {
                return;
            }
        }
        let _ = inputs.send(Input::TerminalGone);
    });
}

/// Ctrl-C is a key here; this is for whoever sends the signals from elsewhere.
fn end_on_signals(inputs: Sender<Input>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    thread::spawn(move || {
        for _ in &mut signals {
            if inputs.send(Input::End).is_err() {
                return;
            }
        }
    });
}
