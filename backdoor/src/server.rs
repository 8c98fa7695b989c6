//! The listening end: a socket file that only its owner can open, and a coroutine for each console, all of them on a thread of
//! the backdoor's own.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use grapeshot::net::{UnixListener, UnixStream};
use grapeshot::{AtEnd, Builder, Runtime};
use rustix::fs::{CWD, RenameFlags};

use crate::backdoor::Shared;
use crate::door::{self, Guest};
use crate::journal;
use crate::limits;
use crate::network::{self, Asked, Open};
use crate::profiles;
use crate::rights::Rights;
use crate::session;
use crate::transport::{Framed, Visitor};

/// A backdoor that is being served. Dropping it closes the socket, removes its file and ends the sessions.
#[must_use = "dropping it closes the backdoor"]
pub struct Handle {
    served: Arc<Served>,
    /// The end of the application's runtime is the backdoor's too.
    at_end: AtEnd,
    /// What is served besides the socket.
    network: Vec<Open>,
    /// The address of the live page.
    #[cfg(feature = "web")]
    page: Option<String>,
}

impl Handle {
    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.served.file.path
    }

    /// Where consoles are served over the network: `tcp`, `tls` or `telnet` and the address, in the order in which they were
    /// asked for. With port 0 the system has chosen one.
    pub fn network(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let open = self.network.iter();
        open.map(|it| (it.scheme.as_str(), it.address))
    }

    /// Serves these as well. If that fails, nothing is served.
    pub(crate) fn with_network(mut self, asked: Vec<Asked>) -> io::Result<Self> {
        let runtime = {
            let runtime = self.served.runtime.lock();
            let runtime = runtime.unwrap_or_else(PoisonError::into_inner);
            runtime.as_ref().map(Runtime::handle)
        };
        // Without one it was ended meanwhile, and nobody will look.
        let runtime = runtime.ok_or(io::ErrorKind::NotConnected)?;
        self.network = network::open(&self.served.shared, asked, runtime)?;
        Ok(self)
    }

    /// The address of the live page, with the token that opens it, if [one is served](crate::Backdoor::web).
    #[cfg(feature = "web")]
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    /// Serves the page too. If that fails, nothing is served.
    #[cfg(feature = "web")]
    pub(crate) fn with_page(mut self, page: Option<crate::web::Web>) -> io::Result<Self> {
        if let Some(page) = page {
            let runtime = {
                let runtime = self.served.runtime.lock();
                let runtime = runtime.unwrap_or_else(PoisonError::into_inner);
                runtime.as_ref().map(Runtime::handle)
            };
            // Without one it was ended meanwhile, and nobody will look.
            let runtime = runtime.ok_or(io::ErrorKind::NotConnected)?;
            self.page = Some(page.open(&self.served.shared, runtime)?);
        }
        Ok(self)
    }

    /// Leaves the backdoor open for as long as the runtime runs.
    pub fn detach(self) {
        // What is called at the runtime's end holds all that there is to end.
        std::mem::forget(self);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.served.end();
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("path", &self.path())
            .field("network", &self.network)
            .field("at_end", &self.at_end)
            .finish_non_exhaustive()
    }
}

/// All that there is to end.
struct Served {
    shared: Arc<Shared>,
    file: Arc<SocketFile>,
    /// Runs the listener and the sessions; none once the backdoor was ended.
    runtime: Mutex<Option<Runtime>>,
}

impl Served {
    /// Waits for nobody but the logger, and not long for that: a console must not hold up the end of the application.
    fn end(&self) {
        let runtime = self
            .runtime
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(runtime) = runtime {
            self.file.remove();
            self.shared.runtimes.calls.close();
            self.shared.seats.close();
            profiles::end_with(&self.shared);
            runtime.dismiss();
            journal::flush(limits::LAST_LINES);
        }
    }
}

/// A socket in the file system that is ours: its inode tells it from one that replaced it.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours && let Err(error) = fs::remove_file(&self.path) {
            journal::warn(format!(
                "console: cannot remove {}: {error}",
                self.path.display()
            ));
        }
    }
}

/// Held by the listening coroutine, so that the file goes if that is killed.
struct Listening(Arc<SocketFile>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.remove();
    }
}

