//! Debian's telnet at the backdoor, in a pseudo-terminal: lines are edited on the server's side.

mod console_support;

use std::process::Command;
use std::time::Instant;

use console_support::ship::Ship;
use console_support::{PATIENCE, ROWS, Terminal};

const UP: &str = "\x1b[A";
const LEFT: &str = "\x1b[D";
const CTRL_A: &str = "\x01";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";
const CTRL_U: &str = "\x15";
const BACKSPACE: &str = "\x7f";

fn ship() -> Ship {
    Ship::sail(|backdoor, _| backdoor.telnet("127.0.0.1:0"))
}

/// A telnet that has connected.
fn telnet(ship: &Ship, columns: u16) -> Terminal {
    let mut command = Command::new("telnet");
    command
        .args(["127.0.0.1", &ship.port("telnet").to_string()])
        .env("TERM", "xterm-256color");
    let mut terminal = Terminal::run(&command, columns);
    terminal.wait_for("login: ");
    terminal
}

/// Ann's, at the prompt.
fn attach(ship: &Ship, columns: u16) -> Terminal {
    let mut terminal = telnet(ship, columns);
    terminal.enter("ann");
    terminal.wait_for("password: ");
    terminal.enter("sesame");
    terminal.wait_for_last("ship>");
    terminal
}

/// Asks in another session until the answer is this.
fn eventually(ship: &Ship, statement: &str, answer: &str) {
    let mut other = attach(ship, 100);
    let deadline = Instant::now() + PATIENCE;
    loop {
        // On a screen that was cleared.
        other.press("\x0c");
        other.enter(statement);
        let asked = format!("ship> {statement}\n");
        let said = |contents: &str| {
            let said = contents.strip_prefix(&asked)?.trim_end();
            Some(said.strip_suffix("ship>")?.trim_end().to_owned())
        };
        other.wait("an answer", |screen| {
            said(&screen.contents()).is_some_and(|said| !said.is_empty())
        });
        let said = said(&other.contents()).unwrap();
        if said == answer {
            return;
        }
        assert!(Instant::now() < deadline, "{statement} still gives {said}");
    }
}

#[test]
fn a_person_logs_in_asks_and_leaves() {
    let ship = ship();
    let mut terminal = attach(&ship, 100);
    let shown = terminal.contents();
    assert!(shown.contains("login: ann"), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("help() lists what there is"), "{shown}");
    terminal.enter("ps()");
    // The one that answers is in it, as are the heads of the columns.
    terminal.wait_for("console-eval-");
    terminal.wait_for_last("ship>");
    let table = terminal.contents();
    assert!(table.contains("waits_for"), "{table}");
    terminal.enter("\"grüße\"");
    terminal.wait_for("\ngrüße\n");
    terminal.press(CTRL_D);
    terminal.wait_for("Connection closed by foreign host.");
    terminal.ended();
    assert!(terminal.is_in_order());
}

#[test]
fn a_wrong_password_is_told_and_the_connection_closed() {
    let ship = ship();
    let mut terminal = telnet(&ship, 100);
    terminal.enter("ann");
    terminal.wait_for("password: ");
    terminal.enter("Sesame");
    terminal.wait_for("wrong user or password");
    terminal.wait_for("Connection closed by foreign host.");
    terminal.ended();
    assert!(terminal.is_in_order());
}

#[test]
fn lines_are_edited_completed_and_remembered() {
    let ship = ship();
    let mut terminal = attach(&ship, 100);
    terminal.press("10 + 3");
    terminal.press(BACKSPACE);
    terminal.press("21");
    terminal.press(CTRL_A);
    terminal.press("1");
    terminal.wait_for_last("ship> 110 + 21");
    terminal.press("\r");
    terminal.wait_for("\n131\n");
    terminal.press(UP);
    terminal.wait_for_last("ship> 110 + 21");
    terminal.press(LEFT);
    terminal.press(BACKSPACE);
    terminal.wait_for_last("ship> 110 + 1");
    terminal.press("\r");
    terminal.wait_for("\n111\n");
    terminal.press(CTRL_R);
    terminal.press("21");
    terminal.wait(
        "what was found",
        |screen| matches!(screen.contents().trim_end().lines().last(), Some(last) if last.contains("110 + 21")),
    );
    terminal.press("\r");
    terminal.wait("the same again", |screen| {
        screen.contents().matches("\n131\n").count() == 2
    });
    terminal.press("nothing of this");
    terminal.press(CTRL_U);
    terminal.wait_for_last("ship>");
    terminal.press("wor\t");
    terminal.wait_for_last("ship> workers()");
    terminal.press(CTRL_U);
    // One of two lines, which is not run before its end.
    terminal.enter("[1,");
    terminal.enter(" 2].map(|n| n * 21)");
    terminal.wait_for("\n[21, 42]\n");
}

#[test]
fn the_window_may_change_while_a_line_is_typed() {
    let ship = ship();
    let mut terminal = attach(&ship, 100);
    let statement = format!("\"{}\".len()", "x".repeat(60));
    terminal.press(&statement);
    terminal.wait_for_last(&format!("ship> {statement}"));
    terminal.resize(ROWS, 40);
    // What no longer fits stands in the next row.
    terminal.wait_for(&format!("{}\n{}", "x".repeat(32), "x".repeat(28)));
    terminal.press("\r");
    terminal.wait_for("\n60\n");
    terminal.enter("ps()");
    terminal.wait("a table that fits", |screen| {
        let contents = screen.contents();
        contents.contains(" more columns") && contents.trim_end().ends_with("ship>")
    });
    let wrapped = terminal.look(|screen| (0..ROWS).any(|row| screen.row_wrapped(row)));
    assert!(!wrapped, "{}", terminal.contents());
}

#[test]
fn ctrl_c_stops_what_runs() {
    let ship = ship();
    let mut terminal = attach(&ship, 100);
    for statement in ["sleep(3600)", "loop {}", "loop { print(\"again\") }"] {
        terminal.enter(statement);
        eventually(&ship, "ps(\"console-eval\").len()", "2");
        terminal.press(CTRL_C);
        terminal.wait(statement, |screen| {
            let contents = screen.contents();
            let mut last = contents.trim_end().lines().rev();
            last.next().is_some_and(|line| line.trim_end() == "ship>")
                && last.next().is_some_and(|line| line.contains("interrupted"))
        });
    }
    // Where nothing runs it says what would leave.
    terminal.press("not yet");
    terminal.press(CTRL_C);
    terminal.wait_for("Ctrl-D leaves");
    terminal.enter("6 * 7");
    terminal.wait_for("\n42\n");
}

#[test]
fn a_telnet_that_is_killed_in_mid_output_leaves_nothing_behind() {
    let ship = ship();
    let mut terminal = attach(&ship, 100);
    terminal.enter("loop { print(\"again\") }");
    terminal.wait_for("again\nagain\n");
    terminal.child.kill().unwrap();
    terminal.ended();
    // Those of whoever asks are left.
    for (name, left) in [("screen", "1"), ("keys", "1"), ("eval", "1")] {
        eventually(&ship, &format!("ps(\"console-{name}\").len()"), left);
    }
}
