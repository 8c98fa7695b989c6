//! What the console tells of coroutines, and does to them.

mod console_support;

use std::time::Instant;

use console_support::{PATIENCE, Peer, Server, console, errors};
use grapeshot_backdoor::protocol::ServerMessage;
use serde_json::{Value, json};

#[test]
fn ps_tells_who_waits_for_what() {
    let server = Server::start();
    let all = server.eventually("ps()", |all| {
        all.as_array()
            .unwrap()
            .iter()
            .filter(|c| c["state"] == "waiting" && c["waits_for"] == "sleep")
            .count()
            >= 3
    });
    let player = all
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "player-1")
        .unwrap();
    let columns: Vec<&String> = player.as_object().unwrap().keys().collect();
    assert_eq!(
        columns,
        [
            "id",
            "name",
            "state",
            "waits_for",
            "since",
            "cpu",
            "switches",
            "worker"
        ]
    );
    assert!(
        player["switches"].as_u64().unwrap() > 0 && player["worker"].is_u64(),
        "{player}"
    );
    let table = server.told("ps()");
    assert!(
        table.lines().next().unwrap().contains("waits_for"),
        "{table}"
    );
    assert!(
        table.contains("player-1") && table.contains("console-listener"),
        "{table}"
    );
    assert_eq!(server.json("ps(\"player-\").len()"), 3);
    assert_eq!(
        server.json("ps().filter(|c| c.name == \"player-2\").len()"),
        1
    );
    let groups = server.json("groups()");
    assert!(
        groups
            .as_array()
            .unwrap()
            .iter()
            .any(|g| g["name"] == "player-*" && g["coroutines"] == 3),
        "{groups}"
    );
    assert_eq!(server.json("ps().top(\"switches\", 2).len()"), 2);
    assert_eq!(
        server.json(&format!("info({}).name", player["id"])),
        "player-1"
    );
    assert!(!server.json("workers()").as_array().unwrap().is_empty());
    let stats = server.json("stats()");
    assert!(
        stats["live"].as_u64().unwrap() >= 5 && stats["uptime"].as_f64().unwrap() > 0.0,
        "{stats}"
    );
}

#[test]
fn tree_tells_who_ends_with_whom() {
    let server = Server::start();
    let names = |statement: &str, lines: usize| {
        server.eventually(&format!("{statement}.map(|c| c.name)"), |names| {
            names.as_array().unwrap().len() == lines
        })
    };
    let all = server.eventually("tree()", |all| {
        let mut rows = all.as_array().unwrap().iter();
        rows.any(|c| c["waits_for"] == "scope")
    });
    let row = |name: &str| {
        let mut rows = all.as_array().unwrap().iter();
        rows.find(|c| c["name"].as_str().unwrap().ends_with(name))
            .unwrap_or_else(|| panic!("{name} is not in {all}"))
    };
    // What was only spawned hangs on a broken line, what is in a scope on a whole one.
    assert_eq!(row("main")["name"], "main");
    assert_eq!(row("game")["name"], "├╌ game");
    assert_eq!(row("player-0")["name"], "│  ├─ player-0");
    assert_eq!(row("player-2")["name"], "│  └─ player-2");
    assert_eq!(row("game")["waits_for"], "scope");
    let columns: Vec<&String> = row("game").as_object().unwrap().keys().collect();
    assert_eq!(columns, ["id", "name", "state", "waits_for", "since"]);

    let game = &row("game")["id"];
    assert_eq!(
        names(&format!("tree({game})"), 4),
        json!(["game", "├─ player-0", "├─ player-1", "└─ player-2"])
    );
    server.told(&format!("kill({game})"));
    names("ps(\"player-\")", 0);
    let gone = server.ask(&format!("tree({game})"));
    assert!(
        errors(&gone).contains("no coroutine has the id"),
        "{gone:?}"
    );
    assert!(server.told("help(\"tree\")").contains("whole line"));
}

