//! A crawler that behaves: workers, a filter, `robots.txt`, a pause for each host, and a line of figures.
//!
//! ```text
//!   add(url) ─▶ filter ─▶ seen? ─▶ the host's queue ─▶ the host's coroutine ─▶ robots.txt? ─▶ pause ─▶ a worker's permit
//!      ▲                                                                                              │
//!      └───────────────────────────── links ◀── page ◀── GET ◀────────────────────────────────────────┘
//! ```
//! Every host has a coroutine for as long as its queue holds something, so that politeness is a `sleep` and needs no
//! scheduler. How many pages are fetched at once is a semaphore.

pub mod links;
pub mod robots;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grapeshot::sync::{InvertedSemaphore, OwnedHold, Semaphore};
use grapeshot::time::now;
use grapeshot::{Builder, sleep_until};
use grapeshot_http::client::{Client, Error, Phase, Redirects, Url};
use parking_lot::Mutex;

use links::links;
use robots::Robots;

/// What a crawler calls itself, to servers and in `robots.txt`.
pub const AGENT: &str = "grapeshot-crawler";
/// Bytes of a page that are read for links.
const PAGE: u64 = 2 << 20;
/// Addresses that are remembered; beyond, no new one is taken.
const SEEN: usize = 1_000_000;

/// How to crawl.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Pages fetched at once.
    pub workers: usize,
    /// Pages fetched altogether.
    pub pages: u64,
    /// Links followed in a row.
    pub depth: u32,
    /// Between two requests to one host, unless its `robots.txt` wants more.
    pub delay: Duration,
    /// Leaves the hosts that it was started with.
    pub roam: bool,
    /// Addresses whose path ends so are left out.
    pub skip: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let skip = "jpg jpeg png gif svg webp ico css js zip gz xz pdf mp3 mp4 woff woff2";
        Self {
            workers: 16,
            pages: 1000,
            depth: 8,
            delay: Duration::from_millis(500),
            roam: false,
            skip: skip.split(' ').map(|ending| format!(".{ending}")).collect(),
        }
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Figures {
    /// Pages fetched.
    pub pages: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
    /// Pages that could not be had, or whose status was an error.
    pub failed: AtomicU64,
    /// Addresses that the filter left out.
    pub filtered: AtomicU64,
    /// Addresses that a `robots.txt` forbids.
    pub forbidden: AtomicU64,
    /// Addresses that wait for their turn.
    pub queued: AtomicU64,
}

/// A crawl.
pub struct Crawler {
    client: Client,
    settings: Settings,
    /// What was seen so far.
    pub figures: Figures,
    /// Is told of each page: its address, and what came of it.
    report: Box<Report>,
    workers: Semaphore,
    /// Held by each host's coroutine.
    busy: Arc<InvertedSemaphore>,
    state: Mutex<State>,
}

type Report = dyn Fn(&Url, &Result<u16, Error>) + Send + Sync;

#[derive(Default)]
struct State {
    seen: HashSet<Url>,
    /// Where it was started.
    home: HashSet<String>,
    hosts: HashMap<String, Host>,
}

#[derive(Default)]
struct Host {
    /// Addresses, and how many links led there.
    queue: VecDeque<(Url, u32)>,
    has_coroutine: bool,
    robots: Option<Arc<Robots>>,
    /// When it may be asked again.
    next: Option<Instant>,
}

