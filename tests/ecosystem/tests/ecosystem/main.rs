//! Libraries that others wrote, each over our sockets, and `docs/ecosystem.md`, which says what was done with them.
//!
//! `GRAPESHOT_UPDATE_ECOSYSTEM=1` writes the table anew.

mod hyper;
mod mail;
mod redis;
mod tls;
mod ureq;
mod websocket;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use grapeshot::net::TcpListener;
use grapeshot::with_timeout;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line of the table.
struct Row {
    name: &'static str,
    what: &'static str,
    run: fn(),
}

const ROWS: &[Row] = &[
    Row {
        name: "hyper",
        what: "HTTP/1.1 server and client, both over `futures::Async<TcpStream>`; a body of a megabyte, echoed",
        run: hyper::http1,
    },
    Row {
        name: "h2",
        what: "HTTP/2 server and client of hyper, 20 requests at the same time over one connection",
        run: hyper::http2,
    },
    Row {
        name: "axum",
        what: "a `Router`, without its tokio feature, asked by curl",
        run: hyper::axum,
    },
    Row {
        name: "ureq",
        what: "a `Connector` and a `Transport` of ours; a timeout of ureq's ends the wait of a coroutine",
        run: ureq::transport,
    },
    Row {
        name: "redis",
        what: "a `ConnectionLike` over `UnixStream`, with a real redis-server; a pipeline",
        run: redis::connection_like,
    },
    Row {
        name: "imap",
        what: "a session over `TcpStream`, with a server that has its answers ready",
        run: mail::session,
    },
    Row {
        name: "tungstenite",
        what: "WebSocket server and client over `TcpStream`",
        run: websocket::both_ends,
    },
    Row {
        name: "rustls",
        what: "`StreamOwned<ServerConnection, TcpStream>`, asked by `openssl s_client`",
        run: tls::stream_owned,
    },
];

#[test]
fn they_work_and_the_table_says_so() {
    let mut table = String::from(
        "# Libraries of others over our sockets\n\n\
         Written by the tests in `tests/ecosystem`, which run each of them; no runtime of tokio runs there.\n\n\
         | crate | version | what was done | result |\n|---|---|---|---|\n",
    );
    let mut failed = Vec::new();
    for Row { name, what, run } in ROWS {
        let coroutine = move || with_timeout(PATIENCE, run);
        let result = grapeshot::run(move || grapeshot::spawn(coroutine).join());
        let result = match result {
            Ok(Ok(())) => "works",
            Ok(Err(_)) => "hangs",
            Err(_) => "fails",
        };
        let row = format!("| {name} | {} | {what} | {result} |", version(name));
        println!("{row}");
        writeln!(table, "{row}").expect("a string takes everything");
        if result != "works" {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    let path = root().join("docs/ecosystem.md");
    if std::env::var_os("GRAPESHOT_UPDATE_ECOSYSTEM").is_some() {
        std::fs::write(&path, &table).expect("docs/ecosystem.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, table,
        "docs/ecosystem.md is out of date: run this with GRAPESHOT_UPDATE_ECOSYSTEM=1"
    );
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The version that was linked, as Cargo.lock has it.
fn version(name: &str) -> String {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("there is a Cargo.lock");
    let line = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.split_once(&line).expect("it is linked");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// A listener on a free port.
fn listen() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}
