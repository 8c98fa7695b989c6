//! A whole server, and a client that reaches it through a proxy, both compressing, on a network in memory: what a seed gives, it gives again.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::{sleep, spawn};
use grapeshot_http::{HandlerError, Server};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::{CloseCode, Compression, Message, Upgrade};

/// What went from the client to the server, and back.
type Wire = Arc<Mutex<[Vec<u8>; 2]>>;

fn tap(mut from: TcpStream, mut to: TcpStream, wire: Wire, side: usize) {
    let mut chunk = [0; 500];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        wire.lock().unwrap()[side].extend_from_slice(&chunk[..count]);
        to.write_all(&chunk[..count]).unwrap();
    }
    to.shutdown(Shutdown::Write).unwrap();
}

fn compression() -> Compression {
    Compression::new().takeover(true).threshold(0)
}

fn story(seed: u64) -> [Vec<u8>; 2] {
    let network = NetworkConfig::new().chop(true);
    Simulation::new(seed).network(network).run(|| {
        host("server", || {
            let echo = Server::new(|request, response| -> Result<(), HandlerError> {
                let socket = Upgrade::new()
                    .compression(compression())
                    .accept(request, response)?;
                while let Ok(message) = socket.recv() {
                    if let Message::Text(text) = message {
                        socket.send_text(&text)?;
                    }
                }
                Ok(())
            });
            echo.serve(TcpListener::bind("0.0.0.0:80").unwrap())
                .unwrap();
        });
        sleep(Duration::from_secs(86_400));
        let wire = Wire::default();
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        let proxy = spawn({
            let wire = wire.clone();
            move || {
                let (client, _) = listener.accept().unwrap();
                let server = TcpStream::connect("server:80").unwrap();
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let other = wire.clone();
                let back = spawn(move || tap(back.0, back.1, other, 1));
                tap(client, server, wire, 0);
                back.join().unwrap();
            }
        });
        let stream = TcpStream::connect("localhost:80").unwrap();
        let socket = Connect::new()
            .compression(compression())
            .connect(stream, "localhost", "/")
            .unwrap();
        for round in 0..5 {
            let text = format!("round {round}").repeat(round * 100 + 1);
            socket.send_text(&text).unwrap();
            assert_eq!(socket.recv().unwrap(), Message::Text(text));
        }
        socket.close(CloseCode::NORMAL, "").unwrap();
        drop(socket);
        proxy.join().unwrap();
        wire.lock().unwrap().clone()
    })
}

#[test]
fn keys_and_masks_are_the_seeds() {
    let first = story(7);
    assert_eq!(first, story(7));
    // The key and the masks are the client's.
    assert_ne!(first[0], story(8)[0]);
    let answer = String::from_utf8_lossy(&first[1]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
}
