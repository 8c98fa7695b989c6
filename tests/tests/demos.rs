//! The small demos, each as its user sees it.

mod mmo_support;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use grapeshot_tests::browser::{Browser, http_answer, wait_until};
use grapeshot_tests::programs::programs;
use grapeshot_websocket::{self as websocket, CloseCode, Message, WebSocket};
use mmo_support::socket_path;
use serde_json::Value;

/// A demo in a process of its own. It is killed when this is dropped.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Program {
    /// Starts it; a line says where it listens.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(programs().join(name))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next().expect("it says something").expect("text");
        let address = line
            .split_whitespace()
            .find_map(|word| {
                let word = word.trim_start_matches("http://").trim_end_matches('/');
                word.parse().ok()
            })
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self {
            child,
            lines,
            address,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a socket");
        stream
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").expect("text")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a console gets in, while a test lasts. A demo that is killed leaves the file behind.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Self {
        Self(socket_path())
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn ask(stream: &mut TcpStream, request: &str) -> (u16, Vec<u8>) {
    stream.write_all(request.as_bytes()).expect("it is sent");
    http_answer(stream).expect("an answer")
}

#[test]
fn echo_gives_back_what_it_gets() {
    let socket = Socket::new();
    let path = socket.path();
    let echo = Program::start("echo", &["--backdoor", path, "--patience", "60"]);
    let mut stream = echo.connect();
    for text in ["ahoy", "there"] {
        stream.write_all(text.as_bytes()).expect("it is sent");
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).expect("it comes back");
        assert_eq!(back, text.as_bytes());
    }
    let console = Command::new(programs().join("console"))
        .args([path, "-c", "ps()"])
        .output()
        .expect("the console runs");
    let table = String::from_utf8_lossy(&console.stdout).into_owned();
    let address = stream.local_addr().expect("a socket").to_string();
    assert!(table.contains(&format!("echo {address}")), "{table}");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn the_spy_tells_both_sides() {
    let socket = Socket::new();
    let echo = Program::start("echo", &["--backdoor", socket.path()]);
    let mut spy = Program::start("spy", &[&echo.address.to_string(), "--width", "8"]);
    let mut stream = spy.connect();
    let mine = stream.local_addr().expect("a socket");
    let said = b"hello\nbinary \x00\xff and more\n";
    stream.write_all(said).expect("it is sent");
    let mut back = vec![0; said.len()];
    stream.read_exact(&mut back).expect("it comes back");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "#1 over") {
        lines.push(spy.line());
    }
    assert_eq!(lines[0], format!("#1 {mine} came"));
    for mark in ["==>", "<=="] {
        let heard: Vec<_> = lines.iter().filter(|line| line.contains(mark)).collect();
        assert_eq!(
            heard,
            [
                &format!("#1 {mark} hello\\n"),
                &format!("#1 {mark} binary \\x00 … and 11 bytes")
            ]
        );
    }
}

#[test]
fn the_spy_ends_both_when_one_breaks() {
    let mut spy = Program::start("spy", &["127.0.0.1:1"]);
    let mut stream = spy.connect();
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    assert!(spy.line().ends_with("came"));
    let over = spy.line();
    assert!(over.starts_with("#1 over: Connection refused"), "{over}");
}

#[test]
fn everybody_sees_the_x_move() {
    let grid = Program::start("grid", &[]);
    let browser = Browser::start(900, 700);
    browser.open(&format!("http://{}/", grid.address));
    let place = "[...document.querySelectorAll('#field i')].findIndex(i => i.className == 'x')";
    browser.wait_for(&format!("{place} == {}", 15 * 50 + 25));
    let mut stream = grid.connect();
    let moved = ask(
        &mut stream,
        "POST /move HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n3,4",
    );
    assert_eq!(moved.0, 204);
    browser.wait_for(&format!("{place} == {}", 4 * 50 + 3));
    browser.script("document.querySelectorAll('#field i')[7 * 50 + 9].click()");
    browser.wait_for(&format!("{place} == {}", 7 * 50 + 9));
    let seen = browser.script("return document.getElementById('seen').textContent");
    assert_eq!(seen, "It is at 9, 7, moved 2 times, seen by 1.");
    for wrong in ["50,0", "0,30", "x,1", "-1,2", "1"] {
        let length = wrong.len();
        let request =
            format!("POST /move HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{wrong}");
        assert_eq!(ask(&mut stream, &request).0, 400, "{wrong}");
    }
}

