//! A WebSocket server and its client, with each call on the network failing once.

use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::sleep;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot_http::{HandlerError, Server};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::{CloseCode, Message};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn serve() -> std::io::Result<()> {
    let echo = Server::new(|request, response| -> Result<(), HandlerError> {
        let socket = grapeshot_websocket::accept(request, response)?;
        while let Ok(message) = socket.recv() {
            if let Message::Text(text) = message {
                socket.send_text(&text)?;
            }
        }
        Ok(())
    });
    echo.serve(TcpListener::bind("0.0.0.0:80")?)
}

fn talk() -> Result<(), Failure> {
    let stream = TcpStream::connect("server:80")?;
    let socket = Connect::default().connect(stream, "server", "/")?;
    for round in 0..3 {
        let text = format!("round {round}");
        socket.send_text(&text)?;
        assert_eq!(socket.recv()?, Message::Text(text), "in order, and whole");
    }
    socket.close(CloseCode::NORMAL, "")?;
    Ok(())
}

#[test]
fn tortured_a_client_hears_its_echo_or_learns_that_it_will_not() {
    let torture =
        Simulation::new(3)
            .network(NetworkConfig::new())
            .torture(|| -> Result<(), String> {
                host("server", || {
                    while serve().is_err() {
                        sleep(Duration::from_millis(10));
                    }
                });
                sleep(Duration::from_millis(50));
                let first = talk();
                // One call failed, so there is nothing left to hinder the second.
                if first.is_err() {
                    assert!(talk().is_ok(), "the server is there");
                }
                first.map_err(|error| error.to_string())
            });
    println!("tortured: {torture}");
    assert!(
        torture.errors > 0 && torture.errors < torture.runs,
        "{torture}"
    );
}
