//! A whole server: whatever its peer says, in pieces of whatever length, each answer is one that can be read. Behind it are the
//! readers of targets, paths, cookies, credentials, conditions, ranges, forms, JSON-RPC and codings.
#![no_main]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::LazyLock;

use grapeshot::net::Peer;
use grapeshot_fuzz::Wire;
use grapeshot_http::auth::{Basic, Digest, Users};
use grapeshot_http::body::{Decoder, Step};
use grapeshot_http::client::head::{Framing, find};
use grapeshot_http::head::Scanner;
use grapeshot_http::{
    Compressed, Cookie, Handler, HandlerError, Json, JsonRpc, Limits, MultipartLimits, Request,
    Response, Router, Server, StaticFiles, handler,
};
use grapeshot_vfs::{FilePath, FileSystem, MemoryFiles};
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// The methods that the handlers have seen, in order.
    static METHODS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What a request may become when its content is decompressed.
const MOST: u64 = 10_000;

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let mut limits = Limits::default();
    limits.headers = 4_000;
    limits.body = 2_000;
    let site = site().wrap(|request, response, inner| {
        METHODS.with_borrow_mut(|methods| methods.push(request.method().to_owned()));
        inner.handle(request, response)
    });
    Server::builder().limits(limits).build(site)
});

fn users() -> Users {
    Users::new().user("alice", "sesame")
}

fn files() -> StaticFiles {
    let files = MemoryFiles::new(100_000);
    for (name, content) in [
        (
            "page.html",
            "<p>long enough to be compressed</p>".repeat(40),
        ),
        ("ten", "0123456789".to_owned()),
    ] {
        let path = FilePath::new(name).unwrap();
        let mut file = files.create(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file.commit().unwrap();
    }
    StaticFiles::on(files).listing(true).writable(1_000)
}

fn site() -> impl Handler {
    let rpc = JsonRpc::new().method("add", |(a, b): (i64, i64)| Ok(a.wrapping_add(b)));
    let page = |_: &mut Request<'_>| "a page";
    Router::new()
        .get("/query/{id}", |request| {
            format!(
                "{:?} {:?}",
                request.param::<u32>("id").ok(),
                request.query_form().get("a")
            )
        })
        .post("/form", |request| {
            Ok::<_, HandlerError>(format!("{:?}", request.form()?.iter().collect::<Vec<_>>()))
        })
        .post("/json", |request| {
            Ok::<_, HandlerError>(Json(request.json::<Vec<u32>>()?))
        })
        .post("/upload", |request| {
            let mut parts = request.multipart(MultipartLimits::default())?;
            let mut said = String::new();
            while let Some(mut part) = parts.next_part()? {
                let mut content = Vec::new();
                part.read_to_end(&mut content)?;
                said += &format!("{} {:?} {}", part.name(), part.file_name(), content.len());
            }
            Ok::<_, HandlerError>(said)
        })
        .post("/inflate", |request| {
            let mut content = Vec::new();
            request.decompressed(MOST)?.read_to_end(&mut content)?;
            assert!(content.len() as u64 <= MOST);
            Ok::<_, HandlerError>(content)
        })
        .on("GET", "/cookie", handler(cookie))
        .any(
            "/basic/{rest...}",
            Basic::new(
                "cave",
                users(),
                Router::new().any(
                    "/{rest...}",
                    handler(|_: &mut Request<'_>, response: Response<'_>| response.send("in")),
                ),
            ),
        )
        .any(
            "/digest/{rest...}",
            Digest::new("cave", users(), Router::new().get("/{rest...}", page))
                .unwrap()
                .with_md5(),
        )
        .any("/rpc", rpc)
        .any("/{rest...}", Compressed::new(files()))
}

/// Gives back the cookie `a`.
fn cookie(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let value = request.cookie("a").unwrap_or_default().to_owned();
    Ok(response.cookie(&Cookie::new("b", value)).send("set")?)
}

/// Reads the answers one after the other.
fn judge(sent: &[u8], methods: &[String]) {
    let mut limits = Limits::default();
    limits.body = u64::MAX;
    let mut methods = methods.iter().map(String::as_str);
    let mut method = methods.next().unwrap_or("GET");
    let mut at = 0;
    while at < sent.len() {
        let rest = &sent[at..];
        let (head, length) = find(&mut Scanner::default(), rest, method, &limits)
            .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(rest)))
            .expect("an answer is whole");
        at += length;
        if head.status().code() < 200 {
            continue;
        }
        at += match head.framing() {
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap();
                assert!(length <= rest.len(), "the content is cut off");
                length
            }
            Framing::Chunked => chunked(&sent[at..], &limits),
            Framing::UntilClose => return,
        };
        method = methods.next().unwrap_or("GET");
    }
}

/// How long this content is.
fn chunked(wire: &[u8], limits: &Limits) -> usize {
    let mut decoder = Decoder::new(grapeshot_http::head::Framing::Chunked, limits);
    let mut at = 0;
    loop {
        match decoder.advance(&wire[at..]).expect("our chunks are right") {
            Step::Done { skip } => return at + skip,
            Step::Data { skip, available } => {
                decoder.take(available);
                at += skip + available;
            }
            Step::NeedMore => panic!("the content is cut off"),
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    METHODS.with_borrow_mut(Vec::clear);
    let wire = Wire::new(bytes, step);
    SERVER.serve_stream(wire.clone(), Peer::Unknown);
    judge(&wire.sent(), &METHODS.take());
});
