use super::*;
use crate::Secret;
use crate::backdoor::Backdoor;
use crate::render::{self, Style};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

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

#[test]
fn variables_functions_and_the_last_result_stay() {
    let mut bench = Bench::new();
    assert_eq!(bench.value("let x = 20; x + 1"), json!(21));
    assert_eq!(bench.value("_ * 2"), json!(42));
    assert_eq!(bench.value("fn half(n) { n / 2 }"), Value::Null);
    assert_eq!(bench.value("half(_) + x"), json!(41));
    assert_eq!(bench.value("let s = `_ is ${_}`; s"), json!("_ is 41"));
    assert_eq!(bench.value("print(\"a _ b\")"), Value::Null);
    assert_eq!(bench.value("_"), json!("_ is 41"), "nothing is no result");
    assert_eq!(bench.printed.lock().unwrap().as_slice(), ["a _ b"]);
}

#[test]
fn the_default_of_a_switch_is_still_the_default() {
    let mut bench = Bench::new();
    assert_eq!(bench.value("7"), json!(7));
    assert_eq!(bench.value("switch 3 { 1 => 2, _ => _ + 1 }"), json!(8));
    assert_eq!(
        bench.value("switch 3 {\n 1 => 2,\n _\n =>\n \"ü\" }"),
        json!("ü")
    );
}

#[test]
fn the_applications_functions_are_called() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.value("players().filter(|p| p.score > 3)"),
        json!([{"name": "bob", "score": 5}])
    );
    assert_eq!(bench.value("players().map(|p| p.score)"), json!([3, 5]));
    assert_eq!(bench.value("speed(2)"), json!(4.0));
    assert_eq!(bench.value("age()"), json!({"$duration": 2.5}));
    assert_eq!(
        bench.value("age() * 2"),
        json!(5.0),
        "arithmetic makes it a number"
    );
    assert_eq!(
        bench.value("players().top(\"score\", 1)[0].name"),
        json!("bob")
    );
    assert_eq!(
        bench.value("players().order(\"score\")[0].name"),
        json!("ann")
    );
    assert_eq!(
        bench.value("[#{a: 1}, #{a: 2}, #{a: 1}].count_by(\"a\")[0]"),
        json!({"value": 1, "count": 2})
    );
}

#[test]
fn errors_say_what_to_do() {
    let mut bench = Bench::new();
    let mut check = |source: &str, message: &str, hint: Option<&str>| {
        let complaint = bench.complaint(source);
        assert_eq!(
            (complaint.message.as_str(), complaint.hint.as_deref()),
            (message, hint),
            "{source}"
        );
    };
    check("kick(\"zoe\")", "kick: nobody is called zoe", None);
    check(
        "playrs()",
        "there is no function playrs()",
        Some("did you mean players?"),
    );
    check(
        "zebra()",
        "there is no function zebra()",
        Some("help() lists the functions"),
    );
    check(
        "speed()",
        "speed cannot be called like this: speed()",
        Some("it is speed(number)"),
    );
    check(
        "players",
        "there is no variable `players`",
        Some("it is a function: players()"),
    );
    check(
        "nothing",
        "there is no variable `nothing`",
        Some("`let nothing = …` makes one"),
    );
    check("_", "there is no last result yet", None);
    check("throw \"out\"", "out", None);
    check(
        "#{a: 1}.b",
        "there is no field `b`",
        Some("show the value to see its fields"),
    );
    check("1 +* 2", "unexpected '*'", None);
    check(
        "help(\"zebra\")",
        "there is no help for \"zebra\"; help() lists what there is",
        None,
    );
    check(
        "kill(123456789)",
        "no coroutine has the id 123456789: it may have ended; ps() lists those that live",
        None,
    );
    check(
        "where(-1)",
        "no coroutine has the id -1: it may have ended; ps() lists those that live",
        None,
    );
    let wrong = bench.complaint("double(\"x\")");
    assert!(
        wrong
            .message
            .starts_with("double: argument 1: integer wanted, not \"x\""),
        "{wrong:?}"
    );
}

#[test]
fn errors_know_their_place() {
    let mut bench = Bench::new();
    let complaint = bench.complaint("let a = 1;\nlet b = zebra;");
    assert_eq!((complaint.line, complaint.column), (Some(2), Some(9)));
    let complaint = bench.complaint("let a = ;");
    assert_eq!((complaint.line, complaint.column), (Some(1), Some(9)));
}

