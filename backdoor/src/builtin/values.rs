//! What is done with a value: written out, kept in a file, watched.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rhai::{Dynamic, FnPtr, INT, ImmutableString, NativeCallContext};
use serde_json::Value;

use super::{Answer, Console, Entry};
use crate::handle;
use crate::journal;
use crate::language::{failed, terminated};
use crate::render::{self, Style};
use crate::rights::Right;
use crate::value::{Units, to_json};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "json",
        call: "json(x)",
        about: "a value as JSON; durations in seconds, memory in bytes",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(json),
    },
    Entry {
        name: "save",
        call: "save(x, file)",
        about: "writes a value to a file of the server: text as it is, everything else as JSON",
        more: "The file must not be there, unless you say save(x, file, true). It is there as a whole or not at all: what is written\n\
               goes to another name first, and is on the disk before it is renamed.",
        right: Right::Operate,
        bind: |to| {
            to.add(save_new);
            to.add(save);
        },
    },
    Entry {
        name: "watch",
        call: "watch(x, seconds)",
        about: "evaluates again and again and prints what has changed, until Ctrl-C",
        more: "x is text, such as \"stats().live\", or a closure: watch(|| ps(\"npc\").len(), 1). Text is one expression, which sees no\n\
               variables. The time limit of the console holds for each evaluation, not for the watch.",
        right: Right::Observe,
        bind: |to| {
            to.add(watch_text);
            to.add(watch_text_whole);
            to.add(watch_closure);
            to.add(watch_closure_whole);
        },
    },
];

fn plain(
    console: &Console,
    value: Dynamic,
    units: Units,
) -> Result<Value, Box<rhai::EvalAltResult>> {
    let value = handle::read(value)?;
    to_json(&value, units, &console.shared.shapes, &console.pace)
        .map_err(|stop| terminated(&stop.to_string()))
}

fn pretty(value: &Value) -> String {
    // What is in a `Value` can be written.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn json(console: &Console, value: Dynamic) -> Answer {
    Ok(pretty(&plain(console, value, Units::Plain)?).into())
}

fn save_new(console: &Console, value: Dynamic, file: ImmutableString) -> Answer {
    save(console, value, file, false)
}

fn save(console: &Console, value: Dynamic, file: ImmutableString, replace: bool) -> Answer {
    let text = match plain(console, value, Units::Plain)? {
        Value::String(text) => text,
        other => pretty(&other),
    };
    let bytes = text.len();
    let path = PathBuf::from(file.as_str());
    // On a thread that nobody else needs: a disk may take its time.
    let written =
        console.elsewhere("save", move || write_whole(&path, text.as_bytes(), replace))?;
    written.map_err(|error| failed(&format!("save: {}: {error}", file.as_str())))?;
    journal::info(format!(
        "console session {}: {} wrote {bytes} bytes to {:?}",
        console.pace.session(),
        console.visitor,
        file.as_str()
    ));
    Ok(format!("{}: {}", file.as_str(), render::bytes(bytes as u64)).into())
}

/// Writes a file such that it is there as a whole or not at all.
fn write_whole(path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "that is no name of a file"))?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it is there, and is no regular file",
            ));
        }
        Ok(_) if !replace => return Err(exists()),
        _ => {}
    }
    let mut number = [0; 8];
    grapeshot::random::fill(&mut number)?;
    let mut draft = name.to_owned();
    draft.push(format!(".{:016x}.draft", u64::from_ne_bytes(number)));
    let draft = path.with_file_name(draft);
    let mut file = File::create_new(&draft)?;
    let written = write_through(&mut file, bytes).and_then(|()| put(&draft, path, replace));
    if written.is_err() {
        // What is half written is worth nothing.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn exists() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "it is there already; save(x, file, true) replaces it",
    )
}

fn write_through(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn put(draft: &Path, path: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return fs::rename(draft, path);
    }
    // Unlike a rename, this fails if somebody was faster.
    fs::hard_link(draft, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => error,
    })?;
    fs::remove_file(draft)
}

fn watch_text(
    console: &Console,
    context: NativeCallContext<'_>,
    text: ImmutableString,
    seconds: f64,
) -> Answer {
    watch(console, seconds, || {
        let mut scope = console.constants.get().cloned().unwrap_or_default();
        let engine = context.engine();
        engine.eval_expression_with_scope(&mut scope, text.as_str())
    })
}

fn watch_text_whole(
    console: &Console,
    context: NativeCallContext<'_>,
    text: ImmutableString,
    seconds: INT,
) -> Answer {
    watch_text(console, context, text, seconds as f64)
}

fn watch_closure(
    console: &Console,
    context: NativeCallContext<'_>,
    closure: FnPtr,
    seconds: f64,
) -> Answer {
    watch(console, seconds, || {
        closure.call_within_context(&context, ())
    })
}

fn watch_closure_whole(
    console: &Console,
    context: NativeCallContext<'_>,
    closure: FnPtr,
    seconds: INT,
) -> Answer {
    watch_closure(console, context, closure, seconds as f64)
}

/// A watch does not evaluate more often.
const FASTEST: f64 = 0.1;

fn watch(console: &Console, seconds: f64, mut evaluate: impl FnMut() -> Answer) -> Answer {
    if !(FASTEST..=86_400.0).contains(&seconds) {
        return Err(failed(&format!(
            "watch: every {FASTEST} to 86400 seconds, not {seconds:?}"
        )));
    }
    let every = Duration::from_secs_f64(seconds);
    let mut before = None;
    // The evaluation that this is in has a limit, which is not for what is meant to last.
    grapeshot::shield(|| {
        loop {
            console.pace.renew();
            let limit = console.pace.limit();
            let value = grapeshot::with_timeout(limit, &mut evaluate)
                .map_err(|_| terminated("the watched expression took too long"))??;
            let value = plain(console, value, Units::Marked)?;
            if before.as_ref() != Some(&value) {
                let text = render::value(&value, Style::default());
                console.print(if value.is_null() { "()" } else { &text });
                before = Some(value);
            }
            console.rest(every)?;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_as_a_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("grapeshot-save-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("rows.json");
        let files = || fs::read_dir(&folder).unwrap().count();
        write_whole(&path, b"one", false).unwrap();
        let error = write_whole(&path, b"two", false).unwrap_err();
        assert!(error.to_string().contains("save(x, file, true)"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_whole(&path, b"two", true).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), files()),
            (&b"two"[..], 1)
        );
        // Neither a folder nor a device is replaced.
        assert!(write_whole(&folder, b"x", true).is_err());
        assert!(write_whole(Path::new("/dev/null"), b"x", true).is_err());
        assert!(write_whole(Path::new("/"), b"x", true).is_err());
        assert!(write_whole(&folder.join("none/x"), b"x", false).is_err());
        assert_eq!(files(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_so() {
        let mut full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let error = write_through(&mut full, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(
            error.to_string().contains("No space left on device"),
            "{error}"
        );
    }
}
