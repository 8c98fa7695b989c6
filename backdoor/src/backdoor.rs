//! What an application says to have a console: a name, its functions, a path.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grapeshot::RuntimeHandle;

use crate::builtin::{self, Costs};
use crate::expose::{Exposed, ExposedValue, Function, Readable, SharedValue, TryExposed};
use crate::limits;
use crate::network::{Asked, IN_THE_CLEAR, Speaks};
use crate::rights::{Right, Rights};
use crate::runtimes::Runtimes;
use crate::seats::Seats;
use crate::server::{self, Handle};
use crate::users::{Named, Users};
use crate::value::Shapes;
#[cfg(feature = "web")]
use crate::web::Web;

/// A console's view into an application, to be built once and then served.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use grapeshot_backdoor::{Backdoor, Right};
///
/// #[derive(serde::Serialize)]
/// struct Player { name: String, score: u32 }
///
/// # fn main() -> std::io::Result<()> {
/// grapeshot::run(|| {
///     let speed = Arc::new(AtomicU32::new(10));
///     let players = || vec![Player { name: "ann".into(), score: 3 }];
///     let backdoor = Backdoor::new("game")
///         .expose("players", "everybody who plays", Right::Observe, players)
///         .expose("kick", "throw a player out", Right::Operate, |name: String| -> Result<(), String> {
///             Err(format!("nobody is called {name}"))
///         })
///         .try_expose("store", "write the game to a file", Right::Operate, |path: String| {
///             std::fs::write(path, "…")
///         })
///         .expose_setting("speed", "steps a second", Right::Observe, Right::Operate, &speed)
///         .serve_unix("/run/game.sock")?;
///     // … serve players …
///     drop(backdoor);
///     Ok(())
/// })
/// # }
/// ```
///
/// Then `console /run/game.sock`, and at its prompt `players()`, `kick("ann")`, `speed(20)`, `ps()`.
///
/// # Where things run
///
/// Consoles are served by a thread of the backdoor's own, called `backdoor`. So they answer, and `ps()`, `stalls()` and
/// `where(id)` tell who is to blame, when every worker of the application is held. They tell of the runtime that
/// [`serve_unix`](Self::serve_unix) was called in; each runtime of a process may have a backdoor, at a path of its own.
///
/// An exposed function runs in a coroutine on another thread, `backdoor-call`, one for each call that runs at the time. It may
/// block as any coroutine may, and a console that gives up waiting (Ctrl-C, the time limit) interrupts it there. If it does
/// not end by that, because it computes on or is in a lock that does not know of coroutines, it is left there: the console
/// has its prompt again, and nobody else waits. What it spawns runs in the application's runtime;
/// [`spawn_local`](grapeshot::spawn_local) and the children of a [`scope`](grapeshot::scope) stay with it. A panic in it
/// is shown at the console and harms nobody.
///
/// An exposed value that is atomic is read and set whatever its users do. One behind a lock is as good as whoever has the
/// lock: after two seconds the console says who that is instead.
pub struct Backdoor {
    name: String,
    functions: Vec<Function>,
    values: Vec<ExposedValue>,
    time_limit: Duration,
    max_sessions: usize,
    users: Vec<Named>,
    network: Vec<Asked>,
    #[cfg(feature = "web")]
    page: Option<Web>,
}

