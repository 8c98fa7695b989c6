//! Server-sent events and uploads, as a browser makes them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grapeshot_http::{
    Event, HandlerError, Html, MultipartLimits, Router, Server, StaticFiles, Status, handler,
};
use grapeshot_tests::browser::Browser;
use grapeshot_tests::serving::Serving;

/// A site, and an empty page for the scripts to begin at.
fn serve(site: Router) -> Serving {
    let site = site.get("/", |_| Html("<title>test</title>"));
    Serving::new(Server::with_handler(site))
}

#[test]
fn events_arrive_and_are_taken_up_where_they_broke_off() {
    let asked: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let site = Router::new().on(
        "GET",
        "/events",
        handler(move |request, response| {
            let last = request.last_event_id().map(str::to_owned);
            heard.lock().unwrap().push(last.clone());
            let first = match last {
                None => 1,
                Some(last) => last.parse::<u32>()? + 1,
            };
            if first > 4 {
                // That was all: it is not to ask again.
                return Ok::<_, HandlerError>(response.status(Status::NO_CONTENT).send("")?);
            }
            let mut events = response.events()?;
            events.comment()?;
            for number in first..first + 2 {
                let text = format!("number {number}\nü in a second line");
                let event = Event::new(text).id(number.to_string()).kind("count");
                events.send(&event.retry(Duration::from_millis(1)))?;
            }
            Ok(events.finish()?)
        }),
    );
    let serving = serve(site);
    let browser = Browser::start(400, 300);
    browser.open(&format!("http://{}/", serving.address));
    browser.script(
        "window.got = [];
         window.news = new EventSource('/events');
         news.addEventListener('count', event => got.push([event.lastEventId, event.data]));
         news.onmessage = event => got.push(['untyped', event.data]);",
    );
    browser.wait_for("news.readyState == EventSource.CLOSED");
    let got = browser.script("return JSON.stringify(got)");
    let expected: Vec<_> = (1..=4)
        .map(|n| (n.to_string(), format!("number {n}\nü in a second line")))
        .collect();
    assert_eq!(
        got.as_str(),
        serde_json::to_string(&expected).ok().as_deref()
    );
    let last = |id: &str| Some(id.to_owned());
    assert_eq!(*asked.lock().unwrap(), [None, last("2"), last("4")]);
}

#[test]
fn a_form_and_a_put_arrive_whole_and_are_seen_to_go() {
    let folder = tempfile::tempdir().unwrap();
    let files = StaticFiles::new(folder.path()).unwrap();
    let site = Router::new()
        .any("/files/{rest...}", files.writable(20 << 20))
        .post("/form", |request| {
            request.limit_body(20 << 20);
            let mut said = Vec::new();
            let mut parts = request.multipart(MultipartLimits::default())?;
            while let Some(mut part) = parts.next_part()? {
                let name = part.name().to_owned();
                let file = part.file_name().map(str::to_owned);
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut part, &mut content)?;
                let sum: u64 = content.iter().map(|&byte| u64::from(byte)).sum();
                said.push(format!("{name} {file:?} {} {sum}", content.len()));
            }
            Ok::<_, HandlerError>(said.join("; "))
        });
    let serving = serve(site);
    let browser = Browser::start(400, 300);
    browser.open(&format!("http://{}/", serving.address));
    browser.script(
        "const form = new FormData();
         form.append('text', 'grüße');
         form.append('file', new File([new Uint8Array(3_000_000).fill(2)], 'ein \"Name\".bin'));
         window.said = null;
         fetch('/form', { method: 'POST', body: form }).then(answer => answer.text()).then(text => said = text);",
    );
    browser.wait_for("said !== null");
    let said = browser.script("return said");
    // Browsers escape quotation marks in names (WHATWG HTML, multipart/form-data).
    let expected = format!(
        "text None 7 {}; file Some({:?}) 3000000 6000000",
        "grüße".bytes().map(u64::from).sum::<u64>(),
        "ein \"Name\".bin"
    );
    assert_eq!(said.as_str(), Some(&*expected));
    browser.script(
        "window.steps = []; window.status = null;
         const put = new XMLHttpRequest();
         put.upload.onprogress = event => steps.push([event.loaded, event.total]);
         put.onload = () => window.code = put.status;
         put.open('PUT', '/files/large.bin');
         put.send(new Uint8Array(10_000_000).fill(7));",
    );
    browser.wait_for("window.code");
    assert_eq!(browser.script("return code"), 201);
    assert_eq!(browser.script("return steps.at(-1)[0]"), 10_000_000);
    let kept = std::fs::read(folder.path().join("large.bin")).unwrap();
    assert!(kept.len() == 10_000_000 && kept.iter().all(|&byte| byte == 7));
    // Too long: the browser is told so, or sees the connection end while it sends.
    browser.script(
        "window.late = null;
         fetch('/files/huge.bin', { method: 'PUT', body: new Uint8Array(30_000_000) })
             .then(answer => late = answer.status, () => late = 'ended');",
    );
    browser.wait_for("late !== null");
    let late = browser.script("return late");
    assert!(late == 413 || late == "ended", "{late}");
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1, "nothing of it is left");
}
