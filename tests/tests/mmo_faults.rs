//! The demo among bad peers, taken ports and signals.

mod mmo_support;

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use grapeshot_tests::browser::wait_until;
use grapeshot_tests::programs::programs;
use mmo_support::{Demo, Peer, get, socket_path};

/// Runs the demo until it ends by itself; gives exit code and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(programs().join("mmo"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the demo starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn it_starts_in_under_a_second_and_says_where_to_look() {
    let demo = Demo::start(&[]);
    let took = demo
        .greeting
        .split("started in ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|ms| ms.parse::<u64>().ok());
    assert!(took.is_some_and(|ms| ms < 1000), "{}", demo.greeting);
    let attach = format!(
        "cargo run --release --bin console -- {}",
        demo.socket.display()
    );
    assert!(demo.greeting.contains(&attach), "{}", demo.greeting);
    assert_eq!(get(demo.address, "/").0, 200);
    assert_eq!(get(demo.address, "/nothing").0, 404);
    assert_eq!(get(demo.address, "/../Cargo.toml").0 / 100, 4);
    wait_until("the first figures", || demo.stats()["npcs"] == 1000);
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has an address");
    let (code, error) = run(&[
        "--listen",
        &address.to_string(),
        "--backdoor",
        &socket_path().display().to_string(),
    ]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains(&format!("port {} is in use", address.port())) && error.contains("--listen"),
        "{error}"
    );
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn a_live_console_socket_is_respected_and_a_dead_one_replaced() {
    let mut first = Demo::start(&["--npcs", "1"]);
    let path = first.socket.display().to_string();
    let (code, error) = run(&["--listen", "127.0.0.1:0", "--backdoor", &path]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&path), "{error}");
    assert_eq!(first.ask("npcs().count"), 1, "the first is as it was");

    first.signal("-KILL");
    first.wait();
    assert!(first.socket.exists(), "a killed process leaves its socket");
    let second = Command::new(programs().join("mmo"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--npcs",
            "2",
            "--backdoor",
            &path,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    first.child = second;
    wait_until("the second to answer at the same path", || {
        let output = first.console("npcs().count");
        output.status.success() && String::from_utf8_lossy(&output.stdout).trim() == "2"
    });
}

#[test]
fn options_out_of_range_are_refused() {
    for wrong in [
        ["--step", "0s"],
        ["--field", "1"],
        ["--npcs", "9999999"],
        ["--listen", "nowhere"],
    ] {
        let (code, error) = run(&wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {error}");
        assert!(error.contains(wrong[0]), "{wrong:?}: {error}");
    }
}

#[test]
fn sigterm_and_sigint_end_it_within_a_second_and_leave_nothing() {
    for signal in ["-TERM", "-INT"] {
        let mut demo = Demo::start(&["--npcs", "2000"]);
        let mut reading = Peer::join(demo.address, "reading");
        // This one will never agree to the close.
        let mut deaf = Peer::join(demo.address, "deaf");
        reading.message();
        deaf.message();
        demo.signal(signal);
        let (status, took, rest) = demo.wait();
        assert!(status.success(), "{signal}: {status}: {rest}");
        assert!(took < Duration::from_secs(1), "{signal}: took {took:?}");
        assert!(
            rest.contains("no coroutine left behind"),
            "{signal}: {rest}"
        );
        assert!(
            !demo.socket.exists(),
            "{signal}: the socket's file is still there"
        );
        assert_eq!(
            reading.closing().map(|(code, _)| code),
            Some(1001),
            "{signal}"
        );
    }
}

#[test]
fn a_peer_that_stops_reading_is_shed_and_delays_nobody() {
    let demo = Demo::start(&["--npcs", "6000", "--field", "2048", "--patience", "1s"]);
    let mut well = Peer::join(demo.address, "well");
    let mut stuck = Peer::join(demo.address, "stuck");
    stuck.message();
    // All of the field, so that the kernel's buffers fill soon.
    stuck
        .send(
            2,
            &[0x81, 1, 0x80, 0x40, 0x80, 0x40, 0x80, 0x20, 0x80, 0x20],
        )
        .expect("it is connected");
    let start = Instant::now();
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    let mut shed = false;
    while !shed {
        well.message();
        longest = longest.max(last.elapsed());
        last = Instant::now();
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the peer that does not read was not shed"
        );
        shed = demo.stats()["shed_total"] == 1;
    }
    assert!(
        longest < Duration::from_secs(1),
        "the other waited {longest:?} for an update"
    );
    wait_until("its player to disappear", || demo.stats()["players"] == 1);
    for _ in 0..20 {
        well.message();
    }
    // What it reads now is what the kernel had for it, and then the end.
    assert_eq!(
        stuck.closing(),
        None,
        "cut off in the middle, there is no close frame"
    );
}

#[test]
fn peers_that_break_the_rules_are_told_why() {
    let demo = Demo::start(&["--npcs", "10"]);
    let told = |opcode: u8, payload: &[u8]| {
        let mut peer = Peer::join(demo.address, "odd");
        // The server may have closed before the last byte is sent.
        let _ = peer.send(opcode, payload);
        peer.closing().map(|(code, _)| code)
    };
    assert_eq!(told(1, b"text"), Some(1003));
    assert_eq!(told(2, &[0x99]), Some(1008), "no such message");
    assert_eq!(told(2, &[0x81, 1]), Some(1008), "cut short");
    assert_eq!(told(2, &[0x82; 300]), Some(1009), "too long");

    let mut flood = Peer::join(demo.address, "flood");
    for _ in 0..1000 {
        if flood.send(2, &[0x83, 1]).is_err() {
            break;
        }
    }
    assert_eq!(
        flood.closing(),
        Some((1008, "too many messages".to_owned()))
    );

    let silent = Peer::join(demo.address, "gone");
    silent
        .stream
        .shutdown(Shutdown::Both)
        .expect("it is connected");
    wait_until("all of them to be gone", || {
        demo.ask("players()") == serde_json::json!([])
    });
    assert_eq!(demo.ask("npcs().count"), 10);
}

#[test]
fn views_beyond_the_field_and_hostile_names_are_tamed() {
    let demo = Demo::start(&["--npcs", "10", "--field", "1000"]);
    let mut peer = Peer::join(demo.address, "%E2%80%AE%00%0Aevil%20%20name%E2%80%8B");
    // The middle as far out as a number goes, the size as large.
    let far = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let mut view = vec![0x81, 1];
    for _ in 0..4 {
        view.extend(far);
    }
    peer.send(2, &view).expect("it is connected");
    wait_until("the view to arrive", || {
        demo.ask("players()")[0]["viewport"] == "4096×4096"
    });
    let row = demo.ask("players()")[0].clone();
    assert_eq!(
        (&row["x"], &row["y"]),
        (&0.into(), &0.into()),
        "clipped to the field: {row}"
    );
    assert_eq!(row["name"], "evil name");
    peer.message();
}

#[test]
fn a_full_world_turns_players_away() {
    let demo = Demo::start(&["--npcs", "1", "--players", "1"]);
    let mut first = Peer::join(demo.address, "first");
    first.message();
    let refused = std::panic::catch_unwind(|| Peer::join(demo.address, "second"));
    let message = refused
        .expect_err("the world is full")
        .downcast::<String>()
        .expect("a message");
    assert!(message.contains("503"), "{message}");
    drop(first);
    // Not /stats.json, which tells the last second's figures.
    wait_until("room", || demo.ask("players()") == serde_json::json!([]));
    Peer::join(demo.address, "third").message();
}

#[test]
fn a_request_that_is_no_websocket_takes_no_seat() {
    let demo = Demo::start(&["--npcs", "1"]);
    assert_eq!(get(demo.address, "/ws").0, 426);
    let mut stream = std::net::TcpStream::connect(demo.address).expect("the demo listens");
    std::io::Write::write_all(&mut stream, b"NONSENSE\r\n\r\n").expect("it is connected");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer and an end");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(demo.ask("players()"), serde_json::json!([]));
    assert_eq!(demo.ask("npcs().count"), 1);
}
