//! What comes with content: compression and its bombs, cookies, downloads that resume.

mod client_support;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_support::{answers, client, on_network, read_head, scripted, served};
use grapeshot::sleep;
use grapeshot_http::client::{
    Client, CookieJar, ErrorKind, Fault, Limits, Phase, Proxies, Proxy, Retries,
};
use grapeshot_http::{HandlerError, Request, Response};

const TEXT: &str = "hello hello hello hello, compressed world\n";

/// The text as Python's zlib, `brotli` and `zstd` compress it.
const CODED: [(&str, &str); 5] = [
    (
        "gzip",
        "1f8b0800000000000203cb48cdc9c957c84027751492f3730b8a528b8b535314caf38b7252b80056c731242a000000",
    ),
    (
        "deflate",
        "789ccb48cdc9c957c84027751492f3730b8a528b8b535314caf38b7252b80051140f84",
    ),
    (
        "deflate",
        "cb48cdc9c957c84027751492f3730b8a528b8b535314caf38b7252b800",
    ),
    (
        "br",
        "a14801c0ef48b071a2be31f1acc6d01a8485ad4d2b94b1bde9411469451e79c00df2ecd648fc2012",
    ),
    (
        "zstd",
        "28b52ffd242afd0000c868656c6c6f202c20636f6d7072657373656420776f726c640a0100994b11a9545b7e",
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn coded(coding: &str, content: &[u8], chunked: bool) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n").into_bytes();
    if chunked {
        answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for piece in content.chunks(7) {
            answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            answer.extend_from_slice(piece);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
    } else {
        answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
        answer.extend_from_slice(content);
    }
    answer
}

/// What a client reads of it, or how that fails.
fn read(answer: Vec<u8>) -> Result<Vec<u8>, Fault> {
    on_network(move || {
        answers("server", answer);
        let mut response = client().get("http://server/").unwrap();
        let mut content = Vec::new();
        match response.read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(error) => match error
                .downcast::<grapeshot_http::client::Error>()
                .unwrap()
                .kind()
            {
                ErrorKind::Refused(fault) => Err(*fault),
                other => panic!("{other}"),
            },
        }
    })
}

#[test]
fn compressed_content_is_read_as_what_it_was() {
    for (coding, hex) in CODED {
        for chunked in [false, true] {
            let content = read(coded(coding, &unhex(hex), chunked)).unwrap();
            assert_eq!(String::from_utf8(content).unwrap(), TEXT, "{coding}");
        }
    }
    let plain = read(coded("identity", b"as it is", false)).unwrap();
    assert_eq!(plain, b"as it is");
    assert_eq!(read(coded("gzip", b"", false)).unwrap(), b"");
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    for (coding, hex) in CODED {
        let whole = unhex(hex);
        for cut in 1..whole.len() {
            let content = read(coded(coding, &whole[..cut], false));
            // Bare deflate and zstd carry no length: at their very end nothing may be missing but the checksum.
            let is_trailer = coding == "zstd" && cut + 4 > whole.len();
            if !is_trailer {
                assert!(content.is_err(), "{coding} cut at {cut}: {content:?}");
            }
        }
        let mut longer = whole.clone();
        longer.extend_from_slice(b"garbage behind");
        let content = read(coded(coding, &longer, false));
        // The brotli decoder does not look at what lies behind.
        if coding == "br" {
            assert_eq!(content, Ok(TEXT.into()));
        } else {
            assert_eq!(content, Err(Fault::Compression), "{coding}");
        }
    }
}

#[test]
fn the_connection_is_free_once_the_compressed_content_is_read() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            while !read_head(&mut stream).is_empty() {
                let (coding, hex) = CODED[3];
                stream.write_all(&coded(coding, &unhex(hex), true)).unwrap();
            }
        });
        let client = client();
        for _ in 0..3 {
            assert_eq!(client.get("http://server/").unwrap().text().unwrap(), TEXT);
        }
        assert_eq!(client.statistics().opened, 1);
        // Who wants it as it is gets it so.
        let raw = client
            .request("GET", "http://server/")
            .decompress(false)
            .send();
        assert_eq!(raw.unwrap().bytes().unwrap(), unhex(CODED[3].1));
    });
}