#[test]
fn what_goes_on_in_the_next_line_is_told_from_what_is_wrong() {
    let bench = Bench::new();
    let goes_on = [
        "let a = [1,2",
        "fn f(x) {",
        "1 +",
        "if x",
        "foo(",
        "foo(1",
        "let x =",
        "#{a: 1",
        "#{",
        "[1,2].map(|x|",
        "for i in",
        "x.",
        "if true { 1",
        "if true { 1 } else",
        "switch 3 {",
        "loop",
        "`abc",
        "\"abc\\",
        "a[",
        "fn",
        "foo(\n1,\n",
        "let x = [ 1,\n\n",
        "try {",
        "if a {\n b();\n",
    ];
    for source in goes_on {
        assert!(
            bench.interpreter.is_incomplete(source),
            "{source:?} goes on"
        );
    }
    for source in [
        "",
        "1 + 1",
        "1 2",
        "]",
        "let x = 5 }",
        "\"abc",
        "#",
        "@",
        "let 5 = x",
        "foo(1))",
        "if true { 1 2 }",
        "'ab'",
    ] {
        assert!(
            !bench.interpreter.is_incomplete(source),
            "{source:?} does not go on"
        );
    }
}

#[test]
fn an_error_leaves_the_variables_as_they_were() {
    let mut bench = Bench::new();
    bench.value("let kept = 1;");
    bench.complaint("let lost = 2; if true { let inner = 3; zebra() }");
    assert_eq!(bench.interpreter.variables(), ["kept"]);
    assert_eq!(bench.value("kept"), json!(1));
}

#[test]
fn loops_end_at_the_time_limit() {
    let mut bench = Bench::limited(Duration::from_millis(50));
    for endless in [
        "loop {}",
        "while true { }",
        "fn f() { loop { } } f()",
        "try { loop {} } catch { 1 }",
        "let a = [3,2,1]; loop { a.sort(|x, y| x - y) }",
        "watch(|| { loop {} }, 1)",
    ] {
        let complaint = bench.complaint(endless);
        assert_eq!(
            complaint.message, "stopped after 0.05 s, the time limit of this console",
            "{endless}"
        );
    }
    assert_eq!(bench.value("1"), json!(1));
}

#[test]
fn an_interrupt_ends_a_loop() {
    let mut bench = Bench::new();
    let pace = Arc::clone(&bench.interpreter.pace);
    let register = move || pace.interrupt();
    bench
        .interpreter
        .engine
        .register_fn("interrupt_now", register);
    assert_eq!(
        bench.complaint("interrupt_now(); loop {}").message,
        "interrupted"
    );
}

#[test]
fn memory_and_depth_are_limited() {
    on_an_evaluations_stack(|| {
        let mut bench = Bench::new();
        let too_large = "is more than a console may hold";
        for greedy in [
            "let s = \"x\"; loop { s += s; }",
            "let a = [1]; loop { a += a; }",
            "let a = []; a.pad(1000000, 7); a",
        ] {
            let complaint = bench.complaint(greedy);
            assert!(
                complaint.message.contains(too_large),
                "{greedy}: {complaint:?}"
            );
        }
        let complaint = bench.complaint("fn f(n) { f(n + 1) } f(0)");
        assert_eq!(complaint.message, "calls are nested deeper than 64");
        let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
        assert_eq!(
            bench.complaint(&deep).message,
            "expressions are nested too deep"
        );
        bench.complaint("import \"/etc/passwd\" as p;");
    });
}

#[test]
fn help_lists_everything_and_explains_one_name() {
    let mut bench = Bench::new();
    let list = bench.value("help()");
    let calls: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["call"].as_str().unwrap())
        .collect();
    assert!(
        calls.starts_with(&["players()", "speed(number)"]),
        "{calls:?}"
    );
    for built_in in ["ps()", "where(id)", "kill(id)", "workers()", "stats()"] {
        assert!(calls.contains(&built_in), "{built_in} in {calls:?}");
    }
    assert_eq!(
        bench.value("help(\"speed\")"),
        json!("speed(number): steps a second")
    );
}

