//! The system's files, read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use grapeshot::sync::Mutex;
use grapeshot::{fs, time};

use crate::config::Config;
use crate::error::Error;
use crate::hosts::Hosts;

/// How often it is looked whether they have changed, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A larger file is not read.
const MAX_FILE: u64 = 16 << 20;

/// What look-ups go by.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) hosts: Hosts,
}

/// `resolv.conf` and `hosts`, wherever they are.
#[derive(Debug)]
pub(crate) struct Files {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    state: parking_lot::Mutex<Option<State>>,
    /// Whose turn it is to look. Those who come meanwhile go by what was read before.
    turn: Mutex<()>,
}

#[derive(Debug, Clone)]
struct State {
    settings: Arc<Settings>,
    stamps: [Option<Stamp>; 2],
    looked: Instant,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Files {
    pub(crate) fn new(resolv_conf: PathBuf, hosts: PathBuf) -> Self {
        Self {
            resolv_conf,
            hosts,
            state: parking_lot::Mutex::new(None),
            turn: Mutex::new(()),
        }
    }

    /// What the files say, and whether that is news. **May suspend.**
    ///
    /// # Errors
    /// A file is there and cannot be read, and never could.
    pub(crate) fn settings(&self) -> Result<(Arc<Settings>, bool), Error> {
        let known = self.state.lock().clone();
        let fresh = |state: &State| time::now() < state.looked + LOOK_EVERY;
        if let Some(state) = &known
            && fresh(state)
        {
            return Ok((Arc::clone(&state.settings), false));
        }
        let turn = match &known {
            Some(state) => match self.turn.try_lock() {
                Some(turn) => turn,
                None => return Ok((Arc::clone(&state.settings), false)),
            },
            None => self.turn.lock(),
        };
        // Somebody may have been before us.
        let known = self.state.lock().clone();
        if let Some(state) = &known
            && fresh(state)
        {
            return Ok((Arc::clone(&state.settings), false));
        }
        let stamps = [stamp(&self.resolv_conf), stamp(&self.hosts)];
        let (settings, news) = match known {
            Some(state) if state.stamps == stamps => (state.settings, false),
            known => match self.read() {
                Ok(settings) => {
                    let news = known.is_some_and(|known| *known.settings != settings);
                    (Arc::new(settings), news)
                }
                Err(error) => match known {
                    None => return Err(error),
                    Some(known) => {
                        log::warn!("{error}; going on with what it said before");
                        (known.settings, false)
                    }
                },
            },
        };
        *self.state.lock() = Some(State {
            settings: Arc::clone(&settings),
            stamps,
            looked: time::now(),
        });
        drop(turn);
        Ok((settings, news))
    }

    fn read(&self) -> Result<Settings, Error> {
        Ok(Settings {
            config: Config::parse_with(&read(&self.resolv_conf)?, interface),
            hosts: Hosts::parse(&read(&self.hosts)?),
        })
    }
}

/// `None` if there is no such file, or nothing can be known of it.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        len: metadata.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}

/// The content, with nonsense in place of what is not UTF-8; empty if there is no such file.
fn read(path: &Path) -> Result<String, Error> {
    let content = fs::metadata(path).and_then(|metadata| match metadata.len() {
        ..=MAX_FILE => fs::read(path),
        _ => Err(io::Error::other("it is larger than 16 MiB")),
    });
    match content {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::System {
            what: "read the resolver's files",
            why: format!("{}: {error}", path.display()),
            kind: error.kind(),
        }),
    }
}

/// The number of a network interface.
fn interface(name: &str) -> Option<u32> {
    // The parser lets letters and digits through, nothing that leads elsewhere.
    let number = fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    number.trim().parse().ok()
}