/// A folder of its own for one test, removed at its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| {
                let name = entry.expect("an entry").file_name();
                name.to_string_lossy().into_owned()
            })
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_dropped_on_the_page_is_in_the_folder() {
    let place = Place::new("share");
    let folder = place.0.to_str().expect("text");
    let share = Program::start("share", &[folder, "--most", "8"]);
    let browser = Browser::start(900, 700);
    browser.open(&format!("http://{}/", share.address));
    browser.script(
        "const file = new File([new Uint8Array(5 << 20).fill(7)], 'a chart (1).bin');
         window.sent = send([file, new File(['ahoy'], 'note.txt')]).then(() => 'sent');",
    );
    let both = ["a chart (1).bin", "note.txt"];
    wait_until("both are there, and nothing else", || place.names() == both);
    let chart = std::fs::read(place.0.join("a chart (1).bin")).expect("a file");
    assert!(chart.len() == 5 << 20 && chart.iter().all(|&byte| byte == 7));
    browser.wait_for("list.contentDocument?.body.textContent.includes('note.txt')");
    assert_eq!(browser.script("return error.textContent"), "");
    browser.script("send([new File([new Uint8Array(9 << 20)], 'large.bin')])");
    browser.wait_for("error.textContent != ''");
    wait_until("what is too large leaves nothing", || place.names() == both);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing_and_all_see_it_go() {
    let place = Place::new("share-broken");
    let folder = place.0.to_str().expect("text");
    let share = Program::start("share", &[folder]);
    let browser = Browser::start(900, 700);
    browser.open(&format!("http://{}/", share.address));
    let mut stream = share.connect();
    let head = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"slow.bin\"\r\n\r\n";
    write!(
        stream,
        "POST /upload?size=9000000 HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Content-Length: 9000000\r\n\r\n{head}"
    )
    .expect("it is sent");
    let bar = "document.querySelector('#uploads progress')";
    wait_until("it is seen to come", || {
        stream.write_all(&[1; 64 << 10]).expect("it is taken");
        browser.script(&format!("return {bar} != null")) == true
    });
    let text = browser.script("return document.querySelector('.upload').textContent");
    let text = text.as_str().expect("text");
    assert!(
        text.starts_with("slow.bin") && text.contains("of 8.6 MiB"),
        "{text}"
    );
    drop(stream);
    browser.wait_for(&format!("{bar} == null"));
    wait_until("nothing is left", || place.names().is_empty());
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let place = Place::new("share-names");
    let share = Program::start("share", &[place.0.to_str().expect("text")]);
    for name in ["../x", "a/b", ".hidden", "..", ""] {
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\nahoy\r\n--x--\r\n"
        );
        let request = format!(
            "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, _) = ask(&mut share.connect(), &request);
        assert_eq!(status, 400, "{name:?}");
    }
    assert_eq!(place.names(), [""; 0]);
}

/// The next text of a WebSocket, which must come.
fn hear(socket: &WebSocket) -> String {
    match socket.recv() {
        Ok(Message::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn a_room_hears_what_each_says() {
    let chat = Program::start("chat", &[]);
    let enter = |name: &str| {
        let socket = websocket::client::open(&format!("ws://{}/chat", chat.address));
        let socket = socket.expect("it is a WebSocket");
        socket.send_text(name).expect("it is sent");
        let color: Value = serde_json::from_str(&hear(&socket)).expect("JSON");
        assert_eq!(color["type"], "color");
        (socket, color["data"].clone())
    };
    let (ada, ada_color) = enter("Ada");
    let hears = |socket: &WebSocket| {
        let news: Value = serde_json::from_str(&hear(socket)).expect("JSON");
        assert_eq!(news["type"], "message");
        let word = |key: &str| news["data"][key].as_str().expect("text").to_owned();
        (word("author"), word("text"), news["data"]["color"].clone())
    };
    let said =
        |author: &str, text: &str, color: &Value| (author.into(), text.into(), color.clone());
    assert_eq!(hears(&ada), said("Ada", "is here", &ada_color));
    ada.send_text("hello").expect("it is sent");
    assert_eq!(hears(&ada), said("Ada", "hello", &ada_color));
    let (bob, bob_color) = enter(" \u{7}Bob ");
    assert_ne!(ada_color, bob_color);
    assert_eq!(hears(&bob), said("Ada", "is here", &ada_color), "the past");
    assert_eq!(hears(&bob), said("Ada", "hello", &ada_color));
    for socket in [&ada, &bob] {
        assert_eq!(hears(socket), said("Bob", "is here", &bob_color));
    }
    bob.close(CloseCode::NORMAL, "").expect("the room agrees");
    assert_eq!(hears(&ada), said("Bob", "is gone", &bob_color));
    ada.send_text(&"x".repeat(1001)).expect("it is sent");
    let closed = ada.recv().expect_err("too long");
    assert!(closed.to_string().contains("1009"), "{closed}");
}

#[test]
fn a_sheet_shows_what_each_draws() {
    let sketch = Program::start("sketch", &[]);
    let other = websocket::client::open(&format!("ws://{}/board", sketch.address));
    let other = other.expect("it is a WebSocket");
    assert_eq!(hear(&other), "C", "an empty sheet");
    let browser = Browser::start(1200, 860);
    browser.open(&format!("http://{}/", sketch.address));
    browser.wait_for("socket.readyState == 1");
    assert!(
        browser
            .script("return socket.extensions")
            .as_str()
            .is_some_and(|used| used.starts_with("permessage-deflate")),
        "Chromium compresses"
    );
    // What the browser draws, the other sees.
    browser.drag("mouse", (200, 200), (500, 400));
    let first = hear(&other);
    assert!(
        first.starts_with("D,") && first.ends_with(",22303f"),
        "{first}"
    );
    let drawn = browser.wait_for("lines.length").as_u64().expect("a number");
    for _ in 1..drawn {
        assert!(hear(&other).starts_with("D,"));
    }
    // And the other way round.
    other.send_text("N").expect("it is sent");
    for line in [
        "D,100,900,1500,900,c2342b",
        "D,100,900,1500,1001,c2342b",
        "D,1,2,3",
        "Z",
    ] {
        other.send_text(line).expect("it is sent");
    }
    browser.wait_for("lines.some(line => line.slice(1).join() == '100,900,1500,900,c2342b')");
    let red = "return [...pen.getImageData(800, 900, 1, 1).data].join()";
    assert_eq!(browser.script(red), "194,52,43,255");
    // Each takes back what is theirs.
    browser.script("undo.click()");
    browser.wait_for("lines.length == 1");
    other.send_text("U").expect("it is sent");
    browser.wait_for("lines.length == 0");
    assert_eq!(browser.script(red), "0,0,0,0");
}
