//! What an application exposes: closures with plain arguments and any serializable result.

use std::fmt::Display;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use grapeshot::{CoroutineId, catch_panic, with_timeout};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::depth::Bounded;
use crate::limits;
use crate::look::{Found, Step, Want, look};
use crate::probe;
use crate::rights::Right;
use crate::secret::{REDACTED, REFUSED, has_secret};
use crate::setting::{Unset, set_at};

/// A closure of up to four arguments that the console can call.
///
/// Implemented for every `Fn(A, B, ..) -> R + Send + Sync` whose arguments can be deserialized (numbers,
/// `String`, `bool`, `Option`, `Vec`, your own types) and whose result can be serialized. `Args` only tells the
/// implementations apart; it is inferred.
pub trait Exposed<Args>: Send + Sync + 'static {
    /// What `help()` prints for each argument, such as `number`.
    fn parameters() -> Vec<&'static str>;

    /// Converts the arguments, calls the closure and converts its result.
    ///
    /// # Errors
    /// What the person at the console should read: an argument of the wrong type, or the closure's own error.
    fn call(&self, arguments: Vec<Value>) -> Result<Value, String>;
}

/// The same for closures that return a `Result` whose error is only `Display`.
pub trait TryExposed<Args>: Send + Sync + 'static {
    /// What `help()` prints for each argument.
    fn parameters() -> Vec<&'static str>;

    /// Converts the arguments, calls the closure and converts its result.
    ///
    /// # Errors
    /// As [`Exposed::call`].
    fn call(&self, arguments: Vec<Value>) -> Result<Value, String>;
}

macro_rules! exposed {
    ($($argument:ident),*) => {
        impl<Closure, Output, $($argument),*> Exposed<($($argument,)*)> for Closure
        where
            Closure: Fn($($argument),*) -> Output + Send + Sync + 'static,
            Output: Serialize,
            $($argument: DeserializeOwned,)*
        {
            fn parameters() -> Vec<&'static str> {
                vec![$(type_label(std::any::type_name::<$argument>())),*]
            }

            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn call(&self, arguments: Vec<Value>) -> Result<Value, String> {
                let mut arguments = arguments.into_iter().enumerate();
                $(let $argument: $argument = argument(arguments.next())?;)*
                answer(&self($($argument),*))
            }
        }

        impl<Closure, Output, Error, $($argument),*> TryExposed<($($argument,)*)> for Closure
        where
            Closure: Fn($($argument),*) -> Result<Output, Error> + Send + Sync + 'static,
            Output: Serialize,
            Error: Display,
            $($argument: DeserializeOwned,)*
        {
            fn parameters() -> Vec<&'static str> {
                vec![$(type_label(std::any::type_name::<$argument>())),*]
            }

            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn call(&self, arguments: Vec<Value>) -> Result<Value, String> {
                let mut arguments = arguments.into_iter().enumerate();
                $(let $argument: $argument = argument(arguments.next())?;)*
                match self($($argument),*) {
                    Ok(value) => answer(&value),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    };
}

exposed!();
exposed!(A);
exposed!(A, B);
exposed!(A, B, C);
exposed!(A, B, C, D);

/// A value that the console may look into: see [`Backdoor::expose_value`](crate::Backdoor::expose_value).
pub trait Readable: Send + Sync + 'static {
    /// What is stored.
    type Stored: Serialize;
    /// Calls with it, as it is now. May suspend where it stands behind a lock.
    fn read<R>(&self, look: impl FnOnce(&Self::Stored) -> R) -> R;
    /// The coroutine that has its lock at this moment, if it has one and that is known.
    fn held_by(&self) -> Option<CoroutineId> {
        None
    }
}

/// A value that the console may also replace: see [`Backdoor::expose_setting`](crate::Backdoor::expose_setting).
pub trait SharedValue: Readable<Stored: DeserializeOwned> {
    /// Changes it. May suspend where it stands behind a lock. A part of it is set by changing that part and no other.
    fn change<R>(&self, change: impl FnOnce(&mut Self::Stored) -> R) -> R;
}

