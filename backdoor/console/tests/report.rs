//! `console report`, as it is typed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use grapeshot_profiler::{Profile, VERSION};

fn report(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_console"))
        .current_dir(folder)
        .arg("report")
        .args(arguments)
        .output()
        .expect("console runs")
}

fn save(folder: &Path, name: &str, application: &str) {
    let profile = Profile {
        version: VERSION,
        application: application.into(),
        ..Profile::default()
    };
    profile.save(folder.join(name)).unwrap();
}

#[test]
fn a_saved_profile_becomes_a_page() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "now.json", "harbour");
    save(folder.path(), "then.json", "harbour");
    let made = report(folder.path(), &["now.json"]);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(String::from_utf8_lossy(&made.stdout), "now.html\n");
    let page = fs::read_to_string(folder.path().join("now.html")).unwrap();
    assert!(page.contains("<title>harbour: profile</title>"));

    let made = report(folder.path(), &["now.json", "then.json", "-o", "two.html"]);
    assert!(made.status.success(), "{made:?}");
    let page = fs::read_to_string(folder.path().join("two.html")).unwrap();
    assert!(page.contains("<title>harbour: two profiles</title>"));
}

#[test]
fn what_is_no_profile_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "now.json", "harbour");
    fs::write(folder.path().join("list.json"), "[1, 2]").unwrap();
    fs::write(folder.path().join("page.json"), b"\xff\xfe").unwrap();
    for (arguments, complaint) in [
        (&["list.json"][..], "list.json: this is no profile"),
        (&["list.json"], "`console SERVER --profile 10"),
        (&["page.json"], "page.json is no saved profile: `console"),
        (&["gone.json"], "gone.json: No such file"),
        (&["now.json", "gone.json"], "gone.json: No such file"),
        (&["now.json", "-o", "now.json"], "say with -o"),
        (
            &["now.json", "-o", "no/where.html"],
            "cannot write no/where.html",
        ),
    ] {
        let made = report(folder.path(), arguments);
        assert_eq!(made.status.code(), Some(1), "{made:?}");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(said.contains(complaint), "{said}");
    }
    // Nothing was written over, nothing half-made is left.
    assert!(Profile::load(folder.path().join("now.json")).is_ok());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
