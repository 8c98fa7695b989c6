//! What a session may do.
//!
//! Each function of the console and each exposed value names the one [`Right`] that it needs; a session has a set of
//! them, its [`Rights`], from the transport that it came by and from who logged in there. None of them implies another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Right {
    /// Look: lists, figures, backtraces, exposed values that are only read.
    Observe,
    /// Record: event streams, profiles, the log's level; what costs the server something while it lasts.
    Trace,
    /// Change: kill and interrupt coroutines, set values, call functions that do something, write files.
    Operate,
    /// Write programs: variables, loops, closures, functions. Without it, a line is one expression.
    Evaluate,
}

impl Right {
    /// All there are, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Trace, Self::Operate, Self::Evaluate];

    /// The word for it: `observe`, `trace`, `operate` or `evaluate`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Trace => "trace",
            Self::Operate => "operate",
            Self::Evaluate => "evaluate",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        let found = Self::ALL.into_iter().find(|right| right.name() == text);
        found.ok_or_else(|| UnknownRight(text.chars().take(40).collect()))
    }
}

/// A set of [`Right`]s.
///
/// As text it is its rights with commas between them, `all` or `none`; as data, a list.
///
/// ```
/// use grapeshot_backdoor::{Right, Rights};
///
/// let rights: Rights = "observe, trace".parse()?;
/// assert_eq!(rights, Rights::of([Right::Observe, Right::Trace]));
/// assert!(!rights.contains(Right::Operate));
/// # Ok::<(), grapeshot_backdoor::UnknownRight>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Right>", into = "Vec<Right>")]
pub struct Rights(u8);

impl Rights {
    /// Every right.
    pub const fn all() -> Self {
        Self::none()
            .and(Right::Observe)
            .and(Right::Trace)
            .and(Right::Operate)
            .and(Right::Evaluate)
    }

    /// No right: such a session can ask for help, and be told what it may not.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Only [`Right::Observe`].
    pub const fn observe() -> Self {
        Self::none().and(Right::Observe)
    }

    /// These.
    pub fn of(rights: impl IntoIterator<Item = Right>) -> Self {
        rights.into_iter().fold(Self::none(), Self::and)
    }

    /// These and one more.
    #[must_use]
    pub const fn and(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// Whether this right is among them.
    pub const fn contains(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Those that are in both sets: what a user may, by a transport that allows less.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of [`Right::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL
            .into_iter()
            .filter(move |right| self.contains(*right))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("none");
        }
        let names: Vec<&str> = self.iter().map(Right::name).collect();
        f.pad(&names.join(","))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

impl FromStr for Rights {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        match text.trim() {
            "all" => Ok(Self::all()),
            "none" => Ok(Self::none()),
            names => names.split(',').map(|name| name.trim().parse()).collect(),
        }
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self::of(rights)
    }
}

impl From<Right> for Rights {
    fn from(right: Right) -> Self {
        Self::none().and(right)
    }
}

impl From<Vec<Right>> for Rights {
    fn from(rights: Vec<Right>) -> Self {
        Self::of(rights)
    }
}

impl From<Rights> for Vec<Right> {
    fn from(rights: Rights) -> Self {
        rights.iter().collect()
    }
}

/// A word that names no right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no right: there are observe, trace, operate and evaluate, and for a set of them all and none"
)]
pub struct UnknownRight(String);

#[cfg(test)]
mod tests {
    use super::*;

    /// All sets there are.
    fn sets() -> impl Iterator<Item = Rights> {
        (0..16).map(|bits: u8| {
            Right::ALL
                .into_iter()
                .enumerate()
                .filter(|(at, _)| bits & (1 << at) != 0)
                .map(|(_, right)| right)
                .collect()
        })
    }

    #[test]
    fn a_set_contains_what_was_put_in_and_nothing_else() {
        for one in Right::ALL {
            for other in Right::ALL {
                assert_eq!(Rights::from(one).contains(other), one == other);
            }
            assert!(Rights::all().contains(one) && !Rights::none().contains(one));
        }
        assert_eq!(Rights::observe(), Rights::of([Right::Observe]));
        assert_eq!(sets().collect::<std::collections::HashSet<_>>().len(), 16);
    }

    #[test]
    fn every_set_survives_its_text_and_its_json() {
        for rights in sets() {
            assert_eq!(rights.to_string().parse(), Ok(rights));
            let json = serde_json::to_string(&rights).unwrap();
            assert_eq!(serde_json::from_str::<Rights>(&json).unwrap(), rights);
        }
        let two = Rights::of([Right::Operate, Right::Observe]);
        assert_eq!(two.to_string(), "observe,operate");
        assert_eq!(
            serde_json::to_string(&two).unwrap(),
            r#"["observe","operate"]"#
        );
        assert_eq!("all".parse(), Ok(Rights::all()));
        assert_eq!(" observe , operate ".parse(), Ok(two));
    }

    #[test]
    fn nonsense_gives_nobody_a_right() {
        for text in [
            "",
            "root",
            "Observe",
            "observe,",
            "observe trace",
            "all,observe",
        ] {
            let error = text.parse::<Rights>().unwrap_err().to_string();
            assert!(
                error.contains("observe, trace, operate and evaluate"),
                "{error}"
            );
        }
        assert!(serde_json::from_str::<Rights>(r#"["root"]"#).is_err());
    }

    #[test]
    fn what_two_sets_have_in_common() {
        let (a, b) = (
            "observe,operate".parse::<Rights>().unwrap(),
            Rights::observe(),
        );
        assert_eq!(a.common(b), Rights::observe());
        assert_eq!(a.common(Right::Trace.into()), Rights::none());
    }
}
