//! Every demo can be looked into: by a console, by the live page, and, where people log in, through its other doors.

mod mmo_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use grapeshot_tests::browser::{Browser, wait_until};
use grapeshot_tests::programs::programs;
use mmo_support::socket_path;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A demo in a process of its own, with a console. It is killed when this is dropped.
struct Demo {
    child: Child,
    socket: PathBuf,
    /// What it said so far, on both outputs.
    said: std::sync::mpsc::Receiver<String>,
    lines: Vec<String>,
}

impl Demo {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let socket = socket_path();
        let mut child = Command::new(programs().join(name))
            .args(arguments)
            .arg("--backdoor")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let (tell, said) = std::sync::mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for output in outputs {
            let tell = tell.clone();
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                lines.for_each(|line| drop(tell.send(line)));
            });
        }
        Self {
            child,
            socket,
            said,
            lines: Vec::new(),
        }
    }

    /// The word with this in it, of a line that was or will be said.
    fn word(&mut self, with: &str) -> String {
        loop {
            let words = self.lines.iter().flat_map(|line| line.split_whitespace());
            if let Some(word) = words.into_iter().find(|word| word.contains(with)) {
                return word.to_owned();
            }
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("nothing with {with:?}: {:?}", self.lines));
            self.lines.push(line);
        }
    }

    /// What a console is told, as JSON.
    fn ask(&self, statement: &str) -> Value {
        let output = Command::new(programs().join("console"))
            .arg(&self.socket)
            .args(["--json", "-c", statement])
            .output()
            .expect("the console runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement}: {said}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What the page says of itself and of what is exposed.
    fn me(&mut self) -> Value {
        let page = self.word("/?token=");
        let (origin, token) = page.split_once("/?token=").expect("a token");
        let address = origin.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("the page is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        write!(
            stream,
            "GET /me HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        .expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a head").1).expect("JSON")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];
const PAGE: [&str; 2] = ["--page", "127.0.0.1:0"];

/// Looks into it by both, and gives the names of what it exposes.
fn look_into(name: &str, arguments: &[&[&str]]) -> Vec<String> {
    let mut demo = Demo::start(name, &arguments.concat());
    let me = demo.me();
    assert_eq!(me["application"], name);
    assert!(demo.ask("stats()")["live"].as_u64() > Some(0));
    let exposed = me["exposed"].as_array().expect("a list").iter();
    exposed
        .map(|it| it["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn the_servers_can_be_looked_into() {
    let none: [&str; 0] = [];
    assert_eq!(look_into("echo", &[&LISTEN, &PAGE]), none);
    assert_eq!(look_into("spy", &[&["127.0.0.1:1"], &LISTEN, &PAGE]), none);
    assert_eq!(look_into("grid", &[&LISTEN, &PAGE]), ["grid"]);
    assert_eq!(look_into("chat", &[&LISTEN, &PAGE]), ["visitors"]);
    assert_eq!(look_into("sketch", &[&LISTEN, &PAGE]), ["lines"]);
    let folder = std::env::temp_dir().join(format!("gs-inside-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.to_str().expect("text");
    assert_eq!(look_into("share", &[&[path], &LISTEN, &PAGE]), ["uploads"]);
    let _ = std::fs::remove_dir_all(&folder);
    assert!(look_into("mmo", &[&LISTEN, &PAGE, &["--npcs", "10"]]).contains(&"npcs".to_owned()));
}

#[test]
fn the_clients_can_be_looked_into_while_they_work() {
    // It takes what is asked of it, and leaves the answer open.
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", server.local_addr().expect("it is bound"));
    let nowhere = std::env::temp_dir().join(format!("gs-get-{}", std::process::id()));
    let file = nowhere.to_str().expect("text");
    assert_eq!(look_into("get", &[&[&url, "-o", file], &PAGE]), [""; 0]);
    let _ = std::fs::remove_file(&nowhere);
    assert_eq!(look_into("crawler", &[&[&url], &PAGE]), ["progress"]);
}

/// A file of users, removed at its end.
struct Users(PathBuf);

impl Users {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gs-{name}-{}", std::process::id()));
        std::fs::write(&path, "ada analytical all\nguest looking observe\n").expect("a file");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("its owner's alone");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_other_doors_open_for_those_who_log_in() {
    let users = Users::new("doors");
    let doors = [
        "--tcp",
        "127.0.0.1:0",
        "--telnet",
        "127.0.0.1:0",
        "--users",
        users.path(),
    ];
    let mut demo = Demo::start("chat", &[&LISTEN[..], &doors].concat());
    let door = demo.word("tcp://");
    let console = |password: &str| {
        let output = Command::new(programs().join("console"))
            .args([&door, "--user", "guest", "-c", "visitors()"])
            .env("GRAPESHOT_CONSOLE_PASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .expect("the console runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    assert_eq!(console("looking"), (true, "0\n".to_owned()));
    assert!(!console("guessing").0);
    let telnet = demo.word("telnet://");
    let address: SocketAddr = telnet
        .trim_start_matches("telnet://")
        .parse()
        .expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut heard = Vec::new();
    let mut chunk = [0; 256];
    while !String::from_utf8_lossy(&heard).contains("login: ") {
        let count = stream.read(&mut chunk).expect("a question");
        assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn who_logs_in_to_the_terminal_sees_the_philosophers_quarrel() {
    let users = Users::new("term");
    let mut demo = Demo::start(
        "term",
        &[
            &LISTEN[..],
            &["--host", "127.0.0.1", "--users", users.path()],
        ]
        .concat(),
    );
    let site = demo.word("https://");
    let browser = Browser::start(1280, 800);
    browser.open(&site);
    let type_in = |text: &str| {
        for key in text.chars() {
            browser.key_down(key);
            browser.key_up(key);
        }
    };
    browser.wait_for("document.querySelector('[name=user]')");
    browser.script("document.querySelector('[name=user]').focus()");
    type_in("ada\u{e004}analytical\u{e007}");
    // Where one wanted to go is not forgotten over the login.
    let screen = "document.querySelector('.xterm-rows')?.innerText.replaceAll('\\u00a0', ' ')";
    browser.wait_for(&format!("{screen}?.includes('term> ')"));
    wait_until("somebody to eat", || {
        let meals = demo.ask("meals()");
        let mut rows = meals.as_array().expect("rows").iter();
        rows.any(|it| it["meals"].as_u64() > Some(0))
    });
    type_in("polite(false)\u{e007}");
    // Sooner or later each has one fork.
    wait_until("a deadlock of all", || demo.ask("deadlocks().len()") == 5);
    type_in("deadlocks()\u{e007}");
    for name in ["Thales", "Hypatia", "Diotima", "Epicurus", "Arete"] {
        browser.wait_for(&format!("{screen}.includes('{name}')"));
    }
}
