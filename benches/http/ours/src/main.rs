//! Grapeshot's side of the HTTP rows: `bench-http WORKERS FOLDER`.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use content::{PLAINTEXT, Ship};
use grapeshot::Runtime;
use grapeshot::net::TcpListener;
use grapeshot_http::{HandlerError, Request, Response, Server, StaticFiles};
use grapeshot_websocket::{self as websocket, Message};

fn main() -> std::io::Result<()> {
    let (workers, folder) = content::arguments();
    let files = StaticFiles::new(folder)?;
    let served = AtomicU32::new(0);
    let server = Server::new(move |request, response| match request.path() {
        "/plaintext" => Ok(response.send_text(PLAINTEXT)?),
        "/json" => {
            let ship = Ship::new(served.fetch_add(1, Ordering::Relaxed));
            let body = serde_json::to_vec(&ship)?;
            let response = response.header("Content-Type", "application/json");
            Ok(response.send(body)?)
        }
        "/echo" => echo(request, response),
        _ => Ok(files.answer(request, response)?),
    });
    let workers = workers.parse().expect("a number of workers");
    let runtime = Runtime::builder().workers(workers).build()?;
    runtime.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        content::report_listening(listener.local_addr()?.port());
        server.serve(listener)
    })
}

fn echo(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let socket = websocket::accept(request, response)?;
    while let Ok(message) = socket.recv() {
        match message {
            Message::Text(text) => socket.send_text(&text)?,
            Message::Binary(bytes) => socket.send_binary(&bytes)?,
        }
    }
    Ok(())
}
