//! The backtrace of a coroutine, made readable.

use std::ops::Range;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use grapeshot::CoroutineId;
use grapeshot::registry::{self, Frame};
use rhai::{Array, Dynamic, EvalAltResult, INT};

use crate::backdoor::Shared;
use crate::language::failed;
use crate::pace::Pace;
use crate::value::{Shapes, record};

/// The backtrace as rows, the innermost frame first. Without `all`, frames of the runtime at both ends are left out,
/// but for the blocking call that the application made. May suspend, for a second at most.
pub(crate) fn of(
    id: CoroutineId,
    all: bool,
    shared: &Arc<Shared>,
    pace: &Pace,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let seen = shared.runtimes.coroutine(id);
    let label = seen.map_or_else(String::new, |seen| format!("{} ", seen.info.name));
    // The first one reads the program's debug information, which may take seconds.
    let theirs = Arc::clone(shared);
    let calls = &shared.runtimes.calls;
    let frames = calls.call("where", pace, move || theirs.runtimes.backtrace(id))?;
    let frames = frames.map_err(|error| match error {
        registry::BacktraceError::NotFound(id) => failed(&format!(
            "no coroutine has the id {id}: it may have ended; ps() lists those that live"
        )),
        other => failed(&format!("coroutine {} {label}{other}", id.0)),
    })?;
    Ok(rows(&frames, all, &shared.shapes))
}

/// A backtrace as rows; see [`of`].
pub(crate) fn rows(frames: &[Frame], all: bool, shapes: &Shapes) -> Dynamic {
    let places = Places::here();
    let shown = if all {
        0..frames.len()
    } else {
        interesting(frames, &places)
    };
    let tag = shapes.tag(
        ["frame", "function", "file", "line"]
            .map(str::to_owned)
            .to_vec(),
    );
    let rows: Array = frames[shown.clone()]
        .iter()
        .zip(shown)
        .map(|(frame, number)| {
            let fields = [
                ("frame", (number as INT).into()),
                ("function", name(frame, &places).into()),
                (
                    "file",
                    frame
                        .file
                        .as_deref()
                        .map_or(Dynamic::UNIT, |file| places.shorten(file).into()),
                ),
                (
                    "line",
                    frame
                        .line
                        .map_or(Dynamic::UNIT, |line| INT::from(line).into()),
                ),
            ];
            record(tag, fields)
        })
        .collect();
    Dynamic::from_array(rows)
}

/// The application's functions with their lines, the innermost first, behind the blocking call that it made.
pub(crate) fn chain(frames: &[Frame]) -> Vec<String> {
    let places = Places::here();
    let shown = &frames[interesting(frames, &places)];
    let line = |frame: &Frame| match frame.line {
        Some(line) => format!("{}:{line}", name(frame, &places)),
        None => name(frame, &places),
    };
    shown.iter().map(line).collect()
}

/// The innermost function of the application, in a word.
pub(crate) fn place(frames: &[Frame]) -> String {
    let places = Places::here();
    innermost(frames, &places).map_or_else(String::new, |frame| name(frame, &places))
}

/// Where in the code that is, as [`shorten`] has it; nothing if that is not known.
#[cfg(feature = "web")]
pub(crate) fn spot(frames: &[Frame]) -> Option<String> {
    let frame = innermost(frames, &Places::here())?;
    Some(short_place(frame.file.as_deref()?, frame.line?))
}

fn innermost<'a>(frames: &'a [Frame], places: &Places) -> Option<&'a Frame> {
    let is_rust = |frame: &Frame| {
        frame
            .file
            .as_deref()
            .is_some_and(|file| file.ends_with(".rs"))
    };
    let own = frames
        .iter()
        .find(|frame| is_rust(frame) && !is_of_runtime(frame, places));
    own.or(frames.first())
}

/// A place in the code as `mmo/npc.rs:114`, or `http/src/server.rs:78`, since every package has a `src`: the end of its path
/// tells places apart, and the line must not be cut off.
pub(crate) fn shorten(site: &Location<'_>) -> String {
    short_place(site.file(), site.line())
}

