//! The backtrace of a coroutine, made readable.

use std::path::Path;

use grapeshot::CoroutineId;
use grapeshot::registry::{self, Frame};
use rhai::{Array, Dynamic, EvalAltResult, INT};

use crate::language::failed;
use crate::value::{Shapes, record};

/// The backtrace as rows, the innermost frame first. Without `all`, frames of the runtime at both ends are left out,
/// but for the blocking call that the application made. May suspend: the coroutine's own worker walks its stack.
pub(crate) fn of(
    id: CoroutineId,
    all: bool,
    shapes: &Shapes,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let name = registry::coroutine(id).map_or_else(String::new, |info| format!("{} ", info.name));
    let frames = registry::backtrace(id).map_err(|error| match error {
        registry::BacktraceError::NotFound(id) => failed(&format!(
            "no coroutine has the id {id}: it may have ended; ps() lists those that live"
        )),
        other => failed(&format!("coroutine {} {name}{other}", id.0)),
    })?;
    let shown = if all {
        0..frames.len()
    } else {
        interesting(&frames)
    };
    let tag = shapes.tag(
        ["frame", "function", "file", "line"]
            .map(str::to_owned)
            .to_vec(),
    );
    let places = Places::here();
    let rows: Array = frames[shown.clone()]
        .iter()
        .zip(shown)
        .map(|(frame, number)| {
            let fields = [
                ("frame", (number as INT).into()),
                (
                    "function",
                    frame
                        .function
                        .as_deref()
                        .map_or_else(|| format!("{:#x}", frame.address), readable)
                        .into(),
                ),
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
    Ok(Dynamic::from_array(rows))
}

/// Everything between the runtime's innermost frames and its outermost ones.
fn interesting(frames: &[Frame]) -> std::ops::Range<usize> {
    let of_runtime = |frame: &Frame| frame.function.as_deref().is_none_or(is_of_runtime);
    let Some(first) = frames.iter().position(|frame| !of_runtime(frame)) else {
        return 0..frames.len();
    };
    let last = frames
        .iter()
        .rposition(|frame| !of_runtime(frame))
        .unwrap_or(first);
    // The blocking call itself is the runtime's, and the best part of the answer.
    first.saturating_sub(1)..last + 1
}

/// Frames that say nothing about the application, at the ends of a stack.
fn is_of_runtime(function: &str) -> bool {
    const CRATES: &[&str] = &[
        "grapeshot::",
        "corosensei::",
        "std::",
        "core::",
        "alloc::",
        "backtrace::",
        "__rust",
        "_start",
    ];
    // `<grapeshot::net::TcpStream as std::io::Read>::read` and the like.
    let function = function
        .trim_start_matches(['<', '&'])
        .trim_start_matches("mut ")
        .trim_start_matches("dyn ");
    CRATES.iter().any(|name| function.starts_with(name))
}

/// The name without the compiler's hash, and without what closures and traits add to it.
pub(crate) fn readable(function: &str) -> String {
    let name = match function.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name
        }
        _ => function,
    };
    name.replace("::{{closure}}", "{closure}")
        .replace("{closure#", "{closure ")
}

/// The folders that a path is shown relative to.
struct Places {
    here: Option<String>,
    home: Option<String>,
}

impl Places {
    fn here() -> Self {
        let text = |path: &Path| path.to_str().map(str::to_owned);
        Self {
            here: std::env::current_dir().ok().as_deref().and_then(text),
            home: std::env::home_dir().as_deref().and_then(text),
        }
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

    fn frame(function: &str) -> Frame {
        Frame {
            address: 1,
            function: Some(function.to_owned()),
            file: None,
            line: None,
        }
    }

    #[test]
    fn the_runtimes_frames_are_left_out_but_for_the_blocking_call() {
        let names = [
            "corosensei::coroutine::Yielder::suspend",
            "grapeshot::sched::suspend",
            "grapeshot::time::sleep",
            "mmo::npc::wander",
            "core::ops::function::FnOnce::call_once",
            "mmo::main::{{closure}}",
            "grapeshot::sched::entry",
            "corosensei::arch::trampoline",
        ];
        let frames: Vec<Frame> = names.iter().map(|name| frame(name)).collect();
        assert_eq!(interesting(&frames), 2..6);
        assert_eq!(
            interesting(&frames[..2]),
            0..2,
            "nothing but the runtime is shown whole"
        );
        assert_eq!(interesting(&frames[3..4]), 0..1);
    }

    #[test]
    fn names_lose_their_hashes() {
        assert_eq!(
            readable("mmo::npc::wander::h0123456789abcdef"),
            "mmo::npc::wander"
        );
        assert_eq!(
            readable("mmo::main::{{closure}}::h0123456789abcdef"),
            "mmo::main{closure}"
        );
        assert_eq!(readable("mmo::h264::decode"), "mmo::h264::decode");
        assert!(is_of_runtime(
            "<grapeshot::net::TcpStream as std::io::Read>::read"
        ));
        assert!(is_of_runtime(
            "<&grapeshot::net::TcpStream as std::io::Read>::read"
        ));
        assert!(!is_of_runtime("grapeshot_http::server::serve"));
    }

    #[test]
    fn paths_are_shown_from_where_one_is() {
        let places = Places {
            here: Some("/srv/game".into()),
            home: Some("/home/ann".into()),
        };
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
