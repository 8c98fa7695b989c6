//! A page that shows how the process does.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grapeshot::CoroutineId;
use grapeshot::registry;

use crate::files::escape;
use crate::handler::Reply;
use crate::{Handler, HandlerError, Html, Request, Response, Server, Status};

/// Coroutines that the page lists.
const MOST_LISTED: usize = 500;

/// Shows uptime, workers, servers with their listeners and connections, all coroutines with their backtraces, and whatever
/// statistics the program adds. It shows much of the program: put it behind [`Basic`](crate::auth::Basic), or on a listener of its own.
///
/// ```
/// use grapeshot_http::{Router, Server, StatusPage};
///
/// let status = StatusPage::new("example");
/// let server = Server::with_handler(Router::new().any("/status", status.clone()));
/// status.add_server("web", &server);
/// status.add("calls on threads", grapeshot::unblock_statistics);
/// ```
///
/// A clone is the same page.
#[derive(Clone)]
pub struct StatusPage {
    title: String,
    sections: Arc<Mutex<Vec<Section>>>,
}

#[derive(Clone)]
struct Section {
    name: String,
    /// As HTML; `None` when what it is of has gone.
    show: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl StatusPage {
    /// A page with this title.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            sections: Arc::default(),
        }
    }

    /// Adds figures: what a `statistics()` gives, for instance.
    pub fn add<S: Debug>(&self, name: &str, statistics: impl Fn() -> S + Send + Sync + 'static) {
        self.section(name, move || Some(figures(&statistics())));
    }

    /// Adds a server: its listeners and its figures.
    pub fn add_server(&self, name: &str, server: &Server) {
        // The server may have this page among its handlers: they must not keep each other.
        let server = server.downgrade();
        self.section(name, move || {
            let server = server.upgrade()?;
            let listeners = server.listeners().join(", ");
            let figures = figures(&server.statistics());
            Some(format!("<p>listens on {}</p>{figures}", escape(&listeners)))
        });
    }

    fn section(&self, name: &str, show: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let section = Section {
            name: name.to_owned(),
            show: Arc::new(show),
        };
        let mut sections = self.sections.lock().unwrap_or_else(PoisonError::into_inner);
        sections.push(section);
    }

    fn page(&self) -> String {
        let mut page = head(&self.title);
        if let Some(stats) = registry::stats() {
            let memory = stats.resident_bytes.map_or(0, |bytes| bytes >> 20);
            let _ = write!(
                page,
                "<p class=lead>up for <b>{}</b> · <b>{}</b> coroutines on {} workers · {memory} MiB resident · process {}</p>",
                spell(stats.uptime),
                stats.live,
                stats.workers,
                std::process::id(),
            );
        }
        let sections = self
            .sections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for section in sections {
            if let Some(shown) = (section.show)() {
                let _ = write!(page, "<h2>{}</h2>{shown}", escape(&section.name));
            }
        }
        workers(&mut page);
        coroutines(&mut page);
        page
    }

    fn coroutine(&self, id: CoroutineId) -> Option<String> {
        let info = registry::coroutine(id)?;
        let mut page = head(&format!("{} · {}", info.name, self.title));
        let _ = write!(
            page,
            "<p><a href=\"?\">all coroutines</a></p>{}",
            figures(&info)
        );
        match registry::backtrace(id) {
            Ok(frames) => {
                page.push_str("<h2>where it is</h2><ol class=frames>");
                for frame in frames {
                    let _ = write!(page, "<li>{}</li>", escape(&frame.to_string()));
                }
                page.push_str("</ol>");
            }
            Err(error) => {
                let _ = write!(page, "<p>no backtrace: {}</p>", escape(&error.to_string()));
            }
        }
        Some(page)
    }
}

impl Handler for StatusPage {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        if !matches!(request.method(), "GET" | "HEAD") {
            let response = response.header("Allow", "GET, HEAD");
            return Status::METHOD_NOT_ALLOWED.reply(response);
        }
        let id = request.query_form().get("id").map(str::to_owned);
        let page = match id.map(|id| id.parse().map(CoroutineId)) {
            None => self.page(),
            Some(Ok(id)) => self.coroutine(id).ok_or(Status::NOT_FOUND)?,
            Some(Err(_)) => return Err(Status::BAD_REQUEST.into()),
        };
        Html(page).reply(response.header("Cache-Control", "no-store"))
    }
}

impl Debug for StatusPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusPage")
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