/// 100 MB of zeros in 80 bytes.
const BOMB: &str = "cfffff7ff82700e2b14020f7fe9ffffffff04f00c4610180eefd3fffffffe19f0088c32200ddfb7ffeffffc33f0110870500baf7fffcffff877f02200e0b0074effff31fbc1eff04401c1600e862d703";

#[test]
fn a_bomb_does_not_go_off() {
    assert_eq!(read(coded("br", &unhex(BOMB), false)), Err(Fault::Bomb));
    on_network(|| {
        answers("server", coded("br", &unhex(BOMB), false));
        let mut limits = Limits::default();
        limits.expansion = u64::MAX;
        limits.content = 1 << 20;
        let client = Client::builder()
            .proxies(Proxies::none())
            .limits(limits)
            .build();
        let error = client.get("http://server/").unwrap().bytes().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooLong(_)), "{error}");
    });
}

#[test]
fn a_frame_that_asks_for_much_memory_gets_none() {
    // A window of 2 GiB, and content said to be 2^40 bytes long.
    let window = unhex("28b52ffd00a8010000");
    assert_eq!(read(coded("zstd", &window, false)), Err(Fault::Compression));
    let single = unhex("28b52ffde00000000000010000010000");
    assert_eq!(read(coded("zstd", &single, false)), Err(Fault::Compression));
}

#[test]
fn a_time_out_below_a_decoder_is_still_a_time_out() {
    for (coding, hex) in CODED {
        for cut in [1, 4, 8, unhex(hex).len() - 6] {
            on_network(move || {
                scripted("server", move |_, mut stream| {
                    read_head(&mut stream);
                    let whole = coded(coding, &unhex(hex), false);
                    let end = whole.len() - unhex(hex).len() + cut;
                    stream.write_all(&whole[..end]).unwrap();
                    sleep(Duration::from_secs(3600));
                });
                let error = client().get("http://server/").unwrap().bytes().unwrap_err();
                assert_eq!(error.timed_out(), Some(Phase::Content), "{coding}: {error}");
            });
        }
    }
}

#[test]
fn cookies_come_back_across_redirects_and_to_their_host_alone() {
    served(
        |request, response| {
            let cookies = request.header("cookie").unwrap_or("none").to_owned();
            if request.path() == "/login" {
                let response = response
                    .status(grapeshot_http::Status::SEE_OTHER)
                    .header("Set-Cookie", "session=1; HttpOnly")
                    .header("Set-Cookie", "theme=dark; Max-Age=60")
                    .header("Location", "/");
                return Ok(response.send("")?);
            }
            Ok(response.send(cookies)?)
        },
        || {
            client_support::serve("other", |request, response| {
                Ok(response.send(request.header("cookie").unwrap_or("none"))?)
            });
            let jar = CookieJar::new();
            let client = Client::builder()
                .proxies(Proxies::none())
                .cookies(jar.clone())
                .build();
            let text = |url: &str| client.get(url).unwrap().text().unwrap();
            assert_eq!(text("http://server/"), "none");
            let login = client.post("http://server/login").body("x").send().unwrap();
            assert_eq!(login.text().unwrap(), "session=1; theme=dark");
            assert_eq!(text("http://other/"), "none");
            sleep(Duration::from_secs(61));
            assert_eq!(text("http://server/"), "session=1");
            jar.clear();
            assert_eq!(text("http://server/"), "none");
        },
    );
}

/// A file of its own, and what lies beside it while it comes.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("grapeshot-download-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("file"))
    }

    fn part(&self) -> PathBuf {
        self.0.with_file_name("file.part")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn large() -> Vec<u8> {
    (0..300_000u32).map(|n| (n % 251) as u8).collect()
}

/// Serves the large file with ranges, and breaks off after so many bytes each time; notes each request's `Range`.
fn breaking(after: usize, tag: &'static str, asked: &Arc<Mutex<Vec<String>>>) {
    let asked = Arc::clone(asked);
    scripted("server", move |_, mut stream| {
        let head = read_head(&mut stream).to_ascii_lowercase();
        let whole = large();
        let value = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().to_owned())
        };
        let range = value("range:").unwrap_or_default();
        asked.lock().unwrap().push(range.clone());
        let from = range
            .strip_prefix("bytes=")
            .and_then(|range| range.trim_end_matches('-').parse().ok())
            .filter(|_| value("if-range:").as_deref() == Some(tag));
        let head = match from {
            Some(from) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
                whole.len() - 1,
                whole.len()
            ),
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
        };
        let rest = &whole[from.unwrap_or(0)..];
        let head = format!(
            "{head}ETag: {tag}\r\nContent-Length: {}\r\n\r\n",
            rest.len()
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&rest[..rest.len().min(after)]);
        // The client has read it all by then; a reset would take some of it away.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0]);
    });
}

