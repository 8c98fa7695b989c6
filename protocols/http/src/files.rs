//! Files as answers: from a folder ([`StaticFiles`]) or from the program itself ([`Assets`]).

mod assets;
mod folder;
mod path;

pub use assets::Assets;
pub use folder::StaticFiles;

use crate::handler::not_found;
use crate::{Error, Request, Response, Status};

/// The media type by a name's extension; texts are taken to be UTF-8.
fn media_type(name: &str) -> String {
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
    response
        .status(Status::METHOD_NOT_ALLOWED)
        .header("Allow", "GET, HEAD")
        .send_text("only GET and HEAD\n")?;
    Ok(None)
}

/// Whether `If-None-Match` names this entity tag, compared weakly (RFC 9110, section 13.1.2).
fn none_match_fails(request: &Request<'_>, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    request
        .values("If-None-Match")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|list| list.split(','))
        .any(|candidate| candidate.trim() == "*" || opaque(candidate) == opaque(tag))
}
