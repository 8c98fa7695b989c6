//! `cargo run --bin echo`: what one client writes comes back to it. The smallest server there is, with a console.
//!
//! ```text
//! curl telnet://127.0.0.1:7777        # and type
//! cargo run --bin echo -- --backdoor /tmp/echo.sock --page 127.0.0.1:7779
//! cargo run --bin console -- /tmp/echo.sock -c 'ps()'
//! ```
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::time::Duration;

use clap::Parser;
use grapeshot::Builder;
use grapeshot::net::{SocketAddr, TcpListener, TcpStream};
use grapeshot::with_timeout;
use grapeshot_backdoor::Backdoor;
use grapeshot_demos::inside::Inside;

#[derive(Parser)]
#[command(about = "Gives back what it gets")]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7777")]
    listen: SocketAddr,
    /// How many seconds a client may say nothing, or leave what it said untaken.
    #[arg(long, default_value_t = 600)]
    patience: u64,
    #[command(flatten)]
    inside: Inside,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    grapeshot::run(move || {
        let listener = TcpListener::bind(options.listen)?;
        let _inside = options.inside.serve("echo", Backdoor::new("echo"))?;
        println!("listening on {}", listener.local_addr()?);
        let patience = Duration::from_secs(options.patience);
        for stream in listener.incoming() {
            let stream = stream?;
            let name = format!("echo {}", stream.peer_addr()?);
            // Whoever fails ends alone: the error goes to whoever joins it, and here nobody does.
            Builder::new()
                .name(name)
                .spawn(move || echo(&stream, patience));
        }
        Ok(())
    })
}

/// Until the client has had enough, or we of it.
fn echo(mut stream: &TcpStream, patience: Duration) -> io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        match with_timeout(patience, || stream.read(&mut chunk))?? {
            0 => return Ok(()),
            count => with_timeout(patience, || stream.write_all(&chunk[..count]))??,
        }
    }
}
