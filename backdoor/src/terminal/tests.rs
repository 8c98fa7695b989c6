//! Telnet in a simulation: its network is in memory, its time is virtual.

use std::io::Write;
use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation};
use grapeshot::time::now;

use super::*;
use crate::Backdoor;
use crate::door;
use crate::rights::Rights;

const ADDRESS: &str = "10.0.0.1:7779";

/// A telnet that shows keys by itself no longer, in a window of 100 columns.
const AGREES: &[u8] =
    b"\xff\xfd\x01\xff\xfd\x03\xff\xfb\x03\xff\xfb\x1f\xff\xfa\x1f\x00\x64\x00\x2b\xff\xf0";

/// Serves telnet at [`ADDRESS`], with a user ann whose password is sesame, while `test` runs.
fn with_telnet(seed: u64, test: impl FnOnce() + Send + 'static) {
    let network = NetworkConfig::new().chop(true);
    Simulation::new(seed).network(network).run(move || {
        let backdoor = Backdoor::new("ship").user("ann", "sesame", Rights::all());
        let shared = Shared::of(backdoor).unwrap();
        let listener = TcpListener::bind(ADDRESS).unwrap();
        let door = grapeshot::spawn(move || {
            door::accept_forever(&shared, &listener, "telnet", enter);
        });
        test();
        door.interrupt();
        let _ = door.join();
    });
}

struct Person {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of that has been waited for.
    seen: usize,
}

impl Person {
    fn connect() -> Self {
        Self {
            stream: TcpStream::connect(ADDRESS).unwrap(),
            received: Vec::new(),
            seen: 0,
        }
    }

    /// At the prompt.
    fn attach() -> Self {
        let mut person = Self::connect();
        person.send(AGREES);
        person.log_in("sesame");
        person.wait_for("ship> ");
        person
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn log_in(&mut self, password: &str) {
        self.wait_for("login: ");
        self.send(b"ann\r\0");
        self.wait_for("password: ");
        self.send(format!("{password}\r\0").as_bytes());
    }

    /// Reads until this has come, behind what was waited for before; gives what stands before it.
    fn wait_for(&mut self, text: &str) -> String {
        let mut chunk = [0; 1024];
        loop {
            let new = String::from_utf8_lossy(&self.received[self.seen..]).into_owned();
            if let Some((before, _)) = new.split_once(text) {
                // Telnet's own bytes are no UTF-8: nothing is waited for behind them by its length.
                let behind = self.received[self.seen..]
                    .windows(text.len())
                    .position(|window| window == text.as_bytes());
                self.seen += behind.unwrap() + text.len();
                return before.to_owned();
            }
            match self.stream.read(&mut chunk) {
                Ok(count @ 1..) => self.received.extend_from_slice(&chunk[..count]),
                end => panic!("waited for {text:?}, there came {new:?} and {end:?}"),
            }
        }
    }

    /// Reads to the end.
    fn rest(&mut self) -> String {
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = self.stream.read(&mut chunk) {
            self.received.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&self.received[self.seen..]).into_owned()
    }
}

#[test]
fn a_person_logs_in_and_asks() {
    with_telnet(1, || {
        let mut ann = Person::attach();
        ann.send("let a = [1, 2];\r\0a.map(|n| n * 21)\r\0".as_bytes());
        ann.wait_for("\r\n[21, 42]\r\n");
        ann.wait_for("ship> ");
        ann.send("\x1b[A\x05.len() + 3; \"grüße\"\r".as_bytes());
        ann.wait_for("\r\ngrüße\r\n");
        ann.wait_for("ship> ");
        ann.send(b"wor\t");
        ann.wait_for("workers()");
        ann.send(b"\x15\x04");
        ann.rest();
        let all = String::from_utf8_lossy(&ann.received).into_owned();
        assert!(!all.contains("sesame"), "the password was shown");
    });
}

#[test]
fn a_wrong_password_waits_is_refused_and_closed() {
    with_telnet(2, || {
        let mut guest = Person::connect();
        guest.log_in("Sesame");
        let before = now();
        assert!(guest.rest().contains("wrong user or password"));
        assert!(now() - before >= limits::LOGIN_PENALTY);
    });
}

#[test]
fn a_login_that_never_comes_is_given_up() {
    with_telnet(3, || {
        let before = now();
        let mut silent = Person::connect();
        let mut slow = Person::connect();
        slow.wait_for("login: ");
        slow.send(b"ann\r\0");
        for guest in [&mut silent, &mut slow] {
            assert!(guest.rest().contains("no login came in time"));
        }
        assert!(now() - before >= limits::TYPING_TIMEOUT);
    });
}

#[test]
fn ctrl_c_stops_a_loop_and_what_it_prints() {
    with_telnet(4, || {
        let mut ann = Person::attach();
        ann.send(b"loop { print(\"again and again\"); }\r");
        ann.wait_for("again and again\r\nagain and again");
        ann.send(b"\xff\xf4");
        ann.wait_for("error: interrupted");
        ann.wait_for("ship> ");
        ann.send(b"6 * 7\r");
        ann.wait_for("\r\n42\r\n");
    });
}

#[test]
fn one_that_does_not_read_is_given_up_and_holds_up_nobody() {
    with_telnet(5, || {
        let mut deaf = Person::attach();
        deaf.send(b"loop { print(\"again and again\"); }\r");
        let mut ann = Person::attach();
        ann.send(b"6 * 7\r");
        ann.wait_for("\r\n42\r\n");
        grapeshot::sleep(3 * limits::WRITE_TIMEOUT);
        ann.wait_for("ship> ");
        ann.send(b"ps(\"console-eval\").len()\r");
        // Its own evaluation is the only one.
        ann.wait_for("\r\n1\r\n");
        ann.send(b"ps(\"console-screen\").len()\r");
        ann.wait_for("\r\n1\r\n");
    });
}

#[test]
fn nothing_of_one_session_is_shown_at_another() {
    with_telnet(6, || {
        let others = [("left", "right"), ("right", "left")];
        let talks = others.map(|(own, foreign)| {
            grapeshot::spawn(move || {
                let mut person = Person::attach();
                person.send(
                    format!("for n in 0..200 {{ print(\"{own}\"); sleep(0.001); }}; 1 + 1\r")
                        .as_bytes(),
                );
                let shown = person.wait_for("\r\n2\r\n");
                assert_eq!(shown.matches(&format!("\r\n{own}")).count(), 200);
                assert!(!shown.contains(foreign));
            })
        });
        for talk in talks {
            talk.join().unwrap();
        }
    });
}

#[test]
fn who_sends_lines_without_telnet_is_served_without_an_echo() {
    with_telnet(7, || {
        let mut script = Person::connect();
        script.send(b"ann\nsesame\n6 *\n7\n");
        script.wait_for("42\r\n");
        script.send(b"exit\n");
        script.rest();
        let all = String::from_utf8_lossy(&script.received).into_owned();
        assert!(
            all.contains("login: password: ") && !all.contains("6 *"),
            "{all}"
        );
    });
}

#[test]
fn a_person_that_is_gone_leaves_nothing_behind() {
    with_telnet(8, || {
        let mut ann = Person::attach();
        ann.send(b"loop { sleep(1); }\r");
        let mut typing = Person::connect();
        typing.wait_for("login: ");
        drop((ann, typing));
        grapeshot::sleep(Duration::from_secs(5));
        let all = grapeshot::registry::coroutines();
        let left: Vec<_> = all
            .iter()
            .filter(|it| it.name.starts_with("console-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
