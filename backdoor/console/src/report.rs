//! `console report`: a saved profile as a page for the browser; of two, what changed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use grapeshot_profiler::{LoadError, Profile, report};

use crate::FAILED;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The profile, as JSON.
    #[arg(value_name = "FILE")]
    profile: PathBuf,

    /// An earlier profile: the report shows what changed since.
    before: Option<PathBuf>,

    /// Write the report here [default: the profile's name, ending in .html].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match write(options) {
        Ok(path) => {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Writes the report; tells where.
fn write(options: &Options) -> Result<PathBuf, String> {
    let profile = load(&options.profile)?;
    let page = match &options.before {
        Some(before) => report::difference(&load(before)?, &profile),
        None => report::html(&profile),
    };
    let beside = || options.profile.with_extension("html");
    let path = options.output.clone().unwrap_or_else(beside);
    if path == options.profile {
        return Err(format!(
            "{} is the profile: say with -o where the report goes",
            path.display()
        ));
    }
    fs::write(&path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

/// What to do instead.
const MAKE: &str = "`console SERVER --profile 10 -o FILE.json` makes one";

fn load(path: &Path) -> Result<Profile, String> {
    Profile::load(path).map_err(|error| {
        let path = path.display();
        match &error {
            LoadError::Io(io) if io.kind() == ErrorKind::InvalidData => {
                format!("{path} is no saved profile: {MAKE}")
            }
            LoadError::Json(_) => format!("{path}: {error}; {MAKE}"),
            _ => format!("{path}: {error}"),
        }
    })
}
