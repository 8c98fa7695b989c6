//! Files from a folder, over real connections.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use grapeshot_http::{Peer, Server, StaticFiles};

/// A folder of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("grapeshot-http-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server(root: &Path) -> Server {
    let files = StaticFiles::new(root).unwrap();
    Server::new(move |request, response| files.answer(request, response))
}

/// One request, everything that comes back.
fn ask(server: &Server, request: &str) -> String {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let theirs = grapeshot_http::TakingTurns::new(theirs);
    ours.write_all(request.as_bytes()).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| server.serve_stream(theirs, Peer::Unix));
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
}

fn get(server: &Server, path: &str) -> String {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
}

fn content(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer
        .split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn files_are_served_with_type_length_and_date() {
    let root = Folder::new("serve");
    root.file("index.html", "<p>home");
    root.file("sub/index.html", "<p>sub");
    root.file("a b.txt", "spaced");
    root.file("empty.css", "");
    let long = "0123456789".repeat(30_000);
    root.file("long.bin", &long);
    let server = server(&root.0);
    let home = get(&server, "/");
    assert!(home.starts_with("HTTP/1.1 200 "));
    assert_eq!(
        (content(&home), header(&home, "Content-Type")),
        ("<p>home", Some("text/html; charset=utf-8"))
    );
    assert!(header(&home, "Last-Modified").is_some() && header(&home, "ETag").is_some());
    assert_eq!(content(&get(&server, "/sub/")), "<p>sub");
    assert_eq!(content(&get(&server, "/a%20b.txt?x=y")), "spaced");
    let empty = get(&server, "/empty.css");
    assert_eq!(
        (content(&empty), header(&empty, "Content-Length")),
        ("", Some("0"))
    );
    assert_eq!(content(&get(&server, "/long.bin")), long);
    let moved = get(&server, "/sub?q");
    assert!(moved.starts_with("HTTP/1.1 301 "));
    assert_eq!(header(&moved, "Location"), Some("/sub/?q"));
    for missing in [
        "/none",
        "/index.html/",
        "/sub/none",
        "/a%20b.txt/x",
        "/long.bin/",
    ] {
        assert!(
            get(&server, missing).starts_with("HTTP/1.1 404 "),
            "{missing}"
        );
    }
    let head = ask(&server, "HEAD /long.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        (content(&head), header(&head, "Content-Length")),
        ("", Some("300000"))
    );
    assert!(ask(&server, "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 405 "));
}

#[test]
fn nothing_outside_of_the_root_is_reachable() {
    let outer = Folder::new("traversal");
    let secret = outer.file("secret.txt", "the secret");
    outer.file("root/public.txt", "public");
    outer.file("root/.hidden", "the secret");
    outer.file("root/sub/deep.txt", "deep");
    outer.file("root-sibling/x.txt", "the secret");
    let root = outer.0.join("root");
    symlink(&secret, root.join("absolute.txt")).unwrap();
    symlink("../secret.txt", root.join("relative.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/", root.join("top")).unwrap();
    symlink("sub/deep.txt", root.join("inside.txt")).unwrap();
    let server = server(&root);
    assert_eq!(content(&get(&server, "/public.txt")), "public");
    assert_eq!(
        content(&get(&server, "/inside.txt")),
        "deep",
        "a link within the root is followed"
    );
    let top = format!("/top{}", secret.display());
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/..\\secret.txt",
        "/%5c..%5csecret.txt",
        "/public.txt%00.html",
        "/absolute.txt",
        "/relative.txt",
        "/up/secret.txt",
        "/up/",
        &top,
        "/.hidden",
        "/../root-sibling/x.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/./public.txt",
    ] {
        let answer = get(&server, path);
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && !answer.contains("secret."),
            "{path}: {answer}"
        );
        assert!(!content(&answer).contains("the secret"), "{path}");
    }
    let absolute = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", secret.display());
    assert!(ask(&server, &absolute).starts_with("HTTP/1.1 404 "));
}

#[test]
fn what_is_no_regular_file_is_not_served() {
    let root = Folder::new("special");
    let made = std::process::Command::new("mkfifo")
        .arg(root.0.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(root.0.join("socket")).unwrap();
    let server = server(&root.0);
    for path in ["/pipe", "/socket"] {
        assert!(get(&server, path).starts_with("HTTP/1.1 404 "), "{path}");
    }
    assert!(StaticFiles::new(root.0.join("none")).is_err());
    assert!(StaticFiles::new(root.file("file", "")).is_err());
}

#[test]
fn a_client_that_has_the_file_is_not_sent_it_again() {
    let root = Folder::new("conditional");
    let path = root.file("a.txt", "one");
    let server = server(&root.0);
    let first = get(&server, "/a.txt");
    let (date, tag) = (
        header(&first, "Last-Modified").unwrap(),
        header(&first, "ETag").unwrap(),
    );
    let conditional = |headers: &str| {
        ask(
            &server,
            &format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{headers}\r\n"),
        )[9..12]
            .to_owned()
    };
    assert_eq!(
        conditional(&format!("If-Modified-Since: {date}\r\n")),
        "304"
    );
    assert_eq!(conditional(&format!("If-None-Match: {tag}\r\n")), "304");
    assert_eq!(
        conditional("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        "200"
    );
    assert_eq!(conditional("If-Modified-Since: yesterday\r\n"), "200");
    // A tag that does not match outweighs the date.
    assert_eq!(
        conditional(&format!(
            "If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"
        )),
        "200"
    );
    fs::write(&path, "another").unwrap();
    assert_eq!(conditional(&format!("If-None-Match: {tag}\r\n")), "200");
}