#[test]
fn deeply_nested_values_meet_the_time_limit_before_the_stacks_end() {
    // Each turn copies and measures the whole value, so depth grows with the root of time: what holds for a second
    // on a sixth of the stack holds for thirty on all of it.
    let (limit, share) = (Duration::from_secs(1), limits::STACK_SIZE / 6);
    assert!(limits::TIME_LIMIT <= limit * 36);
    for nesting in [
        "let a = []; loop { a = [a]; }",
        "let m = #{}; loop { m = #{m: m}; }",
    ] {
        let nested = move || {
            let mut bench = Bench::limited(limit);
            let complaint = bench.complaint(nesting);
            assert!(
                complaint.message.starts_with("stopped after 1 s"),
                "{nesting}: {complaint:?}"
            );
        };
        std::thread::Builder::new()
            .stack_size(share)
            .spawn(nested)
            .unwrap()
            .join()
            .unwrap();
    }
}

/// A call as `help()` writes it, with a value for each argument, such that it does no harm.
fn sample(call: &str) -> String {
    let (name, arguments) = call.trim_end_matches(')').split_once('(').unwrap();
    let value = |argument: &str| match argument {
        "id" => "0",
        "seconds" | "n" | "integer" | "number" => "1",
        "field" | "text" | "x" => "\"a\"",
        "file" | "path" => "\"/nowhere/x\"",
        "World" | "Vault" => "#{}",
        other => panic!("no sample for the argument `{other}` of {call}: add one here"),
    };
    let arguments: Vec<&str> = arguments
        .split(", ")
        .filter(|argument| !argument.is_empty())
        .map(value)
        .collect();
    let name = name.replace("rows.", "[#{a: 1}].");
    format!("{name}({})", arguments.join(", "))
}

/// All sets of rights.
fn roles() -> impl Iterator<Item = Rights> {
    (0..16).map(|bits: usize| {
        let all = Right::ALL.into_iter().enumerate();
        all.filter(|(at, _)| bits & (1 << at) != 0)
            .map(|(_, right)| right)
            .collect()
    })
}

/// Every function of the tables and every exposed one, for every role: refused, in words, exactly if the right is missing.
/// What operates is not called with the right, since it might.
#[test]
fn each_role_may_call_what_it_has_the_right_to() {
    on_an_evaluations_stack(|| {
        let exposed = Bench::new().interpreter.shared.functions.clone();
        let exposed = exposed.iter().map(|f| (f.signature(), f.right));
        let built_in = builtin::entries().map(|entry| (entry.call.to_owned(), entry.right));
        let calls: Vec<(String, Right)> = exposed.chain(built_in).collect();
        let (mut refused, mut called) = (0, 0);
        for role in roles() {
            let mut bench = Bench::of(Duration::from_secs(600), role);
            for (call, right) in &calls {
                let may = role.contains(*right);
                if may && *right != Right::Observe {
                    continue;
                }
                let complaint = match bench.outcome(&sample(call)) {
                    Outcome::Failed(complaint) => complaint.message,
                    _ => String::new(),
                };
                let refusal = format!(
                    "{call} needs the right `{right}`, which this session does not have: it has {role}"
                );
                assert_eq!(
                    complaint == refusal,
                    !may,
                    "{call} with {role}: {complaint:?}"
                );
                *if may { &mut called } else { &mut refused } += 1;
            }
        }
        let observing = calls.iter().filter(|(_, right)| *right == Right::Observe);
        assert_eq!(called, observing.count() * 8);
        assert_eq!(refused, calls.len() * 8);
    });
}

#[test]
fn without_the_right_to_evaluate_a_line_is_one_expression() {
    let mut bench = Bench::with("observe,trace,operate");
    assert_eq!(bench.value("speed(2) + 1"), json!(5.0));
    assert_eq!(bench.value("_ * 2"), json!(10.0));
    assert_eq!(bench.value("players()[1].name"), json!("bob"));
    for program in [
        "let x = 5",
        "let x = 5; x",
        "1; 2",
        "loop {}",
        "while true {}",
        "fn f() { 1 }",
        "players().filter(|p| p.score > 3)",
        "if true { 1 } else { 2 }",
        "switch 1 { _ => { loop {} } }",
        "{ 1 }",
        "eval(\"let x = 1; x\")",
        "_ = 5",
    ] {
        let complaint = bench.complaint(program);
        assert_eq!(
            complaint.hint.as_deref(),
            Some(ONE_EXPRESSION),
            "{program}: {complaint:?}"
        );
    }
    let call = bench.complaint("Fn(\"eval\").call(\"1\")");
    assert!(
        call.message.contains("'eval' is a reserved keyword"),
        "{call:?}"
    );
    let mut bench = Bench::with("observe,evaluate");
    assert!(
        bench
            .complaint("Fn(\"kill\").call(0)")
            .message
            .contains("needs the right `operate`")
    );
    assert!(
        bench
            .complaint("eval(\"kill(0)\")")
            .message
            .contains("needs the right `operate`")
    );
}