macro_rules! shared_atomic {
    ($($atomic:ident => $plain:ty),* $(,)?) => {$(
        impl Readable for Arc<$atomic> {
            type Stored = $plain;
            fn read<R>(&self, look: impl FnOnce(&$plain) -> R) -> R {
                look(&self.load(Ordering::SeqCst))
            }
        }

        impl SharedValue for Arc<$atomic> {
            fn change<R>(&self, change: impl FnOnce(&mut $plain) -> R) -> R {
                let mut value = self.load(Ordering::SeqCst);
                let result = change(&mut value);
                self.store(value, Ordering::SeqCst);
                result
            }
        }
    )*};
}

shared_atomic!(
    AtomicBool => bool, AtomicI32 => i32, AtomicI64 => i64,
    AtomicU16 => u16, AtomicU32 => u32, AtomicU64 => u64, AtomicUsize => usize,
);

impl<T: Serialize + Send + 'static> Readable for Arc<grapeshot::sync::Mutex<T>> {
    type Stored = T;
    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }
    fn held_by(&self) -> Option<CoroutineId> {
        grapeshot::sync::Mutex::held_by(self)
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> SharedValue
    for Arc<grapeshot::sync::Mutex<T>>
{
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.lock())
    }
}

impl<T: Serialize + Send + Sync + 'static> Readable for Arc<grapeshot::sync::RwLock<T>> {
    type Stored = T;
    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&grapeshot::sync::RwLock::read(self))
    }
    fn held_by(&self) -> Option<CoroutineId> {
        grapeshot::sync::RwLock::written_by(self)
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SharedValue
    for Arc<grapeshot::sync::RwLock<T>>
{
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.write())
    }
}

/// How often a lock of std's is tried. It cannot be waited for: the thread would block, and no timeout would end that.
const TRY_AGAIN: Duration = Duration::from_millis(1);

fn until_free<G>(mut try_lock: impl FnMut() -> Option<G>) -> G {
    loop {
        match try_lock() {
            Some(guard) => return guard,
            None => grapeshot::sleep(TRY_AGAIN),
        }
    }
}

/// A lock is free though somebody panicked with it: what it guards can be looked at all the more.
fn guard_of<G>(result: Result<G, TryLockError<G>>) -> Option<G> {
    match result {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl<T: Serialize + Send + 'static> Readable for Arc<std::sync::Mutex<T>> {
    type Stored = T;
    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&until_free(|| guard_of(self.try_lock())))
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> SharedValue for Arc<std::sync::Mutex<T>> {
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut until_free(|| guard_of(self.try_lock())))
    }
}

impl<T: Serialize + Send + Sync + 'static> Readable for Arc<std::sync::RwLock<T>> {
    type Stored = T;
    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&until_free(|| guard_of(self.try_read())))
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SharedValue
    for Arc<std::sync::RwLock<T>>
{
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut until_free(|| guard_of(self.try_write())))
    }
}

type Read = dyn Fn(&[Step], Want) -> Result<Found, String> + Send + Sync;
type Write = dyn Fn(&[Step], Value) -> Result<(), String> + Send + Sync;

/// A value that the console knows by name.
#[derive(Clone)]
pub(crate) struct ExposedValue {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// What a session must have to read it.
    pub(crate) right: Right,
    /// A word for its type.
    stored: &'static str,
    /// There is a secret in it.
    quiet: bool,
    pub(crate) read: Arc<Read>,
    /// What it must have to set it, and how that is done.
    pub(crate) write: Option<(Right, Arc<Write>)>,
}

impl ExposedValue {
    pub(crate) fn readable<V: Readable + Clone>(
        name: &str,
        doc: &str,
        right: Right,
        value: &V,
    ) -> Self {
        let value = value.clone();
        let read = move |steps: &[Step], want: Want| {
            let found = with_timeout(limits::VALUE_PATIENCE, || {
                value.read(|stored| look(stored, steps, want))
            });
            found
                .map_err(|_| busy(value.held_by()))?
                .map_err(|error| error.to_string())
        };
        Self {
            name: name.to_owned(),
            doc: doc.to_owned(),
            right,
            stored: type_label(std::any::type_name::<V::Stored>()),
            quiet: false,
            read: Arc::new(read),
            write: None,
        }
    }

