//! The console as a command, and the backdoor against bad input and faults.

mod console_support;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use console_support::{Folder, PATIENCE, Peer, Server, console, ended, errors};
use grapeshot_backdoor::protocol::{ClientMessage, MAX_CLIENT_MESSAGE, ServerMessage, VERSION};
use grapeshot_tests::programs::programs;
use rustix::process::Signal;
use serde_json::json;

#[test]
fn results_are_printed_plainly() {
    let server = Server::start();
    assert_eq!(server.told("1 + 1"), "2\n");
    assert_eq!(server.told("let quiet = 1;"), "");
    assert_eq!(server.told("\"two\\nlines\""), "two\nlines\n");
    assert_eq!(
        server.told("players().map(|p| p.name)"),
        "player-0\nplayer-1\nplayer-2\n"
    );
    let table = server.told("players()");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(
        lines[0].starts_with("name      moves    pause") && lines[1].starts_with("────────  ─"),
        "{table}"
    );
    assert!(
        !table.contains('\x1b'),
        "colours where there is no terminal: {table:?}"
    );
}

#[test]
fn json_is_json() {
    let server = Server::start();
    let players = server.json("players()");
    assert_eq!(players.as_array().unwrap().len(), 3);
    assert_eq!(players[0]["name"], "player-0");
    assert_eq!(players[0]["pause"], json!(0.05), "durations are seconds");
    assert_eq!(
        server.json("#{b: 1, a: [true, 2.5]}"),
        json!({"b": 1, "a": [true, 2.5]})
    );
    let output = console()
        .arg(&server.path)
        .args(["--json", "-c", "print(\"aside\"); 7"])
        .output()
        .unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"7\n"[..], &b"aside\n"[..])
    );
}

#[test]
fn the_exit_status_tells_what_happened() {
    let server = Server::start();
    let failed = server.ask("kick(\"bob\")");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(errors(&failed), "error: kick: nobody is called bob\n");
    assert!(failed.stdout.is_empty());
    let incomplete = server.ask("[1,");
    assert_eq!(
        (incomplete.status.code(), errors(&incomplete).as_str()),
        (Some(1), "error: the statement is not complete\n")
    );
    let second = console()
        .arg(&server.path)
        .args(["-c", "zebra()", "-c", "print(\"never\")"])
        .output()
        .unwrap();
    assert_eq!(
        (second.status.code(), second.stdout.as_slice()),
        (Some(1), &b""[..])
    );
}

