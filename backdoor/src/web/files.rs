//! The parts of the page, and the headers that every answer has.

use grapeshot_http::{Response, Status};

/// Nothing from elsewhere, nothing inside others. The terminal writes styles of its own into the page, which is why those may
/// be inline; scripts may not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const STYLE: &str = "text/css; charset=utf-8";

macro_rules! page_files {
    ($($folder:literal $name:literal: $type:expr,)*) => {
        &[$(($name, $type, include_str!(concat!("../../assets/", $folder, "/", $name)))),*]
    };
}

/// The parts of the page.
pub(super) const FILES: &[(&str, &str, &str)] = page_files! {
    "page" "page.css": STYLE,
    "page" "main.js": SCRIPT,
    "page" "link.js": SCRIPT,
    "page" "format.js": SCRIPT,
    "page" "table.js": SCRIPT,
    "page" "chart.js": SCRIPT,
    "page" "overview.js": SCRIPT,
    "page" "coroutines.js": SCRIPT,
    "page" "lists.js": SCRIPT,
    "page" "trouble.js": SCRIPT,
    "page" "detail.js": SCRIPT,
    "page" "answers.js": SCRIPT,
    "page" "profiler.js": SCRIPT,
    "page" "session.js": SCRIPT,
    "page" "terminal.js": SCRIPT,
    "page" "editor.js": SCRIPT,
    "page" "plain.js": SCRIPT,
    "xterm" "xterm.mjs": SCRIPT,
    "xterm" "addon-fit.mjs": SCRIPT,
    "xterm" "xterm.css": STYLE,
};
pub(super) const INDEX: &str = include_str!("../../assets/page/index.html");
pub(super) const LOGIN: &str = include_str!("../../assets/page/login.html");
pub(super) const LOGIN_SCRIPT: &str = include_str!("../../assets/page/login.js");
pub(super) const LOGIN_TOKEN: &str = include_str!("../../assets/page/login-token.html");
pub(super) const LOGIN_USER: &str = include_str!("../../assets/page/login-user.html");

/// What every answer has.
pub(super) fn headers(response: Response<'_>) -> Response<'_> {
    headers_with(POLICY, response)
}

/// The same for what has a policy of its own.
pub(super) fn headers_with<'r>(policy: &str, response: Response<'r>) -> Response<'r> {
    response
        .header("Content-Security-Policy", policy)
        .header("Cache-Control", "no-store")
        // Without one, browsers would not say where a form comes from.
        .header("Referrer-Policy", "same-origin")
        .header("X-Content-Type-Options", "nosniff")
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

pub(super) fn plain(
    response: Response<'_>,
    status: Status,
    text: &str,
) -> Result<(), grapeshot_http::Error> {
    response.status(status).send_text(&format!("{text}\n"))
}