    pub(crate) fn settable<V: SharedValue + Clone>(
        name: &str,
        doc: &str,
        read: Right,
        set: Right,
        value: &V,
    ) -> Self {
        let shared = value.clone();
        let write = move |steps: &[Step], to: Value| {
            let to = std::cell::Cell::new(Some(to));
            let change = || {
                let to = to.take().unwrap_or_default();
                shared.change(|stored| set_at(stored, steps, to))
            };
            with_timeout(limits::VALUE_PATIENCE, change)
                .map_err(|_| Unset::Ours(busy(Readable::held_by(&shared))))?
        };
        let readable = Self::readable(name, doc, read, value);
        // A lock that is not free now is not waited for: the type's own mark has to do then.
        let now = with_timeout(Duration::from_millis(50), || {
            (readable.read)(&[], Want::Whole(limits::VALUE_BYTES))
        });
        let is_marked = matches!(&now, Ok(Ok(Found::Value(value))) if has_secret(value));
        let quiet = is_marked || std::any::type_name::<V::Stored>().contains("::Secret<");
        let write: Arc<Write> = Arc::new(move |steps, to| {
            write(steps, to).map_err(|unset| match unset {
                Unset::Quoting(_) if quiet => REFUSED.to_owned(),
                Unset::Ours(text) | Unset::Quoting(text) => text,
            })
        });
        Self {
            write: Some((set, write)),
            quiet,
            ..readable
        }
    }
}

/// What is said in place of a value whose lock is not free.
fn busy(held_by: Option<CoroutineId>) -> String {
    let patience = limits::VALUE_PATIENCE.as_secs();
    let who = match held_by {
        Some(id) => format!(
            "coroutine {id} has it: where({id}) tells where that is; kill({id}) ends it at its next blocking call"
        ),
        None => "locks(), deadlocks(), stalls() and ps() may tell who has it".to_owned(),
    };
    format!("its lock was not free for {patience} s; {who}")
}

type Body = dyn Fn(Vec<Value>) -> Result<Value, String> + Send + Sync;

/// One name with one number of arguments, as it was registered.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// What a session must have to call it.
    pub(crate) right: Right,
    /// Statements that name it are shown to nobody.
    pub(crate) secret: bool,
    pub(crate) parameters: Vec<&'static str>,
    pub(crate) body: Arc<Body>,
}

impl Function {
    pub(crate) fn plain<Args: 'static>(
        name: &str,
        doc: &str,
        right: Right,
        closure: impl Exposed<Args>,
    ) -> Self {
        let parameters = parameters_of(&closure);
        let body = move |arguments| closure.call(arguments);
        Self::of(name, doc, right, parameters, body)
    }

    pub(crate) fn fallible<Args: 'static>(
        name: &str,
        doc: &str,
        right: Right,
        closure: impl TryExposed<Args>,
    ) -> Self {
        let parameters = fallible_parameters_of(&closure);
        let body = move |arguments| closure.call(arguments);
        Self::of(name, doc, right, parameters, body)
    }

    fn of(
        name: &str,
        doc: &str,
        right: Right,
        parameters: Vec<&'static str>,
        body: impl Fn(Vec<Value>) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            doc: doc.to_owned(),
            right,
            secret: false,
            parameters,
            body: Arc::new(body),
        }
    }

    /// `name()` of an exposed value.
    pub(crate) fn reader(value: &ExposedValue) -> Self {
        let read = Arc::clone(&value.read);
        let body = move |_| match read(&[], Want::Whole(limits::VALUE_BYTES))? {
            Found::Value(value) => Ok(value),
            Found::List(_) | Found::Fields(_) => Ok(Value::Null),
        };
        Self {
            secret: value.quiet,
            ..Self::of(&value.name, &value.doc, value.right, Vec::new(), body)
        }
    }

    /// `name(value)` of an exposed value that may be set.
    pub(crate) fn writer(value: &ExposedValue) -> Option<Self> {
        let (right, write) = value.write.clone()?;
        let body = move |arguments: Vec<Value>| {
            let to = arguments.into_iter().next().unwrap_or_default();
            write(&[], to)
                .map(|()| Value::Null)
                .map_err(|error| format!("argument 1: {error}"))
        };
        let doc = format!("set: {}", value.doc);
        let parameters = vec![value.stored];
        Some(Self {
            secret: value.quiet,
            ..Self::of(&value.name, &doc, right, parameters, body)
        })
    }

    /// See [`Backdoor::secret`](crate::Backdoor::secret).
    pub(crate) fn hide(&mut self) {
        let body = Arc::clone(&self.body);
        let name = self.name.clone();
        self.secret = true;
        self.body = Arc::new(move |arguments| {
            let result = catch_panic(|| body(arguments))
                .map_err(|_| format!("{name} panicked"))?
                .map_err(|_| REFUSED.to_owned())?;
            Ok(if result.is_null() {
                result
            } else {
                REDACTED.into()
            })
        });
    }

    /// `kick(text)`, as `help()` and messages show it.
    pub(crate) fn signature(&self) -> String {
        format!("{}({})", self.name, self.parameters.join(", "))
    }
}