#[test]
fn a_profile_of_the_server_is_written_here() {
    let server = Server::start();
    let take = |file: &str| {
        console()
            .arg(&server.path)
            .args(["--profile", "0.2", "-o"])
            .arg(server.folder.file(file))
            .output()
            .unwrap()
    };
    let taken = take("arcade.json");
    assert!(taken.status.success(), "{taken:?}");
    assert!(String::from_utf8_lossy(&taken.stdout).contains("arcade.json"));
    let profile = fs::read_to_string(server.folder.file("arcade.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    assert!(profile["lasted"].as_f64().unwrap() >= 0.2);
    let names = profile["strings"].as_array().unwrap();
    assert!(names.contains(&json!("player-*")), "{names:?}");
    assert!(take("arcade.html").status.success());
    let page = fs::read_to_string(server.folder.file("arcade.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("player-*"));
    // Told before anybody waits for it.
    let refused = take("arcade.doc");
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains(".off.folded"), "{refused:?}");
}

#[test]
fn statements_come_from_the_standard_input_too() {
    let server = Server::start();
    let mut script = console()
        .arg(&server.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script
        .stdin
        .take()
        .unwrap()
        .write_all(b"let sum = 0;\nfor n in 1..=4 { sum += n; }\nsum\n")
        .unwrap();
    assert_eq!(script.wait_with_output().unwrap().stdout, b"10\n");
}

#[test]
fn a_session_can_be_recorded() {
    let server = Server::start();
    let commands = ["let x = 20;", "x + 1", "_ * 2", "zebra", "kick(\"bob\")"];
    let arguments = commands.iter().flat_map(|command| ["-c", command]);
    let output = console()
        .arg(&server.path)
        .args(["--echo", "--width", "80"])
        .args(arguments)
        .output()
        .unwrap();
    let want = "\
arcade> let x = 20;

arcade> x + 1
21

arcade> _ * 2
42

arcade> zebra
error: there is no variable `zebra`
       `let zebra = …` makes one

arcade> kick(\"bob\")
error: kick: nobody is called bob
";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), want);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_applications_values_and_files_are_reached() {
    let server = Server::start();
    assert_eq!(server.told("pause()"), "50\n");
    assert_eq!(server.told("pause(75); pause()"), "75\n");
    assert_eq!(server.told("players()[0].pause"), "75.0 ms\n");
    let file = server.folder.file("saved");
    server.told(&format!("store({file:?})"));
    assert_eq!(fs::read_to_string(file).unwrap(), "saved");
    assert_eq!(
        errors(&server.ask("store(\"/nowhere/x\")")),
        "error: store: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_panic_in_a_function_is_shown_and_harms_nobody() {
    let server = Server::start();
    let output = server.ask("crash()");
    assert_eq!(
        (output.status.code(), errors(&output).as_str()),
        (Some(1), "error: panicked: the machine tilted\n")
    );
    let mut peer = Peer::attach(&server.path);
    peer.eval(1, "let x = 5; crash()");
    assert!(matches!(
        peer.receive(),
        Some(ServerMessage::Error { id: 1, .. })
    ));
    peer.eval(2, "6 * 7");
    assert!(
        matches!(peer.receive(), Some(ServerMessage::Result { id: 2, value, .. }) if value == 42)
    );
}

#[test]
fn a_wrong_path_is_answered_with_advice() {
    let server = Server::start();
    let attach = |path: &str| {
        console()
            .arg(server.folder.file(path))
            .args(["-c", "1"])
            .output()
            .unwrap()
    };
    let missing = attach("nothing");
    assert_eq!(missing.status.code(), Some(2));
    let text = errors(&missing);
    assert!(
        text.contains("is the server running") && text.contains(server.path.to_str().unwrap()),
        "{text}"
    );
    fs::write(server.folder.file("text"), "").unwrap();
    assert!(errors(&attach("text")).contains("is not a socket"));
    drop(UnixListener::bind(server.folder.file("dead")).unwrap());
    let dead = attach("dead");
    assert_eq!(dead.status.code(), Some(2));
    assert!(
        errors(&dead).contains("nobody listens at"),
        "{}",
        errors(&dead)
    );
    let stranger = UnixListener::bind(server.folder.file("stranger")).unwrap();
    let web_server = thread::spawn(move || {
        let (mut stream, _) = stranger.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        // Until the console leaves.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let text = errors(&attach("stranger"));
    assert!(text.contains("is not a backdoor of this version"), "{text}");
    web_server.join().unwrap();
}

#[test]
fn a_process_is_found_by_its_number() {
    let server = Server::start();
    let attach = |pid: u32| {
        let mut console = console();
        console.args(["--pid", &pid.to_string(), "-c", "players().len()"]);
        console.output().unwrap()
    };
    let found = attach(server.child.id());
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "3\n");
    // One that has started a server is told from it.
    let parent = attach(std::process::id());
    assert_eq!(parent.status.code(), Some(2));
    let text = errors(&parent);
    assert!(
        text.contains("serves no backdoor itself") && text.contains("console --pid "),
        "{text}"
    );
    let mut none = Command::new("sleep").arg("60").spawn().unwrap();
    let text = errors(&attach(none.id()));
    none.kill().unwrap();
    none.wait().unwrap();
    assert!(
        text.contains("serves no backdoor on a Unix socket"),
        "{text}"
    );
    // No process has a number as large.
    let text = errors(&attach(u32::MAX));
    assert!(text.contains("there is no process 4294967295"), "{text}");
}

#[test]
fn the_socket_is_its_owners_alone() {
    let server = Server::start();
    let found = fs::metadata(&server.path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    let beside: Vec<_> = fs::read_dir(&server.folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(beside, ["arcade"], "something was left behind");
}

#[test]
fn another_user_is_refused_by_the_file_and_by_the_server() {
    if !rustix::process::geteuid().is_root() {
        // Only root can start a program as somebody else.
        eprintln!("skipped: needs root");
        return;
    }
    let server = Server::start();
    let program = server.folder.file("console");
    fs::copy(programs().join("console"), &program).unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg(&server.path);
        command
            .args(["-c", "1 + 1"])
            .env("HOME", "/")
            .output()
            .unwrap()
    };
    fs::set_permissions(&server.folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let by_the_file = as_nobody();
    assert_eq!(by_the_file.status.code(), Some(2), "{by_the_file:?}");
    assert!(
        errors(&by_the_file).contains("it belongs to uid 0"),
        "{}",
        errors(&by_the_file)
    );
    fs::set_permissions(&server.path, fs::Permissions::from_mode(0o666)).unwrap();
    let by_the_server = as_nobody();
    assert_eq!(by_the_server.status.code(), Some(2), "{by_the_server:?}");
    let text = errors(&by_the_server);
    assert!(
        text.contains("runs as uid 0 and you are uid 65534"),
        "{text}"
    );
    assert_eq!(server.told("1 + 1"), "2\n");
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = Folder::new();
    let path = folder.file("arcade");
    drop(UnixListener::bind(&path).unwrap());
    let stale = fs::metadata(&path).unwrap().ino();
    let mut first = Server::launch(&path, 1);
    assert_ne!(fs::metadata(&path).unwrap().ino(), stale);
    let second = Server::command(&path, 1).output().unwrap();
    assert!(!second.status.success());
    let text = errors(&second);
    assert!(
        text.contains("another server already answers at") && text.contains("choose another path"),
        "{text}"
    );
    // The refused one took nothing away from the first.
    assert!(
        console()
            .arg(&path)
            .args(["-c", "1"])
            .status()
            .unwrap()
            .success()
    );
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(path.exists(), "a killed server leaves its socket");
    let mut third = Server::launch(&path, 1);
    assert!(
        console()
            .arg(&path)
            .args(["-c", "1"])
            .status()
            .unwrap()
            .success()
    );
    third.kill().unwrap();
    third.wait().unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    let path = folder.file("precious");
    fs::write(&path, "data").unwrap();
    let refused = Server::command(&path, 1).output().unwrap();
    assert!(!refused.status.success());
    assert!(
        errors(&refused).contains("exists and is not a socket"),
        "{}",
        errors(&refused)
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    let refused = Server::command(&folder.file("no/such/folder"), 1)
        .output()
        .unwrap();
    assert!(
        errors(&refused).contains("cannot open a backdoor at"),
        "{}",
        errors(&refused)
    );
}

#[test]
fn garbage_and_overlong_messages_are_refused() {
    let server = Server::start();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\0\0\x05hello",
        b"\0\0\0\x02{}",
        b"\xff\xff\xff\xff",
        b"\0\0",
    ] {
        let mut peer = Peer::connect(&server.path);
        peer.stream.write_all(garbage).unwrap();
        peer.stream.shutdown(Shutdown::Write).unwrap();
        match peer.receive() {
            Some(ServerMessage::Refused { .. }) => assert_eq!(peer.receive(), None),
            None => assert_eq!(garbage, b"\0\0", "{garbage:?} was not answered"),
            other => panic!("{garbage:?}: {other:?}"),
        }
    }
    let mut peer = Peer::attach(&server.path);
    peer.stream
        .write_all(&(MAX_CLIENT_MESSAGE + 1).to_be_bytes())
        .unwrap();
    assert!(
        matches!(peer.receive(), Some(ServerMessage::Refused { message }) if message.contains("at most"))
    );
    assert_eq!(peer.receive(), None);
    let mut old = Peer::connect(&server.path);
    old.send(&ClientMessage::Hello {
        version: VERSION + 1,
    });
    assert!(
        matches!(old.receive(), Some(ServerMessage::Refused { message }) if message.contains("version"))
    );
    assert_eq!(server.told("1"), "1\n");
}

#[test]
fn statements_that_are_nested_without_end_are_refused() {
    let server = Server::start();
    let mut peer = Peer::attach(&server.path);
    for piece in [
        "(",
        "[",
        "{",
        "#{a:",
        "-",
        "!",
        "if true {",
        "|x|",
        "f(",
        "a[",
        "a.b.",
        "`${",
        "while x {",
        "1+(",
        "switch a { 1 =>",
        "fn f() {",
        "a ?? ",
        "/*",
    ] {
        let source = piece.repeat(8000);
        peer.send(&ClientMessage::Check {
            id: 1,
            source: source.clone(),
        });
        assert!(peer.receive().is_some(), "{piece:?} ended the session");
        peer.eval(2, &source);
        let answer = peer.receive();
        assert!(
            matches!(
                answer,
                Some(
                    ServerMessage::Error { .. }
                        | ServerMessage::Incomplete { .. }
                        | ServerMessage::Result { .. }
                )
            ),
            "{piece:?}: {answer:?}"
        );
    }
    peer.eval(3, "3");
    assert!(matches!(
        peer.receive(),
        Some(ServerMessage::Result { id: 3, .. })
    ));
}

#[test]
fn one_evaluation_runs_at_a_time_in_a_session() {
    let server = Server::start();
    let mut peer = Peer::attach(&server.path);
    peer.eval(1, "print(\"on\"); loop {}");
    assert!(matches!(
        peer.receive(),
        Some(ServerMessage::Output { id: 1, .. })
    ));
    peer.eval(2, "1");
    assert!(
        matches!(peer.receive(), Some(ServerMessage::Error { id: 2, message, .. }) if message.contains("still running"))
    );
    // An interrupt of something else is ignored.
    peer.send(&ClientMessage::Interrupt { id: 2 });
    peer.send(&ClientMessage::Interrupt { id: 1 });
    assert!(
        matches!(peer.receive(), Some(ServerMessage::Error { id: 1, message, .. }) if message == "interrupted")
    );
    peer.eval(3, "3");
    assert!(matches!(
        peer.receive(),
        Some(ServerMessage::Result { id: 3, .. })
    ));
}

#[test]
fn too_many_consoles_are_turned_away() {
    let server = Server::start();
    let attached: Vec<Peer> = (0..32).map(|_| Peer::attach(&server.path)).collect();
    let mut one_more = Peer::connect(&server.path);
    one_more.send(&ClientMessage::Hello { version: VERSION });
    assert!(
        matches!(one_more.receive(), Some(ServerMessage::Refused { message }) if message.contains("32 consoles"))
    );
    drop(attached);
    let deadline = Instant::now() + PATIENCE;
    while !server.ask("1").status.success() {
        assert!(Instant::now() < deadline, "places are not given back");
    }
}

#[test]
fn a_server_without_free_descriptors_serves_again_once_there_are_some() {
    let folder = Folder::new();
    let path = folder.file("arcade");
    let program = Server::command(&path, 1);
    // The runtime needs some descriptors for itself; 40 leave room for a good number of consoles, but not for 64.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 40; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    let mut child = limited.stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline);
    }
    let crowd: Vec<_> = (0..64)
        .map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap())
        .collect();
    drop(crowd);
    while !console()
        .arg(&path)
        .args(["-c", "1"])
        .output()
        .unwrap()
        .status
        .success()
    {
        assert!(Instant::now() < deadline, "it does not serve any more");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn output_goes_to_its_own_session() {
    let server = Server::start();
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::attach(&server.path)).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.eval(1, &format!("for i in 0..2000 {{ print({number}); }}"));
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        for _ in 0..2000 {
            let got = peer.receive();
            assert!(
                matches!(&got, Some(ServerMessage::Output { text, .. }) if *text == number.to_string()),
                "{got:?}"
            );
        }
        assert!(matches!(peer.receive(), Some(ServerMessage::Result { .. })));
    }
}

#[test]
fn a_console_that_does_not_read_holds_up_nobody() {
    let server = Server::start();
    let mut deaf = Peer::attach(&server.path);
    deaf.eval(
        1,
        "let line = \"x\"; line.pad(1000, \"x\"); loop { print(line); }",
    );
    server.eventually(
        &format!("ps(\"console-eval-{}\").len()", deaf.session),
        |count| count == 1,
    );
    let mut other = Peer::attach(&server.path);
    let mut slowest = Duration::ZERO;
    for id in 0..50 {
        let asked = Instant::now();
        other.eval(id, "1 + 1");
        assert!(matches!(
            other.receive(),
            Some(ServerMessage::Result { .. })
        ));
        slowest = slowest.max(asked.elapsed());
    }
    assert!(
        slowest < Duration::from_millis(500),
        "somebody else waited for {slowest:?}"
    );
}

#[test]
fn a_console_that_is_killed_leaves_no_coroutine_behind() {
    let server = Server::start();
    for statement in ["loop {}", "nap(3600.0)", "loop { print(\"x\"); }"] {
        let mut child = console()
            .arg(&server.path)
            .args(["-c", statement])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        server.eventually("ps(\"console-eval-\").len()", |count| count == 2);
        child.kill().unwrap();
        child.wait().unwrap();
        // Only those that answer this very question are left.
        let left = server.eventually("ps(\"console-\").map(|c| c.name)", |names| {
            names.as_array().unwrap().len() == 4
        });
        assert!(left.to_string().contains("console-listener"), "{left}");
    }
}

#[test]
fn a_terminated_server_says_good_bye_within_a_second() {
    let mut server = Server::start();
    let mut busy = Peer::attach(&server.path);
    busy.eval(1, "loop {}");
    let mut idle = Peer::attach(&server.path);
    server.eventually(
        &format!("ps(\"console-eval-{}\").len()", busy.session),
        |count| count == 1,
    );
    let asked = Instant::now();
    server.signal(Signal::TERM);
    let status = ended(&mut server.child, PATIENCE);
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "it took {:?}",
        asked.elapsed()
    );
    assert!(status.success(), "{status}");
    assert!(!server.path.exists(), "the socket was left behind");
    assert_eq!(idle.receive(), None);
}
