//! Waits and unwinding: with a virtual clock, over sockets whose other end stays silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
        let mut limits = Limits::for_client();
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
            assert!(matches!(error, Error::CloseTimeout), "{error}");
            assert_eq!(error.fault(), Fault::Peer);
            assert_eq!(now() - began, 5 * SECOND);
        },
        |socket| {
            grapeshot::sleep(100 * SECOND);
            drop(socket);
        },
    );
}

#[test]
fn a_close_does_not_wait_for_a_sender_that_nobody_listens_to() {
    between(
        |socket| {
            let socket = Arc::new(socket);
            let theirs = Arc::clone(&socket);
            let sending = spawn(move || theirs.send_binary(&vec![7; 8 << 20]));
            grapeshot::sleep(SECOND);
            let began = now();
            let error = socket.close(CloseCode::GOING_AWAY, "").unwrap_err();
            assert!(matches!(error, Error::CloseTimeout), "{error}");
            assert_eq!(now() - began, 5 * SECOND);
            assert!(
                sending.join().unwrap().is_err(),
                "the connection is at its end"
            );
        },
        |socket| {
            grapeshot::sleep(100 * SECOND);
            drop(socket);
        },
    );
}

#[test]
fn a_silent_peer_is_pinged_and_lives_if_it_answers() {
    between(
        |socket| {
            let began = now();
            assert_eq!(socket.recv().unwrap(), Message::Text("at last".into()));
            assert_eq!(now() - began, 1000 * SECOND);
            let figures = socket.statistics();
            assert_eq!(figures.round_trip.map(|took| took < SECOND), Some(true));
            assert!(figures.bytes_sent >= 33 * 10, "a ping each 30 s");
        },
        |socket| {
            let socket = Arc::new(socket);
            let theirs = Arc::clone(&socket);
            let answering = spawn(move || theirs.recv());
            grapeshot::sleep(1000 * SECOND);
            socket.send_text("at last").unwrap();
            assert!(answering.join().unwrap().is_err());
        },
    );
}

#[test]
fn a_peer_that_answers_no_ping_is_given_up() {
    between(
        |socket| {
            let began = now();
            let error = socket.recv().unwrap_err();
            assert!(matches!(error, Error::PingTimeout), "{error}");
            assert_eq!(
                (error.fault(), now() - began),
                (Fault::Network, 60 * SECOND)
            );
            assert!(socket.send_text("late").is_err());
        },
        |socket| {
            grapeshot::sleep(100 * SECOND);
            drop(socket);
        },
    );
}

#[test]
fn waits_that_are_given_up_early_do_not_keep_a_dead_peer() {
    between(
        |socket| {
            let began = now();
            let error = loop {
                if let Ok(received) = with_timeout(SECOND / 100, || socket.recv()) {
                    break received.unwrap_err();
                }
            };
            assert!(matches!(error, Error::PingTimeout), "{error}");
            assert!(now() - began <= 61 * SECOND);
        },
        |socket| {
            grapeshot::sleep(100 * SECOND);
            drop(socket);
        },
    );
}

#[test]
fn a_peer_is_not_blamed_for_a_receiver_that_was_away() {
    between(
        |socket| {
            assert!(
                with_timeout(31 * SECOND, || socket.recv()).is_err(),
                "pinged"
            );
            grapeshot::sleep(1000 * SECOND);
            // Its pong has been here for long.
            assert!(with_timeout(SECOND, || socket.recv()).is_err());
            socket.send_text("hello").unwrap();
            assert_eq!(socket.recv().unwrap(), Message::Text("hello".into()));
        },
        |socket| {
            assert_eq!(socket.recv().unwrap(), Message::Text("hello".into()));
            socket.send_text("hello").unwrap();
            assert!(socket.recv().is_err());
        },
    );
}

#[test]
fn a_ping_waits_behind_a_long_message_and_breaks_nothing() {
    between(
        |socket| {
            let socket = Arc::new(socket);
            let theirs = Arc::clone(&socket);
            let sending = spawn(move || theirs.send_binary(&vec![7; 3 << 20]));
            // Receives, and would ping, all the while.
            assert_eq!(socket.recv().unwrap(), Message::Text("have it".into()));
            sending.join().unwrap().unwrap();
        },
        |socket| {
            // Longer than silence may last, not so long that a byte is not taken in time.
            grapeshot::sleep(29 * SECOND);
            let message = with_timeout(500 * SECOND, || socket.recv()).unwrap();
            assert_eq!(message.unwrap().as_bytes().len(), 3 << 20);
            socket.send_text("have it").unwrap();
            assert!(socket.recv().is_err());
        },
    );
}

/// A stream whose writes, but for the first, take a byte each and a second, as over the slowest of links.
struct Slow(UnixStream, AtomicBool);

impl grapeshot::net::Stream for Slow {
    fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        grapeshot::net::Stream::read(&self.0, buffer)
    }
    fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.1.swap(true, Ordering::Relaxed) {
            return grapeshot::net::Stream::write(&self.0, bytes);
        }
        grapeshot::sleep(SECOND);
        grapeshot::net::Stream::write(&self.0, &bytes[..1])
    }
    fn shutdown(&self, how: grapeshot::net::Shutdown) -> std::io::Result<()> {
        self.0.shutdown(how)
    }
}

#[test]
fn a_pong_that_was_begun_is_finished_though_the_receiving_is_given_up() {
    grapeshot::testing::run(5, || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            let socket = grapeshot_websocket::accept(request, response)?;
            socket.ping(b"are you there").unwrap();
            assert_eq!(socket.recv().unwrap(), Message::Text("yes".into()));
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let slow = Slow(ours, AtomicBool::new(false));
        let socket = Connect::new().connect(slow, "localhost", "/").unwrap();
        let began = now();
        assert!(with_timeout(3 * SECOND, || socket.recv()).is_err());
        assert_eq!(
            now() - began,
            19 * SECOND,
            "a pong of 19 bytes, masked, at a byte a second"
        );
        socket.send_text("yes").unwrap();
        assert!(socket.recv().is_err());
        serving.join().unwrap();
    });
}

#[test]
fn a_sender_is_held_back_by_a_peer_that_does_not_receive() {
    const MESSAGES: usize = 500;
    between(
        |socket| {
            let socket = Arc::new(socket);
            let sent = Arc::new(AtomicUsize::new(0));
            let (theirs, count) = (Arc::clone(&socket), Arc::clone(&sent));
            let sending = spawn(move || {
                for _ in 0..MESSAGES {
                    theirs.send_binary(&vec![7; 64 << 10]).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            grapeshot::sleep(10 * SECOND);
            let so_far = sent.load(Ordering::Relaxed);
            // What the kernel holds for a Unix socket is far less than 32 MiB, and nothing is held here.
            assert!(so_far < MESSAGES / 2, "{so_far} of {MESSAGES}");
            socket.send_text("go").unwrap();
            sending.join().unwrap();
            assert!(socket.recv().is_err());
        },
        |socket| {
            grapeshot::sleep(20 * SECOND);
            let mut bytes = 0;
            for _ in 0..=MESSAGES {
                bytes += socket.recv().unwrap().as_bytes().len();
            }
            assert_eq!(bytes, MESSAGES * (64 << 10) + 2);
        },
    );
}
