//! Values that nobody is shown.

use std::cell::Cell;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What is shown in place of a secret.
pub(crate) const REDACTED: &str = "‹secret›";

/// What is said of a secret in place of an error, which may quote it.
pub(crate) const REFUSED: &str = "it refused what it was given, which is a secret";

/// Whether there is a secret in what is shown of a value.
pub(crate) fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text == REDACTED,
        Value::Array(items) => items.iter().any(has_secret),
        Value::Object(fields) => fields.values().any(has_secret),
        _ => false,
    }
}

grapeshot::local! {
    /// Whether this coroutine puts a setting together again. Its own, so that nobody else sees a secret if that suspends.
    static REVEALED: Cell<bool> = Cell::new(false);
}

/// Serializes secrets as what they are while `f` runs. What comes of it must be shown to nobody.
pub(crate) fn revealed<R>(f: impl FnOnce() -> R) -> R {
    struct Hide;
    impl Drop for Hide {
        fn drop(&mut self) {
            REVEALED.with(|revealed| revealed.set(false));
        }
    }
    let _hide = Hide;
    REVEALED.with(|revealed| revealed.set(true));
    f()
}

/// A value that is never shown: not by `Debug` and `Display`, not in what is serialized. So wherever it is a field of what an
/// application exposes, the console, `--json`, `save`, the page and the log have `‹secret›` in its place. Code reads it with
/// [`reveal`](Self::reveal).
///
/// It can still be set, and stays as it is when another part of a setting is, or where a whole setting is given with `‹secret›` in
/// its place. If there is one in a setting at the time when that is exposed, the log does not have the statements that
/// name the setting, and errors do not quote what it was to be set to; see also [`Backdoor::secret`](crate::Backdoor::secret).
///
/// ```
/// use grapeshot_backdoor::Secret;
///
/// #[derive(Debug, serde::Serialize)]
/// struct Account { name: String, password: Secret<String> }
///
/// let ann = Account { name: "ann".into(), password: Secret::new("open sesame".into()) };
/// assert_eq!(serde_json::to_string(&ann)?, r#"{"name":"ann","password":"‹secret›"}"#);
/// assert!(!format!("{ann:?}").contains("sesame"));
/// assert_eq!(ann.password.reveal(), "open sesame");
/// # serde_json::Result::Ok(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// The value, hidden no more.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(REDACTED)
    }
}

impl<T: Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if REVEALED.with(Cell::get) {
            return self.0.serialize(serializer);
        }
        serializer.serialize_str(REDACTED)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message would quote what was given.
        let value = T::deserialize(deserializer);
        value
            .map(Self)
            .map_err(|_| D::Error::custom("a secret of another type wanted"))
    }
}