impl Backdoor {
    /// A backdoor of the application called `name`, with the built-in functions.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            functions: Vec::new(),
            values: Vec::new(),
            time_limit: limits::TIME_LIMIT,
            max_sessions: limits::MAX_SESSIONS,
            users: Vec::new(),
            network: Vec::new(),
            #[cfg(feature = "web")]
            page: None,
        }
    }

    /// Lets the console call `name(..)`, in sessions with that right. `doc` is what `help()` says about it, in a few words.
    ///
    /// A struct becomes a list of its fields, a `Vec` of structs a table, a `Duration` is shown as one, and the `Err` of
    /// a `Result` becomes the call's error. What is nested deeper than 100 levels is refused, here and wherever else a value comes
    /// to the console. The same name may be exposed again with another number of arguments.
    ///
    /// # Panics
    /// If `name` cannot be the name of a function, is built in, or is already taken with as many arguments.
    #[must_use]
    pub fn expose<Args: 'static>(
        self,
        name: &str,
        doc: &str,
        right: Right,
        closure: impl Exposed<Args>,
    ) -> Self {
        self.add(Function::plain(name, doc, right, closure))
    }

    /// Like [`Backdoor::expose`] for a closure whose error can be displayed but not serialized, such as `io::Error`.
    ///
    /// # Panics
    /// As [`Backdoor::expose`].
    #[must_use]
    pub fn try_expose<Args: 'static>(
        self,
        name: &str,
        doc: &str,
        right: Right,
        closure: impl TryExposed<Args>,
    ) -> Self {
        self.add(Function::fallible(name, doc, right, closure))
    }

    /// Lets the console look into a value, in sessions with that right: `name` or `name()` is all of it, and
    /// `name.players[3].lives` a part of it, for which nothing else is converted or copied. It may be an atomic, or anything
    /// `Serialize` behind an `Arc` and a lock: of [`grapeshot::sync`] or of std.
    ///
    /// The console waits two seconds for the lock at most, and then says who has it.
    ///
    /// # Panics
    /// As [`Backdoor::expose`].
    #[must_use]
    pub fn expose_value<V>(self, name: &str, doc: &str, right: Right, value: &V) -> Self
    where
        V: Readable + Clone,
    {
        self.add_value(ExposedValue::readable(name, doc, right, value))
    }

    /// As [`Backdoor::expose_value`], for sessions with the right `read`; those with the right `set` also replace it, with
    /// `name(value)`, or a part of it, with `name.players[3].lives = 5`.
    ///
    /// For a part, the value is serialized, changed and deserialized with its lock held: what its `Serialize` leaves out is
    /// lost. A [`Secret`](crate::Secret) in it stays as it is, unless it is what is set.
    ///
    /// # Panics
    /// As [`Backdoor::expose`].
    #[must_use]
    pub fn expose_setting<V>(
        self,
        name: &str,
        doc: &str,
        read: Right,
        set: Right,
        value: &V,
    ) -> Self
    where
        V: SharedValue + Clone,
    {
        self.add_value(ExposedValue::settable(name, doc, read, set, value))
    }

    /// Marks what was exposed under a name as secret: its arguments and its result are shown to nobody. A result is
    /// `‹secret›`, errors do not quote what they were about, and of a statement that names it the log has only that.
    /// What is secret in part is marked by [`Secret`](crate::Secret).
    ///
    /// # Panics
    /// If nothing was exposed under that name.
    #[must_use]
    pub fn secret(mut self, name: &str) -> Self {
        let functions = self.functions.iter_mut().filter(|it| it.name == name);
        let marked = functions.map(Function::hide).count();
        assert!(marked > 0, "nothing is exposed as `{name}`");
        self.values.retain(|value| value.name != name);
        self
    }

    /// How long an evaluation may run; 30 seconds unless set.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How many consoles may be attached at once; 32 unless set.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Somebody who may log in over the network, and what that one may do then. Whoever comes by the Unix socket needs no
    /// password and has every right.
    ///
    /// The password is forgotten once the backdoor is served; what is kept is a key that a guess takes milliseconds for.
    /// [`serve_unix`](Self::serve_unix) refuses an empty one.
    #[must_use]
    pub fn user(
        mut self,
        name: impl Into<String>,
        password: impl Into<String>,
        rights: Rights,
    ) -> Self {
        self.users.push(Named {
            name: name.into(),
            password: password.into(),
            rights,
        });
        self
    }

    /// Serves consoles over TCP as well, for [users](Self::user) who log in: `console tcp://127.0.0.1:7777`. The password
    /// does not go over the wire ([`login`](crate::login)), the session does, as it is. So the address must be one that only
    /// this machine reaches, `127.0.0.1:7777`, `[::1]:7777` or `localhost:7777`; else there is `Backdoor::tls`.
    #[must_use]
    pub fn tcp(self, address: impl Into<String>) -> Self {
        self.ask(Speaks::Console, address.into(), false)
    }

    /// As [`tcp`](Self::tcp) at any address: for a network that nobody else is on.
    ///
    /// # Panics
    /// If it is not spelled out: `i_know` must be `"anybody on the way may read and change what I send"`.
    #[must_use]
    pub fn tcp_in_the_clear(self, address: impl Into<String>, i_know: &str) -> Self {
        spelled_out("tcp_in_the_clear", i_know);
        self.ask(Speaks::Console, address.into(), true)
    }

    /// Serves telnet as well, for [users](Self::user) who log in: `telnet 127.0.0.1 7779`. Lines are edited on the server's
    /// side, with a history and completion. The password goes over the wire as it is, and so does the session: the address
    /// must be one that only this machine reaches.
    #[must_use]
    pub fn telnet(self, address: impl Into<String>) -> Self {
        self.ask(Speaks::Telnet, address.into(), false)
    }

    /// As [`telnet`](Self::telnet) at any address: for a network that nobody else is on.
    ///
    /// # Panics
    /// If it is not spelled out: `i_know` must be `"anybody on the way may read and change what I send"`.
    #[must_use]
    pub fn telnet_in_the_clear(self, address: impl Into<String>, i_know: &str) -> Self {
        spelled_out("telnet_in_the_clear", i_know);
        self.ask(Speaks::Telnet, address.into(), true)
    }

    /// Serves consoles over TLS as well, at any address, for [users](Self::user) who log in:
    /// `console tls://example.org:7778`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, address: impl Into<String>, config: &grapeshot_tls::server::Config) -> Self {
        self.ask(Speaks::Tls(config.clone()), address.into(), true)
    }

    fn ask(mut self, speaks: Speaks, address: String, anywhere: bool) -> Self {
        self.network.push(Asked {
            speaks,
            address,
            anywhere,
        });
        self
    }

    /// Serves the live page as well: workers, coroutines, groups, the log and more, in a browser, from the same thread as the
    /// consoles. Off unless this is called. [`Handle::page`] has its address.
    #[cfg(feature = "web")]
    #[must_use]
    pub fn web(mut self, page: Web) -> Self {
        self.page = Some(page);
        self
    }

    /// Serves consoles on a Unix socket at `path`, which only this user (and root) can open, until the handle is
    /// dropped or the runtime has ended: a server that does not come to its end can still be looked at. Never suspends.
    ///
    /// A socket file that a dead server left behind is replaced.
    ///
    /// # Errors
    /// `AddrInUse` if another server answers at `path`, `AlreadyExists` if something else than a socket is there, or
    /// what the system said, such as that there is no thread for it. The message names the path and says what to do.
    /// `InvalidInput` for users that nobody could be, and addresses that nobody could log in at or that anybody could reach.
    pub fn serve_unix(mut self, path: impl AsRef<Path>) -> io::Result<Handle> {
        let network = std::mem::take(&mut self.network);
        #[cfg(feature = "web")]
        let page = self.page.take();
        let handle = server::serve_unix(Shared::of(self)?, path.as_ref())?.with_network(network)?;
        #[cfg(feature = "web")]
        let handle = handle.with_page(page)?;
        Ok(handle)
    }

    fn add_value(mut self, value: ExposedValue) -> Self {
        self = self.add(Function::reader(&value));
        if let Some(writer) = Function::writer(&value) {
            self = self.add(writer);
        }
        self.values.push(value);
        self
    }

    fn add(mut self, function: Function) -> Self {
        let name = &function.name;
        assert!(
            is_name(name),
            "{name:?} cannot be the name of a function in the console's language"
        );
        assert!(
            !builtin::is_taken(name),
            "`{name}` is built into the console"
        );
        let taken = self
            .functions
            .iter()
            .any(|f| f.name == *name && f.parameters.len() == function.parameters.len());
        assert!(!taken, "`{}` is already exposed", function.signature());
        self.functions.push(function);
        self
    }
}

