use super::*;
use serde_json::json;

const PLAIN: Style = Style {
    width: None,
    color: false,
};

fn narrow(width: usize) -> Style {
    Style {
        width: Some(width),
        color: false,
    }
}

fn span(seconds: f64) -> Value {
    json!({ "$duration": seconds })
}

#[test]
fn tables_line_up() {
    let table = json!([
        {"id": 1, "name": "main", "cpu": span(0.0123), "x": 1.5},
        {"id": 20, "name": "日本語", "cpu": span(61.0), "x": 2},
        {"id": 300, "name": null, "cpu": null, "x": -0.125},
    ]);
    let want = [
        " id  name          cpu       x",
        "───  ──────  ─────────  ──────",
        "  1  main      12.3 ms   1.500",
        " 20  日本語  1 min 1 s   2.000",
        "300  -               -  -0.125",
    ];
    let got = value(&table, PLAIN);
    assert_eq!(got, want.join("\n"));
    let widths: Vec<usize> = got.lines().map(UnicodeWidthStr::width).collect();
    assert!(
        widths.iter().all(|width| *width == widths[0]),
        "{widths:?}\n{got}"
    );
}

#[test]
fn rows_with_other_fields_share_a_table() {
    let table = json!([{"a": 1}, {"b": "x", "a": 2}]);
    assert_eq!(value(&table, PLAIN), "a  b\n─  ─\n1  -\n2  x");
}

#[test]
fn a_wide_column_is_cut_to_the_terminal() {
    let table = json!([{"id": 7, "name": "a very long name that goes on and on", "n": 123_456_789_012_i64}]);
    for width in [30, 40, 50] {
        let shown = value(&table, narrow(width));
        assert!(
            shown.lines().all(|line| line.width() <= width),
            "{width}\n{shown}"
        );
        assert!(
            shown.contains('…') && shown.contains("123456789012"),
            "{shown}"
        );
    }
}

#[test]
fn a_very_long_cell_makes_no_line_long() {
    for unit in ["x", "日", "é"] {
        let table = json!([
            {"name": unit.repeat(100_000), "id": 1, "note": "y".repeat(5000)},
            {"name": "short", "id": 2, "note": "-"},
        ]);
        for style in [PLAIN, narrow(2000), narrow(80)] {
            let shown = value(&table, style);
            for line in shown.lines() {
                assert!(line.width() <= 420, "{} columns: {line}", line.width());
            }
            assert!(shown.ends_with("json(_) has what is cut"), "{shown}");
        }
        let shown = value(&table, PLAIN);
        let first = shown.lines().nth(2).expect("a row");
        let kept = first.matches(unit).count();
        let missing = format!("… {} characters more", grouped(100_000 - kept as u64));
        assert!(first.contains(&missing), "{first}");
        assert!(kept > 60, "{first}");
        assert!(first.ends_with(" characters more"), "{first}");
    }
    let fits = json!([{"name": "x".repeat(200), "id": 1}]);
    assert!(!value(&fits, PLAIN).contains('…'));
    // What a script asks for is whole.
    let text = "x".repeat(100_000);
    assert_eq!(value(&json!(text), PLAIN), text);
}

#[test]
fn a_terminal_of_any_width_is_never_exceeded() {
    let row = json!({"id": 1, "名前": "ü日本語のなまえ", "state": "waiting", "since": span(3.25), "note": {"a": [1, 2, 3]}});
    let table = Value::Array(vec![row; 3]);
    for width in 6..100 {
        let shown = value(&table, narrow(width));
        for line in shown.lines() {
            assert!(
                line.width() <= width,
                "{} > {width}:\n{shown}",
                line.width()
            );
        }
    }
    let shown = value(&table, narrow(20));
    assert!(shown.contains("more columns:"), "{shown}");
}

#[test]
fn few_rows_whose_headings_do_not_fit_stand_side_by_side() {
    let table = json!([
        {"worker": 0, "coroutines": 509, "sleeping": false, "busy": span(3.11)},
        {"worker": 1, "coroutines": 1500, "sleeping": null, "busy": span(0.25)},
    ]);
    let want = [
        "worker           0       1",
        "coroutines     509    1500",
        "sleeping     false       -",
        "busy        3.11 s  250 ms",
    ];
    assert_eq!(value(&table, narrow(26)), want.join("\n"));
    assert_eq!(value(&table, narrow(31)), want.join("\n"));
    let fits = value(&table, narrow(34));
    assert!(fits.starts_with("worker  coroutines"), "{fits}");
    let neither = value(&table, narrow(25));
    assert!(neither.ends_with("more columns: busy"), "{neither}");
}

#[test]
fn rows_that_were_not_sent_are_counted() {
    let some = vec![json!({"a": 1}), json!({"a": 2})];
    assert!(rows(&some, 9802, PLAIN).ends_with("\n… 9,800 more rows"));
    assert!(rows(&some, 3, PLAIN).ends_with("\n… 1 more row"));
    assert!(!rows(&some, 2, PLAIN).contains('…'));
}

#[test]
fn values_of_every_kind_are_shown() {
    assert_eq!(value(&Value::Null, PLAIN), "");
    assert_eq!(value(&json!("two\nlines"), PLAIN), "two\nlines");
    assert_eq!(value(&json!(true), PLAIN), "true");
    assert_eq!(value(&json!(0.1), PLAIN), "0.1");
    assert_eq!(value(&json!([]), PLAIN), "[]");
    assert_eq!(value(&json!({}), PLAIN), "{}");
    assert_eq!(value(&span(0.25), PLAIN), "250 ms");
    assert_eq!(value(&json!([1, "a", [2]]), narrow(80)), "[1, a, [2]]");
    assert_eq!(
        value(&json!(["ann", "bob"]), PLAIN),
        "ann\nbob",
        "one a line for other programs"
    );
    assert_eq!(value(&json!([1, 2, 3]), narrow(8)), "1\n2\n3");
    assert_eq!(
        value(&json!({"uptime": span(90.0), "n": 2}), PLAIN),
        "uptime  1 min 30 s\nn       2"
    );
}

