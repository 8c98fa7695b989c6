//! What a statement may take: time, memory, depth.

use super::*;

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
fn deeply_nested_values_meet_the_time_limit_before_the_stacks_end() {
    // Each turn copies and measures the whole value, so depth grows with the root of time: what holds for a second
    // on a sixth of the stack holds for thirty on all of it.
    let (limit, share) = (Duration::from_secs(1), limits::STACK_SIZE / 6);
    assert!(limits::TIME_LIMIT <= limit * 36);
    for nesting in [
        "fn f() { loop { this = [this]; } } let a = []; a.f()",
        "fn f() { loop { this = #{m: this}; } } let m = #{}; m.f()",
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

#[test]
fn variables_that_are_nested_too_deep_end_the_evaluation() {
    on_an_evaluations_stack(|| {
        let mut bench = Bench::new();
        bench.value("let kept = 1; let deep = [];");
        for nesting in [
            "let a = []; loop { a = [a]; }",
            "let m = #{}; loop { m = #{m: m}; }",
            "loop { deep = [deep]; }",
            // What a closure has of others is not copied, so this takes no time.
            "let f = || 1; loop { let g = f; f = || g.call(); }",
            "let f = || 1; loop { try { let g = f; f = || g.call(); } catch { } }",
            "let many = []; many.pad(100000, 0); many.reduce(|sum, x| [sum])",
        ] {
            assert_eq!(bench.complaint(nesting).message, too_deep(), "{nesting}");
        }
        // As its hint says.
        bench.value("let deep = ();");
        assert_eq!(bench.value("kept"), json!(1));
        assert_eq!(bench.value("deep"), json!(null));
    });
}

#[test]
fn closures_that_have_each_other_are_weighed_in_time() {
    on_an_evaluations_stack(|| {
        let circles = "let x = #{}; x.a = || x; x.b = || x; x.c = || x; x.d = || x; x.len()";
        let complaint = Bench::new().complaint(circles);
        assert_eq!(complaint.message, too_deep());
    });
}

/// What closures that have themselves, or each other, hold for ever unless somebody lets go of it.
const CIRCLES: [&str; 5] = [
    "let x = #{t: token}; x.a = || x;",
    "let x = [token]; let f = || x; x.push(f); let g = || f;",
    "let x = (); let y = #{t: token}; x = || y; y.x = || x;",
    "let all = []; for n in 0..3 { let x = #{t: token}; x.a = || x; all.push(x); }",
    "fn made(t) { let x = #{t: t}; x.a = || x; x } let x = made(token);",
];

#[test]
fn what_closures_hold_in_a_circle_is_given_back_when_the_session_ends() {
    on_an_evaluations_stack(|| {
        for circle in CIRCLES {
            let (mut bench, token) = with_token();
            bench.outcome(circle);
            assert!(token.upgrade().is_some(), "nobody has it: {circle}");
            drop(bench);
            assert!(token.upgrade().is_none(), "it is left: {circle}");
        }
    });
}

#[test]
fn a_circle_that_no_variable_leads_to_is_given_back_after_the_statement() {
    on_an_evaluations_stack(|| {
        for circle in CIRCLES {
            let (mut bench, token) = with_token();
            bench.outcome(&format!("{{ {circle} }} ()").replace("{ fn made(t) {", "fn made(t) {{"));
            bench.outcome("let token = ();");
            assert!(token.upgrade().is_none(), "it is left: {circle}");
        }
        // As the complaint about one says.
        let (mut bench, token) = with_token();
        bench.outcome("let token = #{t: token}; token.a = || token;");
        assert!(token.upgrade().is_some());
        bench.outcome("let token = ();");
        assert!(token.upgrade().is_none());
        // After one that fails as well.
        let (mut bench, token) = with_token();
        bench.complaint("if true { let x = #{t: token}; x.a = || x; token = (); nobody() }");
        assert!(token.upgrade().is_none());
    });
}

#[test]
fn what_closures_have_captured_stays_while_they_do() {
    let mut bench = Bench::new();
    bench.value("let n = 0; let count = || { n += 1; n }; let kept = #{both: [count]};");
    assert_eq!(bench.value("count.call()"), json!(1));
    assert_eq!(bench.value("kept.both[0].call()"), json!(2));
    bench.value("let count = ();");
    assert_eq!(bench.value("let f = kept.both[0]; f.call()"), json!(3));
    assert_eq!(bench.value("n"), json!(3));
    bench.value("fn adder(n) { |x| x + n } let add = adder(5);");
    assert_eq!(bench.value("[1, 2].map(add)"), json!([6, 7]));
    bench.value("let m = 2; || m * 3");
    assert_eq!(bench.value("_.call()"), json!(6));
}

#[test]
fn circles_within_one_statement_are_bounded() {
    on_an_evaluations_stack(|| {
        let mut bench = Bench::new();
        bench.value("let s = \"xxxxxxxx\"; for n in 0..17 { s += s; }");
        let complaint = bench.complaint("loop { let x = #{s: s + \"x\"}; x.a = || x; }");
        assert_eq!(complaint.message, TOO_HEAVY);
        // Nothing of it is left.
        assert_eq!(bench.value("1 + 1"), json!(2));
        let mut left = 0;
        bench.interpreter.captured.each(|_| left += 1);
        assert_eq!(left, 0);
    });
}

/// A session with a variable `token`, and what tells whether anybody still has that.
fn with_token() -> (Bench, std::sync::Weak<()>) {
    let mut bench = Bench::new();
    let token = Arc::new(());
    let weak = Arc::downgrade(&token);
    bench.interpreter.scope.push("token", token);
    (bench, weak)
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
        // What nobody can reach any more weighs nothing.
        for n in 0..20 {
            bench.value(&format!("let same = s + \"{n}\"; same.len()"));
        }
        bench.value("let same = ();");
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