fn head(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    )
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;\
    background:#fafafa}h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}.lead{color:#555}\
    table{border-collapse:collapse;width:100%;background:#fff;border:1px solid #e2e2e2;border-radius:6px}\
    th,td{padding:.25rem .7rem;text-align:left;border-bottom:1px solid #eee;vertical-align:top}th{font-weight:600;color:#555;\
    background:#f4f4f4}tr:last-child td{border:0}.n{text-align:right;font-variant-numeric:tabular-nums}\
    pre{background:#fff;border:1px solid #e2e2e2;border-radius:6px;padding:.7rem 1rem;overflow:auto;margin:0}\
    .frames{font-family:ui-monospace,monospace;font-size:13px;background:#fff;border:1px solid #e2e2e2;border-radius:6px;\
    padding:.7rem 1rem .7rem 3rem}a{color:#0550ae;text-decoration:none}a:hover{text-decoration:underline}\
    @media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}table,pre,.frames{background:#1d1d1d;border-color:#333}\
    th{background:#242424;color:#aaa}td{border-color:#2a2a2a}.lead{color:#aaa}a{color:#7ab7ff}}";

/// What `{:#?}` says, a line for each field.
fn figures(statistics: &impl Debug) -> String {
    let text = format!("{statistics:#?}");
    let Some(fields) = fields(&text) else {
        return format!("<pre>{}</pre>", escape(&text));
    };
    let mut table = "<table>".to_owned();
    for (name, value) in fields {
        let _ = write!(
            table,
            "<tr><td>{}<td class=n>{}",
            escape(&name.replace('_', " ")),
            escape(&value)
        );
    }
    table + "</table>"
}

/// Names and values, if it is a struct that has them. Values of several lines are put into one.
fn fields(text: &str) -> Option<Vec<(&str, String)>> {
    let (_, inside) = text.strip_suffix("\n}")?.split_once(" {\n")?;
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in inside.lines() {
        let line = line.strip_prefix("    ")?;
        if !line.starts_with([' ', ')', ']', '}']) {
            let (name, value) = line.split_once(": ")?;
            fields.push((name, value.to_owned()));
            continue;
        }
        let (part, value) = (line.trim_start(), &mut fields.last_mut()?.1);
        if part.starts_with([')', ']', '}']) {
            value.truncate(value.trim_end_matches(',').len());
        } else if value.ends_with(',') {
            value.push(' ');
        }
        value.push_str(part);
    }
    for (_, value) in &mut fields {
        value.truncate(value.trim_end_matches(',').len());
    }
    Some(fields)
}

fn workers(page: &mut String) {
    page.push_str("<h2>workers</h2><table><tr><th class=n>#<th class=n>coroutines<th class=n>ready<th class=n>timers<th class=n>resumes<th class=n>busy<th class=n>idle");
    for worker in registry::workers() {
        let _ = write!(
            page,
            "<tr><td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            worker.index,
            worker.coroutines,
            worker.ready,
            worker.timers,
            worker.resumes,
            spell(worker.busy),
            spell(worker.idle),
        );
    }
    page.push_str("</table>");
}

fn coroutines(page: &mut String) {
    let all = registry::coroutines();
    let _ = write!(
        page,
        "<h2>coroutines ({})</h2><table><tr><th class=n>id<th>name<th>state<th>waits for<th class=n>age<th class=n>processor<th class=n>switches",
        all.len()
    );
    for info in all.iter().take(MOST_LISTED) {
        let waits = info.waits_for.as_ref().map_or_else(String::new, |wait| {
            format!("{} for {}", wait.operation, spell(wait.since))
        });
        let _ = write!(
            page,
            "<tr><td class=n><a href=\"?id={0}\">{0}</a><td>{1}<td>{2}<td>{3}<td class=n>{4}<td class=n>{5}<td class=n>{6}",
            info.id,
            escape(&info.name),
            info.state,
            escape(&waits),
            spell(info.age),
            spell(info.cpu),
            info.switches,
        );
    }
    page.push_str("</table>");
    if all.len() > MOST_LISTED {
        let _ = write!(page, "<p>and {} more</p>", all.len() - MOST_LISTED);
    }
}

/// A time as people say it.
fn spell(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_a_table_if_they_can_be() {
        #[derive(Debug)]
        #[allow(dead_code, reason = "only shown")]
        struct Few {
            so_many: u32,
            name: &'static str,
            reasons: Vec<(Option<u8>, u64)>,
        }
        let table = figures(&Few {
            so_many: 7,
            name: "<b>",
            reasons: vec![(None, 1), (Some(2), 3)],
        });
        assert_eq!(
            table,
            "<table><tr><td>so many<td class=n>7<tr><td>name<td class=n>&quot;&lt;b&gt;&quot;\
             <tr><td>reasons<td class=n>[(None, 1), (Some(2), 3)]</table>"
        );
        assert!(figures(&vec![Some(1)]).starts_with("<pre>"));
        assert_eq!(spell(Duration::from_secs(90_000)), "1 d 1 h");
        assert_eq!(spell(Duration::from_micros(1500)), "1.5 ms");
    }
}
