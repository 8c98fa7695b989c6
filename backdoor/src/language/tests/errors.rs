//! What is said of a statement that is wrong, and of one that is not complete.

use super::*;

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
    let leave =
        Some("Ctrl-D leaves the console; what comes by -c or through a pipe ends by itself");
    check("exit", "there is no variable `exit`", leave);
    check("quit()", "there is no function quit()", leave);
    check(
        "ps(#{nope: 1})",
        "ps has no option `nope`: there are name, state, waits_for, worker, longer, sort, reverse and limit",
        None,
    );
    check(
        "ps(#{sort: \"nope\"})",
        "ps: sort: one of the columns id, name, state, waits_for, since, cpu, switches and worker wanted, not \"nope\"",
        None,
    );
    check(
        "profile.take(1e300)",
        "profile.take(seconds): from 0 to 3600, not 1e300",
        None,
    );
    check(
        "watch(\"1\", 1e300)",
        "watch: every 0.1 to 86400 seconds, not 1e300",
        None,
    );
    check("stuck(-1e300)", "stuck(seconds): from 0, not -1e300", None);
    check(
        "whree(1)",
        "there is no function whree(integer)",
        Some("did you mean where?"),
    );
    check(
        "ps(1)",
        "ps cannot be called like this: ps(integer)",
        Some("it is ps(); help(\"ps\") says more"),
    );
    check(
        "where(\"ann\")",
        "where cannot be called like this: where(text)",
        Some("it is where(id); ps(\"name\") tells the ids of those that have it in their name"),
    );
    check(
        "profile.tak(1)",
        "there is no function tak(profile, integer)",
        Some("did you mean take?"),
    );
    check(
        "[1].wher",
        "a list has no field `wher`",
        Some("its elements may: x[0].wher is that of the first, x.map(|it| it.wher) those of all"),
    );
    check(
        "(1).wher",
        "there is no field `wher`: it is an integer",
        None,
    );
    check(
        "help(\"whre\")",
        "there is no help for \"whre\"; did you mean help(\"where\")?",
        None,
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
