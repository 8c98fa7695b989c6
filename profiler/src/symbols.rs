//! Addresses made readable: functions, lines, and whose code it is.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use grapeshot::profile::resolve;
use grapeshot::registry::Frame as Resolved;

use crate::model::Frame;

/// Whose code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The application's.
    Own,
    /// The runtime's, or that of Rust's own libraries: what every stack begins and ends with.
    Runtime,
    /// Some other library's, or unknown.
    Library,
}

/// The strings and frames of a profile in the making, each once.
#[derive(Default)]
pub(crate) struct Symbols {
    pub(crate) strings: Vec<String>,
    known_strings: HashMap<String, u32>,
    pub(crate) frames: Vec<Frame>,
    /// By frame.
    origins: Vec<Origin>,
    known_frames: HashMap<Frame, u32>,
    /// The frames at an address, outermost first.
    addresses: HashMap<usize, Vec<u32>>,
    maps: Maps,
    /// Addresses of the program's own code that have a name, and those that do not.
    pub(crate) named: usize,
    pub(crate) nameless: usize,
}

impl Symbols {
    pub(crate) fn string(&mut self, text: &str) -> u32 {
        if let Some(&known) = self.known_strings.get(text) {
            return known;
        }
        let index = self.strings.len() as u32;
        self.strings.push(text.to_owned());
        self.known_strings.insert(text.to_owned(), index);
        index
    }

    pub(crate) fn origin(&self, frame: u32) -> Origin {
        self.origins[frame as usize]
    }

    /// Is this frame how an allocation comes to the profiler's allocator, rather than who wanted it?
    pub(crate) fn is_allocator(&self, frame: u32) -> bool {
        let frame = &self.frames[frame as usize];
        let function = &self.strings[frame.function as usize];
        let file = frame.file.map(|file| self.strings[file as usize].as_str());
        is_allocator(function, file)
    }

    /// Is it a worker's loop, or what that does for each coroutine?
    pub(crate) fn is_loop(&self, frame: u32) -> bool {
        let frame = &self.frames[frame as usize];
        let function = &self.strings[frame.function as usize];
        let file = frame.file.map(|file| self.strings[file as usize].as_str());
        is_loop(function, file)
    }

    /// The frames at an address, outermost first: more than one where calls were inlined.
    pub(crate) fn frames_at(&mut self, address: usize) -> &[u32] {
        if !self.addresses.contains_key(&address) {
            let mut resolved = resolve(address);
            if !self.name_by_map(&mut resolved) {
                match resolved.iter().any(|frame| frame.function.is_some()) {
                    true => self.named += 1,
                    false => self.nameless += 1,
                }
            }
            let frames = resolved.iter().rev().map(|frame| self.frame(frame));
            let frames = frames.collect();
            self.addresses.insert(address, frames);
        }
        &self.addresses[&address]
    }

    /// A place without a name in a library is called after that; the program's own is left as it is.
    fn name_by_map(&self, resolved: &mut [Resolved]) -> bool {
        let [frame] = resolved else { return false };
        if frame.function.is_some() {
            return false;
        }
        frame.function = self.maps.library(frame.address).map(str::to_owned);
        frame.function.is_some()
    }

    fn frame(&mut self, resolved: &Resolved) -> u32 {
        let origin = origin(resolved);
        let frame = Frame {
            function: self.string(&name(resolved)),
            file: resolved.file.as_deref().map(|file| self.string(file)),
            line: resolved.line,
            own: origin == Origin::Own,
        };
        if let Some(&known) = self.known_frames.get(&frame) {
            return known;
        }
        let index = self.frames.len() as u32;
        self.frames.push(frame.clone());
        self.origins.push(origin);
        self.known_frames.insert(frame, index);
        index
    }
}

/// Where libraries are in memory: `libc.so.6`, `[vdso]`.
struct Maps(Vec<(Range<usize>, String)>);

impl Default for Maps {
    fn default() -> Self {
        let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let own = std::env::current_exe().unwrap_or_default();
        Self(text.lines().filter_map(|line| map(line, &own)).collect())
    }
}

