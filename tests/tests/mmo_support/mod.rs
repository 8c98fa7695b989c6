//! The demo in a process of its own, its console, and a raw WebSocket peer.
// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grapeshot_tests::browser::{Browser, http_answer, wait_until};
use grapeshot_tests::programs::programs;
use serde_json::Value;

/// A running demo. It is killed, if need be, when this is dropped.
pub struct Demo {
    pub child: Child,
    pub address: SocketAddr,
    pub socket: PathBuf,
    /// What it printed until it was up.
    pub greeting: String,
    rest: Option<thread::JoinHandle<String>>,
}

/// A path for a console's socket that nobody has.
pub fn socket_path() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // Short, because a socket's path may have 107 bytes only.
    PathBuf::from(format!("/tmp/gs-mmo-{}-{number}.sock", std::process::id()))
}

impl Demo {
    /// Starts one on a free port, and waits until it is up.
    pub fn start(arguments: &[&str]) -> Self {
        let socket = socket_path();
        let mut child = Command::new(programs().join("mmo"))
            .args(if arguments.contains(&"--listen") {
                &[][..]
            } else {
                &["--listen", "127.0.0.1:0"][..]
            })
            .arg("--backdoor")
            .arg(&socket)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        while !greeting.contains("started in") {
            assert_ne!(
                lines.read_line(&mut greeting).expect("it prints text"),
                0,
                "the demo ended: {greeting}"
            );
        }
        let at = greeting.find("http://").expect("it tells its address") + "http://".len();
        let address = greeting[at..]
            .split('/')
            .next()
            .and_then(|host| host.parse().ok())
            .expect("an address and a port");
        let rest = thread::spawn(move || {
            let mut rest = String::new();
            // What cannot be read will be missed by whoever asks for it.
            let _ = lines.read_to_string(&mut rest);
            rest
        });
        Self {
            child,
            address,
            socket,
            greeting,
            rest: Some(rest),
        }
    }

    pub fn page(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A browser of 800 by 600 that shows the demo live.
    pub fn browser(&self, query: &str) -> Browser {
        let browser = Browser::start(800, 600);
        browser.open(&format!("{}{query}", self.page()));
        browser
            .wait_for("window.mmo && mmo.state().connection === 'live' && mmo.state().updates > 0 && mmo.state().hud");
        browser
    }

    /// `/stats.json`.
    pub fn stats(&self) -> Value {
        let (status, body) = get(self.address, "/stats.json");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("stats are JSON")
    }

    /// Evaluates one statement with `console -c`, as JSON.
    pub fn console(&self, statement: &str) -> Output {
        Command::new(programs().join("console"))
            .arg(&self.socket)
            .args(["--json", "-c", statement])
            .output()
            .expect("the console runs")
    }

    /// The value of a statement that goes well.
    pub fn ask(&self, statement: &str) -> Value {
        let output = self.console(statement);
        assert!(
            output.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{statement}: {error}: {:?}", output.stdout))
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end; gives its status, how long that took and what it still printed.
    pub fn wait(&mut self) -> (ExitStatus, Duration, String) {
        let start = Instant::now();
        let mut status = None;
        wait_until("the demo to end", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        let took = start.elapsed();
        let rest = self
            .rest
            .take()
            .and_then(|rest| rest.join().ok())
            .unwrap_or_default();
        (status.expect("it has ended"), took, rest)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

pub fn get(address: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the demo listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket takes a timeout");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("the demo reads");
    http_answer(&mut stream).expect("the demo answers")
}

/// A WebSocket peer without a library's manners: it reads when it wants to.
#[derive(Debug)]
pub struct Peer {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    pub fn join(address: SocketAddr, name: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the demo listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket takes a timeout");
        write!(
            stream,
            "GET /ws?name={name} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .expect("the demo reads");
        let mut peer = Self {
            stream,
            received: Vec::new(),
        };
        let end = loop {
            if let Some(at) = peer
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break at + 4;
            }
            assert!(peer.fill(), "no answer to the handshake");
        };
        let head: Vec<u8> = peer.received.drain(..end).collect();
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        peer
    }

    /// False at the connection's end.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.received.extend_from_slice(&chunk[..n]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            // A socket with a timeout tells of signals that nobody handles.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.fill(),
            Err(error) => panic!("reading from the demo: {error}"),
        }
    }

    /// The next frame's opcode and payload; `None` at the connection's end.
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, second, rest @ ..] = self.received.as_slice() {
                let (header, length) = match (second & 127, rest) {
                    (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                    (127, [bytes @ .., _]) if bytes.len() >= 8 => (
                        10,
                        usize::from_be_bytes(bytes[..8].try_into().expect("eight bytes")),
                    ),
                    (126 | 127, _) => (usize::MAX, 0),
                    (short, _) => (2, usize::from(short)),
                };
                if header != usize::MAX && self.received.len() >= header + length {
                    let opcode = first & 15;
                    let payload = self.received[header..header + length].to_vec();
                    self.received.drain(..header + length);
                    return Some((opcode, payload));
                }
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next binary message.
    pub fn message(&mut self) -> Vec<u8> {
        let (opcode, payload) = self.frame().expect("the connection is open");
        assert_eq!(opcode, 2, "a binary message");
        payload
    }

    /// Reads to the end; gives the code and reason of the close frame, if there was one.
    pub fn closing(&mut self) -> Option<(u16, String)> {
        while let Some((opcode, payload)) = self.frame() {
            if let (8, [a, b, reason @ ..]) = (opcode, payload.as_slice()) {
                return Some((
                    u16::from_be_bytes([*a, *b]),
                    String::from_utf8_lossy(reason).into_owned(),
                ));
            }
        }
        None
    }

    /// Sends a frame, masked with zeros.
    pub fn send(&mut self, opcode: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            short @ ..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame)
    }
}
