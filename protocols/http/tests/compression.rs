//! Content that is compressed on its way, both ways.

mod common;

use std::io::{Read, Write};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Answer, ask, get, send, talk};
use grapeshot_http::{
    Compressed, ContentCoding, Event, HandlerError, Html, Json, Router, Server, StaticFiles,
    handler,
};

const TEXT: &str = "All work and no play makes Jack a dull boy. ";

fn long() -> String {
    TEXT.repeat(3000)
}

/// A server with a folder of its own, which goes with it.
struct Site {
    server: Server,
    root: PathBuf,
}

impl Deref for Site {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn site() -> Site {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("grapeshot-http-compression-{}-{number}", std::process::id());
    let root = std::env::temp_dir().join(name);
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("a.txt"), long()).unwrap();
    let files = StaticFiles::new(&root).unwrap();
    let server = Server::with_handler(Compressed::new(
        Router::new()
            .get("/long", |_| ([("ETag", "\"x\"")], Html(long())))
            .get("/short", |_| "short")
            .get("/json", |_| Json(vec![7; 1000]))
            .get("/binary", |_| vec![0; 5000])
            .get("/as-it-is", |_| {
                ([("Cache-Control", "private, no-transform")], long())
            })
            .get("/coded", |_| ([("Content-Encoding", "x")], long()))
            .on(
                "GET",
                "/pieces",
                handler(|_request, response| {
                    let mut writer = response
                        .header("Content-Type", "text/plain")
                        .content_length(6000)
                        .start()?;
                    for _ in 0..60 {
                        writer.write_all(&[b'x'; 100])?;
                    }
                    writer.finish()
                }),
            )
            .on(
                "GET",
                "/events",
                handler(|_request, response| {
                    let mut events = response.events()?;
                    for n in 0..3 {
                        events.send(&Event::new(n.to_string()))?;
                    }
                    events.finish()
                }),
            )
            .any("/files/{rest...}", files)
            .post("/echo", |request| {
                let mut content = Vec::new();
                request.decompressed(100_000)?.read_to_end(&mut content)?;
                Ok::<_, HandlerError>(content)
            }),
    ));
    Site { server, root }
}

fn decode(coding: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(content).read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(content).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(content, 4096).read_to_end(&mut out),
        #[cfg(feature = "zstd")]
        "zstd" => zstd::stream::read::Decoder::new(content)
            .unwrap()
            .read_to_end(&mut out),
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

fn encode(coding: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzEncoder::new(content, flate2::Compression::default())
            .read_to_end(&mut out),
        "deflate" => flate2::read::ZlibEncoder::new(content, flate2::Compression::default())
            .read_to_end(&mut out),
        "br" => brotli::CompressorReader::new(content, 4096, 3, 22).read_to_end(&mut out),
        #[cfg(feature = "zstd")]
        "zstd" => zstd::stream::read::Encoder::new(content, 9)
            .unwrap()
            .read_to_end(&mut out),
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

/// Those that were built in.
fn codings() -> Vec<&'static str> {
    let mut names = vec!["gzip", "deflate", "br"];
    if cfg!(feature = "zstd") {
        names.push("zstd");
    }
    names
}

#[test]
fn what_the_client_takes_is_what_it_gets() {
    // In a coroutine, because of its stack.
    grapeshot::run(|| {
        let server = site();
        for coding in codings() {
            let accept = format!("Accept-Encoding: {coding}\r\n");
            for (path, content) in [
                ("/long", long().into_bytes()),
                ("/json", format!("[{}7]", "7,".repeat(999)).into_bytes()),
                ("/pieces", vec![b'x'; 6000]),
                ("/events", b"data: 0\n\ndata: 1\n\ndata: 2\n\n".to_vec()),
                ("/files/a.txt", long().into_bytes()),
            ] {
                let answer = ask(&server, "GET", path, &accept);
                assert_eq!(answer.header("Content-Encoding"), Some(coding), "{path}");
                assert_eq!(answer.header("Vary"), Some("Accept-Encoding"));
                assert!(
                    answer.content.len() < 2000,
                    "{coding} {path}: {}",
                    answer.content.len()
                );
                assert_eq!(decode(coding, &answer.content), content, "{coding} {path}");
                let head = ask(&server, "HEAD", path, &accept);
                assert_eq!(head.header("Content-Encoding"), Some(coding), "{path}");
            }
            let tagged = ask(&server, "GET", "/long", &accept);
            assert_eq!(
                tagged.header("ETag"),
                Some("W/\"x\""),
                "another representation"
            );
            assert!(tagged.header("Content-Length").is_some());
        }
    });
}

#[test]
fn what_is_not_worth_it_stays_as_it_is() {
    let server = site();
    for path in ["/short", "/binary", "/as-it-is"] {
        let answer = ask(&server, "GET", path, "Accept-Encoding: gzip\r\n");
        assert_eq!(
            (answer.header("Content-Encoding"), answer.header("Vary")),
            (None, None),
            "{path}"
        );
    }
    assert_eq!(
        ask(&server, "GET", "/coded", "Accept-Encoding: gzip\r\n").header("Content-Encoding"),
        Some("x")
    );
    let plain = get(&server, "/long");
    assert_eq!(
        (plain.header("Content-Encoding"), plain.header("Vary")),
        (None, Some("Accept-Encoding"))
    );
    assert_eq!(
        (plain.text(), plain.header("ETag")),
        (&*long(), Some("\"x\""))
    );
    let part = ask(
        &server,
        "GET",
        "/files/a.txt",
        "Accept-Encoding: gzip\r\nRange: bytes=0-999\r\n",
    );
    assert_eq!(
        (part.status, part.content.len()),
        (206, 1000),
        "ranges are of the plain content"
    );
    let old = talk(
        &server,
        "GET /pieces HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n",
    );
    let answer = Answer::take(&mut &old[..]);
    assert_eq!(decode("gzip", &answer.content), [b'x'; 6000]);
    let only_gzip = Server::with_handler(
        Compressed::new(Router::new().get("/", |_| long())).codings(&[ContentCoding::Gzip]),
    );
    let answer = ask(&only_gzip, "GET", "/", "Accept-Encoding: br, gzip\r\n");
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
}

/// As much as can be decompressed of an answer that is not over.
fn beginning(got: &[u8]) -> String {
    let Some(head) = got.windows(4).position(|four| four == b"\r\n\r\n") else {
        return String::new();
    };
    let mut rest = &got[head + 4..];
    let mut coded = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(line + 2..line + 4 + size) else {
            break;
        };
        coded.extend_from_slice(&chunk[..size]);
        rest = &rest[line + 4 + size..];
    }
    let mut text = vec![0; 1000];
    // The coded text is not over: what there is comes in one read.
    let count = flate2::read::GzDecoder::new(&coded[..])
        .read(&mut text)
        .unwrap_or(0);
    String::from_utf8(text[..count].to_vec()).unwrap()
}

