//! `cargo run --bin share -- FOLDER`: a folder for everybody. What is dropped on the page is written to it while it comes,
//! and all who look see how far each upload is.
//!
//! A file is never in memory as a whole, and never half in the folder: who sends it may vanish at any byte.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use grapeshot::net::{SocketAddr, TcpListener};
use grapeshot::sync::watch;
use grapeshot::with_timeout;
use grapeshot_backdoor::{Backdoor, Right};
use grapeshot_demos::inside::Inside;
use grapeshot_http::{
    Event, Form, HandlerError, Html, MultipartLimits, Rejection, Request, Response, Router, Server,
    StaticFiles, Status, handler,
};
use grapeshot_vfs::{FilePath, FileSystem, Folder};
use serde::Serialize;

const PAGE: &str = include_str!("../../assets/share.html");
/// How often those who look are told, at most.
const BEAT: Duration = Duration::from_millis(100);
/// After so long without news we look whether a browser is still there.
const SILENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(about = "A folder for everybody: look, fetch, drop")]
struct Options {
    /// The folder.
    folder: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9003")]
    listen: SocketAddr,
    /// The most MiB of one upload.
    #[arg(long, default_value_t = 4096)]
    most: u64,
    #[command(flatten)]
    inside: Inside,
}

/// What all who look are told.
#[derive(Clone, Default)]
struct Uploads {
    running: BTreeMap<u64, Upload>,
    finished: u64,
    next: u64,
}

#[derive(Clone, Serialize)]
struct Upload {
    name: String,
    received: u64,
    /// As the page says: that of all files of one request together.
    size: u64,
    per_second: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let folder = Arc::new(Folder::new(&options.folder)?);
    let files = StaticFiles::new(&options.folder)?.listing(true);
    let uploads = Arc::new(watch::channel(Uploads::default()).0);
    let (looked_at, most) = (Arc::clone(&uploads), options.most << 20);
    let shown = Arc::clone(&uploads);
    let site = Router::new()
        .get("/", |_| Html(PAGE))
        .any("/files/{path...}", files)
        .on(
            "GET",
            "/progress",
            handler(move |_, response| tell(&looked_at, response)),
        )
        .post("/upload", move |request| {
            take(&folder, &uploads, most, request)
        });
    grapeshot::run(move || {
        let backdoor = Backdoor::new("share").expose(
            "uploads",
            "the files that come",
            Right::Observe,
            move || Vec::from_iter(shown.latest().running.values().cloned()),
        );
        let listener = TcpListener::bind(options.listen)?;
        let _inside = options.inside.serve("share", backdoor)?;
        println!("look at http://{}/", listener.local_addr()?);
        Server::with_handler(site).serve(listener)
    })
}

/// Writes the files of one request, each to its place when it has come whole.
fn take(
    folder: &Folder,
    uploads: &watch::Sender<Uploads>,
    most: u64,
    request: &mut Request<'_>,
) -> Result<Status, HandlerError> {
    request.limit_body(most);
    let size = Form::parse(request.query().unwrap_or_default().as_bytes())
        .get("size")
        .and_then(|size| size.parse().ok())
        .unwrap_or(0);
    let mut bar = Bar::new(uploads, size);
    let mut parts = request.multipart(MultipartLimits::default())?;
    while let Some(mut part) = parts.next_part()? {
        let Some(name) = part.file_name().map(str::to_owned) else {
            continue;
        };
        // A name, and not a path: what leads elsewhere is refused, and so is what would be hidden.
        let path = FilePath::of_names([&name])
            .ok()
            .filter(|_| !name.starts_with('.'))
            .ok_or_else(|| {
                Rejection::new(Status::BAD_REQUEST, format!("{name:?} is no file's name"))
            })?;
        let mut file = folder.create(&path).map_err(Rejection::of_files)?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            match part.read(&mut chunk)? {
                0 => break,
                count => {
                    file.write_all(&chunk[..count])
                        .map_err(Rejection::of_files)?;
                    bar.advance(&name, count as u64);
                }
            }
        }
        file.commit().map_err(Rejection::of_files)?;
    }
    Ok(Status::NO_CONTENT)
}

/// One request's line in [`Uploads`], for as long as it lasts.
struct Bar<'u> {
    uploads: &'u watch::Sender<Uploads>,
    id: u64,
    size: u64,
    received: u64,
    began: Instant,
    told: Instant,
}

impl<'u> Bar<'u> {
    fn new(uploads: &'u watch::Sender<Uploads>, size: u64) -> Self {
        let before = uploads.update(|uploads| Uploads {
            next: uploads.next + 1,
            ..uploads.clone()
        });
        let now = Instant::now();
        Self {
            uploads,
            id: before.next,
            size,
            received: 0,
            began: now,
            told: now,
        }
    }

    fn advance(&mut self, name: &str, count: u64) {
        self.received += count;
        if self.told.elapsed() < BEAT {
            return;
        }
        self.told = Instant::now();
        let line = Upload {
            name: name.to_owned(),
            received: self.received,
            size: self.size.max(self.received),
            per_second: (self.received as f64 / self.began.elapsed().as_secs_f64()) as u64,
        };
        self.uploads.update(|uploads| {
            let mut changed = uploads.clone();
            changed.running.insert(self.id, line.clone());
            changed
        });
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.uploads.update(|uploads| {
            let mut changed = uploads.clone();
            changed.running.remove(&self.id);
            changed.finished += 1;
            changed
        });
    }
}

/// Tells one browser how far the uploads are, until it goes away.
fn tell(uploads: &watch::Sender<Uploads>, response: Response<'_>) -> Result<(), HandlerError> {
    #[derive(Serialize)]
    struct News<'a> {
        running: Vec<&'a Upload>,
        finished: u64,
    }
    let mut news = uploads.subscribe();
    let mut events = response.events()?;
    let mut now = news.latest();
    loop {
        let running = now.running.values().collect();
        let text = serde_json::to_string(&News {
            running,
            finished: now.finished,
        })?;
        events.send(&Event::new(text))?;
        // Whatever comes within a beat is told together.
        grapeshot::sleep(BEAT);
        now = loop {
            match with_timeout(SILENCE, || news.changed()) {
                Ok(uploads) => break uploads?,
                Err(_) => events.comment()?,
            }
        };
    }
}
