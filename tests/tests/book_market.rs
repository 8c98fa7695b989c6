//! The market of the book's chapter on flame graphs does what the chapter says, with its fault and without.

mod console_support;

use std::process::Command;

use console_support::{Folder, build, folder};

/// What the program says of the sellers' waits, in milliseconds: for the mutex, and queued to run.
fn waits(arguments: &[&str]) -> (f64, f64) {
    build(&["--package=grapeshot-profiler", "--example=market"]);
    let place = Folder::new();
    let output = Command::new(folder().join("examples/market"))
        .args(arguments)
        .current_dir(&place.0)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("appraise"), "{said}");
    let (_, sellers) = said.split_once("40 of seller-*:").expect("the sellers");
    let of = |what: &str| {
        let line = sellers.lines().find(|line| line.contains(what));
        line.map_or(0.0, |line| {
            let number = line.split_whitespace().next().unwrap();
            number.parse::<f64>().unwrap()
        })
    };
    let report = std::fs::read_to_string(place.file("market.html")).unwrap();
    assert!(report.contains("seller-*") && report.contains("appraise"));
    (of("ms mutex"), of("ms queued to run"))
}

#[test]
fn with_its_fault_they_wait_for_the_mutex() {
    let (mutex, queued) = waits(&[]);
    assert!(mutex > 5.0 * queued, "{mutex} ms, and {queued} ms queued");
}

#[test]
fn without_it_they_wait_for_a_processor() {
    let (mutex, queued) = waits(&["--fixed"]);
    assert!(queued > 5.0 * mutex, "{mutex} ms, and {queued} ms queued");
}
