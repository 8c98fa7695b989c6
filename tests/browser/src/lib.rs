//! Headless Chromium, driven through chromedriver: W3C WebDriver, which is JSON over plain HTTP.
//!
//! A browser fails in ways that neither a test nor who takes pictures can mend, so everything here panics with what
//! went wrong.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything here takes that works at all, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Without these, Chromium calls home many times a second on a machine that has no way out.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser with one window. It ends, and its profile goes, when this is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    process: u32,
    profile: PathBuf,
}

impl Browser {
    /// Starts one whose pages have this size, in CSS pixels.
    ///
    /// # Panics
    /// If chromium or chromedriver is missing or does not start.
    pub fn start(width: u32, height: u32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let profile =
            std::env::temp_dir().join(format!("grapeshot-browser-{}-{number}", std::process::id()));
        fs::create_dir_all(&profile).expect("a folder for the browser's profile");
        let mut driver = Command::new("chromedriver")
            // One that is free: it says which.
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; it is in Debian's package chromium-driver");
        let said = driver.stdout.take().expect("it is piped");
        // From here on a failure ends the driver.
        let mut browser = Self {
            driver,
            port: 0,
            session: String::new(),
            process: 0,
            profile,
        };
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        browser.port = lines
            .find_map(|line| port_in(&line))
            .expect("chromedriver says where it listens");
        // It must never wait for somebody to read what else it says.
        thread::spawn(move || lines.for_each(drop));
        browser.open_session(width, height);
        browser
    }

    fn open_session(&mut self, width: u32, height: u32) {
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", self.profile.display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            // Those who try out TLS have made their certificates themselves.
            "browserName": "chrome", "acceptInsecureCerts": true, "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"}}}});
        let answer = self.call("POST", "/session", Some(&wanted));
        self.session = answer["sessionId"]
            .as_str()
            .expect("a new session has an id")
            .to_owned();
        self.process = answer["capabilities"]["goog:processID"]
            .as_u64()
            .expect("chromedriver tells the process") as u32;
        self.resize(width, height, 1.0);
    }

    /// Makes the page this large, in CSS pixels, with so many device pixels to each.
    pub fn resize(&self, width: u32, height: u32, ratio: f64) {
        let size = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": ratio, "mobile": false}});
        self.post("goog/cdp/execute", &size);
    }

    /// Tells pages that people prefer this: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let media = json!({"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]}});
        self.post("goog/cdp/execute", &media);
    }

    /// What pages have written to the browser's console since this was last asked, and what the browser itself says there:
    /// errors of scripts, refused requests, breaches of a page's policy.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a log has entries");
        entries.iter().map(|it| it["message"].to_string()).collect()
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, address: &str) {
        self.post("url", &json!({ "url": address }));
    }

    /// The value of a script that ends in `return …`.
    pub fn script(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a JavaScript expression is true; gives its value, or true for an element.
    ///
    /// # Panics
    /// When it does not become true in time.
    pub fn wait_for(&self, expression: &str) -> Value {
        let mut value = Value::Null;
        wait_until(expression, || {
            // Not an element itself: it may be gone by the time that the driver looks at it.
            value = self.script(&format!(
                "const found = ({expression}); return found?.nodeType ? true : found"
            ));
            !matches!(value, Value::Null | Value::Bool(false)) && value != 0
        });
        value
    }

    /// Presses a key, by its WebDriver code point or its character.
    pub fn key_down(&self, key: char) {
        self.key("keyDown", key);
    }

    /// Lets it go.
    pub fn key_up(&self, key: char) {
        self.key("keyUp", key);
    }

    fn key(&self, kind: &str, key: char) {
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": [{"type": kind, "value": key.to_string()}]}]});
        self.post("actions", &actions);
    }

    /// Moves the mouse to a place of the page.
    pub fn point(&self, at: (i32, i32)) {
        self.mouse(at, &[]);
    }

    /// Clicks with the mouse on a place of the page.
    pub fn click(&self, at: (i32, i32)) {
        self.mouse(at, &["pointerDown", "pointerUp"]);
    }

    fn mouse(&self, (x, y): (i32, i32), then: &[&str]) {
        let mut steps = vec![json!({"type": "pointerMove", "duration": 10, "x": x, "y": y})];
        steps.extend((then.iter()).map(|kind| json!({"type": kind, "button": 0})));
        let actions = json!({"actions": [{"type": "pointer", "id": "mouse",
            "parameters": {"pointerType": "mouse"}, "actions": steps}]});
        self.post("actions", &actions);
    }

    /// Drags with the mouse, or with a finger, from one place of the page to another, and lets go after a rest.
    pub fn drag(&self, pointer: &str, from: (i32, i32), to: (i32, i32)) {
        let middle = ((from.0 + to.0) / 2, (from.1 + to.1) / 2);
        let step =
            |(x, y): (i32, i32)| json!({"type": "pointerMove", "duration": 40, "x": x, "y": y});
        let actions = json!({"actions": [{"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": [
            step(from), {"type": "pointerDown", "button": 0}, step(middle), step(to), {"type": "pause", "duration": 150},
            {"type": "pointerUp", "button": 0}]}]});
        self.post("actions", &actions);
    }

    /// A picture of the page, as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let answer = self.call(
            "GET",
            &format!("/session/{}/screenshot", self.session),
            None,
        );
        from_base64(answer.as_str().expect("a screenshot is base64"))
    }

    /// Kills the browser without ceremony, as `kill -9` does. Nothing else can be asked of it after that.
    pub fn kill(&self) {
        let killed = Command::new("kill")
            .args(["-KILL", &self.process.to_string()])
            .status()
            .expect("kill runs");
        assert!(killed.success(), "the browser has ended before");
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        self.call(
            "POST",
            &format!("/session/{}/{what}", self.session),
            Some(body),
        )
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = exchange(self.port, method, path, body).unwrap_or_else(|error| {
            panic!("chromedriver does not answer {method} {path}: {error}")
        });
        assert_eq!(
            status, 200,
            "{method} {path} with {body:?}: {}",
            answer["value"]["message"]
        );
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // It ends the browser, if it lives; the driver must go whatever it answers.
            let _ = exchange(
                self.port,
                "DELETE",
                &format!("/session/{}", self.session),
                None,
            );
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        remove(&self.profile);
    }
}

