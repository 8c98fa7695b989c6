//! A server whose process may open few descriptors: it keeps serving, says why it pauses, and recovers. One whose disk is full:
//! it says so, and nothing half-written is left.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use grapeshot::net::TcpListener;
use grapeshot_http::{
    HandlerError, MultipartLimits, Rejection, Request, Router, Server, StaticFiles, Status,
};
use grapeshot_vfs::{FilePath, FileSystem, Folder};

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

/// Set in the process whose disk gets full: the folder on that disk.
const FULL: &str = "GRAPESHOT_HTTP_FAULTS_FULL";

/// Writes the files of a form into the folder.
fn take(folder: &Path, request: &mut Request<'_>) -> Result<Status, HandlerError> {
    request.limit_body(10 << 20);
    let folder = Folder::new(folder)?;
    let mut parts = request.multipart(MultipartLimits::default())?;
    while let Some(mut part) = parts.next_part()? {
        let name = part.file_name().ok_or("no file")?.to_owned();
        let path = FilePath::of_names([&name]).map_err(|_| "no name")?;
        let mut file = folder.create(&path).map_err(Rejection::of_files)?;
        let mut chunk = [0; 10_000];
        loop {
            let count = part.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            file.write_all(&chunk[..count])
                .map_err(Rejection::of_files)?;
        }
        file.commit().map_err(Rejection::of_files)?;
    }
    Ok(Status::CREATED)
}

/// The process of a server that keeps what it is sent in a folder, of which it tells every name, the hidden ones too.
fn keeper(folder: &Path) {
    let (listed, posted) = (folder.to_owned(), folder.to_owned());
    let names = move || -> std::io::Result<String> {
        let entries = std::fs::read_dir(&listed)?;
        let names: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.file_name())).collect();
        let mut names: Vec<_> = names.map_err(|error: std::io::Error| error)?;
        names.sort();
        Ok(format!("{names:?}"))
    };
    let site = Router::new()
        .get("/names", move |_| names())
        .post("/upload", move |request| take(&posted, request))
        .any(
            "/files/{rest...}",
            StaticFiles::new(folder).unwrap().writable(10 << 20),
        );
    grapeshot::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("address {}", listener.local_addr().unwrap());
        let server = Server::with_handler(site);
        let handle = server.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read(&mut [0]);
            handle.shutdown(Duration::from_secs(1));
        });
        server.serve(listener).unwrap();
    });
}

/// Ends with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this user may mount a file system of their own.
fn may_mount(folder: &Path) -> bool {
    let tried = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "-o", "size=256k", "none"])
        .arg(folder)
        .output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_is_said_to_be_full_and_keeps_no_halves() {
    if let Some(folder) = std::env::var_os(FULL) {
        return keeper(Path::new(&folder));
    }
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let run = "exec \"$0\" --exact a_full_disk_is_said_to_be_full_and_keeps_no_halves --nocapture";
    if may_mount(&disk) {
        let mounted = format!("mount -t tmpfs -o size=256k none \"${FULL}\" && {run}");
        a_disk_gets_full(&disk, &["unshare", "-rm", "sh", "-c", &mounted]);
    } else {
        println!("no file system may be mounted here; a limit on files stands for a full disk");
    }
    // Where files may not grow, in blocks of 512 bytes; the signal that says so would end the process.
    let limited = format!("trap '' XFSZ; ulimit -f 500; {run}");
    a_disk_gets_full(&disk, &["sh", "-c", &limited]);
}

fn a_disk_gets_full(disk: &Path, command: &[&str]) {
    let mut server = Killed(
        Command::new(command[0])
            .args(&command[1..])
            .arg(std::env::current_exe().unwrap())
            .env(FULL, disk)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(server.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let address = lines
        .find_map(|line| line.split("address ").nth(1).map(str::to_owned))
        .expect("an address");
    let source = disk.with_file_name("content");
    let source = source.to_str().unwrap();
    let ask = |arguments: &[&str], path: &str| {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--http1.1",
                "--noproxy",
                "*",
                "--max-time",
                "60",
            ])
            .args(["--write-out", "|%{http_code}"])
            .args(arguments)
            .arg(format!("http://{address}{path}"))
            .output()
            .expect("curl is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let put = |name: &str, size: usize, more: &[&str]| {
        std::fs::write(source, vec![b'a' + (size / 100_000) as u8; size]).unwrap();
        let arguments = [&["--upload-file", source], more].concat();
        ask(&arguments, &format!("/files/{name}"))
    };
    let chunked = ["--header", "Transfer-Encoding: chunked"];
    let full = "there is no room for it\n|507";
    assert_eq!(put("small", 100_000, &[]), "|201");
    assert_eq!(put("large", 1_000_000, &[]), full);
    assert_eq!(put("large", 1_000_000, &chunked), full);
    assert_eq!(put("small", 900_000, &[]), full);
    let form = format!("file=@{source};filename=large");
    assert_eq!(ask(&["--form", &form], "/upload"), full);
    assert_eq!(ask(&[], "/names"), "[\"small\"]|200");
    let kept = ask(&[], "/files/small");
    assert_eq!(
        kept,
        "b".repeat(100_000) + "|200",
        "what was there is there"
    );
    // All room is there again.
    assert_eq!(ask(&["--request", "DELETE"], "/files/small"), "|204");
    assert_eq!(put("next", 200_000, &[]), "|201");
    assert_eq!(ask(&["--request", "DELETE"], "/files/next"), "|204");
    drop(server.0.stdin.take());
    let rest: Vec<String> = lines.collect();
    assert!(server.0.wait().unwrap().success(), "{rest:?}");
}
