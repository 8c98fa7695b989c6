//! Consoles over TCP and telnet, on real sockets: what scripts may do, and what peers may.

mod network_support;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use grapeshot_backdoor::Backdoor;
use grapeshot_backdoor::protocol::ServerMessage;

use network_support::{Ask, Console, Ship, Telnet, connect, eventually, patient, with_ship};

/// Connections at an address that have not logged in, as the backdoor has it.
const STRANGERS: usize = 64;

/// Asks by both protocols, in one session each: a statement, and a part of its answer.
fn ask_all(ship: &Ship, cases: &[(&str, &str)]) {
    let askers: [Box<dyn Ask>; 2] = [
        Box::new(Console::attach(ship, "ann", "sesame")),
        Box::new(Telnet::attach(ship)),
    ];
    for mut asker in askers {
        for (statement, part) in cases {
            let answer = asker.ask(statement);
            assert!(answer.contains(part), "{statement}: {answer}");
        }
    }
}

#[test]
fn scripts_that_loop_or_wait_meet_the_time_limit() {
    let hasty = Backdoor::new("ship").time_limit(Duration::from_millis(100));
    with_ship("limit", hasty, |ship| {
        let limit = "stopped after 0.1 s, the time limit";
        let cases = [
            ("loop {}", limit),
            ("sleep(3600)", limit),
            ("loop {}", limit),
        ];
        ask_all(ship, &cases);
    });
}

#[test]
fn scripts_that_recurse_allocate_or_panic_harm_neither_server_nor_session() {
    with_ship("scripts", patient(), |ship| {
        let too_large = "more than a console may hold";
        let cases = [
            ("fn f(n) { f(n + 1) } f(0)", "nested deeper than"),
            ("let a = [1]; loop { a += a; }", too_large),
            ("let s = \"x\"; loop { s += s; }", too_large),
            ("crash()", "the mast broke"),
            ("knots()", "7"),
        ];
        ask_all(ship, &cases);
        ship.works();
    });
}

#[test]
fn a_user_has_the_rights_that_were_given() {
    with_ship("rights", patient(), |ship| {
        let mut bob = Console::attach(ship, "bob", "hatch");
        assert_eq!(bob.ask("knots()"), "7");
        let refused = bob.ask("crash()");
        assert!(refused.contains("operate"), "{refused}");
        let mut ann = Console::attach(ship, "ann", "sesame");
        assert!(ann.ask("crash()").contains("mast"));
    });
}

#[test]
fn wrong_passwords_and_overheard_logins_are_refused_and_closed() {
    with_ship("refused", patient(), |ship| {
        // Each has to wait, and they do so at the same time.
        let mut guest = Console::connect(ship);
        guest.answer("ann", "Sesame");
        let mut nobody = Telnet::connect(ship, "mallory", "guess");
        let mut overheard = Console::connect(ship);
        let login = overheard.log_in("ann", "sesame");
        let mut thief = Console::connect(ship);
        thief.challenge();
        thief.send(&login);
        assert_eq!(guest.refusal(), "wrong user or password");
        assert_eq!(thief.refusal(), "wrong user or password");
        let said = nobody.rest();
        assert!(said.contains("wrong user or password"), "{said}");
        assert!(!said.contains("guess"), "{said}");
        ship.works();
    });
}

#[test]
fn who_finds_no_seat_is_told() {
    with_ship("seats", patient().max_sessions(2), |ship| {
        let first = Console::attach(ship, "bob", "hatch");
        let mut second = Telnet::attach(ship);
        let full = "2 consoles are attached already, which is the limit; close one of them";
        let mut third = Console::connect(ship);
        third.log_in("ann", "sesame");
        assert_eq!(third.refusal(), full);
        let said = Telnet::connect(ship, "ann", "sesame").rest();
        assert!(said.contains(full), "{said}");
        // Those that sit are none the worse for it, and a place that is left is free.
        assert!(second.ask("knots()").contains('7'));
        drop(first);
        eventually("a free seat", || {
            let mut next = Console::connect(ship);
            next.log_in("ann", "sesame");
            matches!(next.receive(), Some(ServerMessage::Hello { .. }))
        });
    });
}

/// Connects once more than there may be strangers, and waits until the server has taken all of them: whoever is greeted is the
/// last. They end by a reset, so that the system keeps nothing of them.
fn wave(ship: &Ship) -> VecDeque<TcpStream> {
    let stranger = |mut stream: TcpStream| {
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        // It may say something that is no login.
        stream.write_all(b"\0").unwrap();
        stream
    };
    let silent = (0..STRANGERS).map(|_| stranger(connect(ship.tcp)));
    let mut all: VecDeque<_> = silent.collect();
    let mut last = Console::connect(ship);
    last.challenge();
    all.push_back(stranger(last.stream));
    all
}