/// The browser's last processes may still write there for a moment.
fn remove(folder: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(folder) {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Of "ChromeDriver was started successfully on port 40123."
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}

/// Asks again and again until it holds.
///
/// # Panics
/// When it does not within a minute.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "waited {PATIENCE:?} for: {what}");
        // Foreign programs tell nobody when they are ready; asking is all there is.
        thread::sleep(Duration::from_millis(20));
    }
}

fn exchange(
    port: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map_or_else(String::new, Value::to_string);
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let (status, content) = http_answer(&mut stream)?;
    let value = serde_json::from_slice(&content)
        .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
    Ok((status, value))
}

/// Reads an HTTP answer that has a `Content-Length`, or no content: its status and content.
///
/// # Errors
/// Those of the stream, and `InvalidData` for what is no such answer.
pub fn http_answer(stream: &mut impl Read) -> std::io::Result<(u16, Vec<u8>)> {
    let invalid = |what: &str| std::io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let mut received = Vec::new();
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut received)?;
    };
    let head = String::from_utf8_lossy(&received[..head_end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| invalid("no status"))?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .or_else(|| matches!(status, 204 | 304).then_some(0))
        .ok_or_else(|| invalid("no Content-Length"))?;
    while received.len() < head_end + length {
        more(stream, &mut received)?;
    }
    Ok((status, received[head_end..head_end + length].to_vec()))
}

fn more(stream: &mut impl Read, received: &mut Vec<u8>) -> std::io::Result<()> {
    let mut chunk = [0; 16 << 10];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                received.extend_from_slice(&chunk[..n]);
                return Ok(());
            }
            // A socket with a timeout tells of signals that nobody handles.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let sextet = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let sextets: Vec<u8> = text.bytes().filter_map(sextet).collect();
    let mut bytes = Vec::with_capacity(sextets.len() * 3 / 4);
    for group in sextets.chunks(4) {
        let bits = group
            .iter()
            .fold(0u32, |bits, &six| bits << 6 | u32::from(six))
            << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
        ] {
            assert_eq!(from_base64(text), bytes.as_bytes());
        }
    }
}
