//! The client against servers on a simulated network: what it sends, what it takes, and what becomes of its connections.

#[path = "../client_support/mod.rs"]
mod client_support;

mod again;
mod answers;
mod connections;
mod phases;
mod sent;

use grapeshot_http::{HandlerError, Request, Response};

/// Answers with what it was asked: `METHOD target|content`.
fn mirror(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let content = request.read_body()?;
    let content = String::from_utf8_lossy(&content);
    let text = format!("{} {}|{content}", request.method(), request.target());
    Ok(response.header("X-Host", request.host()).send(text)?)
}
