//! How a file is opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::File;

/// How a file is opened; the twin of [`std::fs::OpenOptions`].
///
/// ```
/// use grapeshot::fs::OpenOptions;
/// use std::io::Write;
///
/// # let path = std::env::temp_dir().join(format!("grapeshot-log-{}", std::process::id()));
/// # grapeshot::run(move || {
/// let mut log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
/// log.write_all(b"started\n")?;
/// # grapeshot::fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions(std::fs::OpenOptions);

/// Settings that std has with the same names.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $name: $type) -> &mut Self {
            self.0.$name($name);
            self
        }
    )*};
}

impl OpenOptions {
    /// Nothing is set: neither reading nor writing.
    #[allow(
        clippy::new_without_default,
        reason = "as std's: there is no usual way to open a file"
    )]
    pub fn new() -> Self {
        Self(std::fs::OpenOptions::new())
    }

    settings! {
        /// To be read.
        read: bool;
        /// To be written.
        write: bool;
        /// To be written at its end, wherever that is then.
        append: bool;
        /// Without what was in it.
        truncate: bool;
        /// Made, if there is none.
        create: bool;
        /// Made; there must be none.
        create_new: bool;
        /// Permissions of a file that is made.
        mode: u32;
        /// Further flags of `open(2)`.
        custom_flags: i32;
    }

    /// Opens it. **May suspend.** If the caller is interrupted, a file may have been made.
    ///
    /// # Errors
    /// Those of [`std::fs::OpenOptions::open`], and of [`unblock`](crate::unblock).
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let options = self.0.clone();
        super::on(path, move |path| File::from_std(options.open(path)?))
    }
}
