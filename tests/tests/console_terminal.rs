//! The console in a pseudo-terminal, as a person uses it.

mod console_support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use console_support::{PATIENCE, Server, Terminal, console, ended};
use rustix::process::Signal;

const UP: &str = "\x1b[A";
const TAB: &str = "\t";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

#[test]
fn the_prompt_greets_evaluates_and_remembers_the_last_result() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    let greeting = format!("arcade (process {}, up ", server.child.id());
    assert!(
        terminal.contents().contains(&greeting),
        "{}",
        terminal.contents()
    );
    terminal.enter("20 + 1");
    terminal.wait_for("\n21\n");
    terminal.enter("_ * 2");
    terminal.wait_for("\n42\n");
    terminal.enter("let s = \"héllo \" + _;");
    terminal.enter("s");
    terminal.wait_for("\nhéllo 42\n");
    terminal.press(CTRL_D);
    assert!(terminal.ended().success());
    assert!(terminal.is_in_order());
}

#[test]
fn tables_line_up_and_fit_the_terminal() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 50);
    terminal.enter("players()");
    terminal.wait_for("player-2");
    terminal.wait_for_last("arcade>");
    let screen = terminal.contents();
    let line = |start: &str| {
        screen
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap()
            .chars()
            .count()
    };
    assert_eq!(line("name"), line("player-0"), "{screen}");
    assert_eq!(line("────"), line("player-2"), "{screen}");
    // The whole list stands on a screen that is high enough, however long it becomes.
    let high: u16 = 400;
    terminal.resize(high, 50);
    terminal.enter("help()");
    terminal.wait("the whole list", |screen| {
        let contents = screen.contents();
        let list = contents.split_once("\ncall ").map(|(_, list)| list);
        list.is_some_and(|list| list.contains('…') && list.trim_end().ends_with("arcade>"))
    });
    assert!(terminal.contents().contains("count_by"));
    let wrapped = terminal.look(|screen| {
        let mut rows = screen.rows(0, 50);
        let heading = rows.position(|row| row.starts_with("call ")).unwrap();
        (heading..usize::from(high)).any(|row| screen.row_wrapped(u16::try_from(row).unwrap()))
    });
    assert!(!wrapped, "{}", terminal.contents());
}

#[test]
fn tab_completes_names_of_every_kind() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.press("pla");
    terminal.press(TAB);
    terminal.wait_for_last("arcade> players()");
    terminal.press(".fil");
    terminal.press(TAB);
    terminal.wait_for_last("arcade> players().filter(");
    terminal.press("|p| true)\r");
    terminal.wait_for("player-2");
    terminal.enter("let marmalade = 7;");
    terminal.press("marm");
    terminal.press(TAB);
    terminal.wait_for_last("arcade> marmalade");
    terminal.press(" + 1\r");
    terminal.wait_for("\n8\n");
    terminal.press("wor");
    terminal.press(TAB);
    terminal.wait_for_last("arcade> workers()");
    terminal.press(CTRL_C);
    terminal.wait_for("Ctrl-D leaves; ");
    // Several candidates are listed.
    terminal.press("p");
    terminal.press(TAB);
    terminal.press(TAB);
    terminal.wait_for("pause(integer)");
}

#[test]
fn history_outlives_the_console() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("1000 + 1");
    terminal.wait_for("\n1001\n");
    terminal.press(UP);
    terminal.wait_for_last("arcade> 1000 + 1");
    terminal.press("1\r");
    terminal.wait_for("\n1011\n");
    terminal.press(CTRL_D);
    assert!(terminal.ended().success());
    let mut again = Terminal::attach(&server, 100);
    again.press(UP);
    again.wait_for_last("arcade> 1000 + 11");
    let file = server.folder.file("state/grapeshot/history");
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read the history: {mode:o}");
}

#[test]
fn a_history_that_cannot_be_written_is_no_obstacle() {
    let server = Server::start();
    let occupied = server.folder.file("occupied");
    std::fs::write(&occupied, "not a folder").unwrap();
    let mut terminal = Terminal::run(
        console().arg(&server.path).env("XDG_STATE_HOME", &occupied),
        120,
    );
    terminal.wait_for("statements are not remembered");
    terminal.enter("1 + 1");
    terminal.wait_for("\n2\n");
}