fn short_place(file: &str, line: u32) -> String {
    let folder = file.rmatch_indices('/').nth(1);
    let folder = folder
        .filter(|&(slash, _)| !file[slash..].starts_with("/src/"))
        .or_else(|| file.rmatch_indices('/').nth(2));
    let end = folder.map_or(file, |(slash, _)| &file[slash + 1..]);
    format!("{end}:{line}")
}

/// Everything between the runtime's innermost frames and its outermost ones.
fn interesting(frames: &[Frame], places: &Places) -> Range<usize> {
    let of_application = |frame: &Frame| !is_of_runtime(frame, places);
    let Some(first) = frames.iter().position(of_application) else {
        return 0..frames.len();
    };
    let last = frames.iter().rposition(of_application).unwrap_or(first);
    // The blocking call itself is the runtime's, and the best part of the answer.
    first.saturating_sub(1)..last + 1
}

/// Frames that say nothing about the application, at the ends of a stack. An inlined function has no path in its name,
/// so its file decides.
fn is_of_runtime(frame: &Frame, places: &Places) -> bool {
    const CRATES: &[&str] = &[
        "grapeshot::",
        "std::",
        "core::",
        "alloc::",
        "backtrace::",
        "__rust",
    ];
    let Some(file) = frame.file.as_deref() else {
        // Assembly, and what was built without debug information.
        let name = frame.function.as_deref().unwrap_or_default();
        // `<grapeshot::net::TcpStream as std::io::Read>::read` and the like.
        let name = name.trim_start_matches(['<', '&']);
        return !name.contains("::") || CRATES.iter().any(|known| name.starts_with(known));
    };
    file.starts_with("/rustc/") || places.module(file).is_some()
}

/// What a frame is called, with the module of an inlined function of the runtime.
fn name(frame: &Frame, places: &Places) -> String {
    let Some(function) = frame.function.as_deref() else {
        return format!("{:#x}", frame.address);
    };
    let name = readable(function);
    match frame.file.as_deref().and_then(|file| places.module(file)) {
        Some(module) if !name.contains("::") => format!("{module}::{name}"),
        _ => name,
    }
}

/// The name without the compiler's hash, without type arguments, and with short words for closures.
fn readable(function: &str) -> String {
    let name = match function.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name
        }
        _ => function,
    };
    let name = without_arguments(name);
    name.replace("::{{closure}}", "{closure}")
        .replace("{closure#", "{closure ")
}

/// `catch_unwind<F, ()>` is `catch_unwind`, but `<Stream as Read>::read` stays: a `<` behind a name opens arguments.
fn without_arguments(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let (mut depth, mut previous) = (0_usize, ' ');
    for character in name.chars() {
        match character {
            '<' if depth > 0 || previous.is_alphanumeric() || matches!(previous, '_' | ':') => {
                depth += 1;
            }
            // The `>` of `fn() -> T` closes nothing.
            '>' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => short.push(character),
            _ => {}
        }
        previous = character;
    }
    // What a turbofish leaves.
    short.trim_end_matches("::").replace("::::", "::")
}

/// The folders that a path is shown relative to.
struct Places {
    /// Where the runtime's sources were when it was compiled, with a slash at the end.
    runtime: String,
    here: Option<String>,
    home: Option<String>,
}

impl Places {
    fn here() -> Self {
        let text = |path: &Path| path.to_str().map(str::to_owned);
        // The runtime is the package around this one.
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap_or(Path::new("/"));
        Self {
            runtime: format!("{}/src/", workspace.display()),
            here: std::env::current_dir().ok().as_deref().and_then(text),
            home: std::env::home_dir().as_deref().and_then(text),
        }
    }

    /// `grapeshot::net::tcp_stream` for a source file of the runtime's.
    fn module(&self, file: &str) -> Option<String> {
        let path = file.strip_prefix(&self.runtime)?.strip_suffix(".rs")?;
        let path = path.trim_end_matches("/mod").replace('/', "::");
        Some(if path == "lib" {
            "grapeshot".to_owned()
        } else {
            format!("grapeshot::{path}")
        })
    }