#[test]
fn completion_offers_only_what_may_be_called() {
    let offered = |rights: &str, line: &str| {
        let bench = Bench::with(rights);
        let (_, found) = bench.interpreter.complete(line, line.len());
        found.into_iter().map(|it| it.text).collect::<Vec<_>>()
    };
    assert_eq!(offered("all", "ki"), ["kick(", "kill("]);
    assert_eq!(offered("observe,evaluate", "ki"), [""; 0]);
    assert_eq!(offered("none", "pl"), [""; 0]);
    assert_eq!(offered("observe", "wh"), ["where(", "where_all()", "why("]);
    assert_eq!(offered("observe,evaluate", "whi"), ["while"]);
    assert_eq!(
        offered("observe", "ps().to"),
        [
            "to_float(",
            "to_int(",
            "to_lower(",
            "to_string(",
            "to_upper(",
            "top("
        ]
    );
}

#[test]
fn exposed_values_are_read_along_a_path() {
    let mut bench = Bench::new();
    for (source, value) in [
        ("world.players[3].name", json!("player-3")),
        ("world.players[-1].name", json!("player-4")),
        ("world.speed + 1", json!(2.5)),
        ("world.age", json!({"$duration": 2.5})),
        ("world.limits.high", json!(9)),
        ("world.limits", json!({"high": 9, "low": 1})),
        ("world.limits.keys()", json!(["high", "low"])),
        ("world.players.len()", json!(5)),
        (
            "world.players[1..3].map(|p| p.name)",
            json!(["player-1", "player-2"]),
        ),
        ("world.players[0..=1].len()", json!(2)),
        ("world.players[-2..0].len()", json!(0)),
        ("world.players.filter(|p| p.lives > 3).len()", json!(0)),
        (
            "world.players.map(|p| p.lives).reduce(|sum, it| sum + it, 0)",
            json!(15),
        ),
        ("world.players.top(\"name\", 1)[0].name", json!("player-4")),
        ("world.players.is_empty()", json!(false)),
        (
            "let sum = 0; for p in world.players { sum += p.lives; } sum",
            json!(15),
        ),
        ("let p = world.players[2]; p.name", json!("player-2")),
        ("fn lives(w) { w.players[0].lives } lives(world)", json!(3)),
        (
            "[world.players[0], 1][0]",
            json!({"name": "player-0", "lives": 3}),
        ),
        ("world().players[0].name", json!("player-0")),
        ("let world = 5; world", json!(5)),
    ] {
        assert_eq!(bench.value(source), value, "{source}");
    }
}

#[test]
fn exposed_values_are_set_along_a_path() {
    let mut bench = Bench::new();
    for (source, read, value) in [
        ("world.speed = 3", "world.speed", json!(3.0)),
        ("world.speed += 0.5", "world.speed", json!(3.5)),
        (
            "world.players[1].lives = 9",
            "world.players[1].lives",
            json!(9),
        ),
        (
            "world.players[-1].name = \"zoe\"",
            "world.players[4].name",
            json!("zoe"),
        ),
        (
            "world.limits.low = -4",
            "world.limits",
            json!({"high": 9, "low": -4}),
        ),
        ("world.players = []", "world.players.len()", json!(0)),
    ] {
        assert_eq!(bench.value(source), Value::Null, "{source}");
        assert_eq!(bench.value(read), value, "{source}");
    }
    for (source, message) in [
        ("world.speed = \"fast\"", "world.speed: invalid type"),
        (
            "world.nothing = 1",
            "world.nothing: there is nothing of that name",
        ),
        ("world = 5", "`world` cannot be another value"),
        ("world(5)", "world: argument 1: invalid type"),
        (
            "world.nothing",
            "world.nothing: there is no field `nothing`; there are speed, age, players, limits",
        ),
        (
            "world.players[0]",
            "world.players[0]: there is no element 0: there are 0",
        ),
        ("world.limits.low.deeper", "unknown property 'deeper'"),
    ] {
        let complaint = bench.complaint(source);
        assert!(
            complaint.message.starts_with(message),
            "{source}: {complaint:?}"
        );
    }
}