#[test]
fn a_download_goes_on_where_it_broke() {
    on_network(|| {
        let place = Place::new("broke");
        let asked = Arc::default();
        breaking(100_000, "\"v1\"", &asked);
        let most = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&most);
        let done = client()
            .download("http://server/file")
            .progress(move |progress| {
                assert_eq!(progress.total, Some(300_000));
                seen.fetch_max(progress.received as usize, Ordering::Relaxed);
            })
            .to(&place.0)
            .unwrap();
        assert_eq!(
            (done.length, done.retries, done.resumed_from),
            (300_000, 2, 200_000)
        );
        assert_eq!(most.load(Ordering::Relaxed), 300_000);
        assert_eq!(
            *asked.lock().unwrap(),
            ["", "bytes=100000-", "bytes=200000-"]
        );
        assert_eq!(std::fs::read(&place.0).unwrap(), large());
        assert_eq!(
            std::fs::read_dir(place.0.parent().unwrap())
                .unwrap()
                .count(),
            1
        );
    });
}

#[test]
fn a_download_goes_on_in_the_next_run_if_the_version_is_the_same() {
    on_network(|| {
        let place = Place::new("next");
        let asked = Arc::default();
        breaking(100_000, "\"v1\"", &asked);
        let once = |client: Client| {
            let download = client
                .download("http://server/file")
                .retries(Retries::most(0));
            download.to(&place.0)
        };
        let error = once(client()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Truncated), "{error}");
        assert!(!place.0.exists());
        assert_eq!(std::fs::metadata(place.part()).unwrap().len(), 100_000);
        once(client()).unwrap_err();
        assert_eq!(once(client()).unwrap().resumed_from, 200_000);
        assert_eq!(std::fs::read(&place.0).unwrap(), large());
        // Another version, or another URL: from its beginning.
        std::fs::write(place.part(), b"old").unwrap();
        std::fs::write(
            place.0.with_file_name("file.part.from"),
            "\"v0\"\nhttp://server/file",
        )
        .unwrap();
        once(client()).unwrap_err();
        assert_eq!(std::fs::metadata(place.part()).unwrap().len(), 100_000);
        let all = client()
            .download("http://server/file")
            .resume(false)
            .to(&place.0)
            .unwrap();
        assert_eq!(all.length, 300_000);
        assert_eq!(std::fs::read(&place.0).unwrap(), large());
    });
}

#[test]
fn a_part_that_is_not_what_was_asked_for_is_refused() {
    on_network(|| {
        let place = Place::new("wrong");
        std::fs::write(place.part(), b"abc").unwrap();
        std::fs::write(
            place.0.with_file_name("file.part.from"),
            "\"v\"\nhttp://server/",
        )
        .unwrap();
        answers(
            "server",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-3/4\r\nContent-Length: 3\r\n\r\nbcd",
        );
        let error = client()
            .download("http://server/")
            .to(&place.0)
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Refused(Fault::Range)),
            "{error}"
        );
        assert_eq!(std::fs::read(place.part()).unwrap(), b"abc");
    });
}

#[test]
fn a_download_that_fails_leaves_no_file() {
    served(
        |_: &mut Request<'_>, response: Response<'_>| -> Result<(), HandlerError> {
            Ok(response
                .status(grapeshot_http::Status::NOT_FOUND)
                .send("no")?)
        },
        || {
            let place = Place::new("none");
            let error = client()
                .download("http://server/x")
                .to(&place.0)
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "GET http://server/x: the server answered 404 Not Found"
            );
            assert_eq!(
                std::fs::read_dir(place.0.parent().unwrap())
                    .unwrap()
                    .count(),
                0
            );
        },
    );
}