fn parameters_of<Args, E: Exposed<Args>>(_: &E) -> Vec<&'static str> {
    E::parameters()
}

fn fallible_parameters_of<Args, E: TryExposed<Args>>(_: &E) -> Vec<&'static str> {
    E::parameters()
}

fn argument<T: DeserializeOwned>(argument: Option<(usize, Value)>) -> Result<T, String> {
    // The language looks functions up by their number of arguments, so there is always one.
    let (index, value) = argument.unwrap_or_default();
    let wanted = type_label(std::any::type_name::<T>());
    let other_kind = is_other_kind(wanted, &value).then(|| value.to_string());
    serde_json::from_value(value).map_err(|error| match other_kind {
        Some(given) => format!("argument {}: {wanted} wanted, not {given}", index + 1),
        None => format!("argument {}: {error}", index + 1),
    })
}

/// Whether a value is plainly not what the label says, so that Rust's name for the type need not be shown.
pub(crate) fn is_other_kind(label: &str, value: &Value) -> bool {
    match label {
        "integer" => !value.is_i64() && !value.is_u64(),
        "number" => !value.is_number(),
        "bool" => !value.is_boolean(),
        "text" => !value.is_string(),
        "array" => !value.is_array(),
        _ => false,
    }
}

/// Serializes a result. An `Err` becomes the call's error, so that `Result<T, String>` needs no second method.
fn answer<T: Serialize>(result: &T) -> Result<Value, String> {
    if let Some(error) = probe::error_of(result) {
        return Err(match error {
            Value::String(text) => text,
            other => other.to_string(),
        });
    }
    let value = serde_json::to_value(Bounded::new(result))
        .map_err(|error| format!("the result cannot be shown: {error}"))?;
    Ok(if probe::is_ok(result) {
        unwrap_ok(value)
    } else {
        value
    })
}

fn unwrap_ok(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => fields.remove("Ok").unwrap_or(Value::Null),
        other => other,
    }
}