impl Crawler {
    /// A crawler that tells `report` of each page.
    pub fn new(
        client: Client,
        settings: Settings,
        report: impl Fn(&Url, &Result<u16, Error>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            workers: Semaphore::new(settings.workers.max(1)),
            client,
            settings,
            figures: Figures::default(),
            report: Box::new(report),
            busy: Arc::new(InvertedSemaphore::new(0)),
            state: Mutex::default(),
        })
    }

    /// Crawls from these addresses on, until nothing is left or enough was fetched. **May suspend.**
    pub fn crawl(self: &Arc<Self>, from: impl IntoIterator<Item = Url>) {
        for url in from {
            self.state.lock().home.insert(host_of(&url));
            self.add(url, 0);
        }
        self.busy.wait_zero();
    }

    /// Hosts that were asked.
    pub fn hosts(&self) -> usize {
        self.state.lock().hosts.len()
    }

    /// Puts an address into its host's queue, if it is new and wanted.
    fn add(self: &Arc<Self>, url: Url, depth: u32) {
        let host = host_of(&url);
        let mut state = self.state.lock();
        if state.seen.contains(&url) {
            return;
        }
        if !self.wants(&state, &url, &host, depth) || state.seen.len() >= SEEN {
            self.figures.filtered.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.seen.insert(url.clone());
        self.figures.queued.fetch_add(1, Ordering::Relaxed);
        let entry = state.hosts.entry(host.clone()).or_default();
        entry.queue.push_back((url, depth));
        if !std::mem::replace(&mut entry.has_coroutine, true) {
            let (crawler, hold) = (Arc::clone(self), self.busy.acquire_owned());
            Builder::new()
                .name(format!("crawl {host}"))
                .spawn(move || crawler.visit(&host, hold));
        }
    }

    /// The filter.
    fn wants(&self, state: &State, url: &Url, host: &str, depth: u32) -> bool {
        let path = url.path().to_ascii_lowercase();
        matches!(url.scheme(), "http" | "https")
            && depth <= self.settings.depth
            && (self.settings.roam || state.home.contains(host))
            && !self
                .settings
                .skip
                .iter()
                .any(|ending| path.ends_with(ending))
    }

    /// One host's coroutine: takes its queue to the end, politely.
    fn visit(self: &Arc<Self>, host: &str, _busy: OwnedHold) {
        while let Some((url, depth)) = self.next_of(host) {
            self.figures.queued.fetch_sub(1, Ordering::Relaxed);
            if self.figures.pages.load(Ordering::Relaxed) >= self.settings.pages {
                continue;
            }
            let robots = self.robots_of(host, &url);
            if !robots.allow(&path_of(&url)) {
                self.figures.forbidden.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.wait_politely(host, robots.delay());
            let _permit = self.workers.acquire();
            let result = self.fetch(&url, depth);
            (self.report)(&url, &result);
            match result {
                Ok(200..300) => self.figures.pages.fetch_add(1, Ordering::Relaxed),
                // It leads elsewhere, which was queued.
                Ok(300..400) => continue,
                _ => self.figures.failed.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    fn next_of(&self, host: &str) -> Option<(Url, u32)> {
        let mut state = self.state.lock();
        let entry = state.hosts.get_mut(host)?;
        let next = entry.queue.pop_front();
        // Under the lock, so that who adds the next address sees that it has to spawn.
        entry.has_coroutine = next.is_some();
        next
    }

    /// What the host allows; asked for once.
    fn robots_of(&self, host: &str, url: &Url) -> Arc<Robots> {
        let known = |state: &State| state.hosts.get(host).and_then(|host| host.robots.clone());
        if let Some(robots) = known(&self.state.lock()) {
            return robots;
        }
        self.wait_politely(host, None);
        let robots = Arc::new(match url.join("/robots.txt") {
            Ok(url) => self.fetch_robots(&url),
            Err(_) => Robots::nothing(),
        });
        if let Some(host) = self.state.lock().hosts.get_mut(host) {
            host.robots = Some(Arc::clone(&robots));
        }
        robots
    }

    /// RFC 9309, section 2.3.1: no such file allows everything, a server that fails nothing.
    fn fetch_robots(&self, url: &Url) -> Robots {
        let Ok(response) = self.client.get(url) else {
            return Robots::nothing();
        };
        match response.status().code() {
            200..300 => match response.limit(robots::MOST).text() {
                Ok(text) => Robots::parse(&text, AGENT),
                Err(_) => Robots::nothing(),
            },
            500.. => Robots::nothing(),
            _ => Robots::default(),
        }
    }

    /// Waits until the host may be asked again.
    fn wait_politely(&self, host: &str, wish: Option<Duration>) {
        let delay = wish.unwrap_or_default().max(self.settings.delay);
        let turn = {
            let mut state = self.state.lock();
            let Some(entry) = state.hosts.get_mut(host) else {
                return;
            };
            let turn = entry.next.unwrap_or_else(now).max(now());
            entry.next = Some(turn + delay);
            turn
        };
        sleep_until(turn);
    }

    /// Fetches a page and adds its links; gives its status.
    fn fetch(self: &Arc<Self>, url: &Url, depth: u32) -> Result<u16, Error> {
        let response = self
            .client
            .request("GET", url)
            .header("User-Agent", AGENT)
            .header("Accept", "text/html")
            .timeout(Phase::Total, Duration::from_secs(60))
            // Where it leads may be another host, with a queue and rules of its own.
            .redirects(Redirects::none())
            .send()?;
        let status = response.status().code();
        if let (300..400, Some(place)) = (status, response.header("location"))
            && let Ok(mut place) = url.join(place)
        {
            place.set_fragment(None);
            self.add(place, depth + 1);
        }
        let is_html = response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"));
        if !is_html {
            response.drain();
            return Ok(status);
        }
        let page = response.url().clone();
        let html = response.limit(PAGE).text()?;
        self.figures
            .bytes
            .fetch_add(html.len() as u64, Ordering::Relaxed);
        for link in links(&page, &html) {
            self.add(link, depth + 1);
        }
        Ok(status)
    }
}

/// Path and query: what the rules of a `robots.txt` are about.
fn path_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Scheme, host and port: what has a `robots.txt` of its own.
fn host_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}