pub(crate) fn serve_unix(shared: Arc<Shared>, path: &Path) -> io::Result<Handle> {
    make_room(path)?;
    let application = shared.runtimes.application;
    let runtime = Runtime::builder()
        .workers(1)
        .thread_name_fn(|_| limits::THREAD.to_owned())
        // Whoever looks at the application's stalls looks for the application's.
        .latency_limit(None)
        .beside(application)
        .build()
        .map_err(|error| explain(error, path))?;
    let (listener, file) = bind(path).map_err(|error| explain(error, path))?;
    let file = Arc::new(file);
    log::info!("console: listening at {}", path.display());
    shared.runtimes.served_by(runtime.handle());
    let (listening, all) = (Listening(Arc::clone(&file)), Arc::clone(&shared));
    let coroutine = Builder::new().name("console-listener");
    if !shared.users.is_empty() {
        // Here and not where the application waits for it.
        let (keys, all) = (Builder::new().name("console-keys"), Arc::clone(&shared));
        drop(runtime.handle().spawn(keys, move || all.users.prepare()));
    }
    drop(runtime.handle().spawn(coroutine, move || {
        let _file = listening;
        door::accept_forever(&all, &listener, "unix", enter);
    }));
    let served = Arc::new(Served {
        shared,
        file,
        runtime: Mutex::new(Some(runtime)),
    });
    let ends = Arc::clone(&served);
    Ok(Handle {
        served,
        at_end: application.at_end(move || ends.end()),
        network: Vec::new(),
        #[cfg(feature = "web")]
        page: None,
    })
}

/// Removes what a dead server left at `path`; refuses if a live one is there, or something else.
fn make_room(path: &Path) -> io::Result<()> {
    let refuse = |kind, message: String| Err(io::Error::new(kind, message));
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(explain(error, path)),
        Ok(found) if !found.file_type().is_socket() => {
            return refuse(
                io::ErrorKind::AlreadyExists,
                format!(
                    "{shown} exists and is not a socket; remove it or choose another path for the backdoor"
                ),
            );
        }
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Ok(_) => refuse(
            io::ErrorKind::AddrInUse,
            format!(
                "another server already answers at {shown}; stop it or choose another path for the backdoor"
            ),
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            log::info!("console: {shown} was left behind by a server that is gone; replacing it");
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(explain(error, path)),
                _ => Ok(()),
            }
        }
        // Somebody was quicker than we.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(explain(error, path)),
    }
}

/// Binds in a folder that nobody else can enter, and moves the socket to its place once its mode is right: at no
/// moment can another user open it, and the process's umask, which belongs to all threads, is left alone.
fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = PrivateFolder::beside(parent)?;
    let draft = folder.0.join("s");
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
    let made = fs::symlink_metadata(&draft)?;
    match rustix::fs::renameat_with(CWD, &draft, CWD, path, RenameFlags::NOREPLACE) {
        // A file system that cannot: the window in which two servers start at the same path is theirs.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(&draft, path)?,
        other => other?,
    }
    Ok((
        listener,
        SocketFile {
            path: path.to_owned(),
            device: made.dev(),
            inode: made.ino(),
        },
    ))
}

/// A folder of mode 0700 that goes away with its content.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn beside(parent: &Path) -> io::Result<Self> {
        // The name is short, because a socket's path may have 107 bytes only.
        for attempt in 0..100 {
            let folder = parent.join(format!(".c{:x}{attempt:x}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|()| Self(folder)),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "no free name for a temporary folder",
        ))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn explain(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot open a backdoor at {}: {error}", path.display()),
    )
}

/// Serves one connection over the Unix socket.
fn enter(shared: &Arc<Shared>, stream: UnixStream, guest: Guest) {
    let visitor = identify(&stream);
    let transport = Framed::new(Arc::new(stream));
    match visitor {
        Err(message) => session::refuse(&transport, message),
        Ok(visitor) => {
            if session::is_greeted(&transport) {
                guest.is_known();
                session::run(shared, Arc::new(transport), visitor, guest.number);
            }
        }
    }
}

/// Who this is, by the system's word; why that one may not enter, if so.
fn identify(stream: &UnixStream) -> Result<Visitor, String> {
    let owner = rustix::process::geteuid();
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|error| {
        journal::warn(format!(
            "console: refused a peer whose user cannot be told: {error}"
        ));
        "the system does not say who you are".to_owned()
    })?;
    let (uid, process) = (peer.uid.as_raw(), peer.pid.as_raw_nonzero());
    if peer.uid != owner && !peer.uid.is_root() {
        journal::warn(format!("console: refused uid {uid} (process {process})"));
        return Err(format!(
            "this server runs as uid {} and you are uid {uid}; attach as that user or as root",
            owner.as_raw(),
        ));
    }
    Ok(Visitor {
        name: format!("uid {uid}"),
        from: format!("unix, process {process}"),
        rights: Rights::all(),
    })
}
