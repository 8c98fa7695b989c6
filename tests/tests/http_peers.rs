//! The HTTP server against curl and against raw sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use grapeshot_http::{HandlerError, Limits, Request, Response, Server, StaticFiles, Status};
use grapeshot_tests::serving::Serving;

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(30);

struct Answered {
    output: String,
    /// curl's own trace: what went over the wire, and over which connection.
    trace: String,
}

fn curl(arguments: &[&str]) -> Answered {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--verbose",
            "--http1.1",
            "--noproxy",
            "*",
            "--max-time",
            "30",
        ])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let trace = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {trace}");
    Answered {
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        trace,
    }
}

fn mirror(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let content = request.read_body()?;
    let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
    let text = format!(
        "{} {} {} {sum}",
        request.method(),
        request.path(),
        content.len()
    );
    Ok(response.send_text(&text)?)
}

fn mirror_server() -> Server {
    let mut limits = Limits::default();
    limits.body = 8 << 20;
    Server::with_limits(limits, mirror)
}

/// A file of `length` bytes, and the sum of them.
fn file(name: &str, length: usize) -> (PathBuf, u64) {
    let content: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
    let path = std::env::temp_dir().join(format!(
        "grapeshot-http-peers-{}-{name}",
        std::process::id()
    ));
    fs::write(&path, &content).unwrap();
    (path, content.iter().map(|byte| u64::from(*byte)).sum())
}

#[test]
fn curl_keeps_its_connection() {
    let serving = Serving::new(mirror_server());
    let urls: Vec<String> = (0..5).map(|n| serving.url(&format!("/{n}"))).collect();
    let answered = curl(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        answered.output,
        "GET /0 0 0GET /1 0 0GET /2 0 0GET /3 0 0GET /4 0 0"
    );
    assert_eq!(
        answered
            .trace
            .matches("Re-using existing connection")
            .count(),
        4,
        "{}",
        answered.trace
    );
    let statistics = serving.server.statistics();
    assert_eq!((statistics.connections_total, statistics.requests), (1, 5));
}

#[test]
fn curl_asks_for_the_head_only() {
    let serving = Serving::new(mirror_server());
    let answered = curl(&["--head", &serving.url("/a"), &serving.url("/b")]);
    assert_eq!(answered.output.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answered.output.matches("Content-Length: 11").count(), 2);
    assert_eq!(
        answered
            .trace
            .matches("Re-using existing connection")
            .count(),
        1,
        "{}",
        answered.trace
    );
}

#[test]
fn curl_uploads_counted_chunked_and_with_leave() {
    let serving = Serving::new(mirror_server());
    let (path, sum) = file("upload", 5_000_000);
    let name = path.display().to_string();
    let want = format!("PUT /up 5000000 {sum}");
    let counted = curl(&["--upload-file", &name, &serving.url("/up")]);
    assert_eq!(counted.output, want);
    // curl asks for leave before it sends this much, and waits a second for it; the trace shows that it came.
    assert!(
        counted.trace.contains("< HTTP/1.1 100 Continue"),
        "{}",
        counted.trace
    );
    let chunked = [
        "--header",
        "Transfer-Encoding: chunked",
        "--header",
        "Expect:",
        "--upload-file",
        &name,
    ];
    let urls = [serving.url("/up"), serving.url("/up")];
    let answered = curl(
        &[
            &chunked[..],
            &[&urls[0], "--next", "--silent"],
            &chunked[..],
            &[&urls[1]],
        ]
        .concat(),
    );
    assert_eq!(answered.output, want.repeat(2));
    assert!(!answered.trace.contains("100 Continue"));
    fs::remove_file(path).unwrap();
}

