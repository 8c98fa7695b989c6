//! `cargo run --bin spy -- example.org:80`: stands between a client and a server, and tells what they say.
//!
//! ```text
//! cargo run --bin spy -- 127.0.0.1:9001      # the demo mmo, for instance
//! curl http://127.0.0.1:18001/
//!
//! #1 127.0.0.1:40276 came
//! #1 ==> GET / HTTP/1.1\r\n
//! #1 ==> Host: 127.0.0.1:18001\r\n
//! #1 <== HTTP/1.1 200 OK\r\n
//! ```
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::time::Duration;

use clap::Parser;
use grapeshot::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use grapeshot::{Builder, scope, with_timeout};
use grapeshot_backdoor::Backdoor;
use grapeshot_demos::inside::Inside;

#[derive(Parser)]
#[command(about = "Tells what a client and a server say to each other")]
struct Options {
    /// The server, as HOST:PORT.
    server: String,
    /// Where to listen for its clients.
    #[arg(long, default_value = "127.0.0.1:18001")]
    listen: SocketAddr,
    /// Bytes shown of one line; the rest is counted.
    #[arg(long, default_value_t = 160)]
    width: usize,
    #[command(flatten)]
    inside: Inside,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    grapeshot::run(move || {
        let listener = TcpListener::bind(options.listen)?;
        let _inside = options.inside.serve("spy", Backdoor::new("spy"))?;
        println!("{} -> {}", listener.local_addr()?, options.server);
        for (number, client) in (1..).zip(listener.incoming()) {
            let client = client?;
            let (server, width) = (options.server.clone(), options.width);
            Builder::new()
                .name(format!("spy #{number}"))
                .spawn(move || match spy(&client, &server, number, width) {
                    Ok(()) => say(&format!("#{number} over")),
                    Err(error) => say(&format!("#{number} over: {error}")),
                });
        }
        Ok(())
    })
}

/// Carries what is said between the two, each direction in a coroutine of its own, until both have said all.
fn spy(client: &TcpStream, server: &str, number: u32, width: usize) -> io::Result<()> {
    say(&format!("#{number} {} came", client.peer_addr()?));
    let server = with_timeout(Duration::from_secs(10), || TcpStream::connect(server))??;
    scope(|directions| {
        let there = directions.spawn(|| carry(client, &server, &format!("#{number} ==> "), width));
        let back = carry(&server, client, &format!("#{number} <== "), width);
        there.join()?.and(back)
    })
}

/// One direction. If it fails, the other one ends too.
fn carry(from: &TcpStream, to: &TcpStream, mark: &str, width: usize) -> io::Result<()> {
    listen_in(from, to, mark, width).inspect_err(|_| {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    })
}

fn listen_in(mut from: &TcpStream, mut to: &TcpStream, mark: &str, width: usize) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    loop {
        let count = from.read(&mut chunk)?;
        for line in chunk[..count].split_inclusive(|&byte| byte == b'\n') {
            let shown = &line[..line.len().min(width)];
            let rest = match line.len() - shown.len() {
                0 => String::new(),
                more => format!(" … and {more} bytes"),
            };
            say(&format!("{mark}{}{rest}", shown.escape_ascii()));
        }
        if count == 0 {
            // It has said all; the other may still answer.
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&chunk[..count])?;
    }
}

/// One line of the log, whole. That nobody reads it any more is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
