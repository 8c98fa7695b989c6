//! Consoles over TCP and telnet, on real sockets: what scripts may do, and what peers may.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, Once};
use std::time::Duration;

use grapeshot_backdoor::login::{Challenge, NONCE};
use grapeshot_backdoor::protocol::{
    ClientMessage, Decoder, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ServerMessage, VERSION, encode,
};
use grapeshot_backdoor::{Backdoor, Right, Rights};

/// A peer that waits longer than this has hung.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Ship {
    tcp: SocketAddr,
    telnet: SocketAddr,
}

/// Serves a backdoor in a runtime of its own while `test` runs on this thread.
fn with_ship(name: &str, test: impl FnOnce(Ship)) {
    // Longer than anything here takes, on whatever machine.
    with_limited(name, PATIENCE, test);
}

/// The same, with that limit for evaluations.
fn with_limited(name: &str, limit: Duration, test: impl FnOnce(Ship)) {
    let path = format!("/tmp/gs-network-{}-{name}", std::process::id());
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (end, ended) = grapeshot::sync::channel::bounded::<()>(1);
    let server = std::thread::spawn(move || {
        grapeshot::run(move || {
            let handle = Backdoor::new("ship")
                .user("ann", "sesame", Rights::all())
                .user("bob", "hatch", Rights::observe())
                .expose("crash", "", Right::Operate, || -> u32 {
                    panic!("the mast broke")
                })
                .expose("knots", "", Right::Observe, || 7)
                .time_limit(limit)
                .tcp("127.0.0.1:0")
                .telnet("localhost:0")
                .serve_unix(&path)
                .unwrap();
            let open: Vec<_> = handle.network().collect();
            assert_eq!((open[0].0, open[1].0), ("tcp", "telnet"));
            let ship = Ship {
                tcp: open[0].1,
                telnet: open[1].1,
            };
            ready.send(ship).unwrap();
            // Ends when the test drops its sender.
            let _ = ended.recv();
        });
    });
    test(is_ready.recv().unwrap());
    drop(end);
    server.join().unwrap();
}

/// Whoever can be asked.
trait Ask {
    /// The answer as text, or the error.
    fn ask(&mut self, statement: &str) -> String;
}

/// The console's protocol.
struct Console {
    stream: TcpStream,
    decoder: Decoder,
}

