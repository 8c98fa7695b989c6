//! A backdoor and its peer in one process: what the application's side of the API promises.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use grapeshot::Builder;
use grapeshot::sync::{Mutex, channel};
use grapeshot_backdoor::protocol::{
    ClientMessage, Decoder, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ReceiveError, ServerMessage,
    VERSION, encode,
};
use grapeshot_backdoor::{Backdoor, Handle, Right};
use grapeshot_profiler::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

struct Peer {
    stream: UnixStream,
    decoder: Decoder,
}

impl Peer {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut peer = Self {
            stream,
            decoder: Decoder::new(MAX_SERVER_MESSAGE),
        };
        // A server that refuses may have closed already; what it said is still there to be read.
        let hello = encode(
            &ClientMessage::Hello { version: VERSION },
            MAX_CLIENT_MESSAGE,
        );
        let _ = peer.stream.write_all(&hello.unwrap());
        peer
    }

    fn attach(path: &Path) -> Self {
        let mut peer = Self::connect(path);
        assert!(matches!(peer.receive(), Some(ServerMessage::Hello { .. })));
        peer
    }

    fn send(&mut self, message: &ClientMessage) {
        self.stream
            .write_all(&encode(message, MAX_CLIENT_MESSAGE).unwrap())
            .unwrap();
    }

    fn ask(&mut self, source: &str) -> ServerMessage {
        self.send(&ClientMessage::Eval {
            id: 1,
            source: source.to_owned(),
            rows: None,
        });
        self.receive().expect("an answer")
    }

    fn receive(&mut self) -> Option<ServerMessage> {
        match self.decoder.receive(&self.stream) {
            Ok(message) => message,
            // It ended before it had read what we sent.
            Err(ReceiveError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

/// Serves a backdoor in a runtime of its own while `test` runs on this thread.
fn with_backdoor(name: &str, backdoor: Backdoor, test: impl FnOnce(&Path)) {
    let _others = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
    with_application(name, backdoor, || (), test);
}

/// Who looks at what the process allocates has it for itself.
static MEMORY: RwLock<()> = RwLock::new(());

/// A socket's path. Whatever is there is removed with this: after a test that failed, the socket.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// As [`with_backdoor`], with something to look at.
fn with_application(
    name: &str,
    backdoor: Backdoor,
    application: impl FnOnce() + Send + 'static,
    test: impl FnOnce(&Path),
) {
    let name = format!("/tmp/gs-in-process-{}-{name}", std::process::id());
    let place = Place(PathBuf::from(name));
    let path = &place.0;
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (end, ended) = grapeshot::sync::channel::bounded::<()>(1);
    let at = path.clone();
    let server = std::thread::spawn(move || {
        grapeshot::run(move || {
            let handle: Handle = backdoor.serve_unix(&at).unwrap();
            assert_eq!(handle.path(), at);
            application();
            ready.send(()).unwrap();
            // Ends when the test drops its sender.
            let _ = ended.recv();
        });
    });
    is_ready.recv().unwrap();
    test(path);
    drop(end);
    server.join().unwrap();
    assert!(!path.exists(), "the socket was left behind");
}

fn result_of(message: ServerMessage) -> serde_json::Value {
    match message {
        ServerMessage::Result { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

fn error_of(message: ServerMessage) -> String {
    match message {
        ServerMessage::Error { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_time_limit_reaches_into_a_blocking_call() {
    let backdoor = Backdoor::new("limited")
        .time_limit(Duration::from_millis(100))
        .expose("nap", "", Right::Operate, || {
            grapeshot::sleep(Duration::from_secs(3600))
        });
    with_backdoor("limit", backdoor, |path| {
        let mut peer = Peer::attach(path);
        assert_eq!(
            error_of(peer.ask("nap()")),
            "stopped after 0.1 s, the time limit of this console"
        );
        assert_eq!(
            error_of(peer.ask("loop {}")),
            "stopped after 0.1 s, the time limit of this console"
        );
        assert!(matches!(peer.ask("5"), ServerMessage::Result { value, .. } if value == 5));
    });
}

/// What was asked to last may last, and the statement goes on behind it.
#[test]
fn the_time_limit_is_not_for_what_was_asked_to_last() {
    let backdoor = harbour()
        // What comes after, such as reading symbols, has the limit as well: so long on a machine with much to do.
        .time_limit(Duration::from_secs(5))
        .expose("knots", "", Right::Observe, || 7);
    with_backdoor("lasting", backdoor, |path| {
        let mut peer = Peer::attach(path);
        let id = match peer.ask("begin()") {
            ServerMessage::Result { value, .. } => value,
            other => panic!("{other:?}"),
        };
        let refused = error_of(peer.ask(&format!("why({id}, 1e19)")));
        assert!(refused.contains("at most 3600"), "{refused}");
        let begin = |source: &str| {
            let mut peer = Peer::attach(path);
            peer.send(&ClientMessage::Eval {
                id: 1,
                source: source.to_owned(),
                rows: None,
            });
            peer
        };
        // Nobody is called so: it looks on until it is told to stop.
        let mut trace = begin("trace(\"nobody\")");
        for (lasting, mut peer) in ["profile.take(5.2)", &format!("why({id}, 5.2)")]
            .map(|lasting| (lasting.to_owned(), begin(&format!("{lasting}; knots()"))))
        {
            let (_, end) = printed(&mut peer);
            assert!(
                matches!(&end, ServerMessage::Result { value, .. } if *value == 7),
                "{lasting}: {end:?}"
            );
        }
        trace.send(&ClientMessage::Interrupt { id: 1 });
        let (_, end) = printed(&mut trace);
        assert_eq!(error_of(end), "interrupted");
    });
}

#[test]
fn dropping_the_handle_ends_the_sessions() {
    let mut attached = None;
    with_backdoor("drop", Backdoor::new("short"), |path| {
        let mut peer = Peer::attach(path);
        peer.send(&ClientMessage::Eval {
            id: 1,
            source: "loop {}".into(),
            rows: None,
        });
        attached = Some(peer);
    });
    // It may still be told that its evaluation was interrupted; then the stream ends.
    let mut peer = attached.unwrap();
    while let Some(message) = peer.receive() {
        assert_eq!(error_of(message), "interrupted");
    }
}

#[test]
fn as_many_sessions_as_the_application_allows() {
    with_backdoor("few", Backdoor::new("few").max_sessions(1), |path| {
        let _first = Peer::attach(path);
        let mut second = Peer::connect(path);
        assert!(
            matches!(second.receive(), Some(ServerMessage::Refused { message }) if message.contains("limit"))
        );
    });
}

#[test]
fn functions_see_the_applications_state() {
    let names = Arc::new(grapeshot::sync::Mutex::new(vec!["ann".to_owned()]));
    let (add, list) = (Arc::clone(&names), Arc::clone(&names));
    let backdoor = Backdoor::new("state")
        .expose("add", "", Right::Operate, move |name: String, times: u8| {
            for _ in 0..times {
                add.lock().push(name.clone());
            }
        })
        .expose("list", "", Right::Operate, move || list.lock().clone())
        .expose(
            "sum",
            "",
            Right::Operate,
            |numbers: Vec<f64>, scale: Option<f64>| {
                numbers.iter().sum::<f64>() * scale.unwrap_or(1.0)
            },
        )
        .expose(
            "four",
            "",
            Right::Operate,
            |a: i64, b: i64, c: i64, d: bool| if d { a + b + c } else { 0 },
        );
    with_backdoor("state", backdoor, |path| {
        let mut peer = Peer::attach(path);
        let mut value = |source: &str| match peer.ask(source) {
            ServerMessage::Result { value, .. } => value,
            other => panic!("{source}: {other:?}"),
        };
        assert!(value("add(\"bob\", 2)").is_null());
        assert_eq!(value("list().len()"), 3);
        assert_eq!(value("sum([1, 2.5], 2)"), 7.0);
        assert_eq!(value("sum([1], ())"), 1.0);
        assert_eq!(value("four(1, 2, 3, true)"), 6);
        assert!(error_of(peer.ask("add(\"x\", 300)")).contains("argument 2"));
    });
    assert_eq!(names.lock().len(), 3);
}

#[test]
fn a_coroutine_that_waits_for_itself_is_shown() {
    let twice = || {
        let lock = grapeshot::sync::Mutex::new(());
        let _held = lock.lock();
        let _again = lock.lock();
    };
    let tangle = move || drop(grapeshot::Builder::new().name("twice").spawn(twice));
    let backdoor = Backdoor::new("tangled").expose("tangle", "", Right::Operate, tangle);
    with_backdoor("tangled", backdoor, |path| {
        let mut peer = Peer::attach(path);
        let mut value = |source: &str| match peer.ask(source) {
            ServerMessage::Result { value, .. } => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(value("deadlocks().len()"), 0);
        value("tangle()");
        assert!((0..10_000).any(|_| value("deadlocks().len()") != 0));
        assert_eq!(value("let d = deadlocks()[0]; d.name"), "twice");
        assert_eq!(value("d.circle"), 1);
        assert_eq!(value("d.held_by == d.id"), true);
        assert_eq!(value("d.waits_for.starts_with(\"mutex 0x\")"), true);
        let place = value("d.place");
        assert!(place.as_str().unwrap().contains("in_process"), "{place}");
        value("kill(d.id)");
        assert!((0..10_000).any(|_| value("deadlocks().len()") == 0));
    });
}

/// One that has a lock for good, one that waits for it, and one that is busy.
fn harbour() -> Backdoor {
    let named = |name: &str| grapeshot::Builder::new().name(name);
    let begin = move || {
        let lock = Arc::new(grapeshot::sync::Mutex::new(()));
        let label = grapeshot::trace::label(&*lock, "quay");
        let theirs = Arc::clone(&lock);
        drop(named("holder").spawn(move || {
            let _label = label;
            let _held = theirs.lock();
            grapeshot::sleep(Duration::from_secs(3600));
        }));
        drop(named("ticker").spawn(|| {
            loop {
                grapeshot::sleep(Duration::from_millis(1));
            }
        }));
        named("waiter").spawn(move || drop(lock.lock())).id().0
    };
    Backdoor::new("harbour").expose("begin", "", Right::Operate, begin)
}

#[test]
fn who_holds_whom_up_is_told_in_sentences() {
    with_backdoor("why", harbour(), |path| {
        let mut peer = Peer::attach(path);
        let mut value = |source: &str| match peer.ask(source) {
            ServerMessage::Result { value, .. } => value,
            other => panic!("{other:?}"),
        };
        value("let id = begin()");
        let expected = |text: &str| {
            text.starts_with("'waiter'") && text.contains("for mutex 'quay', held by\n'holder'")
        };
        let told = (0..10_000).any(|_| value("why(id)").as_str().is_some_and(expected));
        assert!(told, "{}", value("why(id)"));
        let place = value("why(id)");
        assert!(
            place.as_str().unwrap().contains("in_process.rs:"),
            "{place}"
        );
    });
}

/// What was printed until the evaluation ended, and how it ended.
fn printed(peer: &mut Peer) -> (Vec<String>, ServerMessage) {
    let mut lines = Vec::new();
    loop {
        match peer.receive().expect("an answer") {
            ServerMessage::Output { text, .. } => lines.extend(text.lines().map(str::to_owned)),
            ServerMessage::Rows { .. } => {}
            end => return (lines, end),
        }
    }
}

#[test]
fn what_happens_is_shown_as_it_happens() {
    with_backdoor("trace", harbour(), |path| {
        let mut peer = Peer::attach(path);
        let eval = |peer: &mut Peer, id: u64, source: &str| {
            let source = source.to_owned();
            peer.send(&ClientMessage::Eval {
                id,
                source,
                rows: None,
            });
        };
        eval(&mut peer, 1, "let id = begin()");
        printed(&mut peer);
        eval(&mut peer, 2, "trace(\"ticker\", 6)");
        let (lines, end) = printed(&mut peer);
        assert!(matches!(end, ServerMessage::Result { .. }), "{end:?}");
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.contains(" ticker ("))
                .count(),
            6,
            "{lines:#?}"
        );
        for what in ["waits for sleep", "woken by a timer", "resumed"] {
            assert!(lines.iter().any(|line| line.ends_with(what)), "{lines:#?}");
        }
        // Without a count it goes on until somebody stops it.
        eval(&mut peer, 3, "trace(\"ticker\")");
        assert!(matches!(peer.receive(), Some(ServerMessage::Output { .. })));
        peer.send(&ClientMessage::Interrupt { id: 3 });
        let (_, end) = printed(&mut peer);
        assert!(error_of(end).contains("interrupted"));
        eval(&mut peer, 4, "why(id, 0.1)");
        let (lines, end) = printed(&mut peer);
        assert!(matches!(end, ServerMessage::Result { .. }), "{end:?}");
        assert!(lines[0].starts_with("'waiter'"), "{lines:#?}");
        eval(&mut peer, 5, "trace(1234567890)");
        let (_, end) = printed(&mut peer);
        assert!(error_of(end).contains("no coroutine has the id"));
    });
}

#[test]
fn a_profile_is_taken_looked_at_and_saved() {
    let result = result_of;
    let _alone = MEMORY.write().unwrap_or_else(PoisonError::into_inner);
    with_application(
        "profile",
        Backdoor::new("profiled"),
        || (),
        |path| {
            let mut peer = Peer::attach(path);
            assert!(error_of(peer.ask("profile.top()")).contains("profile.start()"));
            assert!(error_of(peer.ask("profile.stop()")).contains("start one first"));
            assert!(error_of(peer.ask("profile.start(0, -1)")).contains("bytes from 0"));
            result(peer.ask("profile.start(0)"));
            assert!(error_of(peer.ask("profile.start()")).contains("stop that one first"));
            assert!(error_of(peer.ask("profile.waits()")).contains("profile.stop()"));
            let told = result(peer.ask("profile.stop()"));
            assert_eq!(told["samples"], 0);
            // The application's main coroutine waits for the end of the test all the time.
            let waits = r#"profile.waits().some(|it| it.name == "main" && it.waited_for == "channel recv")"#;
            assert_eq!(result(peer.ask(waits)), true);
            let groups = r#"profile.groups().some(|it| it.name == "main" && it.coroutines > 0)"#;
            assert_eq!(result(peer.ask(groups)), true);
            assert_eq!(result(peer.ask("profile.top().is_empty()")), true);
            assert!(error_of(peer.ask("profile.allocations()")).contains("start(1000, 524288)"));
            let file = path.with_extension("json");
            result(peer.ask(&format!("profile.save({:?})", file.to_str().unwrap())));
            let profile = grapeshot_profiler::Profile::load(&file).unwrap();
            assert!(
                profile
                    .off
                    .iter()
                    .any(|it| profile.group(it.group) == "main")
            );
            std::fs::remove_file(&file).unwrap();
            let file = path.with_extension("firefox.json");
            result(peer.ask(&format!("profile.save({:?})", file.to_str().unwrap())));
            let firefox = std::fs::read_to_string(&file).unwrap();
            assert!(firefox.contains("preprocessedProfileVersion"));
            std::fs::remove_file(&file).unwrap();
            assert!(result(peer.ask("profile.take(0.01)"))["lasted"].is_object());
            let nowhere = error_of(peer.ask("profile.save(\"/nowhere/at/all.html\")"));
            assert!(nowhere.contains("No such file"), "{nowhere}");
            assert!(error_of(peer.ask("profile.save(\"x.doc\")")).contains(".firefox.json"));
            assert!(error_of(peer.ask("profile.take(-1)")).contains("from 0 to"));

            // What is allocated, but by the console itself.
            #[inline(never)]
            fn hoard() -> usize {
                std::hint::black_box(vec![1_u8; 8 << 20]).len()
            }
            result(peer.ask("profile.start(0, 1024)"));
            assert_eq!(hoard(), 8 << 20);
            let talk = r#"let list = []; for n in 0..5000 { list.push("x" + n); } list.len()"#;
            assert_eq!(result(peer.ask(talk)), 5_000);
            let told = result(peer.ask("profile.stop()"));
            assert!(told["allocated"].is_object(), "{told:?}");
            assert_eq!(told["lost_allocations"], 0);
            let most = r#"profile.allocations()[0].function"#;
            let most = result(peer.ask(most));
            assert!(most.as_str().unwrap().contains("RawVec"), "{most:?}");
            let has = |part: &str| {
                format!("profile.allocations(10000).some(|it| it.function.contains({part:?}))")
            };
            assert_eq!(result(peer.ask(&has("hoard"))), true);
            assert_eq!(result(peer.ask(&has("rhai"))), false);
            let file = path.with_extension("alloc.folded");
            result(peer.ask(&format!("profile.save({:?})", file.to_str().unwrap())));
            let folded = std::fs::read_to_string(&file).unwrap();
            assert!(folded.contains("hoard;"), "{folded}");
            std::fs::remove_file(&file).unwrap();

            // The profile itself, in pieces.
            let (mut text, mut message) = (String::new(), peer.ask("profile.text()"));
            while let ServerMessage::Rows { rows, .. } = message {
                rows.iter()
                    .for_each(|row| text.push_str(row.as_str().unwrap()));
                message = peer.receive().unwrap();
            }
            assert!(matches!(message, ServerMessage::Result { .. }));
            let profile = grapeshot_profiler::Profile::from_json(&text).unwrap();
            assert!(profile.strings.iter().any(|name| name == "main"));

            // A long one is ended by Ctrl-C, and there is none then.
            let source = "profile.take(3600)".into();
            let rows = None;
            peer.send(&ClientMessage::Eval {
                id: 1,
                source,
                rows,
            });
            let begun = Instant::now();
            while !grapeshot_profiler::is_running() {
                assert!(begun.elapsed() < Duration::from_secs(60), "it never begins");
                std::thread::yield_now();
            }
            peer.send(&ClientMessage::Interrupt { id: 1 });
            assert!(error_of(peer.receive().unwrap()).contains("interrupted"));
            assert!(!grapeshot_profiler::is_running());
        },
    );
}

/// A channel at an address that nothing had before: `stuck()` takes what that left in memory for a handle.
#[cfg(target_os = "linux")]
#[inline(never)]
fn fresh_channel() -> (channel::Sender<[u64; 3]>, channel::Receiver<[u64; 3]>) {
    // The allocator gives away what was used before it gives new memory: these have that, and more than all others here ever
    // needed together.
    (0..20_000)
        .for_each(|_| std::mem::forget(std::hint::black_box(channel::unbounded::<[u64; 3]>())));
    channel::unbounded()
}

/// It waits for orders that only itself could give.
#[cfg(target_os = "linux")]
#[inline(never)]
fn forgets() {
    let (orders, helm) = fresh_channel();
    let _ = helm.recv();
    drop(orders);
}

#[cfg(target_os = "linux")]
#[test]
fn who_is_stuck_gets_a_hint_if_there_is_one() {
    let application = || {
        let named = |name: &str| Builder::new().name(name);
        drop(named("forgets").spawn(forgets));
        drop(named("twice").spawn(|| {
            let lock = Mutex::new(());
            let _held = lock.lock();
            drop(lock.lock());
        }));
        drop(named("waits").spawn(|| grapeshot::sleep(Duration::from_secs(3600))));
    };
    let _others = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
    let backdoor = Backdoor::new("stuck").time_limit(Duration::from_secs(600));
    let begun = Instant::now();
    with_application("stuck", backdoor, application, |path| {
        let mut peer = Peer::attach(path);
        let at_once = result_of(peer.ask("stuck().filter(|it| it.name == \"forgets\").len()"));
        assert!(at_once == 0 || begun.elapsed() > Duration::from_secs(10));
        let rows = "let told = \"\"; for it in stuck(0) { told += `${it.certainty} ${it.name}: ${it.hint}\n` } told";
        let expected = "proved twice: \nsuspected forgets: the channel's only sender it seems to hold itself: drop it\n";
        loop {
            let told = result_of(peer.ask(rows));
            if told == expected {
                break;
            }
            // It may not have come to its wait yet; but nobody else is ever named.
            let told = told.as_str().unwrap();
            assert!(!told.contains("waits"), "{told}");
            assert!(begun.elapsed() < Duration::from_secs(60), "{told}");
        }
        let negative = error_of(peer.ask("stuck(-1)"));
        assert_eq!(negative, "stuck(seconds): from 0, not -1.0");
    });
}