#[test]
fn a_statement_may_span_lines() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("[1,");
    terminal.enter(" 2].map(|n| {");
    terminal.enter("   n * 10");
    terminal.enter(" })");
    terminal.wait_for("\n[10, 20]\n");
    terminal.enter("fn twice(n) {");
    terminal.enter("n * 2 }");
    terminal.enter("twice(21)");
    terminal.wait_for("\n42\n");
    // Ctrl-C gives an unfinished statement up.
    terminal.enter("[1,");
    terminal.press(CTRL_C);
    terminal.wait_for("Ctrl-D leaves; ");
    terminal.enter("30 + 3");
    terminal.wait_for("\n33\n");
}

#[test]
fn an_error_points_at_its_place_in_red_unless_colours_are_refused() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("let x = plyers()");
    terminal.wait_for("did you mean players?");
    let red = |terminal: &Terminal| {
        terminal.look(|screen| {
            let row = screen
                .contents()
                .lines()
                .position(|line| line.starts_with("error:"))
                .unwrap();
            screen
                .cell(u16::try_from(row).unwrap(), 0)
                .unwrap()
                .fgcolor()
                != vt100::Color::Default
        })
    };
    assert!(red(&terminal));
    let screen = terminal.contents();
    assert!(
        screen.contains("  let x = plyers()\n          ^\nerror: there is no function plyers()"),
        "{screen}"
    );
    let mut plain = Terminal::run(console().arg(&server.path).env("NO_COLOR", "1"), 100);
    plain.wait_for("arcade>");
    plain.enter("plyers()");
    plain.wait_for("did you mean players?");
    assert!(!red(&plain));
}

#[test]
fn ctrl_c_stops_a_loop_while_others_are_answered() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("let n = 0; loop { n += 1; }");
    server.eventually("ps(\"console-eval-1\").len()", |count| count == 1);
    let mut other = console_support::Peer::attach(&server.path);
    let mut slowest = Duration::ZERO;
    for id in 0..50 {
        let asked = Instant::now();
        other.eval(id, "1 + 1");
        assert!(other.receive().is_some());
        slowest = slowest.max(asked.elapsed());
    }
    // Two workers, one of them loops; a round trip takes well under a millisecond on an idle machine.
    assert!(
        slowest < Duration::from_millis(500),
        "somebody else waited for {slowest:?}"
    );
    terminal.press(CTRL_C);
    terminal.wait_for("error: interrupted");
    terminal.enter("6 * 7");
    terminal.wait_for("\n42\n");
}

#[test]
fn ctrl_c_reaches_into_a_blocking_call() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("let kept = 5;");
    terminal.enter("let lost = 6; nap(3600.0)");
    server.eventually("ps(\"console-eval-1\").len()", |count| count == 1);
    terminal.press(CTRL_C);
    terminal.wait_for("error: interrupted");
    terminal.enter("kept");
    terminal.wait_for("\n5\n");
    terminal.enter("lost");
    terminal.wait_for("there is no variable `lost`");
}

#[test]
fn a_server_that_ends_is_noticed_at_the_prompt() {
    let mut server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.press("half a li");
    terminal.wait_for("half a li");
    server.signal(Signal::KILL);
    ended(&mut server.child, PATIENCE);
    terminal.wait_for("console: the server has closed the connection; it may have ended");
    assert_eq!(terminal.ended().code(), Some(2));
    assert!(terminal.is_in_order());
}

#[test]
fn a_server_that_ends_is_noticed_while_a_statement_runs() {
    let mut server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("print(\"begun\"); loop {}");
    terminal.wait_for("\nbegun");
    server.signal(Signal::KILL);
    ended(&mut server.child, PATIENCE);
    assert_eq!(terminal.ended().code(), Some(2));
    terminal.wait_for("console: the server has closed the connection");
}

#[test]
fn long_tables_are_cut_at_the_prompt() {
    let server = Server::with_players(1000);
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("players()");
    terminal.wait_for("… 800 more rows");
    terminal.enter("players().len()");
    terminal.wait_for("\n1000\n");
}

#[test]
fn what_a_statement_prints_comes_while_it_runs() {
    let server = Server::start();
    let mut terminal = Terminal::attach(&server, 100);
    terminal.enter("print(\"first\"); sleep(3600); print(\"second\");");
    terminal.wait_for("\nfirst");
    terminal.press(CTRL_C);
    terminal.wait_for("error: interrupted");
    assert!(!terminal.contents().contains("\nsecond"));
}