#[test]
fn exposed_values_have_rights_of_their_own() {
    let mut bench = Bench::with("observe,evaluate");
    assert_eq!(bench.value("world.speed"), json!(1.5));
    for source in [
        "world.speed = 3",
        "world(#{})",
        "world.players[0].lives = 0",
    ] {
        let complaint = bench.complaint(source);
        assert!(
            complaint.message.contains("needs the right `operate`"),
            "{complaint:?}"
        );
    }
    assert_eq!(bench.value("world.speed"), json!(1.5));
    let mut bench = Bench::with("operate,evaluate");
    for source in ["world.speed", "world", "world.players", "world()"] {
        let complaint = bench.complaint(source);
        assert!(
            complaint.message.contains("needs the right `observe`"),
            "{complaint:?}"
        );
    }
    let mut bench = Bench::with("observe");
    assert_eq!(bench.value("world.players[1].name"), json!("player-1"));
}

/// In whatever form something about a secret comes out of a session, the secret is not in it.
#[test]
fn a_secret_is_in_nothing_that_comes_out() {
    let mut bench = Bench::new();
    let file = std::env::temp_dir().join(format!("grapeshot-vault-{}", std::process::id()));
    let saved = format!("save(vault, {:?}, true)", file.display().to_string());
    let statements = [
        "vault",
        "vault()",
        "vault.password",
        "vault.others[0]",
        "vault.others",
        "vault[\"password\"]",
        "vault.others[0..1]",
        "vault.keys()",
        "vault.values()",
        "vault.to_string()",
        "vault.others.map(|it| it + \"!\")",
        "for it in vault.others { print(it); }",
        "[vault]",
        "#{deep: [vault, vault.password]}",
        "`${vault.password} ${vault}`",
        "json(vault)",
        "json([vault])",
        "print(vault.password)",
        "debug(vault.password)",
        "print(vault)",
        "vault.password == \"x\"",
        "vault.password.len()",
        "throw vault.password",
        "let v = vault; v.password",
        "vault.gold = 3",
        "vault.password = \"open sesame\"",
        "vault.password = 5",
        "vault(#{gold: 1, password: \"open sesame\", others: [\"open sesame\"]})",
        "vault(#{gold: \"open sesame\", password: 1, others: []})",
        "passphrase(\"x\")",
        "[passphrase(\"x\")]",
        "json(passphrase(\"x\"))",
        "passphrase(\"open sesame\")",
        "passphrase(5)",
        "_",
        "help()",
        "help(\"vault\")",
        "cost()",
        &saved,
    ];
    let styles = [None, Some(8), Some(80)]
        .into_iter()
        .flat_map(|width| [false, true].map(|color| Style { width, color }));
    let styles: Vec<Style> = styles.collect();
    let mut forms = 0;
    for statement in statements {
        let mut out = vec![format!(
            "{:?}",
            bench.interpreter.shared.secret_in(statement)
        )];
        match bench.outcome(statement) {
            Outcome::Incomplete => panic!("{statement} is incomplete"),
            Outcome::Failed(complaint) => out.push(format!("{complaint:?}")),
            Outcome::Value => {
                let result = bench.interpreter.result();
                let (shapes, pace) = (&bench.interpreter.shared.shapes, &bench.interpreter.pace);
                out.push(format!("{result} {result:?}"));
                for units in [Units::Marked, Units::Plain] {
                    let value = value::to_json(result, units, shapes, pace).unwrap();
                    out.push(value.to_string());
                    out.extend(styles.iter().map(|style| render::value(&value, *style)));
                }
            }
        }
        out.append(&mut bench.printed.lock().unwrap());
        for line in ["vault.", "vault.others[0].", "v", "v.", "pass"] {
            let (_, offered) = bench.interpreter.complete(line, line.len());
            out.push(format!("{offered:?}"));
        }
        forms += out.len();
        for text in out {
            assert!(!text.contains("sesame"), "{statement}: {text}");
        }
    }
    assert!(forms > 400, "{forms}");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(
        text.contains("‹secret›") && !text.contains("sesame"),
        "{text}"
    );
    // What names a secret is not logged, and what does not is.
    let named = |source: &str| bench.interpreter.shared.secret_in(source).is_some();
    assert!(named("let x = 1; passphrase(\"x\")") && named("vault.gold"));
    assert!(!named("vaults()") && !named("world.speed = 1"));
}

