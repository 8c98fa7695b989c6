//! New certificates without a restart.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use grapeshot::{Builder, JoinHandle};

use super::{Clients, Config, Recipe};
use crate::pem::{ConfigError, Pem};

/// `SIGHUP`, as a signal's number.
const SIGHUP: i32 = 1;

impl Config {
    /// Reads all files again. Connections from now on get what is in them; those that there are keep what they have.
    /// Clients do full handshakes again. If anything is wrong, the old configuration stays. **May suspend.**
    ///
    /// # Errors
    /// As [`Builder::build`](super::Builder::build).
    pub fn reload(&self) -> Result<(), ConfigError> {
        let made = self.0.recipe.make()?;
        *self.0.current.write() = made;
        Ok(())
    }

    /// Reloads at each SIGHUP, in a coroutine of its own named `tls reload`, and logs how it went: with bad files the old
    /// ones stay in use. It ends when what this gives is dropped, or with the runtime.
    ///
    /// # Errors
    /// Those of [`Signals::new`](grapeshot::signal::Signals::new).
    pub fn reload_on_hangup(&self) -> std::io::Result<Reloading> {
        let mut signals = grapeshot::signal::Signals::new(&[SIGHUP])?;
        let config = self.clone();
        Ok(Reloading::spawn(move || {
            while signals.wait().is_ok() {
                config.reload_and_tell("SIGHUP");
            }
        }))
    }

    /// Reloads when one of the files changes, or is replaced, as certbot and Kubernetes do: as
    /// [`reload_on_hangup`](Config::reload_on_hangup). While only one of a chain and its key is new, they do not fit, and
    /// the old pair stays; the second change brings both.
    ///
    /// # Errors
    /// Those of [`Watcher::watch`](grapeshot::fs::Watcher::watch).
    pub fn reload_on_change(&self) -> std::io::Result<Reloading> {
        let mut watcher = grapeshot::fs::Watcher::new()?;
        // A file that is replaced is another file: its folder tells.
        for folder in self.0.recipe.folders() {
            watcher.watch(folder)?;
        }
        let config = self.clone();
        Ok(Reloading::spawn(move || {
            while watcher.next().is_ok() {
                config.reload_and_tell("a changed file");
            }
        }))
    }

    fn reload_and_tell(&self, cause: &str) {
        match self.reload() {
            Ok(()) => log::info!("tls: certificates reloaded after {cause}"),
            Err(error) => {
                log::error!(
                    "tls: after {cause}: {error}; the certificates that were loaded before stay in use"
                );
            }
        }
    }
}

/// The coroutine that reloads; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "reloading ends when this is dropped"]
pub struct Reloading(JoinHandle<()>);

impl Reloading {
    fn spawn(reload: impl FnOnce() + Send + 'static) -> Self {
        Self(Builder::new().name("tls reload").spawn(reload))
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl Recipe {
    fn files(&self) -> impl Iterator<Item = &Pem> {
        let clients = match &self.clients {
            Clients::NotAsked => None,
            Clients::Optional(authorities) | Clients::Required(authorities) => Some(authorities),
        };
        self.certificates
            .iter()
            .flat_map(|(chain, key)| [chain, key])
            .chain(clients)
            .chain(&self.revocations)
    }

    fn folders(&self) -> BTreeSet<PathBuf> {
        self.files()
            .filter_map(Pem::path)
            .map(|path| match path.parent() {
                Some(folder) if folder != Path::new("") => folder.to_owned(),
                _ => PathBuf::from("."),
            })
            .collect()
    }
}