#[test]
fn where_shows_the_line_that_waits() {
    let server = Server::start();
    // It may be running just then: the answer says so, and one asks again.
    let statement = "let id = ps(\"player-0\")[0].id; let b = []; \
                     for n in 0..1000 { try { b = where(id); break; } catch { sleep(0.001); } } b";
    let frames = server.eventually(statement, |frames| !frames.as_array().unwrap().is_empty());
    let own = frames
        .as_array()
        .unwrap()
        .iter()
        // Where it is inlined, its module is not named.
        .find(|f| f["function"].as_str().unwrap().rsplit("::").next() == Some("play"));
    let own = own.unwrap_or_else(|| panic!("{frames}"));
    let source = include_str!("../../backdoor/examples/arcade.rs");
    let line = source
        .lines()
        .position(|line| line.contains("grapeshot::sleep(Duration::from_millis(pause"))
        .unwrap()
        + 1;
    assert_eq!(own["line"], json!(line), "{frames}");
    assert!(
        own["file"]
            .as_str()
            .unwrap()
            .ends_with("backdoor/examples/arcade.rs"),
        "{frames}"
    );
    assert!(
        !own["function"].as_str().unwrap().contains("::h"),
        "{frames}"
    );
    let shown = server.told(statement);
    assert!(shown.contains(&format!("arcade.rs:{line}")), "{shown}");
    let unknown = server.ask("where(987654)");
    assert!(
        errors(&unknown).contains("no coroutine has the id 987654"),
        "{}",
        errors(&unknown)
    );
}

#[test]
fn kill_ends_a_coroutine() {
    let server = Server::start();
    let said = server.told("kill(ps(\"player-2\")[0].id)");
    assert!(said.starts_with("asked player-2 ("), "{said}");
    server.eventually("ps(\"player-2\").len()", |count| count == 0);
    assert_eq!(server.json("ps(\"player-\").len()"), 2);
    // A console can end another's evaluation, and its own.
    let mut busy = Peer::attach(&server.path);
    busy.eval(1, "loop {}");
    let question = format!("ps(\"console-eval-{}\").map(|c| c.id)", busy.session);
    let id = server.eventually(&question, |ids| ids.as_array().unwrap().len() == 1)[0].clone();
    server.told(&format!("kill({id})"));
    assert!(
        matches!(busy.receive(), Some(ServerMessage::Error { message, .. }) if message == "interrupted")
    );
    busy.eval(2, "1");
    assert!(matches!(busy.receive(), Some(ServerMessage::Result { .. })));
}

#[test]
fn the_consoles_own_coroutines_can_be_killed() {
    let server = Server::start();
    for name in ["console-session-", "console-writer-"] {
        let mut victim = Peer::attach(&server.path);
        victim.eval(
            1,
            &format!("kill(ps(\"{name}{}\")[0].id); loop {{}}", victim.session),
        );
        // It may still hear of the interrupt; then its stream ends.
        while let Some(message) = victim.receive() {
            assert!(
                matches!(message, ServerMessage::Error { .. }),
                "{name}: {message:?}"
            );
        }
        server.eventually("ps(\"console-\").len()", |count| count == 4);
    }
    // Without its listener the server lets go of the socket.
    let _ = server.ask("kill(ps(\"console-listener\")[0].id); loop {}");
    let deadline = Instant::now() + PATIENCE;
    while server.path.exists() {
        assert!(Instant::now() < deadline, "the socket was left behind");
    }
}

#[test]
fn ten_thousand_coroutines_are_listed() {
    let server = Server::with_players(10_000);
    // The console answers while they are still being spawned.
    server.eventually("ps(\"player-\")", |all| {
        all.as_array().unwrap().len() == 10_000
    });
    let table = server.told("ps(\"player-\")");
    assert_eq!(table.lines().count(), 10_002);
    let cut = console()
        .arg(&server.path)
        .args(["--rows", "5", "-c", "ps(\"player-\")"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8(cut.stdout)
            .unwrap()
            .ends_with("… 9,995 more rows\n")
    );
    let busiest: Value = server.json("ps().top(\"switches\", 3)");
    assert_eq!(busiest.as_array().unwrap().len(), 3);
}