#[test]
fn an_event_arrives_before_the_next_one_is_made() {
    grapeshot::testing::run(1, || {
        use grapeshot::net::UnixStream;
        let server = Server::with_handler(Compressed::new(Router::new().on(
            "GET",
            "/",
            handler(|_request, response| {
                let mut events = response.events()?;
                events.send(&Event::new("first"))?;
                grapeshot::sleep(std::time::Duration::from_secs(3600));
                events.finish()
            }),
        )));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let serving =
            grapeshot::spawn(move || server.serve_stream(theirs, grapeshot_http::Peer::Unix));
        ours.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
            .unwrap();
        let began = grapeshot::time::now();
        let mut got = Vec::new();
        let mut event = String::new();
        while event != "data: first\n\n" {
            let mut chunk = [0; 1000];
            let count = ours.read(&mut chunk).unwrap();
            assert!(count > 0, "{event}");
            got.extend_from_slice(&chunk[..count]);
            event = beginning(&got);
        }
        assert_eq!(grapeshot::time::now(), began, "nothing was waited for");
        serving.interrupt();
        let _ = serving.join();
    });
}

#[test]
fn requests_are_decompressed_within_bounds() {
    grapeshot::run(|| {
        let server = site();
        let content = TEXT.repeat(2000).into_bytes();
        for coding in codings() {
            let header = format!("Content-Encoding: {coding}\r\n");
            let echo = |coded: &[u8]| send(&server, "POST", "/echo", &header, coded);
            assert_eq!(echo(&encode(coding, &content)).content, content, "{coding}");
            assert_eq!(echo(&encode(coding, b"")).content, b"", "{coding}");
            let exact = encode(coding, &[b'x'; 100_000]);
            assert_eq!(echo(&exact).content.len(), 100_000, "{coding}");
            let bomb = encode(coding, &vec![0; 5_000_000]);
            assert!(bomb.len() < 100_000, "{coding}: {}", bomb.len());
            assert_eq!(echo(&bomb).status, 413, "{coding}");
            assert_eq!(
                echo(b"this is not compressed at all").status,
                400,
                "{coding}"
            );
            let cut = encode(coding, &content);
            assert_eq!(echo(&cut[..cut.len() / 2]).status, 400, "{coding}: cut off");
        }
        assert_eq!(send(&server, "POST", "/echo", "", b"plain").text(), "plain");
        assert_eq!(
            send(
                &server,
                "POST",
                "/echo",
                "Content-Encoding: identity\r\n",
                b"plain"
            )
            .text(),
            "plain"
        );
        for unknown in ["lzma", "gzip, gzip", "gzip\r\nContent-Encoding: gzip"] {
            let answer = send(
                &server,
                "POST",
                "/echo",
                &format!("Content-Encoding: {unknown}\r\n"),
                b"x",
            );
            assert_eq!(answer.status, 415, "{unknown}");
        }
        assert_eq!(
            send(&server, "POST", "/echo", "", &[b'x'; 100_001]).status,
            413
        );
    });
}
