//! `docs/waiting-behaviours.md` names tests; they exist.

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

/// Is `name` a test in `source`: a function right below `#[test]`, or below further attributes?
fn has_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    (0..lines.len()).any(|at| {
        lines[at].starts_with(&head)
            && lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#["))
                .any(|line| *line == "#[test]")
    })
}

/// The first thing that is wrong with a row's last cell.
fn complaint(tests: &str) -> Option<String> {
    // Between backticks is every other part.
    let named: Vec<&str> = tests
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains(".rs"))
        .collect();
    if named.is_empty() && !tests.starts_with("does not apply") {
        return Some("names no test and does not say why".into());
    }
    named.iter().find_map(|&named| {
        let (path, name) = match named.split_once("::") {
            Some((path, name)) => (path, Some(name)),
            None => (named, None),
        };
        let Ok(source) = fs::read_to_string(root().join(path)) else {
            return Some(format!("there is no file {path}"));
        };
        let there = match name {
            Some(name) => has_test(&source, name),
            None => source.contains("#[test]"),
        };
        (!there).then(|| format!("there is no test {named}"))
    })
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = fs::read_to_string(root().join("docs/waiting-behaviours.md")).expect("the page");
    let mut rows = 0;
    let mut complaints = Vec::new();
    for line in page.lines() {
        let Some((behaviour, tests)) = line
            .strip_prefix("| ")
            .and_then(|row| row.trim_end_matches(" |").split_once(" | "))
        else {
            continue;
        };
        if behaviour == "behaviour" {
            continue;
        }
        rows += 1;
        complaints.extend(complaint(tests).map(|what| format!("{behaviour}: {what}")));
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(rows > 40, "only {rows} rows: was the table rewritten?");
}

#[test]
fn what_is_missing_is_noticed() {
    let this = "tests/tests/waiting_behaviours.rs";
    assert_eq!(
        complaint(&format!("`{this}::what_is_missing_is_noticed`")),
        None
    );
    for wrong in [
        "",
        "somewhere",
        "`tests/tests/none.rs::a_test`",
        &format!("`{this}::what_is_missing`"),
        &format!("`{this}::complaint`"),
    ] {
        assert!(complaint(wrong).is_some(), "{wrong:?}");
    }
    assert_eq!(complaint("does not apply: there is none"), None);
}
