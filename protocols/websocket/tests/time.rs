//! Waits and unwinding: with a virtual clock, over sockets whose other end stays silent.

use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::UnixStream;
use grapeshot::time::now;
use grapeshot::{spawn, with_timeout};
use grapeshot_http::{HandlerError, Peer, Server};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::{CloseCode, Error, Fault, Limits, Message, WebSocket};

/// Runs `serve` on the server's end of a WebSocket and `ask` on the client's, on a virtual clock.
fn between(
    serve: impl Fn(WebSocket) + Send + Sync + 'static,
    ask: impl FnOnce(WebSocket) + Send + 'static,
) {
    grapeshot::testing::run(11, move || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            serve(grapeshot_websocket::accept(request, response)?);
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let mut limits = Limits::default();
        (limits.frame, limits.message) = (16 << 20, 16 << 20);
        ask(Connect::default()
            .limits(limits)
            .connect(ours, "localhost", "/")
            .unwrap());
        serving.join().unwrap();
    });
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn receiving_may_be_given_up_and_tried_again() {
    between(
        |socket| {
            for _ in 0..3 {
                assert!(with_timeout(SECOND, || socket.recv()).is_err());
            }
            assert!(socket.statistics().silent_for >= 3 * SECOND);
            socket.send_text("go").unwrap();
            assert_eq!(socket.recv().unwrap(), Message::Binary(vec![7; 300_000]));
            assert_eq!(socket.statistics().silent_for, Duration::ZERO);
        },
        |socket| {
            assert_eq!(socket.recv().unwrap(), Message::Text("go".into()));
            socket.send_binary(&vec![7; 300_000]).unwrap();
            assert!(socket.recv().is_err());
        },
    );
}

#[test]
fn a_sending_that_is_left_in_the_middle_ends_the_connection() {
    between(
        |socket| {
            let socket = Arc::new(socket);
            let theirs = Arc::clone(&socket);
            let receiving = spawn(move || theirs.recv());
            assert!(
                with_timeout(SECOND, || socket.send_binary(&vec![7; 8 << 20])).is_err(),
                "nobody reads it"
            );
            for error in [
                socket.send_text("more").unwrap_err(),
                socket.ping(b"").unwrap_err(),
            ] {
                assert!(matches!(error, Error::LeftInTheMiddle), "{error}");
                assert_eq!(error.fault(), Fault::Network);
            }
            assert!(receiving.join().unwrap().is_err(), "the receiver learns it");
            let began = now();
            assert!(socket.close(CloseCode::NORMAL, "").is_err());
            assert_eq!(now(), began, "there is nobody to wait for");
        },
        |socket| {
            grapeshot::sleep(10 * SECOND);
            let error = socket.recv().unwrap_err();
            assert!(matches!(error, Error::Truncated), "{error}");
        },
    );
}

#[test]
fn a_sender_that_waits_for_its_turn_may_be_left() {
    between(
        |socket| {
            let socket = Arc::new(socket);
            let theirs = Arc::clone(&socket);
            let sending = spawn(move || theirs.send_binary(&vec![7; 3 << 20]));
            grapeshot::sleep(SECOND);
            assert!(
                with_timeout(SECOND, || socket.send_text("never")).is_err(),
                "the other has the turn"
            );
            sending.join().unwrap().unwrap();
            socket.send_text("fine").unwrap();
        },
        |socket| {
            grapeshot::sleep(5 * SECOND);
            assert_eq!(socket.recv().unwrap().as_bytes().len(), 3 << 20);
            assert_eq!(socket.recv().unwrap(), Message::Text("fine".into()));
        },
    );
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    between(
        |socket| {
            let began = now();
            let error = socket.send_binary(&vec![7; 8 << 20]).unwrap_err();
            assert!(matches!(error, Error::WriteTimeout), "{error}");
            assert_eq!((error.fault(), now() - began), (Fault::Peer, 30 * SECOND));
        },
        |socket| {
            grapeshot::sleep(100 * SECOND);
            drop(socket);
        },
    );
}

#[test]
fn a_close_that_is_not_agreed_on_ends_after_a_while() {
    between(
        |socket| {
            let began = now();
            let error = socket.close(CloseCode::GOING_AWAY, "").unwrap_err();
            assert!(matches!(error, Error::Truncated), "{error}");
            assert_eq!(now() - began, 5 * SECOND);
        },
        |socket| {
            grapeshot::sleep(100 * SECOND);
            drop(socket);
        },
    );
}
