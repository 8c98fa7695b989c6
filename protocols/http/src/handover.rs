//! Handing listeners over to a new process, so that no connection is refused while a program is replaced.
//!
//! ```text
//!   old                                              new
//!   offer ◀── connects to the Unix socket ────────── inherit
//!         ─── names, and the listeners themselves ─▶
//!                                                    accepts from them
//!         ◀── "ready" ────────────────────────────── ready
//!   drains
//! ```
//! Both have the same listeners, so the kernel's queue of connections that nobody has accepted belongs to both, and none is lost
//! when the old process stops accepting.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use grapeshot::net::{TcpListener, UnixListener, UnixStream};
use grapeshot::with_timeout;

/// Listeners that can be handed over.
const MOST_LISTENERS: usize = 64;
/// Longest list of names.
const MOST_NAMES: usize = 64 << 10;
/// How long each may take to answer the other.
const PATIENCE: Duration = Duration::from_secs(30);
const READY: u8 = b'!';

/// The socket at which a process waits for its successor.
#[derive(Debug)]
pub struct Handover {
    listener: UnixListener,
}

impl Handover {
    /// Listens at `path`, in place of whoever did. Only the user who runs this program may connect; put it into a folder that
    /// is theirs alone.
    ///
    /// # Errors
    /// Those of binding a Unix socket, and of renaming it.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let new = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        let only_me = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&new, only_me)?;
        std::fs::rename(&new, path)?;
        Ok(Self { listener })
    }

    /// Waits for a successor, gives it these listeners, and waits until it says that it serves. One that fails before that is
    /// forgotten. [`drain`](crate::Server::drain) your server then. **May suspend.**
    ///
    /// # Errors
    /// Those of accepting, from which there is no recovery; `InvalidInput` for more than 64 listeners.
    pub fn offer(&self, listeners: &[(&str, BorrowedFd<'_>)]) -> io::Result<()> {
        if listeners.len() > MOST_LISTENERS {
            let text = "at most 64 listeners can be handed over";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        loop {
            let (successor, _) = self.listener.accept()?;
            match with_timeout(PATIENCE, || give(&successor, listeners)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => log::warn!("http: handing over failed: {error}"),
                Err(_) => log::warn!(
                    "http: handing over failed: the successor does not say that it serves"
                ),
            }
        }
    }
}

fn give(mut successor: &UnixStream, listeners: &[(&str, BorrowedFd<'_>)]) -> io::Result<()> {
    let names: Vec<&str> = listeners.iter().map(|(name, _)| *name).collect();
    let names = serde_json::to_vec(&names)?;
    let fds: Vec<_> = listeners.iter().map(|(_, fd)| *fd).collect();
    let length = u32::try_from(names.len()).map_err(io::Error::other)?;
    let sent = successor.send_fds(&length.to_be_bytes(), &fds)?;
    successor.write_all(&length.to_be_bytes()[sent..])?;
    successor.write_all(&names)?;
    let mut answer = [0];
    successor.read_exact(&mut answer)?;
    if answer[0] == READY {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The listeners of the process that was here before.
#[derive(Debug)]
pub struct Inherited {
    listeners: Vec<(String, OwnedFd)>,
    predecessor: UnixStream,
}

/// Asks the process that waits at `path` for its listeners; `None` if there is none. **May suspend.**
///
/// # Errors
/// If it does not give them.
pub fn inherit(path: impl AsRef<Path>) -> io::Result<Option<Inherited>> {
    let predecessor = match UnixStream::connect(path) {
        Ok(predecessor) => predecessor,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let listeners = with_timeout(PATIENCE, || take(&predecessor))
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Some(Inherited {
        listeners,
        predecessor,
    }))
}

fn take(mut predecessor: &UnixStream) -> io::Result<Vec<(String, OwnedFd)>> {
    let mut length = [0; 4];
    let (count, fds) = predecessor.recv_fds(&mut length, MOST_LISTENERS)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    predecessor.read_exact(&mut length[count..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST_NAMES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut names = vec![0; length];
    predecessor.read_exact(&mut names)?;
    let names: Vec<String> = serde_json::from_slice(&names)?;
    if names.len() != fds.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(names.into_iter().zip(fds).collect())
}

impl Inherited {
    /// The names of what is left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.listeners.iter().map(|(name, _)| &**name)
    }

    /// Takes the TCP listener of this name; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be used as one.
    pub fn tcp(&mut self, name: &str) -> io::Result<Option<TcpListener>> {
        self.find(name).map(TcpListener::try_from).transpose()
    }

    /// Takes the Unix listener of this name; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be used as one.
    pub fn unix(&mut self, name: &str) -> io::Result<Option<UnixListener>> {
        self.find(name).map(UnixListener::try_from).transpose()
    }

    fn find(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.listeners.iter().position(|(other, _)| other == name)?;
        Some(self.listeners.swap_remove(at).1)
    }

    /// Tells the predecessor that this process serves: it accepts nothing more. What was not taken is closed here.
    /// **May suspend.**
    ///
    /// # Errors
    /// If it has gone.
    pub fn ready(self) -> io::Result<()> {
        (&self.predecessor).write_all(&[READY])
    }
}
