//! The door in a simulation: its network is in memory, its time is virtual.

#[path = "../../tests/network_support/console.rs"]
mod console;

use std::io::Write;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation};
use grapeshot::time::now;

use super::*;
use crate::Backdoor;
use crate::rights::Rights;
use console::Console;

const ADDRESS: &str = "10.0.0.1:7777";

/// Serves the console's protocol at [`ADDRESS`], with a user ann whose password is sesame, while `test` runs.
fn with_door(seed: u64, test: impl FnOnce() + Send + 'static) {
    let network = NetworkConfig::new();
    Simulation::new(seed).network(network).run(move || {
        let backdoor = Backdoor::new("ship").user("ann", "sesame", Rights::observe());
        let shared = Shared::of(backdoor).unwrap();
        let listener = TcpListener::bind(ADDRESS).unwrap();
        let door = grapeshot::spawn(move || {
            door::accept_forever(&shared, &listener, "tcp", enter);
        });
        test();
        door.interrupt();
        let _ = door.join();
    });
}

impl Console<TcpStream> {
    fn connect() -> Self {
        Self::over(TcpStream::connect(ADDRESS).unwrap())
    }

    /// Logs in and asks something.
    fn is_served(&mut self) {
        self.enter("ann", "sesame");
        assert_eq!(self.ask("6 * 7"), "42");
    }
}

#[test]
fn the_right_password_opens_a_session() {
    with_door(1, || Console::connect().is_served());
}

#[test]
fn a_wrong_password_waits_is_refused_and_closed() {
    with_door(2, || {
        let mut console = Console::connect();
        console.answer("ann", "Sesame");
        let before = now();
        assert_eq!(console.refusal(), "wrong user or password");
        assert!(now() - before >= limits::LOGIN_PENALTY);
    });
}

#[test]
fn a_login_that_was_overheard_is_of_no_use() {
    with_door(3, || {
        let mut console = Console::connect();
        let overheard = console.log_in("ann", "sesame");
        let mut thief = Console::connect();
        thief.challenge();
        thief.send(&overheard);
        assert_eq!(thief.refusal(), "wrong user or password");
    });
}

#[test]
fn a_login_that_never_comes_is_given_up() {
    with_door(4, || {
        let before = now();
        let mut silent = Console::connect();
        assert_eq!(silent.refusal(), "no greeting came in time");
        let mut polite = Console::connect();
        polite.challenge();
        assert_eq!(polite.refusal(), "no login came in time");
        assert!(now() - before >= 2 * limits::HELLO_TIMEOUT);
    });
}

#[test]
fn nothing_is_evaluated_without_a_login() {
    with_door(5, || {
        let mut hasty = Console::connect();
        hasty.challenge();
        hasty.eval("1");
        assert!(hasty.refusal().contains("log in first"));
        let mut rude = Console::connect();
        rude.eval("1");
        assert!(rude.refusal().contains("use the program `console`"));
        let mut browser = Console::connect();
        browser.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(browser.refusal().contains("use the program `console`"));
        // What would be a fine statement of somebody known is too long for a stranger.
        let mut large = Console::connect();
        large.challenge();
        large.send(&ClientMessage::Login {
            user: "ann".into(),
            nonce: "x".repeat(5000),
            proof: String::new(),
        });
        assert!(large.refusal().contains("log in first"));
    });
}

#[test]
fn ten_thousand_strangers_keep_nobody_out() {
    with_door(6, || {
        let mut crowd: Vec<Console<TcpStream>> = (0..100).map(|_| Console::connect()).collect();
        let mut known = Console::connect();
        known.is_served();
        for _ in 0..100 {
            crowd.clear();
            crowd.extend((0..100).map(|_| Console::connect()));
        }
        // Those that are there now hold every place, and none that could not be taken.
        let sessions = || {
            let all = grapeshot::registry::coroutines();
            let is_session = |name: &str| name.starts_with("console-session-");
            all.iter().filter(|it| is_session(&it.name)).count()
        };
        assert!(sessions() >= limits::STRANGERS, "{}", sessions());
        grapeshot::sleep(Duration::from_millis(100));
        assert!(sessions() <= limits::STRANGERS + 2, "{}", sessions());
        Console::connect().is_served();
        // Who was known before is none of them.
        assert_eq!(known.ask("1 + 1"), "2");
    });
}

#[test]
fn addresses_that_others_can_reach_are_refused() {
    let asked = |address: &str, anywhere| Asked {
        speaks: Speaks::Console,
        address: address.to_owned(),
        anywhere,
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7"] {
        let refused = bind(&asked(address, false)).map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(
            refused.to_string().contains("tcp_in_the_clear"),
            "{refused}"
        );
    }
    for (address, anywhere) in [
        ("127.0.0.1:0", false),
        ("localhost:0", false),
        ("0.0.0.0:0", true),
    ] {
        assert!(bind(&asked(address, anywhere)).is_ok(), "{address}");
    }
    assert!(bind(&asked("nonsense", false)).is_err());
}

#[test]
fn a_door_that_nobody_could_enter_is_not_opened() {
    let path = format!("/tmp/gs-nobody-{}", std::process::id());
    let served = grapeshot::run(move || {
        Backdoor::new("t")
            .tcp("127.0.0.1:0")
            .serve_unix(&path)
            .map(drop)
    });
    let refused = served.unwrap_err().to_string();
    assert!(refused.contains("Backdoor::user"), "{refused}");
}