    /// `demos/src/world.rs` here, `rhai-1.27.0/src/engine.rs` from a registry, `std/src/thread.rs` from the compiler.
    fn shorten(&self, file: &str) -> String {
        if let Some((_, behind)) = file.split_once("/registry/src/")
            && let Some((_, path)) = behind.split_once('/')
        {
            return path.to_owned();
        }
        if let Some(behind) = file.strip_prefix("/rustc/")
            && let Some((_, path)) = behind.split_once("/library/")
        {
            return path.to_owned();
        }
        let inside = |folder: &Option<String>| {
            let rest = file.strip_prefix(folder.as_deref()?)?;
            rest.strip_prefix('/').map(str::to_owned)
        };
        inside(&self.here)
            .or_else(|| inside(&self.home).map(|path| format!("~/{path}")))
            .unwrap_or_else(|| file.trim_start_matches("./").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: Option<&str>) -> Frame {
        Frame {
            address: 1,
            function: Some(function.to_owned()),
            file: file.map(str::to_owned),
            line: None,
        }
    }

    fn places() -> Places {
        Places {
            runtime: "/gs/src/".into(),
            here: Some("/srv/game".into()),
            home: Some("/home/ann".into()),
        }
    }

    #[test]
    fn the_runtimes_frames_are_left_out_but_for_the_blocking_call() {
        let std = Some("/rustc/59807616/library/std/src/panicking.rs");
        let frames = [
            frame(
                "suspend<alloc::sync::Arc<grapeshot::Record>>",
                Some("/gs/src/context/cell.rs"),
            ),
            frame("try_with<fn() -> ()>", std),
            frame("sleep", Some("/gs/src/time/mod.rs")),
            frame("wander", Some("/srv/game/src/npc.rs")),
            frame("call_once", std),
            frame("mmo::main::{{closure}}", Some("/srv/game/src/main.rs")),
            frame("run<F, ()>", Some("/gs/src/sched/record.rs")),
            frame("__rust_try", None),
            frame("start", Some("/gs/src/context/mod.rs")),
        ];
        assert_eq!(interesting(&frames, &places()), 2..6);
        assert_eq!(
            interesting(&frames[..2], &places()),
            0..2,
            "nothing but the runtime is shown whole"
        );
        assert_eq!(interesting(&frames[3..4], &places()), 0..1);
        assert_eq!(name(&frames[2], &places()), "grapeshot::time::sleep");
        assert_eq!(name(&frames[3], &places()), "wander");
        assert!(is_of_runtime(
            &frame("<grapeshot::net::TcpStream as std::io::Read>::read", None),
            &places()
        ));
        assert!(!is_of_runtime(
            &frame("grapeshot_http::server::serve", None),
            &places()
        ));
    }

    #[test]
    fn names_lose_what_only_the_compiler_needs() {
        assert_eq!(
            readable("mmo::npc::wander::h0123456789abcdef"),
            "mmo::npc::wander"
        );
        assert_eq!(
            readable("mmo::main::{{closure}}::h0123456789abcdef"),
            "mmo::main{closure}"
        );
        assert_eq!(readable("mmo::h264::decode"), "mmo::h264::decode");
        assert_eq!(
            readable("call_once<fn(&a::B<C>) -> D<E>, (F)>"),
            "call_once"
        );
        assert_eq!(
            readable("<a::Stream<T> as std::io::Read>::read"),
            "<a::Stream as std::io::Read>::read"
        );
        assert_eq!(readable("a::pool::<b::C>::take"), "a::pool::take");
    }

    #[test]
    fn a_site_is_the_end_of_its_path() {
        let here = Location::caller();
        assert_eq!(
            shorten(here),
            format!("backdoor/src/backtrace.rs:{}", here.line())
        );
    }

    #[test]
    fn paths_are_shown_from_where_one_is() {
        let places = places();
        assert_eq!(places.shorten("/srv/game/src/main.rs"), "src/main.rs");
        assert_eq!(
            places.shorten("/srv/gamester/src/main.rs"),
            "/srv/gamester/src/main.rs"
        );
        assert_eq!(places.shorten("/home/ann/lib/a.rs"), "~/lib/a.rs");
        let registry =
            "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/rhai-1.27.0/src/engine.rs";
        assert_eq!(places.shorten(registry), "rhai-1.27.0/src/engine.rs");
        assert_eq!(
            places.shorten("/rustc/5980761/library/std/src/thread/mod.rs"),
            "std/src/thread/mod.rs"
        );
    }
}
