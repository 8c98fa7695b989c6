//! `cargo xtask test`: everything that must pass, in the order in which failures are cheapest.

use anyhow::{Result, bail};

use crate::section::{self, Outcome, Sections};
use crate::{asan, miri, models, packages, place, shell, targets, torture};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out AddressSanitizer, Miri, the model checks, the benchmark programs and the whole-system tests.
    #[arg(long)]
    quick: bool,
    /// Do not fail when a foreign program that the tests need can neither be found nor installed.
    #[arg(long)]
    allow_missing_peers: bool,
    /// Run only the sections whose names contain this, such as `Miri`.
    #[arg(long)]
    only: Option<String>,
}

/// The package that holds the whole-system tests.
const WHOLE_SYSTEM: &str = "grapeshot-tests";
/// The package that runs others' libraries, some with foreign programs.
const ECOSYSTEM: &str = "grapeshot-ecosystem";
/// The package that does not build without OpenSSL's headers.
const NATIVE_TLS: &str = "grapeshot-native-tls-tests";

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut sections = Sections::only(options.only.as_deref());
    if !options.quick {
        sections.run("foreign programs", || peers(options.allow_missing_peers));
    }
    sections.run("format", || {
        shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
        shell::run(&mut shell::cargo(&[
            "fmt",
            "--all",
            "--check",
            "--manifest-path",
            "benches/Cargo.toml",
        ]))?;
        done()
    });
    sections.run("lints", || {
        let mut clippy = shell::cargo(&["clippy", "--workspace", "--all-targets"]);
        if options.quick {
            clippy.args(["--exclude", NATIVE_TLS]);
        }
        shell::run(clippy.args(["--", "-D", "warnings"]))?;
        done()
    });
    sections.run("licences, bans, advisories, sources", deny);
    if !options.quick {
        sections.run("release build of the programs", || {
            // Of the default members alone, as a newcomer builds them.
            shell::run(&mut shell::cargo(&["build", "--release", "--bins"]))?;
            done()
        });
    }
    sections.run("tests", || tests(options.quick));
    if !options.quick {
        sections.run("failing system calls", || torture::sample(false));
        sections.run("failing system calls of the demo", || torture::sample(true));
        sections.run("failing calls in simulations", torture::simulated);
        sections.run("model checks (loom)", models::run);
        sections.run("Miri", miri::run);
        sections.run("AddressSanitizer", asan::run);
        sections.run("other systems", targets::run);
        sections.run("benchmark programs build", || {
            let mut lint = shell::cargo(&[
                "clippy",
                "--workspace",
                "--manifest-path",
                "benches/Cargo.toml",
            ]);
            lint.arg("--target-dir")
                .arg(place::target().join("benches"));
            shell::run(lint.args(["--", "-D", "warnings"]))?;
            done()
        });
    }
    sections.close()
}

fn done() -> Result<Outcome> {
    Ok(Outcome::Done(None))
}

fn peers(allow_missing: bool) -> Result<Outcome> {
    let missing = packages::install(&[packages::FOR_TESTS])?;
    if missing.is_empty() {
        return done();
    }
    let names = missing.join(", ");
    if allow_missing {
        return Ok(Outcome::Skipped(format!(
            "not to be had, as allowed: {names}"
        )));
    }
    bail!("not to be had: {names} (--allow-missing-peers goes on without)")
}

/// cargo-deny takes minutes to build, so it is used where it is and never installed.
fn deny() -> Result<Outcome> {
    if place::in_path("cargo-deny").is_none() {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed (cargo install --locked cargo-deny)".into(),
        ));
    }
    // The advisories come from a repository that not every machine reaches.
    shell::run(&mut shell::cargo(&[
        "deny",
        "--offline",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))?;
    done()
}

fn tests(quick: bool) -> Result<Outcome> {
    let mut command = shell::cargo(&["test", "--workspace", "--no-fail-fast"]);
    if quick {
        for package in [WHOLE_SYSTEM, ECOSYSTEM, NATIVE_TLS] {
            command.args(["--exclude", package]);
        }
    }
    Ok(Outcome::Done(Some(section::run_tests(
        "tests",
        &mut command,
    )?)))
}
