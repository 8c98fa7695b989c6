//! A backdoor that serves TCP and telnet on real sockets, and who speaks to it there.
// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

mod console;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use grapeshot::sync::channel::{self, Sender};
use grapeshot_backdoor::{Backdoor, Right, Rights};

pub use console::Console;

/// A peer that waits longer than this has hung.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a backdoor, in a runtime of its own. Ann's password is sesame, and she may do everything; bob's is hatch, and
/// he may look.
pub struct Ship {
    pub tcp: SocketAddr,
    pub telnet: SocketAddr,
    /// The server's own work: it answers who asks it for something.
    work: Sender<mpsc::Sender<()>>,
}

impl Ship {
    /// The server's own work goes on.
    pub fn works(&self) {
        let (done, is_done) = mpsc::channel();
        self.work.send(done).unwrap();
        is_done.recv_timeout(PATIENCE).expect("the server hangs");
    }
}

/// A socket's path. Whatever is there is removed with this: after a test that failed, the socket.
struct Place(String);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves `backdoor` while `test` runs on this thread.
pub fn with_ship(name: &str, backdoor: Backdoor, test: impl FnOnce(&Ship)) {
    let path = format!("/tmp/gs-network-{}-{name}", std::process::id());
    let _place = Place(path.clone());
    let (ready, is_ready) = mpsc::channel();
    let (work, asked) = channel::bounded::<mpsc::Sender<()>>(1);
    let server = std::thread::spawn(move || {
        grapeshot::run(move || {
            let handle = backdoor
                .user("ann", "sesame", Rights::all())
                .user("bob", "hatch", Rights::observe())
                .expose("crash", "", Right::Operate, || -> u32 {
                    panic!("the mast broke")
                })
                .expose("knots", "", Right::Observe, || 7)
                .tcp("127.0.0.1:0")
                .telnet("localhost:0")
                .serve_unix(&path)
                .unwrap();
            let open: Vec<_> = handle.network().collect();
            assert_eq!((open[0].0, open[1].0), ("tcp", "telnet"));
            ready.send((open[0].1, open[1].1)).unwrap();
            // Ends when the test drops its sender.
            while let Ok(done) = asked.recv() {
                let _ = done.send(());
            }
        });
    });
    let (tcp, telnet) = is_ready.recv().unwrap();
    test(&Ship { tcp, telnet, work });
    server.join().unwrap();
}

/// One whose evaluations may take longer than anything here does, on whatever machine.
pub fn patient() -> Backdoor {
    Backdoor::new("ship").time_limit(PATIENCE)
}

/// Looks again and again.
pub fn eventually(what: &str, mut right: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !right() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// A connection that waits for an answer, but not forever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whoever can be asked.
pub trait Ask {
    /// The answer as text, or the error.
    fn ask(&mut self, statement: &str) -> String;
}

impl Console<TcpStream> {
    /// Nothing has been said yet.
    pub fn connect(ship: &Ship) -> Self {
        Self::over(connect(ship.tcp))
    }

    /// Logged in.
    pub fn attach(ship: &Ship, user: &str, password: &str) -> Self {
        let mut console = Self::connect(ship);
        console.enter(user, password);
        console
    }
}

impl Ask for Console<TcpStream> {
    fn ask(&mut self, statement: &str) -> String {
        Self::ask(self, statement)
    }
}

/// A telnet that shows keys by itself no longer.
pub struct Telnet(pub TcpStream);

impl Telnet {
    /// Says who it is.
    pub fn connect(ship: &Ship, user: &str, password: &str) -> Self {
        let mut telnet = Self(connect(ship.telnet));
        telnet.0.write_all(b"\xff\xfd\x01\xff\xfd\x03").unwrap();
        telnet.send(&format!("{user}\r{password}\r"));
        telnet
    }

    /// At the prompt.
    pub fn attach(ship: &Ship) -> Self {
        let mut telnet = Self::connect(ship, "ann", "sesame");
        telnet.wait_for("ship> ");
        telnet
    }

    pub fn send(&mut self, keys: &str) {
        self.0.write_all(keys.as_bytes()).unwrap();
    }

    /// What comes before this, and this.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut received = Vec::new();
        while !received.ends_with(text.as_bytes()) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        String::from_utf8_lossy(&received).into_owned()
    }

    /// All that comes until the server closes.
    pub fn rest(&mut self) -> String {
        let mut received = Vec::new();
        self.0.read_to_end(&mut received).unwrap();
        String::from_utf8_lossy(&received).into_owned()
    }
}

impl Ask for Telnet {
    fn ask(&mut self, statement: &str) -> String {
        self.send(&format!("{statement}\r"));
        // Once behind the statement as it was typed, and once behind its answer.
        self.wait_for("\r\n");
        self.wait_for("ship> ")
    }
}
