use serde_json::json;

use super::*;
use crate::protocol::Completion;

/// A dialogue that has been greeted by a telnet that shows keys by itself no longer.
struct Talk {
    dialogue: Dialogue,
    outcomes: Vec<Outcome>,
    screen: vt100::Parser,
}

impl Talk {
    fn new() -> Self {
        let mut talk = Self {
            dialogue: Dialogue::new(),
            outcomes: Vec::new(),
            screen: vt100::Parser::new(40.try_into().unwrap(), 80.try_into().unwrap(), 0),
        };
        talk.feed(b"\xff\xfd\x01\xff\xfd\x03");
        talk.handle(&ServerMessage::Hello {
            version: 1,
            application: "ship".into(),
            pid: 17,
            uptime: 3.0,
            session: 1,
        });
        talk
    }

    fn feed(&mut self, bytes: &[u8]) {
        let sent = self.dialogue.feed(bytes, &mut self.outcomes);
        self.show(&sent);
    }

    fn handle(&mut self, message: &ServerMessage) {
        let sent = self.dialogue.handle(message, &mut self.outcomes);
        self.show(&sent);
    }

    /// What a telnet would: without its own commands, which come first.
    fn show(&mut self, mut sent: &[u8]) {
        while let [255, _, _, rest @ ..] = sent {
            sent = rest;
        }
        self.screen.process(sent);
    }

    fn asked(&mut self) -> ClientMessage {
        match self.outcomes.remove(0) {
            Outcome::Ask(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Enters a whole statement; the number of its evaluation.
    fn run(&mut self, source: &str) -> u64 {
        self.feed(format!("{source}\r").as_bytes());
        let ClientMessage::Check {
            id,
            source: checked,
        } = self.asked()
        else {
            panic!("not checked");
        };
        assert_eq!(checked, source);
        self.handle(&ServerMessage::Ready { id });
        match self.asked() {
            ClientMessage::Eval {
                id, source: sent, ..
            } => {
                assert_eq!(sent, source);
                id
            }
            other => panic!("{other:?}"),
        }
    }

    fn result(&mut self, id: u64, value: Value) {
        self.handle(&ServerMessage::Result {
            id,
            value,
            total: None,
            elapsed: 0.1,
        });
    }

    fn shown(&self) -> String {
        self.screen.screen().contents().trim_end().to_owned()
    }
}

#[test]
fn a_statement_is_checked_evaluated_and_shown() {
    let mut talk = Talk::new();
    let id = talk.run("6 * 7");
    talk.result(id, json!(42));
    assert_eq!(
        talk.shown(),
        "ship (process 17, up 3.00 s). help() lists what there is, Tab completes, Ctrl-D leaves.\n\
         ship> 6 * 7\n42\nship>"
    );
}

#[test]
fn a_statement_that_is_not_whole_goes_on() {
    let mut talk = Talk::new();
    talk.feed(b"[1,\r");
    let ClientMessage::Check { id, .. } = talk.asked() else {
        panic!()
    };
    talk.handle(&ServerMessage::Incomplete { id });
    talk.feed(b"2]\r");
    assert!(matches!(talk.asked(), ClientMessage::Check { source, .. } if source == "[1,\n2]"));
}

#[test]
fn what_is_typed_ahead_waits() {
    let mut talk = Talk::new();
    talk.feed(b"1\r2\r");
    let ClientMessage::Check { id, .. } = talk.asked() else {
        panic!()
    };
    assert!(talk.outcomes.is_empty());
    talk.handle(&ServerMessage::Ready { id });
    let ClientMessage::Eval { id, .. } = talk.asked() else {
        panic!()
    };
    assert!(talk.outcomes.is_empty());
    talk.result(id, json!(1));
    assert!(matches!(talk.asked(), ClientMessage::Check { source, .. } if source == "2"));
}

#[test]
fn ctrl_c_interrupts_once_and_forgets_what_was_typed_ahead() {
    let mut talk = Talk::new();
    let id = talk.run("loop {}");
    talk.feed(b"typed\r\x03\x03\x03");
    assert_eq!(talk.asked(), ClientMessage::Interrupt { id });
    assert!(talk.outcomes.is_empty());
    talk.handle(&ServerMessage::Error {
        id,
        message: "interrupted".into(),
        line: None,
        column: None,
        hint: None,
    });
    assert!(talk.outcomes.is_empty());
    assert!(
        talk.shown()
            .ends_with("ship> loop {}\n^C\nerror: interrupted\nship>"),
        "{}",
        talk.shown()
    );
    // The commands of telnet do the same; at the prompt they give a line up.
    talk.feed(b"half\xff\xf4");
    assert!(talk.shown().ends_with("runs\nship>"), "{}", talk.shown());
    assert!(talk.outcomes.is_empty());
}

#[test]
fn output_rows_and_errors_come_as_at_the_console() {
    let mut talk = Talk::new();
    let id = talk.run("f()");
    talk.handle(&ServerMessage::Output {
        id,
        text: "one\ntwo".into(),
        partial: false,
    });
    talk.handle(&ServerMessage::Rows {
        id,
        rows: vec![json!({"a": 1}), json!({"a": 22})],
    });
    talk.handle(&ServerMessage::Result {
        id,
        value: Value::Null,
        total: Some(3),
        elapsed: 2.0,
    });
    let shown = talk.shown();
    let want = "ship> f()\none\ntwo\n a\n──\n 1\n22\n… 1 more row\n(2.00 s)\nship>";
    assert!(shown.ends_with(want), "{shown}");
    // Of another evaluation.
    talk.result(id, json!("late"));
    assert_eq!(talk.shown(), shown);
}

#[test]
fn tab_asks_for_candidates() {
    let mut talk = Talk::new();
    talk.feed(b"wor\t");
    let ClientMessage::Complete { id, line, cursor } = talk.asked() else {
        panic!()
    };
    assert_eq!((line.as_str(), cursor), ("wor", 3));
    let workers = Completion {
        text: "workers()".into(),
        label: "workers()".into(),
    };
    talk.handle(&ServerMessage::Completions {
        id,
        start: 0,
        names: vec![workers],
    });
    assert!(talk.shown().ends_with("ship> workers()"));
}

#[test]
fn there_are_ways_to_leave() {
    for way in [b"\x04".as_slice(), b"exit\r", b"quit()\r"] {
        let mut talk = Talk::new();
        talk.feed(way);
        assert_eq!(talk.outcomes, [Outcome::Left]);
    }
}

#[test]
fn a_login_is_asked_for_line_by_line() {
    let mut dialogue = Dialogue::new();
    let mut outcomes = Vec::new();
    // Both lines may be there already, as when a script sends them.
    dialogue.feed(b"ann\nsesame\n", &mut outcomes);
    dialogue.begin_line("login: ", Show::Text, &mut outcomes);
    assert_eq!(outcomes, [Outcome::Line("ann".into())]);
    let sent = dialogue.begin_line("password: ", Show::Nothing, &mut outcomes);
    assert_eq!(outcomes[1..], [Outcome::Line("sesame".into())]);
    assert_eq!(sent, b"password: ");
}

#[test]
fn typing_without_end_takes_no_memory() {
    let mut talk = Talk::new();
    talk.run("loop {}");
    for _ in 0..1000 {
        talk.feed(&[b'x'; 1000]);
    }
    assert_eq!(talk.dialogue.typed_ahead.len(), TYPED_AHEAD);
}
