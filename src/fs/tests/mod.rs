//! Files and folders, and disks that take their time.

mod files;
mod folders;
#[cfg(target_os = "linux")]
mod notified;
mod slow;
#[cfg(target_os = "linux")]
mod watches;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A new folder, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("grapeshot-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A FIFO: opening one end waits for the other, as a slow disk would have one wait.
    fn fifo(&self) -> PathBuf {
        let path = self.path("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// Runs `f` in a runtime of its own, for a minute at most.
fn bounded<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    crate::run(|| within_a_minute(f))
}

fn within_a_minute<T>(f: impl FnOnce() -> T) -> T {
    crate::with_timeout(Duration::from_secs(60), f).expect("it takes no minute")
}
