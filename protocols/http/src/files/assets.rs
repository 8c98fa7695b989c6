//! Files that are part of the program.

use std::hash::{DefaultHasher, Hasher};

use super::{media_type, not_found, only_reading};
use crate::conditions::{Validators, Verdict, judge};
use crate::{Error, Handler, HandlerError, Request, Response, Status};

/// Files embedded in the program, served by their paths.
///
/// ```
/// use grapeshot_http::{Assets, Server};
///
/// let assets = Assets::new(&[
///     ("/index.html", b"<!doctype html><title>Hello</title>"), // include_bytes!("page.html")
///     ("/page.js", b"console.log('hello')"),
/// ]);
/// let server = Server::new(move |request, response| assets.answer(request, response));
/// ```
#[derive(Debug)]
pub struct Assets(Vec<Asset>);

#[derive(Debug)]
struct Asset {
    path: &'static str,
    content: &'static [u8],
    media_type: String,
    tag: String,
}

impl Assets {
    /// Serves these paths (each with its leading `/`); one that ends in `/index.html` also answers for its folder.
    #[must_use]
    pub fn new(files: &[(&'static str, &'static [u8])]) -> Self {
        let asset = |&(path, content): &(&'static str, &'static [u8])| {
            let mut hasher = DefaultHasher::new();
            hasher.write(content);
            let tag = format!("{:016x}", hasher.finish());
            Asset {
                path,
                content,
                media_type: media_type(path),
                tag,
            }
        };
        Self(files.iter().map(asset).collect())
    }

    /// Answers GET and HEAD with the asset that the request's path names, or with 404; with 304 if the client has it
    /// already. **May suspend.**
    ///
    /// # Errors
    /// Those of [`Response::send`].
    pub fn answer(&self, request: &Request<'_>, response: Response<'_>) -> Result<(), Error> {
        let Some(response) = only_reading(request, response)? else {
            return Ok(());
        };
        let Some(asset) = self.find(request.subpath()) else {
            return not_found(response);
        };
        // The browser asks each time whether its copy is still right: the next version of the program serves others.
        let response = response
            .header("ETag", format!("\"{}\"", asset.tag))
            .header("Cache-Control", "no-cache");
        let validators = Validators {
            tag: &asset.tag,
            strong: true,
            modified: None,
        };
        match judge(**request, Some(&validators)) {
            Verdict::Proceed => {}
            Verdict::NotModified => return response.status(Status::NOT_MODIFIED).send(""),
            Verdict::Failed => {
                return response
                    .status(Status::PRECONDITION_FAILED)
                    .send_text("it has changed\n");
            }
        }
        response
            .header("Content-Type", &asset.media_type)
            .header("X-Content-Type-Options", "nosniff")
            .send(asset.content)
    }

    fn find(&self, path: &str) -> Option<&Asset> {
        self.0.iter().find(|asset| {
            asset.path == path
                || (path.ends_with('/')
                    && asset
                        .path
                        .strip_prefix(path)
                        .is_some_and(|rest| rest == "index.html"))
        })
    }
}

impl Handler for Assets {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        Ok(self.answer(request, response)?)
    }

    /// Whether there is such an asset.
    fn matches(&self, request: &Request<'_>) -> bool {
        self.find(request.subpath()).is_some()
    }
}
