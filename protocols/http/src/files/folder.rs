//! Files from a folder.

use std::fs::{self, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use grapeshot::fs::File;

use super::path::segments;
use super::{media_type, none_match_fails, not_found, only_reading};
use crate::{Error, Handler, HandlerError, Request, Response, Status};

/// Serves the regular files below a folder. Nothing outside of it is reachable: not by `..` in any coding, not by
/// an absolute path, and not by a symbolic link that leads out (on Linux the kernel itself resolves the path beneath
/// the root, so that not even a link swapped in at the wrong moment helps).
///
/// A slow disk holds up nobody but whoever asked for its files: see [`grapeshot::fs`]. What is in memory costs no change of
/// thread.
#[derive(Debug)]
pub struct StaticFiles {
    root: PathBuf,
    #[cfg(target_os = "linux")]
    folder: Arc<fs::File>,
    dot_files: bool,
}

impl StaticFiles {
    /// Serves what lies below `root`.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = root.as_ref().canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            #[cfg(target_os = "linux")]
            folder: Arc::new(fs::File::open(&root)?),
            root,
            dot_files: false,
        })
    }

    /// Also serves names with a leading dot (`.well-known`, but `.git` as well). Off by default.
    #[must_use]
    pub fn dot_files(mut self, serve: bool) -> Self {
        self.dot_files = serve;
        self
    }

    /// The folder that is served.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Answers GET and HEAD with the file that the request's path names (`index.html` for a folder), or with 404;
    /// with 304 if the client has it already. **May suspend.**
    ///
    /// # Errors
    /// Those of [`Response::send`], and those of reading the file.
    pub fn answer(&self, request: &Request<'_>, response: Response<'_>) -> Result<(), Error> {
        let Some(response) = only_reading(request, response)? else {
            return Ok(());
        };
        let Some(mut segments) = segments(request.subpath(), self.dot_files) else {
            return not_found(response);
        };
        let wants_folder = request.subpath().ends_with('/');
        if wants_folder {
            segments.push("index.html".to_owned());
        }
        let relative: PathBuf = segments.iter().collect();
        let (file, metadata) = match self.open(relative) {
            Ok(found) => found,
            Err(error) if is_shortage(&error) => return Err(error.into()),
            Err(_) => return not_found(response),
        };
        if metadata.is_dir() && !wants_folder {
            // Relative links in the folder's index only work behind a slash. The path begins with a single one.
            let location = format!("{}/{}", request.path(), query_suffix(request));
            return response
                .status(Status::MOVED_PERMANENTLY)
                .header("Location", location)
                .send("");
        }
        if !metadata.is_file() {
            return not_found(response);
        }
        let name = segments.last().map_or("", String::as_str);
        send_file(
            request,
            response,
            file,
            name,
            metadata.len(),
            metadata.modified().ok(),
        )
    }

    /// **May suspend.**
    #[cfg(target_os = "linux")]
    fn open(&self, relative: PathBuf) -> io::Result<(fs::File, Metadata)> {
        use rustix::fs::ResolveFlags;
        use std::io::ErrorKind;
        // Names that are in memory are resolved in place. The others are left to a thread; all are, if the kernel is old.
        match open_beneath(&self.folder, &relative, ResolveFlags::CACHED) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::InvalidInput
                ) => {}
            found => return found,
        }
        let folder = Arc::clone(&self.folder);
        grapeshot::unblock(move || open_beneath(&folder, &relative, ResolveFlags::empty()))?
    }

    /// **May suspend.**
    #[cfg(not(target_os = "linux"))]
    fn open(&self, relative: PathBuf) -> io::Result<(fs::File, Metadata)> {
        let root = self.root.clone();
        grapeshot::unblock(move || {
            let path = root.join(relative).canonicalize()?;
            if !path.starts_with(&root) || !(path.is_file() || path.is_dir()) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let file = fs::File::open(path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        })?
    }
}

impl Handler for StaticFiles {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        Ok(self.answer(request, response)?)
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(
    folder: &fs::File,
    relative: &Path,
    resolve: rustix::fs::ResolveFlags,
) -> io::Result<(fs::File, Metadata)> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    // Non-blocking, because opening a named pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = fs::File::from(openat2(folder, relative, flags, Mode::empty(), resolve)?);
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Whether the server, and not the request, is why a file could not be opened.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO)
    ) || error
        .get_ref()
        .is_some_and(|inner| inner.is::<grapeshot::UnblockError>())
}

fn query_suffix(request: &Request<'_>) -> String {
    request
        .query()
        .map_or_else(String::new, |query| format!("?{query}"))
}

fn send_file(
    request: &Request<'_>,
    mut response: Response<'_>,
    file: fs::File,
    name: &str,
    length: u64,
    modified: Option<SystemTime>,
) -> Result<(), Error> {
    if let Some(modified) = modified {
        let since = modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let tag = format!("W/\"{:x}-{:x}\"", length, since.as_nanos());
        response = response
            .header("Last-Modified", httpdate::fmt_http_date(modified))
            .header("ETag", &tag);
        let unchanged = if request.header("If-None-Match").is_some() {
            none_match_fails(request, &tag)
        } else {
            unmodified(request, since)
        };
        if unchanged {
            return response.status(Status::NOT_MODIFIED).send("");
        }
    }
    response = response
        .header("Content-Type", media_type(name))
        .header("X-Content-Type-Options", "nosniff")
        .content_length(length);
    if response.is_head() {
        return response.send("");
    }
    let mut writer = response.start()?;
    let mut chunk = vec![
        0;
        usize::try_from(length)
            .unwrap_or(usize::MAX)
            .clamp(1, 64 << 10)
    ];
    let mut file = File::from_std(file)?.take(length);
    loop {
        match file.read(&mut chunk)? {
            // If the file has become shorter, `finish` says so and the connection ends, for want of what was declared.
            0 => return writer.finish(),
            count => writer.write_all(&chunk[..count])?,
        }
    }
}

/// `If-Modified-Since`, to the second that the header can tell (RFC 9110, section 13.1.3).
fn unmodified(request: &Request<'_>, modified: Duration) -> bool {
    request
        .header("If-Modified-Since")
        .and_then(|value| httpdate::parse_http_date(value).ok())
        .and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok())
        .is_some_and(|since| modified.as_secs() <= since.as_secs())
}
