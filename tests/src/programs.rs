//! The programs that are tested from outside: the demos, the console, the backdoor's example.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of this build's programs, all of them built as this one was.
///
/// # Panics
/// If one cannot be built; Cargo says why.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // target/debug/deps/console_x-0123
        let this = std::env::current_exe().expect("this program has a path");
        let folder = this.ancestors().nth(2).expect("it lies in a target folder");
        build(folder);
        folder.to_owned()
    })
}

fn build(folder: &Path) {
    let target = folder.parent().expect("a profile's folder lies in another");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(other) => other,
        None => unreachable!("a profile's folder has a name"),
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    // All at once, and always the same ones: Cargo compiles a library anew for each set of features that somebody wants of it.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile, "--manifest-path"])
        .arg(workspace)
        .args(["--package=grapeshot-demos", "--package=grapeshot-console"])
        .args(["--package=grapeshot-backdoor", "--example=arcade", "--bins"])
        .env("CARGO_TARGET_DIR", target)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the programs were not built");
}
