//! Files from a file system.

use std::io;
use std::path::Path;
use std::sync::Arc;

use grapeshot::sync::Mutex;
use grapeshot_vfs::{FilePath, FileSystem, Folder, Kind, OpenFile};
use rustix::io::Errno;

use super::path::segments;
use super::{content, listing, media_type, not_allowed, not_found};
use crate::negotiate::{ContentCoding, accepted};
use crate::{Error, Handler, HandlerError, Request, Response, Status};

/// Entries that a listing has at most.
const MOST_LISTED: usize = 10_000;

/// Serves the regular files of a folder, or of another [`FileSystem`], by what is left of the request's path (see
/// [`Request::subpath`]). Nothing outside of it is reachable: not by `..` in any coding, not by an absolute path, and not by
/// a symbolic link that leads out.
///
/// Answers GET and HEAD, with ranges and conditions. On request it also [lists](StaticFiles::listing) folders, takes
/// [compressed variants](StaticFiles::precompressed) that lie beside the files, and lets clients
/// [write](StaticFiles::writable).
///
/// ```no_run
/// use grapeshot_http::{Server, StaticFiles};
///
/// let files = StaticFiles::new("/srv/www")?.precompressed(true);
/// let server = Server::with_handler(files);
/// # std::io::Result::Ok(())
/// ```
///
/// A slow disk holds up nobody but whoever asked for its files: see [`grapeshot::fs`]. What is in memory costs no change of
/// thread, and where the stream allows, the kernel sends it.
#[derive(Clone)]
pub struct StaticFiles {
    pub(super) files: Arc<dyn FileSystem>,
    dot_files: bool,
    listing: bool,
    precompressed: bool,
    index: String,
    pub(super) max_upload: Option<u64>,
    /// Held from the last look at a condition until what it allows is done.
    pub(super) changing: Arc<Mutex<()>>,
}

