//! A web server of ours in a runtime of its own, while a test's thread plays the client.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use grapeshot::net::{Listener, TcpListener};
use grapeshot_http::{HandlerError, Server};
use grapeshot_websocket::{Error, Message, WebSocket};

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server at a free port. Dropping it shuts it down, and waits for its end.
pub struct Serving {
    /// The server itself.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Serves on a thread of its own.
    ///
    /// # Panics
    /// If there is no port, or no thread.
    pub fn new(server: Server) -> Self {
        Self::behind(server, |listener| listener)
    }

    /// Serves what `wrap` makes of the listener.
    ///
    /// # Panics
    /// If there is no port, or no thread.
    pub fn behind<L: Listener>(
        server: Server,
        wrap: impl FnOnce(TcpListener) -> L + Send + 'static,
    ) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let theirs = server.clone();
        let thread = std::thread::spawn(move || {
            grapeshot::run(move || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                theirs.serve(wrap(listener)).unwrap();
            });
        });
        Self {
            server,
            address: told.recv().unwrap(),
            thread: Some(thread),
        }
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A connection that waits for an answer, but not forever.
    ///
    /// # Panics
    /// If nobody listens any more.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends `request`, says that nothing follows, and takes everything that comes.
    ///
    /// # Panics
    /// If the connection fails.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.shutdown(Duration::from_secs(1));
        let ended = self.thread.take().unwrap().join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the server's thread panicked"
        );
    }
}

/// Sends back what comes, until the peer closes or breaks the protocol. May suspend.
///
/// # Errors
/// What else ends the connection.
pub fn echo(socket: &WebSocket) -> Result<(), HandlerError> {
    loop {
        match socket.recv() {
            Ok(Message::Text(text)) => socket.send_text(&text)?,
            Ok(Message::Binary(bytes)) => socket.send_binary(&bytes)?,
            Err(Error::Closed(_) | Error::Violation(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