#[test]
fn what_all_variables_take_is_bounded() {
    on_an_evaluations_stack(|| {
        let mut bench = Bench::new();
        // 16 MiB: less than a value may be.
        bench.value("let s = \"xxxxxxxx\"; for n in 0..21 { s += s; } let kept = 1;");
        let many: String = (0..20)
            .map(|n| format!("let v{n} = s + \"{n}\"; "))
            .collect();
        assert_eq!(bench.complaint(&many).message, TOO_HEAVY);
        let mut left = bench.interpreter.variables();
        left.sort();
        assert_eq!(left, ["kept", "s"]);
        let deep = "fn f(n, s) { let t = s + \"x\"; f(n + 1, s) + t.len() } f(0, s)";
        assert_eq!(bench.complaint(deep).message, TOO_HEAVY);
        // One statement at a time it is no more.
        let mut statements = (0..20).map(|n| format!("let w{n} = s + \"{n}\"; w{n}.len()"));
        let refused = statements.position(|it| matches!(bench.outcome(&it), Outcome::Failed(_)));
        assert!(
            refused.is_some_and(|n| (10..18).contains(&n)),
            "{refused:?}"
        );
        assert_eq!(bench.value("kept"), json!(1));
    });
}

#[test]
fn tables_can_be_narrowed_and_written_out() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.value("json([players()[0], age()])"),
        json!("[\n  {\n    \"name\": \"ann\",\n    \"score\": 3\n  },\n  2.5\n]")
    );
    for (options, wanted) in [
        (
            "#{nam: \"x\"}",
            "ps: nam: there are name, state, waits_for, worker, longer, sort, reverse and limit",
        ),
        ("#{sort: \"size\"}", "ps: sort: one of its columns wanted"),
        ("#{limit: -1}", "ps: limit: a number wanted"),
        ("#{longer: \"x\"}", "ps: longer: a number of seconds wanted"),
        ("#{reverse: 1}", "ps: reverse: true or false wanted"),
        ("#{name: 5}", "ps: name: text wanted"),
    ] {
        let complaint = bench.complaint(&format!("ps({options})"));
        assert!(complaint.message.starts_with(wanted), "{complaint:?}");
    }
    bench.value("ps(#{limit: 0})");
    let costs = bench.value("cost()");
    let row = costs
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["view"] == "ps()");
    assert_eq!(row.unwrap()["calls"], json!(7), "{costs}");
}

#[test]
fn a_watch_prints_what_changes_until_it_is_interrupted() {
    grapeshot::testing::run(1, || {
        let stack = grapeshot::Builder::new().stack_size(limits::STACK_SIZE);
        stack.spawn(watches).join().unwrap();
    });
}

fn watches() {
    let mut bench = Bench::limited(Duration::from_millis(300));
    let pace = Arc::clone(&bench.interpreter.pace);
    let turns = Arc::new(AtomicI64::new(0));
    let next = move || {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        if turn == 6 {
            pace.interrupt();
        }
        turn / 2
    };
    bench.interpreter.engine.register_fn("next", next);
    let start = grapeshot::time::now();
    let complaint = bench.complaint("watch(\"next()\", 1)");
    assert_eq!(complaint.message, "interrupted");
    assert_eq!(*bench.printed.lock().unwrap(), ["0", "1", "2", "3"]);
    // That is far more than the limit of an evaluation.
    assert_eq!(grapeshot::time::now() - start, Duration::from_secs(6));
    bench.printed.lock().unwrap().clear();
    let counts = "let n = 0; watch(|| { n += 1; if n == 3 { throw \"enough\" } n }, 0.1)";
    assert_eq!(bench.complaint(counts).message, "enough");
    assert_eq!(*bench.printed.lock().unwrap(), ["1", "2"]);
    let too_often = bench.complaint("watch(\"1\", 0)");
    assert!(
        too_often.message.starts_with("watch: every 0.1 to"),
        "{too_often:?}"
    );
    assert!(
        bench
            .complaint("watch(\"let x = 1\", 1)")
            .message
            .contains("'let'")
    );
}
