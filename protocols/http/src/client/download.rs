//! Downloads into files: what an earlier try has brought is not brought again, and the file is there once it is whole.
//!
//! ```text
//!   NAME.part        what has come so far
//!   NAME.part.from   which version of which URL it is a part of: a validator and the URL
//!   NAME             only when it is whole, by renaming NAME.part
//! ```

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::fs::{self, File};
use grapeshot::sleep;

use super::error::{Error, ErrorKind, Fault, Phase};
use super::redirect::Redirect;
use super::request::RequestBuilder;
use super::response::Response;
use super::retry::{is_passing, is_passing_status, pause};
use super::{Client, Progress, Report, Retries, Url};
use crate::Status;

/// Content that is written at once.
const PIECE: usize = 64 << 10;
/// The longest `NAME.part.from` that is read.
const NOTE: u64 = 16 << 10;

/// A download in the making; [`to`](Download::to) starts it.
#[must_use = "to() starts the download"]
pub struct Download {
    client: Client,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    retries: Retries,
    resume: bool,
    progress: Option<Report>,
}

/// A download that has come to its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Downloaded {
    /// Bytes of the file.
    pub length: u64,
    /// Bytes of it that were there before.
    pub resumed_from: u64,
    /// Tries after the first.
    pub retries: u32,
    /// Where it came from in the end.
    pub url: Url,
    /// The redirects that led there.
    pub redirects: Vec<Redirect>,
}

/// A try that failed.
struct Failed {
    error: Error,
    /// Another may do better.
    passing: bool,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error = error.into();
        let passing = match error.kind() {
            ErrorKind::Io(Phase::Content, _) | ErrorKind::Timeout(Phase::Content, _) => true,
            ErrorKind::Status(status) => is_passing_status(*status),
            kind => is_passing(kind),
        };
        Self { error, passing }
    }
}

/// The files of one download.
struct Place {
    whole: PathBuf,
    part: PathBuf,
    note: PathBuf,
}

/// What is there of an earlier try.
#[derive(Default)]
struct Before {
    length: u64,
    /// What tells its version from others: an entity tag, or a date.
    validator: String,
}

impl Client {
    /// Begins a download into a file, which [resumes](Download::to) what an earlier one has left.
    pub fn download(&self, url: impl Into<String>) -> Download {
        Download {
            client: self.clone(),
            url: url.into(),
            headers: Vec::new(),
            retries: Retries::most(3),
            resume: true,
            progress: None,
        }
    }
}

impl Download {
    /// Adds a header to each of its requests.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// How often it is tried again when the connection breaks on the way; what has come is kept. Default:
    /// [three times](Retries::most).
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Whether what an earlier download has left is used. Default: yes, if the server has the same version still.
    pub fn resume(mut self, yes: bool) -> Self {
        self.resume = yes;
        self
    }

    /// Calls `report` whenever some of it was received. Its figures are those of the whole file, with what was there
    /// before.
    pub fn progress(mut self, report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(report));
        self
    }

    /// Downloads to `path`. Until it is whole, what has come lies in `path` with `.part` behind its name, beside a small
    /// `.part.from` that says what it is a part of. A file of this name is replaced in one step, at the end. Only one
    /// download to a path may run at a time. **May suspend.**
    ///
    /// Whoever leaves it in the middle (by a time-out, say) can call it again later, and it goes on where it was, if the
    /// server knows ranges and its version has not changed: `If-Range` asks for that with the `ETag`, or with
    /// `Last-Modified`.
    ///
    /// # Errors
    /// [`ErrorKind::Status`] for any status but success; [`ErrorKind::File`]; those of requests.
    pub fn to(self, path: impl AsRef<Path>) -> Result<Downloaded, Error> {
        let place = Place::new(path.as_ref());
        if !self.resume {
            place.forget().map_err(ErrorKind::File)?;
        }
        let mut tries = 0;
        loop {
            match self.attempt(&place) {
                Ok(mut downloaded) => {
                    downloaded.retries = tries;
                    return Ok(downloaded);
                }
                Err(failed) if failed.passing && tries < self.retries.most => {
                    log::info!("http client: {}; trying again", failed.error);
                    sleep(self.pause(tries));
                    tries += 1;
                }
                Err(failed) => return Err(failed.error),
            }
        }
    }

    fn pause(&self, tries: u32) -> Duration {
        pause(&self.retries, tries)
    }

    fn attempt(&self, place: &Place) -> Result<Downloaded, Failed> {
        let before = place.before(&self.url).map_err(ErrorKind::File)?;
        let response = self.request(&before).send()?;
        let status = response.status();
        if status == Status::RANGE_NOT_SATISFIABLE && before.length > 0 {
            let is_whole = total_of(&response) == Some(before.length);
            if is_whole {
                return Ok(place.finish(&response, before.length, before.length)?);
            }
            // Something else is there by now: all of it, then.
            response.drain();
            place.forget().map_err(ErrorKind::File)?;
            return self.attempt(place);
        }
        if !status.is_success() {
            return Err(Error::new(ErrorKind::Status(status))
                .at("GET", response.url())
                .into());
        }
        let from = if status == Status::PARTIAL_CONTENT {
            if start_of(&response) != Some(before.length) || before.length == 0 {
                return Err(Error::from(ErrorKind::from(Fault::Range))
                    .at("GET", response.url())
                    .into());
            }
            before.length
        } else {
            place
                .begin(&self.url, &validator_of(&response))
                .map_err(ErrorKind::File)?;
            0
        };
        self.copy(place, response, from)
    }

    fn request(&self, before: &Before) -> RequestBuilder<'static> {
        let mut request = self
            .client
            .request("GET", &self.url)
            .decompress(false)
            .retries(Retries::most(0));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if before.length > 0 {
            request = request
                .header("Range", format!("bytes={}-", before.length))
                .header("If-Range", &before.validator);
        }
        request
    }

    /// Writes what comes behind the first `from` bytes.
    fn copy(&self, place: &Place, mut response: Response, from: u64) -> Result<Downloaded, Failed> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(&place.part)
            .map_err(ErrorKind::File)?;
        let total = response.content_length().map(|rest| from + rest);
        let mut length = from;
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        loop {
            let read = response.read_some(&mut piece[filled..]);
            let count = *read.as_ref().unwrap_or(&0);
            filled += count;
            // What has come is kept, even if nothing more does.
            if filled == piece.len() || count == 0 {
                (&file)
                    .write_all(&piece[..filled])
                    .map_err(ErrorKind::File)?;
                filled = 0;
            }
            length += count as u64;
            if read? == 0 {
                break;
            }
            if let Some(report) = &self.progress {
                report(&Progress {
                    sent: 0,
                    received: length,
                    total,
                });
            }
        }
        file.sync_all().map_err(ErrorKind::File)?;
        drop(file);
        Ok(place.finish(&response, length, from)?)
    }
}