/// A line such as `7f00-7f20 r-xp 00002000 fe:00 1009 /lib/libc.so.6`, if that is not the program itself.
fn map(line: &str, own: &Path) -> Option<(Range<usize>, String)> {
    let (range, rest) = line.split_once(' ')?;
    let path = rest.split_whitespace().nth(4).map(Path::new)?;
    if path == own {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((
        address(start)?..address(end)?,
        path.file_name()?.to_str()?.to_owned(),
    ))
}

impl Maps {
    fn library(&self, address: usize) -> Option<&str> {
        let found = self.0.iter().find(|(range, _)| range.contains(&address));
        found.map(|(_, name)| name.as_str())
    }
}

/// The function, or the address if it has no name. With line tables alone the name of an inlined function comes without its
/// module, which the file then tells.
fn name(frame: &Resolved) -> String {
    let Some(function) = &frame.function else {
        return format!("{:#x}", frame.address);
    };
    if function.contains("::") {
        return function.clone();
    }
    let path = frame.file.as_deref().map(Path::new);
    let rust = path.filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let stem = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    let module = rust.and_then(|path| match stem(path)?.as_str() {
        "mod" | "lib" | "main" => stem(path.parent()?).filter(|folder| folder != "src"),
        module => Some(module.to_owned()),
    });
    match module {
        Some(module) => format!("{module}::{function}"),
        None => function.clone(),
    }
}

/// Our own functions, the symbols by which Rust calls an allocator, and those that call these for all others.
fn is_allocator(function: &str, file: Option<&str>) -> bool {
    const FILES: [&str; 2] = ["/src/context/allocations/mod.rs", "/alloc/src/alloc.rs"];
    const NAMES: [&str; 4] = [
        "grapeshot::context::allocations::",
        "__rust_alloc",
        "__rust_realloc",
        "__rg_",
    ];
    file.is_some_and(|file| FILES.iter().any(|end| file.ends_with(end)))
        || NAMES.iter().any(|name| function.contains(name))
}

/// The three functions of the runtime that call each other, and everything else that a worker does.
fn is_loop(function: &str, file: Option<&str>) -> bool {
    const NAMES: [&str; 3] = ["run", "run_ready", "run_one"];
    let name = function.rsplit("::").next().unwrap_or(function);
    NAMES.contains(&name) && file.is_some_and(|file| file.ends_with("/src/sched/worker/mod.rs"))
}

fn origin(frame: &Resolved) -> Origin {
    /// The packages of the workspace that are libraries.
    const LIBRARIES: &[&str] = &[
        "/protocols/",
        "/backdoor/",
        "/profiler/",
        "/tracing/",
        "/macros/",
    ];
    /// Where Cargo and rustup keep what is not the application's.
    const FOREIGN: &[&str] = &["/registry/src/", "/.cargo/git/", "/rustlib/"];
    /// What begins the names of the runtime's functions, and of those of Rust's own libraries.
    const RUNTIME: &[&str] = &["grapeshot::", "std::", "core::", "alloc::", "__rust"];
    let Some(file) = frame.file.as_deref() else {
        // Assembly, libraries of C, and what was built without debug information. `<core::Range as Iterator>::next` too.
        let name = frame.function.as_deref().unwrap_or_default();
        let name = name.trim_start_matches(['<', '&']);
        return match RUNTIME.iter().any(|start| name.starts_with(start)) {
            true => Origin::Runtime,
            false => Origin::Library,
        };
    };
    // The last is where std's own dependencies were built.
    if file.starts_with("/rustc/")
        || file.contains("/rustlib/src/rust/")
        || file.starts_with("/rust/deps/")
    {
        return Origin::Runtime;
    }
    if FOREIGN.iter().any(|folder| file.contains(folder)) || !file.ends_with(".rs") {
        return Origin::Library;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let inside = workspace.and_then(|it| file.strip_prefix(it.to_str()?));
    match inside {
        Some(file) if file.starts_with("/src/") => Origin::Runtime,
        Some(file) if file.contains("/src/") && LIBRARIES.iter().any(|it| file.starts_with(it)) => {
            Origin::Library
        }
        _ => Origin::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(function: &str, file: &str) -> Resolved {
        Resolved {
            address: 1,
            function: Some(function.into()),
            file: (!file.is_empty()).then(|| file.into()),
            line: Some(1),
        }
    }

    #[test]
    fn own_code_is_told_from_what_it_uses() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let ours = |path: &str| format!("{}/{path}", workspace.display());
        let registry = "/home/me/.cargo/registry/src/index.crates.io-1/serde-1.0/src/de.rs";
        let cases = [
            ("/home/me/shop/src/main.rs", Origin::Own),
            (registry, Origin::Library),
            (
                "/home/me/.cargo/git/checkouts/x/1/src/lib.rs",
                Origin::Library,
            ),
            ("/rustc/01/library/core/src/iter.rs", Origin::Runtime),
            ("/rust/deps/hashbrown-0.16.1/src/map.rs", Origin::Runtime),
            ("/build/glibc/malloc.c", Origin::Library),
            ("", Origin::Library),
            (&ours("src/sync/mutex.rs"), Origin::Runtime),
            (&ours("protocols/http/src/server.rs"), Origin::Library),
            (&ours("demos/mmo/npc.rs"), Origin::Own),
            (&ours("profiler/tests/shares.rs"), Origin::Own),
        ];
        for (file, whose) in cases {
            assert_eq!(origin(&at("f", file)), whose, "{file}");
        }
    }

    #[test]
    fn who_wants_memory_is_told_from_who_gives_it() {
        let named = [
            "<grapeshot::context::allocations::Allocator<A> as core::alloc::global::GlobalAlloc>::alloc",
            "__rustc::__rust_alloc_zeroed",
            "__rg_realloc",
        ];
        assert!(named.iter().all(|name| is_allocator(name, None)));
        let in_file = |file| is_allocator("alloc", Some(file));
        assert!(in_file("/rustc/0/library/alloc/src/alloc.rs"));
        assert!(!in_file("/rustc/0/library/alloc/src/vec/mod.rs"));
        assert!(!in_file("/home/me/shop/src/alloc.rs"));
        for name in [
            "shop::fill",
            "__rust_try",
            "std::sys::backtrace::__rust_begin_short_backtrace",
        ] {
            assert!(!is_allocator(name, None), "{name}");
        }
    }

    #[test]
    fn a_workers_loop_is_told_from_what_it_calls() {
        let file = "/home/me/grapeshot/src/sched/worker/mod.rs";
        for name in ["grapeshot::sched::worker::Worker::run_one", "worker::run"] {
            assert!(is_loop(name, Some(file)), "{name}");
            assert!(!is_loop(name, Some("/home/me/shop/src/worker/mod.rs")));
            assert!(!is_loop(name, None));
        }
        assert!(!is_loop("worker::fire_timers", Some(file)));
    }

    #[test]
    fn a_place_in_a_library_is_called_after_it() {
        let own = Path::new("/srv/shop");
        let line = "7f00-7f20 r-xp 00002000 fe:00 1009   /lib/libc.so.6";
        assert_eq!(map(line, own), Some((0x7f00..0x7f20, "libc.so.6".into())));
        assert_eq!(
            map("7f00-7f20 r-xp 00002000 fe:00 1009 /srv/shop", own),
            None
        );
        assert_eq!(map("7f00-7f20 rw-p 00000000 00:00 0", own), None);
        let vdso = map("7f00-7f20 r-xp 00000000 00:00 0 [vdso]", own);
        assert_eq!(vdso.map(|it| it.1), Some("[vdso]".into()));
    }

    #[test]
    fn an_inlined_function_gets_its_module_from_its_file() {
        assert_eq!(name(&at("a::b", "/x/src/c.rs")), "a::b");
        assert_eq!(name(&at("step", "/x/src/npc.rs")), "npc::step");
        assert_eq!(name(&at("step", "/x/src/world/mod.rs")), "world::step");
        assert_eq!(name(&at("step", "/x/src/main.rs")), "step");
        assert_eq!(name(&at("malloc", "/x/malloc.c")), "malloc");
        let mut nameless = at("", "");
        nameless.function = None;
        nameless.address = 0x1234;
        assert_eq!(name(&nameless), "0x1234");
    }
}
