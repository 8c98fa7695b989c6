//! What the application exposes: functions, values along their paths, secrets.

use super::*;

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
        (
            "world.limits.low.deeper",
            "there is no field `deeper`: it is an integer",
        ),
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

#[test]
fn a_part_beside_a_secret_is_set_and_the_secret_stays() {
    let mut bench = Bench::new();
    let told = |bench: &mut Bench, statement| bench.complaint(statement).message;
    bench.value("vault.gold = 8");
    assert_eq!(bench.value("vault.gold"), json!(8));
    bench.value("vault.others[0] = \"swordfish\"");
    // Which of a list's secrets is meant would be a guess.
    let why = told(
        &mut bench,
        "vault(#{gold: 9, password: vault.password, others: [vault.password]})",
    );
    assert!(why.contains("stands for no secret"), "{why}");
    bench.value("vault(#{gold: 9, password: vault.password, others: []})");
    assert_eq!(bench.value("vault.gold"), json!(9));
    let why = told(&mut bench, "vault.silver = 8");
    assert!(!why.contains("which is a secret"), "{why}");
    // Its kind may be told of what is no secret, and stands beside one.
    let why = told(&mut bench, "vault.gold = \"much\"");
    assert!(why.ends_with("number wanted, not text"), "{why}");
    let why = told(&mut bench, "vault.gold = -1");
    assert!(why.contains("because there is a secret beside it"), "{why}");
    // What the type says may quote what it got.
    let why = told(&mut bench, "vault(#{gold: \"sesame\"})");
    assert!(why.ends_with("which is a secret"), "{why}");
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

/// A list of so many levels.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| Value::Array(vec![inner]))
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Link {
    next: Option<Box<Link>>,
}

#[test]
fn values_that_are_nested_too_deep_are_refused() {
    const LEVELS: usize = 100_000;
    on_an_evaluations_stack(|| {
        let chain = (0..LEVELS).fold(Link { next: None }, |next, _| Link {
            next: Some(next.into()),
        });
        let (chain, list) = (
            Arc::new(Mutex::new(chain)),
            Arc::new(Mutex::new(nested(LEVELS))),
        );
        let backdoor = Backdoor::new("test")
            .expose("deep", "", Right::Observe, || nested(LEVELS))
            .expose("error", "", Right::Observe, || Err::<(), _>(nested(LEVELS)))
            .expose("allowed", "", Right::Observe, || nested(100))
            .expose("text", "", Right::Observe, |x: Value| x.to_string())
            .expose_value("list", "", Right::Observe, &list)
            .expose_setting("chain", "", Right::Observe, Right::Operate, &chain);
        let mut bench = Bench::serving(backdoor, Duration::from_secs(600), Rights::all());
        let levels = "nested deeper than 100 levels";
        for statement in [
            "deep()",
            "error()",
            "list",
            "list[0]",
            "list[0..1]",
            "json(list)",
            "list.len() + chain.len() + json(chain).len()",
            "chain",
            "chain.next = ()",
            "let at = chain; loop { at = at.next; }",
            // What is kept, or the application is given, is whole or not at all.
            "text([allowed()])",
            "json([allowed()])",
            "save([allowed()], \"/nowhere/at/all\")",
        ] {
            let complaint = bench.complaint(statement);
            assert!(
                complaint.message.contains(levels),
                "{statement}: {complaint:?}"
            );
        }
        let text = nested(100).to_string();
        assert_eq!(bench.value("text(allowed())"), json!(text));
        assert!(bench.value("allowed()").to_string().contains('…'));
    });
}
