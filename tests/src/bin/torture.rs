//! What `cargo xtask torture` runs while it makes system calls fail: a server, its clients, a pipe, a file and a child.
//!
//! It ends with 0 when every byte came back, and with 1 and a line for each failure otherwise. It never just hangs: all of
//! it is bounded.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::time::Duration;

use grapeshot::net::{SocketAddr, TcpListener, TcpStream};
use grapeshot::process::Command;
use grapeshot::sync::channel::{self, Sender};
use grapeshot::{
    Builder, JoinError, JoinHandle, Runtime, fs, shield, spawn, unblock, with_timeout,
};

const CLIENTS: usize = 3;
const MESSAGES: usize = 4;
/// A run that nothing is done to takes a few milliseconds.
const LIMIT: Duration = Duration::from_secs(20);
const LIMIT_OF_A_STOP: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Whoever makes calls fail attaches before this line comes: the loader and std's start are not what is tortured.
    println!("ready");
    let failures = match io::stdin().read_line(&mut String::new()) {
        Ok(_) => whole(),
        Err(error) => vec![format!("the line to begin: {error}")],
    };
    // These writes may be the ones that fail.
    for failure in &failures {
        let line = format!("torture: {failure}\n");
        if io::stderr().write_all(line.as_bytes()).is_err() {
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
    if !failures.is_empty() {
        return ExitCode::FAILURE;
    }
    match io::stdout().write_all(b"all came back\n") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::stderr().write_all(format!("torture: printing: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn whole() -> Vec<String> {
    let runtime = match Runtime::builder().workers(2).build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![format!("the runtime: {error}")],
    };
    let main = runtime.spawn(|| with_timeout(LIMIT, scenario));
    let mut failures = match main.join() {
        Ok(Ok(failures)) => failures,
        Ok(Err(elapsed)) => vec![format!("HANGS: {elapsed}")],
        Err(error) => vec![format!("the main coroutine: {error}")],
    };
    if let Err(left) = runtime.shutdown(LIMIT_OF_A_STOP) {
        failures.push(format!("HANGS: {left}"));
    }
    failures
}

fn scenario() -> Vec<String> {
    let (failed, failures) = channel::unbounded();
    let tell = |what: &str, error: &dyn Display| {
        // The receiver outlives all.
        let _ = failed.send(format!("{what}: {error}"));
    };
    match TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
    {
        Ok((addr, listener)) => {
            let server = spawn({
                let failed = failed.clone();
                move || serve(&listener, &failed)
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| spawn(move || talk(addr, number)))
                .collect();
            for client in clients {
                flat(client).unwrap_or_else(|error| tell("a client", &error));
            }
            server.interrupt();
            if let Err(error @ (JoinError::Panicked(_) | JoinError::NoStack(_))) = server.join() {
                tell("the server", &error);
            }
        }
        Err(error) => tell("listening", &error),
    }
    through_a_pipe().unwrap_or_else(|error| tell("the pipe", &error));
    match fs::read("/proc/self/stat") {
        Ok(text) if text.is_empty() => tell("the file", &"it is empty"),
        Ok(_) => {}
        Err(error) => tell("the file", &error),
    }
    match Command::new("true").status() {
        Ok(status) if status.success() => {}
        Ok(status) => tell("the child", &status),
        Err(error) => tell("the child", &error),
    }
    match Builder::new()
        .stack_size(1 << 20)
        .spawn(|| unblock(|| 6 * 7))
        .join()
    {
        Ok(Ok(42)) => {}
        Ok(Ok(other)) => tell("unblock", &other),
        Ok(Err(error)) => tell("unblock", &error),
        Err(error) => tell("unblock", &error),
    }
    drop(failed);
    failures.iter().collect()
}

fn serve(listener: &TcpListener, failed: &Sender<String>) {
    for stream in listener.incoming() {
        // The client may be gone, and this interrupted, before the reason is told.
        shield(|| {
            let served = stream.and_then(|stream| {
                let echo = spawn(move || io::copy(&mut &stream, &mut &stream));
                flat(echo)
            });
            if let Err(error) = served {
                let _ = failed.send(format!("the server: {error}"));
            }
        });
    }
}

fn talk(addr: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    for message in 0..MESSAGES {
        let sent = [(number * MESSAGES + message) as u8; 100];
        let mut heard = [0; 100];
        stream.write_all(&sent)?;
        stream.read_exact(&mut heard)?;
        if sent != heard {
            return Err(io::Error::other("it is another message that came back"));
        }
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

fn through_a_pipe() -> io::Result<()> {
    let (mut reader, mut writer) = grapeshot::io::pipe()?;
    let sender = spawn(move || writer.write_all(&[7; 100_000]));
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard)?;
    flat(sender)?;
    if heard != [7; 100_000] {
        return Err(io::Error::other("bytes were lost"));
    }
    Ok(())
}

/// What a coroutine came to, as one error.
fn flat<T>(coroutine: JoinHandle<io::Result<T>>) -> io::Result<()> {
    match coroutine.join() {
        Ok(result) => result.map(drop),
        Err(JoinError::NoStack(error)) => Err(error),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