impl Place {
    fn new(path: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name = OsString::from(path);
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            whole: path.to_owned(),
            part: beside(".part"),
            note: beside(".part.from"),
        }
    }

    /// What is there of `url`.
    fn before(&self, url: &str) -> std::io::Result<Before> {
        let nothing = Ok(Before::default());
        let (Ok(part), Ok(note)) = (fs::metadata(&self.part), fs::metadata(&self.note)) else {
            return nothing;
        };
        if note.len() > NOTE {
            return nothing;
        }
        let note = String::from_utf8(fs::read(&self.note)?).unwrap_or_default();
        match note.split_once('\n') {
            Some((validator, its)) if its == url && !validator.is_empty() => Ok(Before {
                length: part.len(),
                validator: validator.to_owned(),
            }),
            _ => nothing,
        }
    }

    /// Starts with nothing. The note is written last and removed first: it must not vouch for another version.
    fn begin(&self, url: &str, validator: &str) -> std::io::Result<()> {
        self.forget()?;
        fs::write(&self.part, Vec::new())?;
        if !validator.is_empty() {
            fs::write(&self.note, format!("{validator}\n{url}"))?;
        }
        Ok(())
    }

    fn forget(&self) -> std::io::Result<()> {
        for path in [&self.note, &self.part] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(&self, response: &Response, length: u64, from: u64) -> Result<Downloaded, Error> {
        fs::rename(&self.part, &self.whole).map_err(ErrorKind::File)?;
        // The part is gone, so the note says nothing any more.
        let _ = fs::remove_file(&self.note);
        Ok(Downloaded {
            length,
            resumed_from: from,
            retries: 0,
            url: response.url().clone(),
            redirects: response.redirects().to_vec(),
        })
    }
}

/// What may stand in `If-Range` (RFC 9110, section 13.1.5): a strong entity tag, or a date that is known to be strong
/// because the file had not changed for a second when it was sent.
fn validator_of(response: &Response) -> String {
    if let Some(tag) = response.header("etag")
        && tag.starts_with('"')
    {
        return tag.to_owned();
    }
    let date = |name| httpdate::parse_http_date(response.header(name)?).ok();
    if let (Some(modified), Some(sent)) = (date("last-modified"), date("date"))
        && sent
            .duration_since(modified)
            .is_ok_and(|age| age >= Duration::from_secs(1))
    {
        return response
            .header("last-modified")
            .unwrap_or_default()
            .to_owned();
    }
    String::new()
}

/// Where a part begins: the `5` of `bytes 5-9/10`.
fn start_of(response: &Response) -> Option<u64> {
    let range = response.header("content-range")?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

/// How much there is: the `10` of `bytes */10`.
fn total_of(response: &Response) -> Option<u64> {
    let range = response.header("content-range")?.strip_prefix("bytes ")?;
    range.split_once('/')?.1.parse().ok()
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("url", &self.url)
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}
