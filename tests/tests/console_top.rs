//! `console top` in a pseudo-terminal, against a real server.

mod console_support;

use console_support::{PATIENCE, Server, Terminal, console, ended, errors};
use rustix::process::{Pid, Signal, kill_process};

const CTRL_C: &str = "\x03";
const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
const TAB: &str = "\t";

fn top(server: &Server) -> Terminal {
    let mut terminal = Terminal::run(console().arg("top").arg(&server.path), 100);
    terminal.wait_for("player-0");
    terminal
}

fn left_in_order(mut terminal: Terminal) {
    assert!(terminal.ended().success());
    assert!(terminal.is_in_order());
    terminal.wait("the shell's screen", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
}

#[test]
fn a_coroutine_is_found_looked_at_and_ended() {
    let server = Server::start();
    let mut terminal = top(&server);
    let title = format!(" arcade · process {} · up ", server.child.id());
    assert!(
        terminal.contents().contains(&title),
        "{}",
        terminal.contents()
    );
    terminal.press("/");
    terminal.press("player-1");
    terminal.wait_for("filter player-1");
    terminal.wait("one row", |screen| {
        let text = screen.contents();
        text.contains("player-1 ") && !text.contains("player-0")
    });
    terminal.press(ENTER);
    terminal.press(ENTER);
    terminal.wait_for("where it is");
    terminal.wait_for("arcade::play");
    terminal.press("k");
    terminal.wait_for("Ask player-1 (#");
    terminal.press("y");
    terminal.wait_for("asked player-1");
    terminal.wait_for("has ended");
    terminal.press(ESCAPE);
    terminal.wait_for("nothing has that in its name");
    terminal.press("q");
    left_in_order(terminal);
    assert_eq!(server.told("ps(\"player-1\").len()"), "0\n");
}

#[test]
fn groups_orders_and_sizes_change_while_it_runs() {
    let server = Server::with_players(40);
    let mut terminal = top(&server);
    terminal.press(TAB);
    terminal.wait_for("player-*");
    terminal.press("n");
    terminal.wait_for("by name");
    terminal.wait_for("NAME▼");
    terminal.resize(20, 80);
    terminal.wait("the size", |screen| {
        let rows: Vec<String> = screen.rows(0, 80).collect();
        rows.len() == 20 && rows[19].contains("leave") && rows[0].contains("every 1 s")
    });
    terminal.press(TAB);
    terminal.press("i");
    terminal.wait_for("by id");
    terminal.press("p");
    terminal.wait_for("paused");
    terminal.press("?");
    terminal.wait_for("this help");
    terminal.press("x");
    terminal.press(CTRL_C);
    left_in_order(terminal);
}

#[test]
fn a_server_that_goes_is_said_and_the_next_one_is_found() {
    let mut server = Server::start();
    let mut terminal = top(&server);
    server.signal(Signal::KILL);
    terminal.wait_for("lost for");
    ended(&mut server.child, PATIENCE);
    server.child = Server::launch(&server.path, 5);
    terminal.wait_for("player-4");
    let process = format!("process {}", server.child.id());
    terminal.wait_for(&process);
    terminal.press("q");
    left_in_order(terminal);
}

#[test]
fn signals_leave_the_terminal_in_order() {
    let server = Server::start();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let terminal = top(&server);
        // `setsid` has become the console, or waits for it.
        let child = terminal.child.id();
        let children = std::fs::read_to_string(format!("/proc/{child}/task/{child}/children"));
        let console = children.unwrap().trim().parse().unwrap_or(child);
        let console = Pid::from_raw(i32::try_from(console).unwrap()).unwrap();
        kill_process(console, signal).unwrap();
        left_in_order(terminal);
    }
}

#[test]
fn it_says_what_it_needs() {
    let server = Server::start();
    let piped = console().arg("top").arg(&server.path).output().unwrap();
    assert_eq!(piped.status.code(), Some(2));
    assert!(errors(&piped).contains("top needs a terminal"), "{piped:?}");
    let nothing = console().arg("top").output().unwrap();
    assert!(errors(&nothing).contains("console top"), "{nothing:?}");
    let pid = server.child.id().to_string();
    let mut terminal = Terminal::run(console().args(["top", "--pid", &pid]), 100);
    terminal.wait_for("player-0");
    terminal.press("q");
    left_in_order(terminal);
}

#[test]
fn glance_tells_the_first_rows_of_what_was_asked_for() {
    let server = Server::with_players(30);
    let glance = server.json("glance(#{by: \"name\", rows: 3, text: \"player\"})");
    let names: Vec<_> = glance["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(names, ["player-0", "player-1", "player-10"]);
    assert_eq!(glance["matching"], 30);
    assert!(glance["total"].as_u64().unwrap() > 30, "{glance}");
    assert!(
        glance["rows"][0]["load"].is_null(),
        "nothing to compare with: {glance}"
    );
    // The same session looks again: now there is.
    let twice = "glance(); sleep(0.3); glance(#{text: \"player-7\"}).rows[0].load >= 0.0";
    assert_eq!(server.told(twice), "true\n");
    let groups = server.json("glance(#{groups: true, by: \"coroutines\"}).rows[0]");
    assert_eq!(
        (&groups["name"], &groups["coroutines"]),
        (&"player-*".into(), &30.into())
    );
    assert!(errors(&server.ask("glance(#{by: \"luck\"})")).contains("one of load, cpu, since"));
    assert!(errors(&server.ask("glance(#{rows: \"all\"})")).contains("`rows` must be a number"));
    assert!(errors(&server.ask("glance(#{colour: 1})")).contains("no option `colour`"));
}
