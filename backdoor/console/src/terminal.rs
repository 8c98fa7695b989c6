//! What the terminal is like, and how to leave it in order.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use rustix::termios::{self, OptionalActions, Termios};

/// The terminal's settings before the line editor changed them.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// Remembers the settings to go back to.
pub(crate) fn remember() {
    if let Ok(settings) = termios::tcgetattr(io::stdin()) {
        let _ = BEFORE.set(settings);
    }
}

/// Ends the program from a thread that is not the line editor's, in the middle of its line.
pub(crate) fn leave(message: &str) -> ! {
    if let Some(before) = BEFORE.get() {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        // The editor has bracketed paste on.
        let _ = io::stdout()
            .write_all(b"\x1b[?2004l\r\n")
            .and_then(|()| io::stdout().flush());
    }
    eprintln!("console: {message}");
    std::process::exit(i32::from(crate::NO_SERVER));
}

/// The width of the terminal on the standard output; `None` if that is none.
pub(crate) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let columns = termios::tcgetwinsize(io::stdout()).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

pub(crate) fn has_color() -> bool {
    io::stdout().is_terminal() && wants_color()
}

pub(crate) fn errors_have_color() -> bool {
    io::stderr().is_terminal() && wants_color()
}

fn wants_color() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
