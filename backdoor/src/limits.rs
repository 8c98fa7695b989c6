//! Everything that a console may make the server hold, and how much of it.

use std::time::Duration;

/// How long an evaluation may run unless the application says otherwise.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Sessions at once, unless the application says otherwise.
pub(crate) const MAX_SESSIONS: usize = 32;

/// Bytes that one evaluation may print.
pub(crate) const MAX_OUTPUT: u64 = 16 << 20;

/// Address space of an evaluation's stack; only what is touched costs memory.
///
/// The language's frames are large, about 20 KiB for a call from script to script, which 2 MiB would hold. But it copies,
/// measures and drops nested values recursively: 2 MiB overflowed after 1,000 levels in a debug build and 5,000 in a release
/// build. [`VARIABLE_LEVELS`] bounds the variables, now and then; `this`, which is none, is some 30,000 levels deep when the
/// time limit ends `loop { this = [this]; }`. And the application's functions return what they like, to be dropped here.
pub(crate) const STACK_SIZE: usize = 64 << 20;

/// Address space of a session's stack: statements are parsed there to tell whether they are complete.
pub(crate) const SESSION_STACK_SIZE: usize = 2 << 20;

/// Calls from script function to script function.
pub(crate) const CALL_LEVELS: usize = 64;

/// Expressions inside expressions, outside of functions and inside of them.
pub(crate) const EXPRESSION_DEPTH: (usize, usize) = (64, 32);

/// Variables of a session.
pub(crate) const VARIABLES: usize = 1024;

/// Functions that one statement may define.
pub(crate) const FUNCTIONS: usize = 256;

/// Bytes of all variables of a session: what a script makes is bounded by this and by what one value may be.
pub(crate) const VARIABLE_BYTES: usize = 256 << 20;

/// Levels of a variable. The language copies, measures and drops recursively, and closures that hold each other nest without
/// being copied.
pub(crate) const VARIABLE_LEVELS: usize = 1000;

/// Bytes of all strings in one value.
pub(crate) const STRING_BYTES: usize = 32 << 20;

/// Elements of all arrays in one value.
pub(crate) const ARRAY_ELEMENTS: usize = 250_000;

/// Fields of all maps in one value.
pub(crate) const MAP_FIELDS: usize = 1_000_000;

/// Levels of lists, maps, structs, variants and options in a value of the application: whoever serializes them recurses.
///
/// Less than the 127 that serde_json reads, as other readers of JSON do.
pub(crate) const VALUE_LEVELS: usize = 100;

/// Bytes of JSON that one look at an exposed value gives.
pub(crate) const VALUE_BYTES: usize = 16 << 20;

/// Rows that `ps()` gives; a server with more coroutines narrows it by name.
pub(crate) const PS_ROWS: usize = 100_000;

/// Rows that `glance()` gives.
pub(crate) const GLANCE_ROWS: usize = 1_000;

/// Coroutines that `glance()` remembers for the next look, of each session; of the others it does not tell the load.
pub(crate) const GLANCE_REMEMBERED: usize = 1_000_000;

/// Coroutines whose backtraces `where_all()` takes.
pub(crate) const WHERE_ALL: usize = 100_000;

/// A console that takes longer than this to take a message is given up.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// A peer that has not said hello by then is given up.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a person may take to type a login.
pub(crate) const TYPING_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a login that was wrong waits for its answer.
pub(crate) const LOGIN_PENALTY: Duration = Duration::from_secs(1);

/// Connections at each address whose peer has not said who it is.
pub(crate) const STRANGERS: usize = 64;

/// Messages that wait for a slow console before its evaluation waits too.
pub(crate) const QUEUED_MESSAGES: usize = 64;

/// The thread that serves the consoles.
pub(crate) const THREAD: &str = "backdoor";

/// A thread that a function of the application runs on.
pub(crate) const CALL_THREAD: &str = "backdoor-call";

/// Calls of the application's functions at once, those that were given up and have not ended among them.
pub(crate) const CALLS: usize = 64;

/// How long an interrupted call may take to end before it is left to itself.
pub(crate) const CALL_GRACE: Duration = Duration::from_millis(200);

/// How long an exposed value's lock may be somebody's before its reader is told so.
pub(crate) const VALUE_PATIENCE: Duration = Duration::from_secs(2);

/// How long the end of a backdoor waits for the application's logger.
pub(crate) const LAST_LINES: Duration = Duration::from_millis(500);