#[test]
fn curl_is_told_that_its_upload_is_too_long() {
    let serving = Serving::new(Server::new(mirror));
    let (path, _) = file("too-long", 3_000_000);
    let name = path.display().to_string();
    for expect in ["Expect: 100-continue", "Expect:"] {
        let status = [
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--header",
            expect,
        ];
        let answered = curl(
            &[
                &status[..],
                &["--data-binary", &format!("@{name}"), &serving.url("/")],
            ]
            .concat(),
        );
        assert_eq!(answered.output, "413", "{expect}: {}", answered.trace);
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn curl_takes_content_in_pieces() {
    let serving = Serving::new(Server::new(|_, response| {
        let mut writer = response.start()?;
        for n in 0..1000 {
            writeln!(writer, "line {n}")?;
        }
        writer.finish()
    }));
    let want: String = (0..1000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(curl(&[&serving.url("/")]).output, want);
    assert_eq!(curl(&["--http1.0", &serving.url("/")]).output, want);
}

#[test]
fn curl_gets_files_and_nothing_else() {
    let root = std::env::temp_dir().join(format!("grapeshot-http-root-{}", std::process::id()));
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/index.html"), "<p>sub").unwrap();
    let files = StaticFiles::new(&root).unwrap();
    let serving = Serving::new(Server::new(move |request, response| {
        files.answer(request, response)
    }));
    let answered = curl(&["--location", &serving.url("/sub")]);
    assert_eq!(answered.output, "<p>sub");
    assert!(
        answered
            .trace
            .contains("< Content-Type: text/html; charset=utf-8")
    );
    let status = |path: &str, more: &[&str]| {
        let url = serving.url(path);
        let arguments = [
            &[
                "--path-as-is",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ],
            more,
            &[&url],
        ];
        curl(&arguments.concat()).output
    };
    assert_eq!(status("/../../../../etc/passwd", &[]), "404");
    assert_eq!(status("/%2e%2e/%2e%2e/%2e%2e/etc/passwd", &[]), "404");
    assert_eq!(status("/sub/", &["--time-cond", "1 Jan 2037"]), "304");
    assert_eq!(status("/sub/", &["--time-cond", "1 Jan 2000"]), "200");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn raw_pipelined_requests_are_answered_in_order() {
    let serving = Serving::new(mirror_server());
    let requests: String = (0..500)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect();
    let answer = serving.exchange(requests);
    let mut last = 0;
    for n in 0..500 {
        let at = answer[last..]
            .find(&format!("GET /{n} 0 0"))
            .unwrap_or_else(|| panic!("{n} is missing or late"));
        last += at;
    }
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 500);
}

#[test]
fn a_refused_client_reads_why_even_while_it_sends() {
    let serving = Serving::new(mirror_server());
    let mut stream = serving.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")
        .unwrap();
    // The server has already refused; what it does not read must not make the kernel take its answer back.
    stream.write_all(&vec![b'x'; 300_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nConnection: close\r\n"));
}

#[test]
fn a_panic_in_a_handler_harms_nobody_else() {
    let serving = Serving::new(Server::new(|request, response| {
        assert!(request.path() != "/panic", "as was asked for");
        response.send_text("fine")
    }));
    let mut other = serving.connect();
    let ask = |stream: &mut TcpStream| {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"fine") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
    };
    ask(&mut other);
    let answer = serving.exchange("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {}\r\n", Status::INTERNAL_SERVER_ERROR))
            && !answer.contains("asked")
    );
    ask(&mut other);
    assert_eq!(serving.server.statistics().panicked, 1);
}

#[test]
fn shutting_down_finishes_what_is_under_way_and_closes_what_is_idle() {
    let (entered, has_entered) = std::sync::mpsc::channel();
    let release = std::sync::Arc::new(grapeshot::sync::Event::new());
    let released = std::sync::Arc::clone(&release);
    let serving = Serving::new(Server::new(move |request, response| {
        if request.path() == "/slow" {
            entered.send(()).unwrap();
            released.wait();
        }
        response.send_text("done")
    }));
    let mut idle = serving.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let mut answer = [0; 4096];
    assert!(idle.read(&mut answer).unwrap() > 0);
    let mut busy = serving.connect();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    has_entered.recv().unwrap();
    serving.server.shutdown(PATIENCE);
    assert_eq!(
        idle.read(&mut answer).unwrap(),
        0,
        "the idle connection is closed"
    );
    release.set();
    let mut text = String::new();
    busy.read_to_string(&mut text).unwrap();
    assert!(
        text.contains("\r\nConnection: close\r\n") && text.ends_with("done"),
        "{text}"
    );
    let (address, server) = (serving.address, serving.server.clone());
    drop(serving);
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
    assert_eq!(server.statistics().connections, 0);
}
