//! The language as a session has it. Here stands what all its tests begin with.

use super::*;
use crate::Secret;
use crate::backdoor::Backdoor;
use crate::render::{self, Style};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

mod bounds;
mod errors;
mod exposed;
mod roles;
mod statements;

/// What nobody may ever be shown.
const SESAME: &str = "open sesame";

#[derive(serde::Serialize, serde::Deserialize)]
struct World {
    speed: f64,
    age: Duration,
    players: Vec<Player>,
    limits: std::collections::BTreeMap<String, i64>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Player {
    name: String,
    lives: u8,
}

impl World {
    fn new() -> Self {
        let player = |number: usize| Player {
            name: format!("player-{number}"),
            lives: 3,
        };
        Self {
            speed: 1.5,
            age: Duration::from_millis(2500),
            players: (0..5).map(player).collect(),
            limits: [("high".into(), 9), ("low".into(), 1)].into(),
        }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Vault {
    gold: u32,
    password: Secret<String>,
    others: Vec<Secret<String>>,
}

impl Vault {
    fn new() -> Self {
        Self {
            gold: 7,
            password: Secret::new(SESAME.into()),
            others: vec![Secret::new(SESAME.into())],
        }
    }
}

/// An interpreter on a thread with the stack of an evaluation, and what it printed.
struct Bench {
    interpreter: Interpreter,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new() -> Self {
        Self::limited(Duration::from_secs(600))
    }

    fn limited(limit: Duration) -> Self {
        Self::of(limit, Rights::all())
    }

    fn with(rights: &str) -> Self {
        Self::of(Duration::from_secs(600), rights.parse().unwrap())
    }

    fn of(limit: Duration, rights: Rights) -> Self {
        let backdoor = Backdoor::new("test")
            .expose("players", "everybody", Right::Observe, || {
                vec![
                    json!({"name": "ann", "score": 3}),
                    json!({"name": "bob", "score": 5}),
                ]
            })
            .expose("speed", "steps a second", Right::Observe, |steps: f64| {
                steps * 2.0
            })
            .expose("double", "twice", Right::Observe, |n: i64| n * 2)
            .expose(
                "kick",
                "throw out",
                Right::Operate,
                |name: String| -> Result<(), String> { Err(format!("nobody is called {name}")) },
            )
            .expose("age", "a duration", Right::Observe, || {
                Duration::from_millis(2500)
            })
            .expose_setting(
                "world",
                "where all is",
                Right::Observe,
                Right::Operate,
                &Arc::new(Mutex::new(World::new())),
            )
            .expose_setting(
                "vault",
                "what nobody may see",
                Right::Observe,
                Right::Operate,
                &Arc::new(Mutex::new(Vault::new())),
            )
            .expose("passphrase", "another", Right::Operate, |old: String| {
                if old == SESAME {
                    panic!("{old}");
                }
                format!("{old} {SESAME}")
            })
            .secret("passphrase")
            .expose("boom", "panics", Right::Operate, || -> i64 {
                panic!("the roof fell in")
            });
        Self::serving(backdoor, limit, rights)
    }

    fn serving(backdoor: Backdoor, limit: Duration, rights: Rights) -> Self {
        let shared = Shared::of(backdoor).unwrap();
        let pace = Arc::new(Pace::new(limit, 0));
        let printed: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = Arc::clone(&printed);
        let visitor = Visitor {
            name: "tester".into(),
            from: "a test".into(),
            rights,
        };
        let printer: Printer =
            Arc::new(move |text: &str| into.lock().unwrap().push(text.to_owned()));
        Self {
            interpreter: Interpreter::new(&shared, &pace, &printer, &visitor),
            printed,
        }
    }

    fn outcome(&mut self, source: &str) -> Outcome {
        self.interpreter.pace.start();
        self.interpreter.evaluate(source)
    }

    fn value(&mut self, source: &str) -> Value {
        match self.outcome(source) {
            Outcome::Value => value::to_json(
                self.interpreter.result(),
                Units::Marked,
                &self.interpreter.shared.shapes,
                &self.interpreter.pace,
            )
            .unwrap(),
            Outcome::Incomplete => panic!("{source:?} is incomplete"),
            Outcome::Failed(complaint) => panic!("{source:?}: {complaint:?}"),
        }
    }

    fn complaint(&mut self, source: &str) -> Complaint {
        match self.outcome(source) {
            Outcome::Failed(complaint) => complaint,
            Outcome::Incomplete => panic!("{source:?} is incomplete"),
            Outcome::Value => panic!("{source:?} gave {}", self.interpreter.result()),
        }
    }
}

/// The language's frames are large in debug builds; test threads have 2 MiB, as evaluations have.
fn on_an_evaluations_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(limits::STACK_SIZE)
        .spawn(test)
        .unwrap();
    thread.join().unwrap();
}
