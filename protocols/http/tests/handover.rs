//! A process that is replaced by another while clients ask: none of them is refused.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use grapeshot::net::TcpListener;
use grapeshot_http::handover::{Handover, inherit};
use grapeshot_http::{Router, Server};

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program that is replaced: it inherits its listener or binds one, serves, and waits for its successor.
fn program(socket: &Path, name: &str) {
    let (socket, name) = (socket.to_owned(), name.to_owned());
    grapeshot::run(move || {
        let inherited = inherit(&socket).unwrap();
        let (listener, inherited) = match inherited {
            Some(mut inherited) => (inherited.tcp("web").unwrap().unwrap(), Some(inherited)),
            None => (TcpListener::bind("127.0.0.1:0").unwrap(), None),
        };
        let kept = listener.try_clone().unwrap();
        println!("{}", listener.local_addr().unwrap());
        let server = Server::with_handler(Router::new().get("/", move |_| name.clone()));
        let listening = server.listen(listener);
        // Whoever comes next finds this process, and no longer the one before.
        let handover = Handover::bind(&socket).unwrap();
        if let Some(inherited) = inherited {
            inherited.ready().unwrap();
        }
        handover.offer(&[("web", kept.as_fd())]).unwrap();
        server.drain(Duration::from_secs(20));
        listening.wait().unwrap();
        while server.statistics().connections > 0 {
            grapeshot::sleep(Duration::from_millis(10));
        }
    });
}

/// Not a test: the program, when this binary is started as one.
#[test]
fn started_as_a_program() {
    if let (Some(socket), Ok(name)) = (
        std::env::var_os("HANDOVER_SOCKET"),
        std::env::var("HANDOVER_NAME"),
    ) {
        program(Path::new(&socket), &name);
    }
}

/// A running program, and the address that it serves.
struct Program(Child);

impl Program {
    fn start(socket: &Path, name: &str) -> (Self, SocketAddr) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "started_as_a_program", "--nocapture"])
            .env("HANDOVER_SOCKET", socket)
            .env("HANDOVER_NAME", name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut address = None;
        let mut line = String::new();
        while address.is_none() {
            line.clear();
            let count = std::io::BufRead::read_line(&mut output, &mut line).unwrap();
            assert!(count > 0, "the program ended");
            address = line.split_whitespace().find_map(|word| word.parse().ok());
        }
        // What it says is read on, or it would be killed by it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        (Self(child), address.unwrap())
    }

    fn wait(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            std::thread::yield_now();
        }
        false
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(stream: &mut TcpStream) -> std::io::Result<(String, bool)> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
    let mut text = String::new();
    let mut chunk = [0; 1000];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        if let Some((head, content)) = text.split_once("\r\n\r\n")
            && content.len() >= 3
        {
            return Ok((content.to_owned(), head.contains("Connection: close")));
        }
    }
}

/// Asks without a pause, on connections that it keeps while it may; gives who answered, and fails on the first loss.
fn hammer(address: SocketAddr, stop: &AtomicBool) -> Vec<String> {
    let mut answers: Vec<String> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("nobody is refused");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..20 {
            let (who, last) = ask(&mut stream).expect("each request is answered");
            answers.push(who);
            if last || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    answers.dedup();
    answers
}

#[test]
fn a_new_process_takes_over_and_no_request_is_lost() {
    let folder: PathBuf =
        std::env::temp_dir().join(format!("grapeshot-handover-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("socket");
    let (mut old, address) = Program::start(&socket, "old");
    let stop = Arc::new(AtomicBool::new(false));
    let hammers: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || hammer(address, &stop))
        })
        .collect();
    let (new, inherited) = Program::start(&socket, "new");
    assert_eq!(inherited, address, "the same listener");
    assert!(
        old.wait(),
        "the old one ends by itself when it has done its work"
    );
    // Whoever asks now is answered by the new one.
    let mut stream = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut stream).unwrap().0, "new");
    stop.store(true, Ordering::Relaxed);
    for hammer in hammers {
        let answers = hammer.join().expect("no request was lost");
        assert!(answers.len() <= 4, "{answers:?}");
    }
    drop(new);
    std::fs::remove_dir_all(&folder).unwrap();
}
