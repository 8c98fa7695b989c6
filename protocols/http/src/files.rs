//! Files as answers: from a file system ([`StaticFiles`]) or from the program itself ([`Assets`]).

mod assets;
mod content;
mod listing;
mod path;
mod reading;
mod writing;

pub use assets::Assets;
pub(crate) use listing::escape;
pub use reading::StaticFiles;

use crate::handler::not_found;
use crate::{Error, Request, Response, Status};

/// The media type by a name's extension; texts are taken to be UTF-8.
pub(crate) fn media_type(name: &str) -> String {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    let textual = guess.type_() == mime_guess::mime::TEXT
        || matches!(
            guess.essence_str(),
            "application/javascript" | "application/json" | "image/svg+xml"
        );
    if textual {
        format!("{}; charset=utf-8", guess.essence_str())
    } else {
        guess.essence_str().to_owned()
    }
}

/// Answers what is neither GET nor HEAD; gives the answer back if it is one of them.
fn only_reading<'c>(
    request: &Request<'_>,
    response: Response<'c>,
) -> Result<Option<Response<'c>>, Error> {
    if matches!(request.method(), "GET" | "HEAD") {
        return Ok(Some(response));
    }
    not_allowed(request, response, "GET, HEAD, OPTIONS")?;
    Ok(None)
}

/// The method is none of those allowed; OPTIONS asks which they are.
fn not_allowed(request: &Request<'_>, response: Response<'_>, allowed: &str) -> Result<(), Error> {
    let response = response.header("Allow", allowed);
    if request.method() == "OPTIONS" {
        return response.status(Status::NO_CONTENT).send("");
    }
    response
        .status(Status::METHOD_NOT_ALLOWED)
        .send_text("this method is not for this\n")
}
