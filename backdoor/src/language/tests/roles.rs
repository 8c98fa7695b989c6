//! What each role may do.

use super::*;

/// A call as `help()` writes it, with a value for each argument, such that it does no harm.
fn sample(call: &str) -> String {
    let (name, arguments) = call.trim_end_matches(')').split_once('(').unwrap();
    let value = |argument: &str| match argument {
        "id" => "0",
        "seconds" | "n" | "integer" | "number" => "1",
        "field" | "text" | "x" | "why" => "\"a\"",
        "file" | "path" => "\"/nowhere/x\"",
        "World" | "Vault" => "#{}",
        "on" => "true",
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
