//! Values that are answers.

use std::borrow::Cow;
use std::io::{self, ErrorKind};

use serde::Serialize;

use crate::{HandlerError, Response, Status};

/// A value that can be sent as an answer:
///
/// | value | answer |
/// |---|---|
/// | `&str`, `String`, `Cow<str>` | text, `200 OK` |
/// | `Vec<u8>`, `&[u8]` | bytes, `application/octet-stream` |
/// | `()` | `204 No Content` |
/// | [`Status`] | that status and its reason as text |
/// | [`Json(value)`](Json), [`Html(text)`](Html) | what serde makes of the value; a page |
/// | [`Redirect`] | the way to another place |
/// | `(Status, reply)` | the reply with that status |
/// | `([(name, value); N], reply)`, `(Status, [(name, value); N], reply)` | with these headers besides; a `Content-Type` among them replaces the reply's own |
/// | `Option<reply>` | `None` is `404 Not Found` |
/// | `Result<reply, error>` | the error is treated as a handler's: see [`Handler::handle`](crate::Handler::handle) |
pub trait Reply {
    /// Sends it as this answer. **May suspend.**
    ///
    /// # Errors
    /// Those of [`Response::send`]; and what kept the value from being made.
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError>;
}

const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! texts {
    ($($type:ty),*) => {$(
        impl Reply for $type {
            fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
                Ok(response.default_type(TEXT).send(self.as_bytes())?)
            }
        }
    )*};
}
texts!(&str, String, Cow<'_, str>);

macro_rules! bytes {
    ($($type:ty),*) => {$(
        impl Reply for $type {
            fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
                Ok(response.default_type("application/octet-stream").send(self)?)
            }
        }
    )*};
}
bytes!(Vec<u8>, &[u8]);

impl Reply for () {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        Ok(response.status(Status::NO_CONTENT).send("")?)
    }
}

impl Reply for Status {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        let response = response.status(self);
        if self.is_bodyless() {
            return Ok(response.send("")?);
        }
        format!("{self}\n").reply(response)
    }
}

/// The JSON of a value, as an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> Reply for Json<T> {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        let text = serde_json::to_vec(&self.0)?;
        Ok(response.default_type("application/json").send(text)?)
    }
}

/// A page, as an answer. What is put into it from elsewhere must be escaped before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Html<T>(pub T);

impl<T: AsRef<[u8]>> Reply for Html<T> {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        Ok(response
            .default_type("text/html; charset=utf-8")
            .send(self.0)?)
    }
}

/// Sends the client elsewhere. As a [`Handler`](crate::Handler) it does so with every request, and appends what a
/// `{rest...}` matched, and the query, if it was told to [`keep_path`](Redirect::keep_path).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    status: Status,
    location: String,
    keep_path: bool,
}

impl Redirect {
    fn new(status: Status, location: impl Into<String>) -> Self {
        Self {
            status,
            location: location.into(),
            keep_path: false,
        }
    }

    /// 307: there for now, to be asked in the same way.
    #[must_use]
    pub fn temporary(location: impl Into<String>) -> Self {
        Self::new(Status::TEMPORARY_REDIRECT, location)
    }

    /// 308: there for ever, to be asked in the same way.
    #[must_use]
    pub fn permanent(location: impl Into<String>) -> Self {
        Self::new(Status::PERMANENT_REDIRECT, location)
    }

    /// 303: what to look at after a form was sent; asked for with GET.
    #[must_use]
    pub fn see_other(location: impl Into<String>) -> Self {
        Self::new(Status::SEE_OTHER, location)
    }

    /// Appends the request's path (what is left of it below a `{rest...}`) and query, when it is a handler.
    #[must_use]
    pub fn keep_path(mut self) -> Self {
        self.keep_path = true;
        self
    }
}

impl Reply for Redirect {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        let response = response.status(self.status);
        Ok(response.header("Location", self.location).send("")?)
    }
}

impl crate::Handler for Redirect {
    fn handle(
        &self,
        request: &mut crate::Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let mut to = self.clone();
        if self.keep_path {
            let path = request.subpath();
            // The path begins with a slash, of which one is enough.
            let path = path.strip_prefix('/').unwrap_or(path);
            if !to.location.ends_with('/') {
                to.location.push('/');
            }
            to.location.push_str(path.trim_start_matches('/'));
            if let Some(query) = request.query() {
                to.location.push('?');
                to.location.push_str(query);
            }
        }
        to.reply(response)
    }
}

/// An error that is an answer: a handler that fails with it answers with this status and text. A [`Status`] alone
/// can be failed with, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {text}")]
pub struct Rejection {
    pub(crate) status: Status,
    pub(crate) text: String,
}

impl Rejection {
    /// To be answered with `status`, and with `text` for people to read.
    #[must_use]
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// What to fail with when a client's file could not be kept: 507 if there is no room for it, 409, 400 or 403 if its name
    /// or its place are why, and else the error itself, which is a 500.
    #[must_use]
    pub fn of_files(error: io::Error) -> HandlerError {
        let (status, text) = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                log::warn!("http: a file could not be written: {error}");
                (Status::INSUFFICIENT_STORAGE, "there is no room for it")
            }
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                (Status::CONFLICT, "there is no folder for it")
            }
            ErrorKind::IsADirectory => (Status::CONFLICT, "there is a folder of that name"),
            ErrorKind::InvalidFilename => (Status::BAD_REQUEST, "this cannot be a file's name"),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                (Status::FORBIDDEN, "this cannot be changed")
            }
            _ => return error.into(),
        };
        Self::new(status, text).into()
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }
}

impl Reply for Rejection {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        (self.status, self.text + "\n").reply(response)
    }
}

impl<R: Reply> Reply for (Status, R) {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        self.1.reply(response.status(self.0))
    }
}

impl<R: Reply, V: AsRef<[u8]>, const N: usize> Reply for ([(&str, V); N], R) {
    fn reply(self, mut response: Response<'_>) -> Result<(), HandlerError> {
        for (name, value) in self.0 {
            response = response.header(name, value);
        }
        self.1.reply(response)
    }
}

impl<R: Reply, V: AsRef<[u8]>, const N: usize> Reply for (Status, [(&str, V); N], R) {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        (self.1, self.2).reply(response.status(self.0))
    }
}

impl<R: Reply> Reply for Option<R> {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        match self {
            Some(reply) => reply.reply(response),
            None => Ok(super::not_found(response)?),
        }
    }
}

impl<R: Reply, E: Into<HandlerError>> Reply for Result<R, E> {
    fn reply(self, response: Response<'_>) -> Result<(), HandlerError> {
        self.map_err(Into::into)?.reply(response)
    }
}