/// A SOCKS5 proxy that checks what it is told, and leads nowhere but to `server`.
fn socks_proxy(refuse: u8) {
    scripted("proxy", move |_, mut stream| {
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, [5, 2, 0, 2]);
        stream.write_all(&[5, 2]).unwrap();
        let mut credentials = [0; 7];
        stream.read_exact(&mut credentials).unwrap();
        assert_eq!(&credentials, b"\x01\x02me\x02pw");
        stream.write_all(&[1, 0]).unwrap();
        let mut request = [0; 13];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"\x05\x01\x00\x03\x06server\x00\x50");
        stream
            .write_all(&[5, refuse, 0, 1, 0, 0, 0, 0, 0, 0])
            .unwrap();
        if refuse == 0 {
            relay(&stream);
        }
    });
}

/// Both ways between a client and `server`.
fn relay(stream: &grapeshot::net::TcpStream) {
    let server = grapeshot::net::TcpStream::connect("server:80").unwrap();
    grapeshot::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*stream, &mut &server);
            let _ = server.shutdown(std::net::Shutdown::Write);
        });
        let _ = std::io::copy(&mut &server, &mut &*stream);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    });
}

fn through(proxy: &str) -> Client {
    Client::builder()
        .proxies(Proxies::all(Proxy::new(proxy).unwrap()))
        .build()
}

fn serve_target() {
    client_support::serve("server", |request, response| {
        let text = format!("{} {}", request.target(), request.host());
        Ok(response.send(text)?)
    });
}

#[test]
fn a_socks_proxy_resolves_the_name() {
    on_network(|| {
        serve_target();
        socks_proxy(0);
        let client = through("socks5://me:pw@proxy:80");
        for _ in 0..2 {
            assert_eq!(
                client.get("http://server/x").unwrap().text().unwrap(),
                "/x server"
            );
        }
        assert_eq!(client.statistics().opened, 1);
    });
    on_network(|| {
        socks_proxy(5);
        let error = through("socks5://me:pw@proxy:80")
            .get("http://server/")
            .unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Proxy(_)), "{error}");
        assert!(
            error
                .to_string()
                .ends_with("the host refused the connection"),
            "{error}"
        );
    });
}

#[test]
fn an_http_proxy_is_told_the_whole_url_and_serves_all_hosts_by_one_connection() {
    on_network(|| {
        client_support::serve("proxy", |request, response| {
            let authorization = request.header("proxy-authorization").unwrap_or("none");
            Ok(response.send(format!("{} {authorization}", request.target()))?)
        });
        let client = through("http://me:pw@proxy");
        for host in ["a", "b"] {
            let text = client
                .get(format!("http://{host}:81/x?y"))
                .unwrap()
                .text()
                .unwrap();
            assert_eq!(text, format!("http://{host}:81/x?y Basic bWU6cHc="));
        }
        assert_eq!(client.statistics().opened, 1);
    });
}

#[test]
fn a_tunnel_is_dug_by_connect_and_only_through_a_proxy_that_agrees() {
    on_network(|| {
        client_support::scripted("server", |_, mut stream| {
            assert!(read_head(&mut stream).contains("\r\nUpgrade: echo\r\n"));
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhi")
                .unwrap();
            std::io::copy(&mut &stream, &mut &stream).unwrap();
        });
        scripted("proxy", |number, mut stream| {
            let head = read_head(&mut stream);
            assert!(
                head.starts_with("CONNECT server:80 HTTP/1.1\r\nHost: server:80\r\n"),
                "{head}"
            );
            match number {
                0 => {
                    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
                    relay(&stream);
                }
                1 => stream
                    .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    .unwrap(),
                // Whoever could put bytes before the server's would speak for it.
                _ => stream
                    .write_all(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101")
                    .unwrap(),
            }
        });
        let client = through("http://proxy");
        let upgrade = || client.request("GET", "ws://server/").upgrade("echo");
        let (response, upgraded) = upgrade().unwrap();
        assert_eq!(response.status().code(), 101);
        let upgraded = upgraded.unwrap();
        let mut stream = &*upgraded.stream;
        stream.write_all(b" there").unwrap();
        let mut text = upgraded.received.clone();
        while text.len() < 8 {
            let mut piece = [0; 8];
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0);
            text.extend_from_slice(&piece[..count]);
        }
        assert_eq!(text, b"hi there");
        let forbidden = upgrade().unwrap_err();
        assert!(
            forbidden.to_string().ends_with("it answered 403 Forbidden"),
            "{forbidden}"
        );
        let ahead = upgrade().unwrap_err();
        assert!(
            ahead.to_string().ends_with("it sent more than its answer"),
            "{ahead}"
        );
        assert_eq!(client.statistics().in_use, 0);
    });
}
