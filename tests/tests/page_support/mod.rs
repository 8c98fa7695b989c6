//! A small server with a live page, in this process, and a peer that says what it likes to it.
// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grapeshot::Runtime;
use grapeshot::sync::channel::{self, Sender};
use grapeshot_backdoor::{Backdoor, Web};
use grapeshot_websocket::client::{Connect, ConnectError};
use grapeshot_websocket::{Message, WebSocket};
use serde_json::{Value, json};

/// Longer than anything takes that works at all, on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An application with a page; it ends when this is dropped.
pub struct Page {
    /// What its address begins with.
    pub origin: String,
    pub address: SocketAddr,
    pub token: String,
    end: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Page {
    /// Runs `application` in a runtime of two workers beside a backdoor with this page.
    pub fn serve(web: Web, application: impl FnOnce() + Send + 'static) -> Self {
        Self::serve_with(2, Backdoor::new("arcade").web(web), application)
    }

    pub fn serve_with(
        workers: usize,
        backdoor: Backdoor,
        application: impl FnOnce() + Send + 'static,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Short, because a socket's path may have 107 bytes only.
        let path = PathBuf::from(format!("/tmp/gs-page-{}-{number}", std::process::id()));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ended) = channel::bounded::<()>(1);
        let thread = thread::spawn(move || {
            let runtime = Runtime::builder()
                .workers(workers)
                .build()
                .expect("a runtime");
            runtime.run(move || {
                let handle = backdoor.serve_unix(&path).expect("a backdoor");
                application();
                ready
                    .send(handle.page().expect("a page").to_owned())
                    .expect("somebody listens");
                // Until the test drops its end.
                let _ = ended.recv();
            });
        });
        let page = is_ready.recv_timeout(PATIENCE).expect("the server starts");
        let (origin, token) = page
            .split_once("/?token=")
            .expect("an address with a token");
        let (_, address) = origin.split_once("://").expect("an origin");
        Self {
            origin: origin.to_owned(),
            address: address.parse().expect("an address and a port"),
            token: token.to_owned(),
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// What a person opens.
    pub fn url(&self) -> String {
        format!("{}/?token={}", self.origin, self.token)
    }

    /// Sends a request with these header lines beside its `Host`, and gives the whole answer.
    pub fn ask(&self, request_line: &str, headers: &str) -> String {
        let host = format!("Host: {}\r\n", self.address);
        self.ask_anything(&format!(
            "{request_line} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"
        ))
    }

    pub fn ask_anything(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the page is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.write_all(request.as_bytes()).expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is text");
        answer
    }

    /// The header that a browser sends once it was here.
    pub fn cookie(&self) -> String {
        let answer = self.ask(&format!("GET /?token={}", self.token), "");
        let cookie = header(&answer, "Set-Cookie").expect("a cookie");
        let pair = cookie.split(';').next().expect("a name and a value");
        format!("Cookie: {pair}\r\n")
    }

    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    pub fn get(&self, path: &str) -> String {
        let answer = self.ask(&format!("GET {path}"), &self.bearer());
        assert_eq!(status(&answer), 200, "{answer}");
        body(&answer).to_owned()
    }

    /// A WebSocket with these headers.
    pub fn connect(
        &self,
        headers: &[(&str, &str)],
        origin: Option<&str>,
    ) -> Result<WebSocket, ConnectError> {
        let mut connect = Connect::new();
        for (name, value) in headers {
            connect = connect.header(*name, *value);
        }
        if let Some(origin) = origin {
            connect = connect.origin(origin);
        }
        connect.open(&format!("ws://{}/live", self.address))
    }

    /// A page as a browser would open it.
    pub fn open(&self) -> Watcher {
        let bearer = format!("Bearer {}", self.token);
        let socket = self
            .connect(&[("Authorization", &bearer)], None)
            .expect("a page");
        Watcher { socket }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

/// The other end of a page's WebSocket.
pub struct Watcher {
    pub socket: WebSocket,
}

impl Watcher {
    pub fn say(&self, message: Value) {
        self.socket
            .send_text(&message.to_string())
            .expect("the server listens");
    }

    /// The next snapshot, without saying that it was seen.
    pub fn receive(&self) -> Value {
        match self.socket.recv().expect("a snapshot") {
            Message::Text(text) => serde_json::from_str(&text).expect("snapshots are JSON"),
            other => panic!("{other:?}"),
        }
    }

    pub fn seen(&self, snapshot: &Value) {
        self.say(json!({"type": "seen", "number": snapshot["number"]}));
    }

    /// Looks until a snapshot is right.
    pub fn until(&self, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let snapshot = self.receive();
            self.seen(&snapshot);
            if right(&snapshot) {
                return snapshot;
            }
            assert!(
                Instant::now() < give_up,
                "waited for {what}; the last: {snapshot}"
            );
        }
    }

    /// What a view shows.
    pub fn view(&self, view: Value, right: impl Fn(&Value) -> bool) -> Value {
        let mut message = json!({"type": "view"});
        let fields = view.as_object().expect("a view").clone();
        message.as_object_mut().expect("a message").extend(fields);
        self.say(message);
        self.until("the view", |snapshot| {
            snapshot["view"]["panel"] == view["panel"] && right(&snapshot["view"])
        })["view"]
            .clone()
    }
}

pub fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).expect("a status line");
    status.parse().expect("a status")
}

pub fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}
