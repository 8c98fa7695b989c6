//! Grapeshot's side of the HTTP rows: `bench-http WORKERS FOLDER …`; see `content::arguments`.
#![forbid(unsafe_code)]

mod client;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use content::{Job, PLAINTEXT, Ship};
use grapeshot::Runtime;
use grapeshot::net::TcpListener;
use grapeshot_http::{HandlerError, Request, Response, ReverseProxy, Server, StaticFiles};
use grapeshot_tls::Listener;
use grapeshot_tls::server::Config;
use grapeshot_websocket::{self as websocket, Message};

fn main() -> std::io::Result<()> {
    let (workers, folder, job) = content::arguments();
    let workers = workers.parse().expect("a number of workers");
    let runtime = Runtime::builder().workers(workers).build()?;
    runtime.run(move || {
        if let Job::Ask(load) = &job {
            client::ask(load);
            return Ok(());
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        content::report_listening(listener.local_addr()?.port());
        match job {
            Job::ServeTls(keys) => {
                let config = Config::new(keys.join("site.pem"), keys.join("site.key"))
                    .map_err(std::io::Error::other)?;
                site(&folder)?.serve(Listener::new(listener, &config))
            }
            Job::Proxy(port) => {
                let proxy = ReverseProxy::new([format!("http://127.0.0.1:{port}")]);
                Server::with_handler(proxy).serve(listener)
            }
            _ => site(&folder)?.serve(listener),
        }
    })
}

fn site(folder: &Path) -> std::io::Result<Server> {
    let files = StaticFiles::new(folder)?;
    let served = AtomicU32::new(0);
    Ok(Server::new(move |request, response| match request.path() {
        "/plaintext" => Ok(response.send_text(PLAINTEXT)?),
        "/json" => {
            let ship = Ship::new(served.fetch_add(1, Ordering::Relaxed));
            let body = serde_json::to_vec(&ship)?;
            let response = response.header("Content-Type", "application/json");
            Ok(response.send(body)?)
        }
        "/echo" => echo(request, response),
        _ => Ok(files.answer(request, response)?),
    }))
}

// Not inlined: its variables would lie on the stack of the other requests, too.
#[inline(never)]
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