#[test]
fn durations_read_well() {
    let spoken = [
        (0.0, "0 s"),
        (5e-9, "5 ns"),
        (1.234e-6, "1.23 µs"),
        (12.34e-6, "12.3 µs"),
        (0.000_999_6, "1.00 ms"),
        (0.1234, "123 ms"),
        (0.9999, "1.00 s"),
        (1.5, "1.50 s"),
        (59.99, "1 min 0 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (90_000.0, "1 d 1 h"),
        (-2.0, "-2.00 s"),
    ];
    for (seconds, words) in spoken {
        assert_eq!(duration(seconds), words, "{seconds}");
    }
}

#[test]
fn a_name_cannot_command_the_terminal() {
    let shown = value(&json!([{"name": "\x1b[2Jevil\n\u{202e}x"}]), PLAIN);
    assert!(
        !shown.contains('\x1b') && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
    assert_eq!(shown.lines().count(), 3);
    assert_eq!(value(&json!("a\x07b\tc"), PLAIN), "a\\u{7}b\tc");
    // Nor end its line, nor hide in it; joiners, which scripts and emoji need, stay.
    assert_eq!(
        printable("a\u{2028}b\u{200b}\u{61c}"),
        r"a\u{2028}b\u{200b}\u{61c}"
    );
    assert_eq!(printable("👩\u{200d}👧"), "👩\u{200d}👧");
}

#[test]
fn a_backtrace_is_shown_as_one() {
    let frames = json!([
        {"frame": 2, "function": "grapeshot::time::sleep", "file": "src/time.rs", "line": 10},
        {"frame": 10, "function": "mmo::npc::wander", "file": "demos/src/npc.rs", "line": 7},
        {"frame": 11, "function": "0x1234", "file": null, "line": null},
    ]);
    let wide = " 2  grapeshot::time::sleep  src/time.rs:10\n\
                10  mmo::npc::wander        demos/src/npc.rs:7\n\
                11  0x1234";
    assert_eq!(value(&frames, PLAIN), wide);
    let small = value(&frames, narrow(30));
    assert!(
        small.contains("10  mmo::npc::wander\n    at demos/src/npc.rs:7"),
        "{small}"
    );
    assert!(
        value(
            &frames,
            Style {
                width: None,
                color: true
            }
        )
        .contains("\x1b[2mgrapeshot::time::sleep\x1b[0m")
    );
}

#[test]
fn an_error_points_at_its_place() {
    let shown = error(
        "there is no variable `b`",
        Some((2, Some(9))),
        Some("do this"),
        "let a = 1;\nlet b = b;",
        PLAIN,
    );
    assert_eq!(
        shown,
        "  let b = b;\n          ^\nerror: there is no variable `b` (line 2)\n       do this"
    );
    assert_eq!(
        error("interrupted", None, None, "loop {}", PLAIN),
        "error: interrupted"
    );
    // A place that is not in the source, as that of an error in a function defined before.
    assert_eq!(
        error("no", Some((9, Some(1))), None, "f()", PLAIN),
        "error: no"
    );
}

#[test]
fn amounts_of_memory_read_well() {
    for (number, words) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1500, "1.46 KiB"),
        (12 << 10, "12 KiB"),
        ((1 << 20) - 1, "1.00 MiB"),
        (64 << 20, "64 MiB"),
        (123_456_789, "118 MiB"),
        (3 << 30, "3 GiB"),
        (u64::MAX, "16384 PiB"),
    ] {
        assert_eq!(bytes(number), words, "{number}");
    }
    let rows = [
        json!({"stack": {"$bytes": 4096}}),
        json!({"stack": {"$bytes": 10}}),
    ];
    assert_eq!(super::rows(&rows, 2, PLAIN), "stack\n─────\n4 KiB\n 10 B");
}

#[test]
fn json_has_plain_durations() {
    let value = json!({"a": [{"$duration": 1.5}, {"$bytes": 9}], "b": {"$duration": 2, "c": 3}});
    assert_eq!(
        plain(value),
        json!({"a": [1.5, 9], "b": {"$duration": 2, "c": 3}})
    );
}

#[test]
fn prose_is_broken_between_words() {
    let help = "ps(): all coroutines; ps(\"text\"): those with that in the name\n  since: how long it has waited\nend";
    let want = [
        "ps(): all coroutines;",
        "ps(\"text\"): those with",
        "that in the name",
        "  since: how long it",
        "  has waited",
        "end",
    ];
    assert_eq!(value(&json!(help), narrow(22)), want.join("\n"));
    assert_eq!(value(&json!(help), PLAIN), help);
    for width in 0..80 {
        let shown = value(&json!(help), narrow(width));
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&shown), words(help), "{width}");
    }
    // JSON is for programs, and a word is not broken.
    for text in [
        "{\"a\": \"one two three four\"}",
        "abcdefghijklmnopqrstuvwxyz0123456789",
    ] {
        assert_eq!(value(&json!(text), narrow(22)), text);
    }
    let shown = error(
        "it cannot be called like this",
        None,
        Some("it is kill(id), with a number"),
        "",
        narrow(24),
    );
    let want = [
        "error: it cannot be",
        "       called like this",
        "       it is kill(id),",
        "       with a number",
    ];
    assert_eq!(shown, want.join("\n"));
}
