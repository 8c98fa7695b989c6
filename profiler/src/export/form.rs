//! The forms in which a profile is written to a file, told apart by the end of its name.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Half;
use crate::model::Profile;
use crate::report;

/// A form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// `.html`: a report for the browser.
    Report,
    /// `.json`: as it is, for [`Profile::load`].
    Json,
    /// `.firefox.json`: for <https://profiler.firefox.com>.
    Firefox,
    /// `.folded`, `.off.folded` and `.alloc.folded`: folded stacks of one half, for flame graphs of other tools.
    Folded(Half),
    /// `.perf`: as `perf script` prints samples.
    Perf,
}

/// The longer ends come before those that they end in.
const FORMS: [(&str, Form); 7] = [
    (".html", Form::Report),
    (".firefox.json", Form::Firefox),
    (".json", Form::Json),
    (".off.folded", Form::Folded(Half::Off)),
    (".alloc.folded", Form::Folded(Half::Allocated)),
    (".folded", Form::Folded(Half::On)),
    (".perf", Form::Perf),
];

/// A file's name does not say in which form it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownForm(PathBuf);

impl fmt::Display for UnknownForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first @ .., last] = FORMS.map(|(end, _)| end);
        write!(
            f,
            "{}: the name of a profile's file ends in {} or {last}",
            self.0.display(),
            first.join(", ")
        )
    }
}

impl std::error::Error for UnknownForm {}

impl Form {
    /// The one that the end of a file's name says.
    ///
    /// # Errors
    /// It says none.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, UnknownForm> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let its = FORMS.iter().find(|(end, _)| name.ends_with(end.as_bytes()));
        its.map(|(_, form)| *form)
            .ok_or_else(|| UnknownForm(path.to_owned()))
    }

    /// The file's text. Takes a few times as much memory as the profile while it runs.
    pub fn text(self, profile: &Profile) -> String {
        match self {
            Self::Report => report::html(profile),
            Self::Json => profile.to_json(),
            Self::Firefox => profile.firefox(),
            Self::Folded(half) => profile.folded(half),
            Self::Perf => profile.perf_script(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_end_of_the_name_decides() {
        for (name, form) in [
            ("/tmp/market.html", Form::Report),
            ("market.json", Form::Json),
            ("market.firefox.json", Form::Firefox),
            ("market.folded", Form::Folded(Half::On)),
            ("market.off.folded", Form::Folded(Half::Off)),
            ("market.alloc.folded", Form::Folded(Half::Allocated)),
            ("a.html/market.perf", Form::Perf),
        ] {
            assert_eq!(Form::of(name), Ok(form), "{name}");
        }
        for name in ["", "/", "market", "market.htm", "json", "x.json/.."] {
            let error = Form::of(name).unwrap_err().to_string();
            assert!(
                error.ends_with(".off.folded, .alloc.folded, .folded or .perf"),
                "{error}"
            );
        }
    }
}