fn spelled_out(call: &str, i_know: &str) {
    assert!(
        i_know == IN_THE_CLEAR,
        "to serve consoles over a network as they are, spell it out: {call}(address, {IN_THE_CLEAR:?})"
    );
}

fn is_name(name: &str) -> bool {
    let mut engine = rhai::Engine::new_raw();
    engine.set_optimization_level(rhai::OptimizationLevel::None);
    let word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    // The parser knows which words are reserved.
    word && engine.compile(format!("{name}()")).is_ok()
}

/// What all sessions of a backdoor share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) functions: Vec<Function>,
    pub(crate) values: Vec<ExposedValue>,
    pub(crate) costs: Costs,
    pub(crate) shapes: Shapes,
    pub(crate) time_limit: Duration,
    /// Of all sessions, whatever they came by.
    pub(crate) seats: Seats,
    pub(crate) users: Users,
    pub(crate) runtimes: Runtimes,
}

impl Shared {
    /// # Errors
    /// Those of [`Users::new`].
    pub(crate) fn of(backdoor: Backdoor) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            name: backdoor.name,
            functions: backdoor.functions,
            values: backdoor.values,
            costs: Costs::default(),
            shapes: Shapes::default(),
            time_limit: backdoor.time_limit,
            seats: Seats::new(backdoor.max_sessions),
            users: Users::new(backdoor.users)?,
            runtimes: Runtimes::new(RuntimeHandle::of_spawns()),
        }))
    }

    /// The secret that a statement names, if it names one: nobody may read such a statement.
    pub(crate) fn secret_in(&self, source: &str) -> Option<&str> {
        let words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
        let secret = |word| {
            let mut functions = self.functions.iter();
            functions.find(|function| function.secret && function.name == word)
        };
        words.filter_map(secret).map(|it| it.name.as_str()).next()
    }

    /// How long the runtime has been up.
    pub(crate) fn uptime(&self) -> Duration {
        self.runtimes.application.stats().uptime
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn names_that_cannot_be_called_are_refused_at_once() {
        for name in ["", "two words", "1st", "spawn", "if", "ps", "a-b", "x;exit"] {
            let refused =
                catch_unwind(|| drop(Backdoor::new("test").expose(name, "", Right::Observe, || 1)));
            assert!(refused.is_err(), "{name:?} was taken");
        }
        let twice = catch_unwind(|| {
            drop(
                Backdoor::new("t")
                    .expose("a", "", Right::Observe, || 1)
                    .expose("a", "", Right::Observe, || 2),
            );
        });
        assert!(twice.is_err());
        drop(
            Backdoor::new("t")
                .expose("a", "", Right::Observe, || 1)
                .expose("a", "", Right::Observe, |x: i64| x),
        );
    }
}