/// A word for a Rust type that reads well to somebody who calls the function.
pub(crate) fn type_label(name: &'static str) -> &'static str {
    match name {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
        | "usize" => "integer",
        "f32" | "f64" => "number",
        "bool" => "bool",
        "char" => "character",
        "alloc::string::String" => "text",
        generic if generic.starts_with("alloc::vec::Vec<") => "array",
        generic if generic.starts_with("core::option::Option<") => "optional",
        path => path.rsplit("::").next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_converted_and_counted() {
        let add = Function::plain("add", "", Right::Observe, |a: i64, b: f64| a as f64 + b);
        assert_eq!(add.signature(), "add(integer, number)");
        assert_eq!((add.body)(vec![json!(1), json!(2)]), Ok(json!(3.0)));
    }

    #[test]
    fn a_wrong_argument_is_told_in_the_words_of_the_signature() {
        let function = Function::plain("f", "", Right::Observe, |a: u8, b: f64, c: String| {
            format!("{a}{b}{c}")
        });
        let complaint = |arguments: Value| match arguments {
            Value::Array(arguments) => (function.body)(arguments).unwrap_err(),
            other => panic!("{other} is no list of arguments"),
        };
        for (arguments, want) in [
            (json!([1.5, 1, "x"]), "argument 1: integer wanted, not 1.5"),
            (
                json!([1, "two", "x"]),
                "argument 2: number wanted, not \"two\"",
            ),
            (json!([1, 2, null]), "argument 3: text wanted, not null"),
        ] {
            assert_eq!(complaint(arguments), want);
        }
        let error = complaint(json!([300, 2, "x"]));
        assert!(error.contains("300") && error.contains("u8"), "{error}");
    }

    #[test]
    fn errors_of_either_kind_become_the_calls_error() {
        let plain = Function::plain(
            "kick",
            "",
            Right::Observe,
            |name: String| -> Result<u32, String> {
                if name == "ann" {
                    Ok(7)
                } else {
                    Err(format!("no player is called {name}"))
                }
            },
        );
        assert_eq!((plain.body)(vec![json!("ann")]), Ok(json!(7)));
        assert_eq!(
            (plain.body)(vec![json!("bob")]),
            Err("no player is called bob".to_owned())
        );
        let fallible = Function::fallible("read", "", Right::Observe, || {
            Err::<(), _>(std::io::Error::other("the disk is full"))
        });
        assert_eq!((fallible.body)(vec![]), Err("the disk is full".to_owned()));
    }

    #[derive(Serialize, serde::Deserialize)]
    struct World {
        speed: f64,
        players: Vec<Player>,
    }

    #[derive(Serialize, serde::Deserialize)]
    struct Player {
        name: String,
        lives: u8,
    }

    fn world() -> World {
        let player = |name: &str| Player {
            name: name.into(),
            lives: 3,
        };
        World {
            speed: 1.5,
            players: vec![player("ann"), player("bob")],
        }
    }

    fn path(text: &str) -> Vec<Step> {
        let step = |step: &str| match step.parse() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Field(step.to_owned()),
        };
        text.split_whitespace().map(step).collect()
    }

    /// Reads and sets a part of a value behind every kind of lock.
    fn reads_and_sets(value: &(impl SharedValue + Clone)) {
        let exposed = ExposedValue::settable("world", "", Right::Observe, Right::Operate, value);
        let (_, write) = exposed.write.as_ref().unwrap();
        let read = |at: &str| (exposed.read)(&path(at), Want::Whole(1 << 20));
        assert_eq!(read("players 1 name"), Ok(Found::Value(json!("bob"))));
        write(&path("players 1 lives"), json!(9)).unwrap();
        write(&path("speed"), json!(2)).unwrap();
        assert_eq!(read("players 1 lives"), Ok(Found::Value(json!(9))));
        assert_eq!(read("players 0 lives"), Ok(Found::Value(json!(3))));
        assert_eq!(read("speed"), Ok(Found::Value(json!(2.0))));
        for (at, to) in [
            ("players 1 lives", json!(300)),
            ("players 7", json!(1)),
            ("nothing", json!(1)),
            ("", json!({"speed": 1})),
        ] {
            assert!(write(&path(at), to).is_err(), "{at}");
        }
        assert_eq!(read("players 1 lives"), Ok(Found::Value(json!(9))));
    }

    #[test]
    fn a_part_of_a_value_is_read_and_set() {
        grapeshot::testing::run(1, || {
            reads_and_sets(&Arc::new(grapeshot::sync::Mutex::new(world())));
            reads_and_sets(&Arc::new(grapeshot::sync::RwLock::new(world())));
            reads_and_sets(&Arc::new(std::sync::Mutex::new(world())));
            reads_and_sets(&Arc::new(std::sync::RwLock::new(world())));
        });
    }

    #[test]
    fn an_atomic_is_read_and_set() {
        let limit = Arc::new(AtomicU32::new(3));
        let exposed = ExposedValue::settable("limit", "", Right::Observe, Right::Operate, &limit);
        let (_, write) = exposed.write.as_ref().unwrap();
        write(&[], json!(9)).unwrap();
        assert_eq!((exposed.read)(&[], Want::Shape), Ok(Found::Value(json!(9))));
        assert_eq!(
            write(&[], json!("x")),
            Err("integer wanted, not \"x\"".to_owned())
        );
        assert_eq!(limit.load(Ordering::SeqCst), 9);
    }

    #[test]
    fn who_has_the_lock_is_told_in_place_of_the_value() {
        grapeshot::testing::run(1, || {
            let world = Arc::new(grapeshot::sync::Mutex::new(world()));
            let theirs = Arc::clone(&world);
            let holder = grapeshot::spawn(move || {
                let _held = theirs.lock();
                grapeshot::sleep(Duration::from_secs(3600));
            });
            grapeshot::sleep(Duration::from_secs(1));
            let exposed =
                ExposedValue::settable("world", "", Right::Observe, Right::Operate, &world);
            let before = grapeshot::time::now();
            let error = (exposed.read)(&[], Want::Shape).unwrap_err();
            assert!(
                error.contains(&format!("coroutine {} has it", holder.id())),
                "{error}"
            );
            let (_, write) = exposed.write.as_ref().unwrap();
            assert_eq!(write(&path("speed"), json!(1)).unwrap_err(), error);
            assert_eq!(grapeshot::time::now() - before, limits::VALUE_PATIENCE * 2);
            holder.interrupt();
            assert!(holder.join().is_err());
            assert!((exposed.read)(&[], Want::Shape).is_ok());
            // Of a lock of std's it is not known who has it.
            let plain = Arc::new(std::sync::Mutex::new(3));
            let exposed = ExposedValue::readable("plain", "", Right::Observe, &plain);
            let held = plain.lock();
            let error = (exposed.read)(&[], Want::Shape).unwrap_err();
            assert!(
                error.starts_with("its lock was not free for 2 s"),
                "{error}"
            );
            drop(held);
            assert_eq!((exposed.read)(&[], Want::Shape), Ok(Found::Value(json!(3))));
        });
    }

    #[test]
    fn a_secret_is_not_written_over_by_what_stands_in_its_place() {
        use crate::Secret;
        #[derive(Serialize, serde::Deserialize)]
        struct Account {
            name: String,
            password: Secret<String>,
        }
        let account = Arc::new(std::sync::Mutex::new(Account {
            name: "ann".into(),
            password: Secret::new("open sesame".into()),
        }));
        let exposed =
            ExposedValue::settable("account", "", Right::Observe, Right::Operate, &account);
        let (_, write) = exposed.write.as_ref().unwrap();
        // Another part is set alone, and the secret stays.
        write(&path("name"), json!("eve")).unwrap();
        assert_eq!(account.lock().unwrap().name, "eve");
        write(&[], json!({"name": "ann", "password": REDACTED})).unwrap();
        write(&path("password"), json!(REDACTED)).unwrap();
        let error = write(&path("name"), json!(REDACTED)).unwrap_err();
        assert!(error.contains("stands for no secret"), "{error}");
        let error = write(&path("name"), json!(["sesame"])).unwrap_err();
        assert!(!error.contains("sesame"), "{error}");
        assert_eq!(account.lock().unwrap().name, "ann");
        let error = write(&[], json!({"name": "bob", "password": 12345})).unwrap_err();
        assert!(!error.contains("12345"), "{error}");
        assert_eq!(account.lock().unwrap().password.reveal(), "open sesame");
        write(&[], json!({"name": "bob", "password": "swordfish"})).unwrap();
        assert_eq!(account.lock().unwrap().password.reveal(), "swordfish");
    }
}
