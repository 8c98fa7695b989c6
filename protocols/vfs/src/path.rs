//! The way from the root of a file system. Performs no I/O.

use std::fmt;

/// The way from the root to a file or folder: names, of which none is empty, `.` or `..`, or has a slash, a backslash or a
/// NUL in it. So there is nothing it could name outside of the root. The root itself has no names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FilePath(String);

/// Why something is no [`FilePath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path consists of names with a slash between them; a name is not empty, not . or .., and has no / \\ or NUL in it"
)]
pub struct PathError;

impl FilePath {
    /// Of names with a slash between them: `a/b.txt`. The empty text is the root.
    ///
    /// # Errors
    /// If a name is none.
    pub fn new(path: &str) -> Result<Self, PathError> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        Self::of_names(path.split('/'))
    }

    /// Of names.
    ///
    /// # Errors
    /// If a name is none.
    pub fn of_names(names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, PathError> {
        names
            .into_iter()
            .try_fold(Self::default(), |path, name| path.join(name.as_ref()))
    }

    /// The path of `name` in this folder.
    ///
    /// # Errors
    /// If it is no name.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
            return Err(PathError);
        }
        if self.is_root() {
            return Ok(Self(name.to_owned()));
        }
        Ok(Self(format!("{}/{name}", self.0)))
    }

    /// The folder that this lies in; the root lies in none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.rfind('/').unwrap_or(0);
        Some(Self(self.0[..end].to_owned()))
    }

    /// The last name; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// All names, from the root on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Names with a slash between them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_parents_and_names() {
        let path = FilePath::new("a/b/c.txt").unwrap();
        assert_eq!((path.name(), path.as_str()), ("c.txt", "a/b/c.txt"));
        assert_eq!(path.names().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
        let parent = path.parent().unwrap();
        assert_eq!(parent.as_str(), "a/b");
        let root = parent.parent().unwrap().parent().unwrap();
        assert!(root.is_root() && root.parent().is_none() && root.name().is_empty());
        assert_eq!(root, FilePath::new("").unwrap());
    }

    #[test]
    fn nothing_leads_out() {
        for path in [
            "/", "/a", "a/", "a//b", "..", "a/../b", ".", "a\\b", "a\0", "./a",
        ] {
            assert_eq!(FilePath::new(path), Err(PathError), "{path}");
        }
        assert_eq!(FilePath::of_names(["a/b"]), Err(PathError));
    }
}
