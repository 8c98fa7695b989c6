//! A server whose process may open few descriptors: it keeps serving, says why it pauses, and recovers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use grapeshot::net::TcpListener;
use grapeshot_http::Server;

const PATIENCE: Duration = Duration::from_secs(30);
/// Set in the process that is the server.
const CHILD: &str = "GRAPESHOT_HTTP_FAULTS_CHILD";
const DESCRIPTORS: u32 = 48;
const CLIENTS: usize = 60;

/// Prints what the server logs.
struct Print;

impl log::Log for Print {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        println!("log {} {}", record.level(), record.args());
    }
    fn flush(&self) {}
}

/// The server's process: prints its address, serves until its input ends, prints its figures.
fn child() {
    log::set_logger(&Print).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    grapeshot::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("address {}", listener.local_addr().unwrap());
        let server = Server::new(|_request, response| response.send("fine"));
        let handle = server.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read(&mut [0]);
            handle.shutdown(Duration::from_secs(1));
        });
        server.serve(listener).unwrap();
        println!("total {}", server.statistics().connections_total);
    });
}

fn ask(stream: &mut TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
}

/// Takes one answer.
fn answered(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"fine") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
}

#[test]
fn running_out_of_descriptors_is_survived() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let limited = format!(
        "ulimit -n {DESCRIPTORS}; exec \"$0\" --exact running_out_of_descriptors_is_survived --nocapture"
    );
    let mut server = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let address = lines
        .find_map(|line| line.split("address ").nth(1).map(str::to_owned))
        .expect("an address");
    // The kernel completes all of them; the server can only take some.
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    for client in &mut clients {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        ask(client);
    }
    let complaint = lines
        .find(|line| line.contains("log WARN"))
        .expect("it says that it pauses");
    assert!(complaint.contains("Too many open files"), "{complaint}");
    // The first in the queue is served, again and again, while others wait.
    for _ in 0..3 {
        answered(&mut clients[0]);
        ask(&mut clients[0]);
    }
    // Those who leave make room for the next; everybody is served in the end.
    for mut client in clients {
        answered(&mut client);
    }
    drop(server.stdin.take());
    let rest: Vec<String> = lines.collect();
    assert!(server.wait().unwrap().success(), "{rest:?}");
    let count = |what: &str| rest.iter().filter(|line| line.contains(what)).count();
    let episodes = count("log INFO");
    assert!(episodes >= 1, "it says that it goes on: {rest:?}");
    assert!(
        count("log WARN") <= episodes,
        "not more than one complaint an episode: {rest:?}"
    );
    assert_eq!(count(&format!("total {CLIENTS}")), 1, "{rest:?}");
}
