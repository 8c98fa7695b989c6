//! The demos `get` and `crawler`: as programs on loopback, and the crawler on a simulated network, where its manners show.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grapeshot::net::TcpListener;
use grapeshot::sleep;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::time::now;
use grapeshot_demos::crawler::{Crawler, Settings};
use grapeshot_http::client::{Client, Proxies, Url};
use grapeshot_http::{HandlerError, Request, Response, Server, Status};

/// A small web: pages that link to each other, a robots.txt, a redirect, a file.
fn web(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let html = response.header("Content-Type", "text/html");
    let host = request.host();
    match request.path() {
        "/robots.txt" => html.send("User-agent: *\nDisallow: /secret\nCrawl-delay: 2\n")?,
        "/" => html.send(
            "<a href=/a>a</a><a href='/b#x'>b</a><a href=/secret/1>no</a><a href=/x.png>no</a><a href='http://elsewhere/'>no</a>",
        )?,
        "/a" => html.send("<a href=/b><a href=/moved><a href=/missing>")?,
        "/b" => html.send(format!("<a href='http://{host}/'><a href=/a>"))?,
        "/moved" => html.status(Status::FOUND).header("Location", "/end").send("")?,
        "/end" => html.send("the end")?,
        "/file" => html.header("ETag", "\"v\"").send(vec![b'x'; 100_000])?,
        path => {
            assert!(!path.starts_with("/secret"), "robots.txt is ignored");
            html.status(Status::NOT_FOUND).send("no")?
        }
    }
    Ok(())
}

/// Serves the small web on loopback while `f` runs.
fn on_loopback<T>(f: impl FnOnce(SocketAddr) -> T) -> T {
    let server = Server::new(web);
    let (tell, told) = std::sync::mpsc::channel();
    let serving = std::thread::spawn({
        let server = server.clone();
        move || {
            grapeshot::run(move || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                server.serve(listener).unwrap();
            });
        }
    });
    let result = f(told.recv().unwrap());
    server.shutdown(Duration::ZERO);
    serving.join().unwrap();
    result
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file in a folder of its own.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("grapeshot-get-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("file"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn get_fetches_a_file_and_goes_on_with_a_part() {
    on_loopback(|address| {
        let get = env!("CARGO_BIN_EXE_get");
        let place = Place::new("file");
        let path = place.0.to_str().unwrap();
        let url = format!("http://{address}/file");
        let output = run(get, &[&url, "-o", path]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(std::fs::read(&place.0).unwrap(), vec![b'x'; 100_000]);
        assert!(
            text(&output.stderr).contains("97.66 KiB"),
            "{}",
            text(&output.stderr)
        );
        let output = run(get, &[&format!("http://{address}/moved"), "-o", "-"]);
        assert_eq!(text(&output.stdout), "the end");
        let output = run(get, &[&format!("http://{address}/missing"), "-o", path]);
        assert!(!output.status.success());
        let said = text(&output.stderr);
        assert!(
            said.ends_with("/missing: the server answered 404 Not Found\n"),
            "{said}"
        );
        // What was there is there still.
        assert_eq!(std::fs::metadata(&place.0).unwrap().len(), 100_000);
        let output = run(get, &["ftp://nowhere/x", "-o", path]);
        assert!(
            text(&output.stderr).contains("begins with http:// or https://"),
            "{}",
            text(&output.stderr)
        );
    });
}

#[test]
fn crawler_walks_a_site_on_loopback() {
    on_loopback(|address| {
        let crawler = env!("CARGO_BIN_EXE_crawler");
        let url = format!("http://{address}/");
        let output = run(crawler, &["--delay", "0", "--pages", "2", "-v", &url]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(&format!("200 {url}\n")));
        assert!(
            text(&output.stderr).starts_with("2 pages, "),
            "{}",
            text(&output.stderr)
        );
    });
}

#[test]
fn the_crawler_behaves() {
    let network = NetworkConfig::new();
    Simulation::new(11).network(network).run(|| {
        let asked: Arc<Mutex<Vec<(Duration, String)>>> = Arc::default();
        let began = now();
        for name in ["one", "two"] {
            let asked = Arc::clone(&asked);
            host(name, move || {
                let asked = Arc::clone(&asked);
                let server = Server::new(
                    move |request: &mut Request<'_>,
                          response: Response<'_>|
                          -> Result<(), HandlerError> {
                        let target = format!("{}{}", request.host(), request.target());
                        asked.lock().unwrap().push((now() - began, target));
                        web(request, response)
                    },
                );
                server
                    .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                    .unwrap();
            });
        }
        sleep(Duration::from_millis(1));
        let client = Client::builder().proxies(Proxies::none()).build();
        let seen = Arc::new(Mutex::new(std::io::Cursor::new(Vec::new())));
        let pages = Arc::clone(&seen);
        let crawler = Crawler::new(client.clone(), Settings::default(), move |url, result| {
            writeln!(pages.lock().unwrap(), "{url} {:?}", result.as_ref().ok()).unwrap();
        });
        crawler.crawl(["http://one/", "http://two/"].map(|url| Url::parse(url).unwrap()));
        let figures = &crawler.figures;
        let of = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        // Of each host: `/`, `/a`, `/b` and `/end`; `/missing`; `/x.png` and what lies elsewhere; `/secret/1`.
        assert_eq!((of(&figures.pages), of(&figures.failed)), (8, 2));
        assert_eq!((of(&figures.filtered), of(&figures.forbidden)), (4, 2));
        assert_eq!((of(&figures.queued), crawler.hosts()), (0, 2));
        let asked = asked.lock().unwrap();
        for name in ["one", "two"] {
            let mut times = asked
                .iter()
                .filter(|(_, target)| target.starts_with(name))
                .map(|(at, _)| *at);
            let robots = times.next().unwrap();
            let first = times.next().unwrap();
            // Before robots.txt was read, the default counted.
            assert!(first - robots >= Duration::from_millis(450));
            let times: Vec<_> = std::iter::once(first).chain(times).collect();
            assert_eq!(times.len(), 6);
            for pair in times.windows(2) {
                assert!(
                    pair[1] - pair[0] >= Duration::from_millis(1900),
                    "{times:?}"
                );
            }
        }
        // Both hosts were asked at the same time.
        assert!(now() - began < Duration::from_secs(15));
        let mut targets: Vec<_> = asked.iter().map(|(_, target)| target.clone()).collect();
        targets.sort();
        targets.dedup();
        assert_eq!(targets.len(), asked.len(), "something was asked for twice");
        assert_eq!(client.statistics().opened, 2);
    });
}