#[test]
fn ten_thousand_connections_keep_nobody_out_and_the_servers_work_goes_on() {
    with_ship("crowd", patient(), |ship| {
        let mut bob = Console::attach(ship, "bob", "hatch");
        let mut crowd = wave(ship);
        for _ in 0..10_000 / STRANGERS {
            let next = wave(ship);
            // The oldest had to make room.
            let mut oldest = crowd.pop_front().unwrap();
            assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)));
            crowd = next;
            assert_eq!(bob.ask("knots()"), "7");
            ship.works();
        }
        // Those that are there keep nobody out, neither here nor at the other door.
        let mut ann = Console::attach(ship, "ann", "sesame");
        assert!(Telnet::attach(ship).ask("knots()").contains('7'));
        eventually("room", || {
            let sessions = ann.ask("ps(\"console-session\").len()");
            sessions.parse::<usize>().unwrap() <= STRANGERS + 2
        });
        drop(crowd);
        eventually("silence", || {
            ann.ask("ps(\"console-session\").len()") == "2"
        });
    });
}

#[test]
fn a_peer_that_reads_late_misses_nothing_and_holds_up_nobody() {
    // More than the system keeps for one who does not read: up to 4 MiB here, and little there, with so narrow a window.
    const LINES: usize = 8_000;
    const WIDTH: usize = 1_000;
    let window = |stream: &TcpStream, bytes: usize| {
        rustix::net::sockopt::set_socket_recv_buffer_size(stream, bytes).unwrap();
    };
    // It fits a row.
    let statement =
        format!("let s = \"\"; s.pad({WIDTH}, \"x\"); for i in 0..{LINES} {{ print(s+i) }}");
    assert!(statement.len() < 72);
    with_ship("late", patient(), |ship| {
        let mut console = Console::attach(ship, "ann", "sesame");
        window(&console.stream, 16 << 10);
        console.eval(&statement);
        let mut telnet = Telnet::attach(ship);
        window(&telnet.0, 16 << 10);
        telnet.send(&format!("{statement}\r"));
        let mut bob = Console::attach(ship, "bob", "hatch");
        let held_up = "ps(#{name: \"console-eval\", state: \"waiting\"}).len()";
        // Whoever is held up stays so; who does not read for 15 s is given up.
        eventually("both are held up", || {
            (0..5).all(|_| bob.ask(held_up) == "2")
        });
        for stream in [&console.stream, &telnet.0] {
            window(stream, 1 << 20);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for line in 0..LINES {
                    let wanted = format!("{}{line}", "x".repeat(WIDTH));
                    match console.receive() {
                        Some(ServerMessage::Output { text, .. }) => assert_eq!(text, wanted),
                        other => panic!("{line}: {other:?}"),
                    }
                }
                let end = console.receive();
                assert!(matches!(end, Some(ServerMessage::Result { .. })), "{end:?}");
            });
            // Behind the statement as it was typed.
            let mut reader = BufReader::new(&telnet.0);
            reader.read_until(b'\n', &mut Vec::new()).unwrap();
            for line in 0..LINES {
                let mut shown = Vec::new();
                reader.read_until(b'\n', &mut shown).unwrap();
                let wanted = format!("{}{line}\r\n", "x".repeat(WIDTH));
                assert_eq!(String::from_utf8_lossy(&shown), wanted);
            }
            // It may say how long that took.
            let mut rest = Vec::new();
            while !rest.ends_with(b"ship> ") {
                assert!(reader.read_until(b' ', &mut rest).unwrap() > 0, "closed");
            }
        });
        ship.works();
    });
}

#[test]
fn a_console_that_is_gone_in_mid_output_holds_up_nobody() {
    with_ship("gone", patient(), |ship| {
        for _ in 0..10 {
            let mut console = Console::attach(ship, "ann", "sesame");
            console.eval("loop { print(\"again\"); }");
            assert!(matches!(
                console.receive(),
                Some(ServerMessage::Output { .. })
            ));
            drop(console);
            let mut telnet = Telnet::attach(ship);
            telnet.send("loop { print(\"again\"); }\r");
            telnet.wait_for("again\r\n");
            telnet.0.shutdown(Shutdown::Both).unwrap();
        }
        let mut bob = Console::attach(ship, "bob", "hatch");
        for (name, left) in [
            ("eval", "1"),
            ("screen", "0"),
            ("keys", "0"),
            ("writer", "1"),
        ] {
            let count = format!("ps(\"console-{name}\").len()");
            eventually(&count, || bob.ask(&count) == left);
        }
        ship.works();
    });
}
