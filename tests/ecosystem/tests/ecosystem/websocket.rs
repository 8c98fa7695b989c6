//! The crate `tungstenite`.

use grapeshot::net::TcpStream;
use tungstenite::Message;

use super::listen;

pub(super) fn both_ends() {
    let (listener, addr) = listen();
    let server = grapeshot::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        loop {
            match socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    socket.send(message).expect("an echo");
                }
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let stream = TcpStream::connect(addr).expect("it listens");
    let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("a handshake");
    for message in [Message::text("ahoy"), Message::binary(vec![7; 300_000])] {
        socket.send(message.clone()).expect("it is sent");
        assert_eq!(socket.read().expect("an echo"), message);
    }
    socket.close(None).expect("a good-bye");
    while socket.read().is_ok() {}
    server.join().expect("it ended");
}