impl Console {
    fn attach(ship: Ship, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(ship.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut console = Self {
            stream,
            decoder: Decoder::new(MAX_SERVER_MESSAGE),
        };
        console.send(&ClientMessage::Hello { version: VERSION });
        let ServerMessage::Challenge {
            nonce,
            salt,
            rounds,
        } = console.receive()
        else {
            panic!("no challenge");
        };
        let challenge = Challenge::of(&nonce, &salt, rounds).unwrap();
        let (login, expected) = challenge.answer(user, password, [1; NONCE]);
        console.send(&login);
        match console.receive() {
            ServerMessage::Welcome { proof } => assert!(expected.is_met(&proof)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(console.receive(), ServerMessage::Hello { .. }));
        console
    }

    fn send(&mut self, message: &ClientMessage) {
        let frame = encode(message, MAX_CLIENT_MESSAGE).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    fn receive(&mut self) -> ServerMessage {
        let mut chunk = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                return message;
            }
            match self.stream.read(&mut chunk).unwrap() {
                0 => panic!("closed"),
                n => self.decoder.feed(&chunk[..n]),
            }
        }
    }
}

impl Ask for Console {
    fn ask(&mut self, statement: &str) -> String {
        self.send(&ClientMessage::Eval {
            id: 1,
            source: statement.to_owned(),
            rows: None,
        });
        match self.receive() {
            ServerMessage::Result { value, .. } => value.to_string(),
            ServerMessage::Error { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }
}

/// A telnet that shows keys by itself no longer.
struct Telnet(TcpStream);

impl Telnet {
    fn attach(ship: Ship) -> Self {
        let stream = TcpStream::connect(ship.telnet).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut telnet = Self(stream);
        telnet
            .0
            .write_all(b"\xff\xfd\x01\xff\xfd\x03ann\rsesame\r")
            .unwrap();
        telnet.wait_for("ship> ");
        telnet
    }

    /// What comes before this.
    fn wait_for(&mut self, text: &str) -> String {
        let mut received = Vec::new();
        while !received.ends_with(text.as_bytes()) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        String::from_utf8_lossy(&received).into_owned()
    }
}

impl Ask for Telnet {
    fn ask(&mut self, statement: &str) -> String {
        self.0
            .write_all(format!("{statement}\r").as_bytes())
            .unwrap();
        // Once behind the statement as it was typed, and once behind its answer.
        self.wait_for("\r\n");
        self.wait_for("ship> ")
    }
}

/// Asks by both protocols, in one session each: a statement, and a part of its answer.
fn ask_all(ship: Ship, cases: &[(&str, &str)]) {
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
    with_limited("limit", Duration::from_millis(100), |ship| {
        let limit = "stopped after 0.1 s, the time limit";
        ask_all(
            ship,
            &[
                ("loop {}", limit),
                ("sleep(3600)", limit),
                ("loop {}", limit),
            ],
        );
    });
}

#[test]
fn scripts_that_recurse_allocate_or_panic_harm_neither_server_nor_session() {
    with_ship("scripts", |ship| {
        let cases = [
            ("fn f(n) { f(n + 1) } f(0)", "nested deeper than"),
            (
                "let a = [1]; loop { a += a; }",
                "more than a console may hold",
            ),
            (
                "let s = \"x\"; loop { s += s; }",
                "more than a console may hold",
            ),
            ("crash()", "the mast broke"),
            ("knots()", "7"),
        ];
        ask_all(ship, &cases);
    });
}

#[test]
fn a_user_has_the_rights_that_were_given() {
    with_ship("rights", |ship| {
        let mut bob = Console::attach(ship, "bob", "hatch");
        assert_eq!(bob.ask("knots()"), "7");
        assert!(
            bob.ask("crash()").contains("operate"),
            "{}",
            bob.ask("crash()")
        );
        assert!(
            Console::attach(ship, "ann", "sesame")
                .ask("crash()")
                .contains("mast")
        );
    });
}

#[test]
fn a_console_that_is_gone_in_mid_output_holds_up_nobody() {
    with_ship("gone", |ship| {
        for _ in 0..10 {
            let mut console = Console::attach(ship, "ann", "sesame");
            console.send(&ClientMessage::Eval {
                id: 1,
                source: "loop { print(\"again\"); }".into(),
                rows: None,
            });
            assert!(matches!(console.receive(), ServerMessage::Output { .. }));
            drop(console);
            let mut telnet = Telnet::attach(ship);
            telnet.0.write_all(b"loop { print(\"again\"); }\r").unwrap();
            telnet.wait_for("again\r\n");
            telnet.0.shutdown(Shutdown::Both).unwrap();
        }
        let mut ann = Console::attach(ship, "ann", "sesame");
        assert!((0..100_000).any(|_| ann.ask("ps(\"console-eval\").len()") == "1"));
        assert!((0..100_000).any(|_| ann.ask("ps(\"console-screen\").len()") == "0"));
    });
}

struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

#[test]
fn who_came_from_where_and_asked_what_is_logged() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOG).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    let mut from = String::new();
    with_ship("log", |ship| {
        let mut bob = Console::attach(ship, "bob", "hatch");
        from = format!("bob (tcp {})", bob.stream.local_addr().unwrap());
        bob.ask("knots()");
        let mut guest = TcpStream::connect(ship.telnet).unwrap();
        guest.write_all(b"mallory\rguess\r").unwrap();
        std::io::copy(&mut guest, &mut std::io::sink()).unwrap();
    });
    // The end of the backdoor waits for its logger.
    let log = LOG.0.lock().unwrap();
    let has = |part: &str| log.iter().any(|line| line.contains(part));
    assert!(has(&format!("attached: {from}, may observe")), "{log:#?}");
    assert!(has(&format!("{from}: \"knots()\"")), "{log:#?}");
    assert!(has(&format!("left: {from}")), "{log:#?}");
    assert!(has("failed to log in as \"mallory\""), "{log:#?}");
    assert!(!has("guess") && !has("hatch"), "{log:#?}");
}