impl StaticFiles {
    /// Serves what lies below `root`.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::on(Folder::new(root)?))
    }

    /// Serves any file system.
    #[must_use]
    pub fn on(files: impl FileSystem) -> Self {
        Self {
            files: Arc::new(files),
            dot_files: false,
            listing: false,
            precompressed: false,
            index: "index.html".to_owned(),
            max_upload: None,
            changing: Arc::default(),
        }
    }

    /// Also serves names with a leading dot (`.well-known`, but `.git` as well). Off by default.
    #[must_use]
    pub fn dot_files(mut self, serve: bool) -> Self {
        self.dot_files = serve;
        self
    }

    /// The file that answers for its folder; `index.html` by default.
    #[must_use]
    pub fn index(mut self, name: impl Into<String>) -> Self {
        self.index = name.into();
        self
    }

    /// Shows what lies in a folder that has no index, at most 10,000 entries. Off by default.
    #[must_use]
    pub fn listing(mut self, show: bool) -> Self {
        self.listing = show;
        self
    }

    /// Sends `name.br`, `name.zst` or `name.gz` in place of `name` if there is one that is not older, and the client takes
    /// that coding. Off by default.
    #[must_use]
    pub fn precompressed(mut self, look: bool) -> Self {
        self.precompressed = look;
        self
    }

    /// Lets clients write files of up to `max_bytes` with PUT, and remove them with DELETE. Nothing asks who they are:
    /// wrap it for that. Off by default.
    ///
    /// A file is in its place whole or not at all. `If-Match` and `If-None-Match` are heeded, so that no client overwrites
    /// what it has not seen. A disk that is full gives 507.
    #[must_use]
    pub fn writable(mut self, max_bytes: u64) -> Self {
        self.max_upload = Some(max_bytes);
        self
    }

    /// Answers GET and HEAD with the file that the request's path names (the index of a folder), or with 404;
    /// with 304 if the client has it already. **May suspend.**
    ///
    /// # Errors
    /// Those of [`Response::send`], and those of reading the file.
    pub fn answer(&self, request: &Request<'_>, response: Response<'_>) -> Result<(), Error> {
        let Some(response) = super::only_reading(request, response)? else {
            return Ok(());
        };
        match self.path(request) {
            Some(path) => self.read(request, response, &path),
            None => not_found(response),
        }
    }

    fn path(&self, request: &Request<'_>) -> Option<FilePath> {
        FilePath::of_names(segments(request.subpath(), self.dot_files)?).ok()
    }

    fn read(
        &self,
        request: &Request<'_>,
        response: Response<'_>,
        path: &FilePath,
    ) -> Result<(), Error> {
        let wants_folder = request.subpath().ends_with('/');
        let Some(found) = self.open(path)? else {
            return not_found(response);
        };
        match found.metadata().kind {
            Kind::File if !wants_folder => self.send(request, response, path, &*found),
            Kind::Folder if !wants_folder => {
                // Relative links in the folder's index only work behind a slash. One in front is enough: two would name
                // another host.
                let path = request.path().trim_start_matches('/');
                let query = request.query().map(|query| format!("?{query}"));
                let location = format!("/{path}/{}", query.unwrap_or_default());
                response
                    .status(Status::MOVED_PERMANENTLY)
                    .header("Location", location)
                    .send("")
            }
            Kind::Folder => self.read_folder(request, response, path),
            _ => not_found(response),
        }
    }

    fn read_folder(
        &self,
        request: &Request<'_>,
        response: Response<'_>,
        path: &FilePath,
    ) -> Result<(), Error> {
        if let Ok(index) = path.join(&self.index)
            && let Some(file) = self.open(&index)?
            && file.metadata().kind == Kind::File
        {
            return self.send(request, response, &index, &*file);
        }
        if !self.listing {
            return not_found(response);
        }
        let mut entries = self.files.list(path, MOST_LISTED)?;
        entries.retain(|entry| {
            entry.metadata.kind != Kind::Other && (self.dot_files || !entry.name.starts_with('.'))
        });
        let page = listing::page(request.path(), path.is_root(), entries);
        response
            .header("Content-Type", "text/html; charset=utf-8")
            .header("X-Content-Type-Options", "nosniff")
            .send(page)
    }

    /// Sends a file, or what lies beside it in a coding that the client likes better.
    fn send(
        &self,
        request: &Request<'_>,
        mut response: Response<'_>,
        path: &FilePath,
        file: &dyn OpenFile,
    ) -> Result<(), Error> {
        let media_type = media_type(path.name());
        if !self.precompressed {
            return content::send(request, response, file, &media_type);
        }
        response = response.header("Vary", "Accept-Encoding");
        for coding in accepted(**request, &VARIANTS) {
            let name = format!("{}.{}", path.name(), extension(coding));
            let variant = path
                .parent()
                .and_then(|folder| folder.join(&name).ok())
                .map_or(Ok(None), |path| self.open(&path))?;
            if let Some(variant) = variant
                && variant.metadata().kind == Kind::File
                && variant.metadata().modified >= file.metadata().modified
            {
                let response = response.header("Content-Encoding", coding.name());
                return content::send(request, response, &*variant, &media_type);
            }
        }
        content::send(request, response, file, &media_type)
    }

    /// `None` if there is none for the client; an error if that is the server's fault.
    pub(super) fn open(&self, path: &FilePath) -> Result<Option<Box<dyn OpenFile>>, Error> {
        match self.files.open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_shortage(&error) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

const VARIANTS: [ContentCoding; 3] = [
    ContentCoding::Brotli,
    ContentCoding::Zstd,
    ContentCoding::Gzip,
];

fn extension(coding: ContentCoding) -> &'static str {
    match coding {
        ContentCoding::Brotli => "br",
        ContentCoding::Zstd => "zst",
        ContentCoding::Gzip | ContentCoding::Deflate => "gz",
    }
}

/// Whether the server, and not the request, is why a file could not be opened.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO)
    ) || error
        .get_ref()
        .is_some_and(|inner| inner.is::<grapeshot::UnblockError>())
}

impl Handler for StaticFiles {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let Some(max_bytes) = self.max_upload else {
            return Ok(self.answer(request, response)?);
        };
        let Some(path) = self.path(request) else {
            return Ok(not_found(response)?);
        };
        match request.method() {
            "GET" | "HEAD" => Ok(self.read(request, response, &path)?),
            "PUT" => self.put(request, response, &path, max_bytes),
            "DELETE" => self.delete(request, response, &path),
            _ => Ok(not_allowed(
                request,
                response,
                "DELETE, GET, HEAD, OPTIONS, PUT",
            )?),
        }
    }
}

impl std::fmt::Debug for StaticFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticFiles")
            .field("listing", &self.listing)
            .field("max_upload", &self.max_upload)
            .finish_non_exhaustive()
    }
}
