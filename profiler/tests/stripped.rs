//! A program without symbols: its profile gives addresses, and says so.
#![cfg(target_os = "linux")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{alone, burner};
use grapeshot_profiler::{Options, run};

burner!(compute);

/// Tells this program, run again as a copy of itself, that it is the copy.
const COPY: &str = "GRAPESHOT_TEST_STRIPPED";

/// This program without its table of sections, in which symbols and lines are: what `strip` does, as far as that matters here.
fn stripped() -> PathBuf {
    let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(program[..5], *b"\x7fELF\x02", "it is of 64 bits");
    // e_shoff, then e_shnum and e_shstrndx.
    program[0x28..0x30].fill(0);
    program[0x3c..0x40].fill(0);
    let path = std::env::temp_dir().join(format!("gs-stripped-{}", std::process::id()));
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn a_program_without_symbols_gives_addresses_and_says_so() {
    let _alone = alone();
    if std::env::var_os(COPY).is_some() {
        let ((), profile) =
            grapeshot::run(|| run(Options::new(), || compute(Duration::from_millis(100))).unwrap());
        let functions = profile.functions(&profile.on);
        let nameless = functions
            .iter()
            .filter(|it| profile.string(it.name).starts_with("0x"));
        let time: u64 = nameless.map(|it| it.itself.nanos).sum();
        assert!(time >= 50_000_000, "{time}");
        assert!(
            profile
                .notes
                .iter()
                .any(|note| note.contains("has no symbols"))
        );
        return;
    }
    let copy = stripped();
    let output = Command::new(&copy)
        .args([
            "--exact",
            "a_program_without_symbols_gives_addresses_and_says_so",
            "--nocapture",
        ])
        .env(COPY, "1")
        .output();
    std::fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}
