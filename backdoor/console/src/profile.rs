//! `console PATH --profile SECONDS`: a profile of the server, in a file on this side.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use grapeshot_profiler::{Form, Profile};
use serde_json::Value;

use crate::FAILED;
use crate::connection::{Connection, Lost};
use crate::output::Output;

/// Takes it, tells what it came to, and writes it.
pub(crate) fn run(
    connection: &mut Connection,
    output: &mut Output,
    seconds: f64,
    path: Option<&Path>,
) -> Result<ExitCode, Lost> {
    let path = path.unwrap_or(Path::new("profile.html"));
    let form = match Form::of(path) {
        Ok(form) => form,
        Err(error) => return Ok(failed(&error.to_string())),
    };
    // Negative or no number: the server says what it takes.
    let taken = connection.evaluate(&format!("profile.take({seconds:?})"), None, output)?;
    if !taken.is_good() {
        return Ok(ExitCode::from(FAILED));
    }
    let text = match connection.value_of("profile.text()")? {
        Ok(Value::Array(pieces)) => pieces.iter().filter_map(Value::as_str).collect::<String>(),
        Ok(other) => return Ok(failed(&format!("the server sent no profile, but {other}"))),
        Err(message) => return Ok(failed(&message)),
    };
    let profile = match Profile::from_json(&text) {
        Ok(profile) => profile,
        Err(error) => return Ok(failed(&error.to_string())),
    };
    if let Err(error) = fs::write(path, form.text(&profile)) {
        return Ok(failed(&format!("cannot write {}: {error}", path.display())));
    }
    output.note(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

fn failed(message: &str) -> ExitCode {
    eprintln!("console: {message}");
    ExitCode::from(FAILED)
}
