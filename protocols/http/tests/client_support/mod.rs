//! Servers on a simulated network, for the tests of the client.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation, Torture, host};
use grapeshot::{sleep, spawn};
use grapeshot_http::client::{Client, Error, Proxies};
use grapeshot_http::{HandlerError, Request, Response, Server};

/// Runs `f` where `http://server` is served by `handler`.
pub(crate) fn served<T: Send + 'static>(
    handler: impl Fn(&mut Request<'_>, Response<'_>) -> Result<(), HandlerError>
    + Send
    + Sync
    + Clone
    + 'static,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    on_network(move || {
        serve("server", handler);
        f()
    })
}

pub(crate) fn on_network<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let network = NetworkConfig::new().chop(true);
    Simulation::new(5).network(network).run(f)
}

/// Starts a host that serves HTTP on port 80.
pub(crate) fn serve(
    name: &str,
    handler: impl Fn(&mut Request<'_>, Response<'_>) -> Result<(), HandlerError>
    + Send
    + Sync
    + Clone
    + 'static,
) {
    host(name, move || {
        let server = Server::new(handler.clone());
        server
            .serve(TcpListener::bind("0.0.0.0:80").unwrap())
            .unwrap();
    });
    sleep(Duration::from_millis(1));
}

/// Runs `f` again and again, with another call on the network failing in each run: the client's, or one of `http://server`,
/// which listens anew then.
#[track_caller]
pub(crate) fn tortured(
    handler: impl Fn(&mut Request<'_>, Response<'_>) -> Result<(), HandlerError>
    + Send
    + Sync
    + Clone
    + 'static,
    f: impl Fn(&Client) -> Result<(), Error> + Send + Sync + 'static,
) -> Torture {
    let simulation = Simulation::new(3).network(NetworkConfig::new());
    let torture = simulation.torture(move || {
        let handler = handler.clone();
        host("server", move || {
            let serve = || Server::new(handler.clone()).serve(TcpListener::bind("0.0.0.0:80")?);
            while serve().is_err() {
                sleep(Duration::from_millis(10));
            }
        });
        sleep(Duration::from_millis(50));
        f(&client())
    });
    println!("tortured: {torture}");
    torture
}

/// Starts a host that runs `talk` for each connection on port 80, with the connection's number.
pub(crate) fn scripted(name: &str, talk: impl Fn(usize, TcpStream) + Send + Sync + 'static) {
    let talk = Arc::new(talk);
    host(name, move || {
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        let count = AtomicUsize::new(0);
        for stream in listener.incoming().flatten() {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let talk = Arc::clone(&talk);
            spawn(move || talk(number, stream));
        }
    });
    sleep(Duration::from_millis(1));
}

/// A host that reads a request's head, answers these bytes and closes.
pub(crate) fn answers(name: &str, bytes: impl Into<Vec<u8>>) {
    let bytes = bytes.into();
    scripted(name, move |_, mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(&bytes);
    });
}

/// Reads up to the empty line; gives what was read.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A client that takes no proxy from the environment.
pub(crate) fn client() -> Client {
    Client::builder().proxies(Proxies::none()).build()
}
