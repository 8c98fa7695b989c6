//! The two ends that the Autobahn testsuite talks to; `cargo xtask long --only Autobahn` runs it.
//!
//! `autobahn server 127.0.0.1:9002` echoes messages until it is killed; `autobahn client ws://127.0.0.1:9001` goes
//! through all cases of a fuzzing server and has it write its report.

use std::error::Error;
use std::process::ExitCode;

use grapeshot::net::TcpListener;
use grapeshot_http::{HandlerError, Server};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::{Compression, Limits, Message, Upgrade, WebSocket};

/// What the report calls us.
const AGENT: &str = "grapeshot";

/// Cases 9.1 and 9.2 go up to 16 MiB.
fn large(mut limits: Limits) -> Limits {
    (limits.frame, limits.message) = (16 << 20, 16 << 20);
    // The suite is silent for as long as it likes, and counts pings that it did not expect.
    limits.ping_every = None;
    limits
}

/// Everything that can be agreed on.
fn compression() -> Compression {
    Compression::new().takeover(true).threshold(0)
}

fn echo(socket: &WebSocket) -> Result<(), grapeshot_websocket::Error> {
    loop {
        match socket.recv()? {
            Message::Text(text) => socket.send_text(&text)?,
            Message::Binary(bytes) => socket.send_binary(&bytes)?,
        }
    }
}

fn serve(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let upgrade = Upgrade::new()
        .limits(large(Limits::default()))
        .compression(compression());
    let server = Server::new(move |request, response| -> Result<(), HandlerError> {
        // However the case ends, the suite judges it.
        let _ = echo(&upgrade.accept(request, response)?);
        Ok(())
    });
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    Ok(server.serve(listener)?)
}

fn go_through_all(base: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let connect = Connect::new()
        .limits(large(Limits::for_client()))
        .compression(compression());
    let count = match connect.open(&format!("{base}/getCaseCount"))?.recv()? {
        Message::Text(text) => text.parse::<u32>()?,
        Message::Binary(_) => return Err("the number of cases is no text".into()),
    };
    for case in 1..=count {
        let socket = connect.open(&format!("{base}/runCase?case={case}&agent={AGENT}"))?;
        let _ = echo(&socket);
        if case % 10 == 0 {
            println!("{case} of {count} cases");
        }
    }
    let _ = connect
        .open(&format!("{base}/updateReports?agent={AGENT}"))?
        .recv();
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = grapeshot::run(move || {
        match arguments
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            ["server", address] => serve(address),
            ["client", base] => go_through_all(base),
            _ => Err("usage: autobahn server ADDRESS | client ws://ADDRESS".into()),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn: {error}");
            ExitCode::FAILURE
        }
    }
}
