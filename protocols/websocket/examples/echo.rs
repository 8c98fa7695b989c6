//! A page and a WebSocket in one server: the socket echoes what the page sends.
//!
//! `cargo run -p grapeshot-websocket --example echo`, then open the address it prints.

use grapeshot::net::TcpListener;
use grapeshot_http::{Assets, HandlerError, Request, Response, Server};
use grapeshot_websocket::{self as websocket, Message};

const PAGE: &[u8] = b"<!doctype html><input id=i autofocus><pre id=o></pre><script>
  const socket = new WebSocket(`ws://${location.host}/echo`);
  socket.onmessage = event => o.textContent += event.data + '\\n';
  i.onchange = () => { socket.send(i.value); i.value = ''; };
</script>";

fn echo(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let socket = websocket::accept(request, response)?;
    // `Err(Closed)` ends the loop when either side closes.
    while let Ok(message) = socket.recv() {
        match message {
            Message::Text(text) => socket.send_text(&text)?,
            Message::Binary(bytes) => socket.send_binary(&bytes)?,
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    grapeshot::run(|| {
        let assets = Assets::new(&[("/index.html", PAGE)]);
        let server = Server::new(move |request, response| match request.path() {
            "/echo" => echo(request, response),
            _ => Ok(assets.answer(request, response)?),
        });
        println!("listening on http://127.0.0.1:8080/");
        server.serve(TcpListener::bind("127.0.0.1:8080")?)
    })
}
