//! What an application exposes: closures with plain arguments and any serializable result.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use grapeshot::CoroutineId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::probe;
use crate::rights::Right;

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

/// Something the application shares with the console: `name()` reads it, `name(value)` replaces it.
pub trait SharedValue: Send + Sync + 'static {
    /// What is stored.
    type Stored: Serialize + DeserializeOwned;
    /// Reads it. May suspend where it stands behind a coroutine's lock.
    fn load(&self) -> Self::Stored;
    /// Replaces it. May suspend likewise.
    fn store(&self, value: Self::Stored);
    /// The coroutine that has its lock at this moment, if it has one and that is known.
    fn held_by(&self) -> Option<CoroutineId> {
        None
    }
}

macro_rules! shared_atomic {
    ($($atomic:ident => $plain:ty),* $(,)?) => {$(
        impl SharedValue for Arc<$atomic> {
            type Stored = $plain;
            fn load(&self) -> $plain {
                $atomic::load(self, Ordering::SeqCst)
            }
            fn store(&self, value: $plain) {
                $atomic::store(self, value, Ordering::SeqCst);
            }
        }
    )*};
}

shared_atomic!(
    AtomicBool => bool, AtomicI32 => i32, AtomicI64 => i64,
    AtomicU16 => u16, AtomicU32 => u32, AtomicU64 => u64, AtomicUsize => usize,
);

impl<T: Clone + Serialize + DeserializeOwned + Send + 'static> SharedValue
    for Arc<grapeshot::sync::Mutex<T>>
{
    type Stored = T;
    fn load(&self) -> T {
        self.lock().clone()
    }
    fn store(&self, value: T) {
        *self.lock() = value;
    }
    fn held_by(&self) -> Option<CoroutineId> {
        grapeshot::sync::Mutex::held_by(self)
    }
}

impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> SharedValue
    for Arc<grapeshot::sync::RwLock<T>>
{
    type Stored = T;
    fn load(&self) -> T {
        self.read().clone()
    }
    fn store(&self, value: T) {
        *self.write() = value;
    }
    fn held_by(&self) -> Option<CoroutineId> {
        grapeshot::sync::RwLock::written_by(self)
    }
}

type Body = dyn Fn(Vec<Value>) -> Result<Value, String> + Send + Sync;

/// One name with one number of arguments, as it was registered.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// What a session must have to call it.
    pub(crate) right: Right,
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
            parameters,
            body: Arc::new(body),
        }
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
fn is_other_kind(label: &str, value: &Value) -> bool {
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
    let value = serde_json::to_value(result)
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
fn type_label(name: &'static str) -> &'static str {
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

    #[test]
    fn shared_values_read_and_replace() {
        let limit = Arc::new(AtomicU32::new(3));
        limit.clone().store(9);
        assert_eq!(SharedValue::load(&limit), 9);
        let name = Arc::new(grapeshot::sync::Mutex::new("a".to_owned()));
        name.store("b".to_owned());
        assert_eq!(name.load(), "b");
    }
}
