//! Where things are.

use std::env;
use std::path::{self, Path, PathBuf};

/// The folder that holds the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the workspace")
}

/// Cargo's target folder, which also holds all that we build with other tools.
pub(crate) fn target() -> PathBuf {
    // A relative folder means relative to where cargo was called, which is where we run.
    let named = env::var_os("CARGO_TARGET_DIR").and_then(|folder| path::absolute(folder).ok());
    named.unwrap_or_else(|| root().join("target"))
}

/// A program of ours, built by `cargo build --release`.
pub(crate) fn release_binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// Finds a program as a shell would.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
