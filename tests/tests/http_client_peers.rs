//! The HTTP client against servers and proxies of others: nginx, Python's, tinyproxy, microsocks; and our own over TLS.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use grapeshot_http::client::{Client, ErrorKind, Phase, Proxies, Proxy};
use grapeshot_http::{HandlerError, Server};
use grapeshot_tls::demo::Authority;

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("grapeshot-client-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A peer that ends with the test.
struct Peer(Child, u16);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a peer on a port that was free a moment ago, and waits until it takes connections. Another process may be faster
/// to the port; then the peer ends at once, and another port is tried.
fn start(mut command: impl FnMut(u16) -> Command) -> Peer {
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = command(port)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the peer is installed");
        let mut peer = Peer(child, port);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if peer.0.try_wait().unwrap().is_some() {
                break;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return peer;
            }
            std::thread::yield_now();
        }
    }
    panic!("the peer does not take connections");
}

fn nginx(folder: &Folder) -> Peer {
    start(|port| {
        let root = folder.0.display();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr; worker_processes 1;
             events {{ worker_connections 256; }}
             http {{
               access_log off; gzip on; gzip_min_length 1; gzip_types text/plain; default_type text/plain; client_max_body_size 1m;
               client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fcgi;
               uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
               server {{ listen 127.0.0.1:{port}; root {root}/www; keepalive_requests 3;
                 location = /moved {{ return 301 /hello.txt; }}
                 location = /refuse {{ return 413; }} }} }}"
        );
        let path = folder.write(&format!("nginx-{port}.conf"), config);
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-c", &path, "-p", folder.0.to_str().unwrap()]);
        command
    })
}

fn direct() -> Client {
    Client::builder()
        .proxies(Proxies::none())
        .timeout(Phase::Total, PATIENCE)
        .build()
}

fn large() -> Vec<u8> {
    (0..2_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn nginx_serves_us() {
    let folder = Folder::new("nginx");
    folder.write("www/hello.txt", "hello ".repeat(1000));
    folder.write("www/large", large());
    let peer = nginx(&folder);
    let port = peer.1;
    let url = move |path: &str| format!("http://127.0.0.1:{port}{path}");
    grapeshot::run(move || {
        let client = direct();
        // It closes each connection after three requests; nobody notices.
        for _ in 0..10 {
            let response = client.get(url("/hello.txt")).unwrap();
            assert_eq!(response.header("content-encoding"), Some("gzip"));
            assert_eq!(response.text().unwrap(), "hello ".repeat(1000));
        }
        let statistics = client.statistics();
        assert_eq!(
            (statistics.opened, statistics.reused),
            (4, 6),
            "{statistics:?}"
        );
        let moved = client.get(url("/moved")).unwrap();
        assert_eq!(moved.redirects().len(), 1);
        assert_eq!(moved.text().unwrap(), "hello ".repeat(1000));
        assert_eq!(client.get(url("/none")).unwrap().status().code(), 404);
        let head = client.request("HEAD", url("/large")).decompress(false);
        let head = head.send().unwrap();
        assert_eq!(head.content_length(), Some(2_000_000));
        let tag = head.header("etag").unwrap().to_owned();
        // Content that it does not want, asked for and not.
        for expect in [true, false] {
            let request = client.put(url("/refuse")).body(vec![0; 20_000_000]);
            let request = if expect {
                request.expect_continue()
            } else {
                request
            };
            match request.send() {
                Ok(response) => assert_eq!(response.status().code(), 413),
                // It resets the connection with its answer under way, which may overtake it.
                Err(error) => assert!(
                    !expect && matches!(error.kind(), ErrorKind::Io(..)),
                    "{error}"
                ),
            }
        }
        let part = folder.write("file.part", &large()[..700_000]);
        let file = part.trim_end_matches(".part");
        folder.write("file.part.from", format!("{tag}\n{}", url("/large")));
        let done = client.download(url("/large")).to(file).unwrap();
        assert_eq!((done.resumed_from, done.length), (700_000, 2_000_000));
        assert_eq!(fs::read(file).unwrap(), large());
    });
}

#[test]
fn python_serves_us() {
    let folder = Folder::new("python");
    folder.write("hello.txt", "hello");
    folder.write("large", large());
    let peer = start(|port| {
        let mut command = Command::new("/usr/bin/python3");
        command
            .args([
                "-m",
                "http.server",
                "--bind",
                "127.0.0.1",
                &port.to_string(),
            ])
            .current_dir(&folder.0);
        command
    });
    let port = peer.1;
    let url = move |path: &str| format!("http://127.0.0.1:{port}{path}");
    grapeshot::run(move || {
        let client = direct();
        for _ in 0..5 {
            // It speaks HTTP/1.0.
            assert_eq!(
                client.get(url("/hello.txt")).unwrap().text().unwrap(),
                "hello"
            );
        }
        assert!(
            client
                .get(url("/"))
                .unwrap()
                .text()
                .unwrap()
                .contains("hello.txt")
        );
        assert_eq!(client.get(url("/large")).unwrap().bytes().unwrap(), large());
        let refused = client.post(url("/")).body("x").send().unwrap();
        assert_eq!(refused.status().code(), 501);
        let path = folder.0.join("copy");
        assert_eq!(
            client.download(url("/large")).to(&path).unwrap().length,
            2_000_000
        );
        assert_eq!(fs::read(path).unwrap(), large());
    });
}

/// Our own server over TLS on loopback, and an authority that vouches for it.
struct Secure {
    server: Server,
    address: SocketAddr,
    authority: Authority,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Secure {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let identity = authority.host(["localhost"]).issue().unwrap();
        let config = grapeshot_tls::server::Config::new(identity.chain(), identity.key()).unwrap();
        let server = Server::new(|request, response| -> Result<(), HandlerError> {
            let content = request.read_body()?;
            Ok(response.send(format!("{} {}", request.path(), content.len()))?)
        });
        let (tell, told) = std::sync::mpsc::channel();
        let theirs = server.clone();
        let thread = std::thread::spawn(move || {
            grapeshot::run(move || {
                let listener = grapeshot::net::TcpListener::bind("127.0.0.1:0").unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                theirs
                    .serve(grapeshot_tls::Listener::new(listener, &config))
                    .unwrap();
            });
        });
        Self {
            server,
            address: told.recv().unwrap(),
            authority,
            thread: Some(thread),
        }
    }

    fn client(&self, proxies: Proxies) -> Client {
        let config = grapeshot_tls::client::Config::builder()
            .authorities(self.authority.pem())
            .build()
            .unwrap();
        Client::builder()
            .proxies(proxies)
            .tls(config)
            .timeout(Phase::Total, PATIENCE)
            .build()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/x", self.address.port())
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.server.shutdown(Duration::ZERO);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

#[test]
fn https_to_our_own_server() {
    let secure = Secure::new();
    grapeshot::run(move || {
        let client = secure.client(Proxies::none());
        for _ in 0..3 {
            assert_eq!(client.get(secure.url()).unwrap().text().unwrap(), "/x 0");
        }
        let large = client
            .put(secure.url())
            .body(vec![0; 900_000])
            .send()
            .unwrap();
        assert_eq!(large.text().unwrap(), "/x 900000");
        assert_eq!(client.statistics().opened, 1);
        // Nobody vouches for it, and it is not called so.
        for (client, url) in [
            (direct(), secure.url()),
            (client, secure.url().replace("localhost", "127.0.0.1")),
        ] {
            let error = client.get(url).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Io(Phase::Handshake, _)),
                "{error}"
            );
        }
        // TLS on a plain port, and the reverse.
        let confused = direct().get(secure.url().replace("https", "http"));
        assert!(confused.is_err() || confused.unwrap().status().code() == 400);
    });
}

#[test]
fn tinyproxy_lets_us_through() {
    let secure = Secure::new();
    let folder = Folder::new("tinyproxy");
    folder.write("www/hello.txt", "hello");
    let server = nginx(&folder);
    let peer = start(|port| {
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth me pw\nDisableViaHeader Yes\n"
        );
        let path = folder.write(&format!("tinyproxy-{port}.conf"), config);
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c", &path]);
        command
    });
    grapeshot::run(move || {
        let through = |who: &str| {
            let proxy = Proxy::new(&format!("http://{who}127.0.0.1:{}", peer.1)).unwrap();
            secure.client(Proxies::all(proxy))
        };
        let client = through("me:pw@");
        let plain = format!("http://127.0.0.1:{}/hello.txt", server.1);
        for _ in 0..3 {
            assert_eq!(client.get(&plain).unwrap().text().unwrap(), "hello");
            assert_eq!(client.get(secure.url()).unwrap().text().unwrap(), "/x 0");
        }
        assert_eq!(through("").get(&plain).unwrap().status().code(), 407);
        let error = through("").get(secure.url()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Proxy(_)), "{error}");
        assert!(error.to_string().contains("407"), "{error}");
    });
}

#[test]
fn microsocks_lets_us_through() {
    let secure = Secure::new();
    let peer = start(|port| {
        let mut command = Command::new("microsocks");
        command.args([
            "-i",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-u",
            "me",
            "-P",
            "pw",
        ]);
        command
    });
    grapeshot::run(move || {
        let through = |who: &str| {
            let proxy = Proxy::new(&format!("socks5://{who}127.0.0.1:{}", peer.1)).unwrap();
            secure.client(Proxies::all(proxy))
        };
        let client = through("me:pw@");
        for _ in 0..3 {
            assert_eq!(client.get(secure.url()).unwrap().text().unwrap(), "/x 0");
        }
        assert_eq!(client.statistics().opened, 1);
        for who in ["", "me:wrong@"] {
            let error = through(who).get(secure.url()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Proxy(_)), "{error}");
        }
        let error = client.get("https://localhost:1/").unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    });
}

#[test]
fn a_curl_sized_answer_is_streamed() {
    // From nginx in pieces: nothing of it is kept.
    let folder = Folder::new("stream");
    let line = "0123456789abcdef".repeat(4) + "\n";
    folder.write("www/lines.bin", line.repeat(100_000));
    let peer = nginx(&folder);
    let url = format!("http://127.0.0.1:{}/lines.bin", peer.1);
    grapeshot::run(move || {
        let response = direct().get(url).unwrap();
        let mut lines = BufReader::new(response.limit(10_000_000));
        let mut text = String::new();
        let mut count = 0;
        while lines.read_line(&mut text).unwrap() > 0 {
            assert_eq!(text, line);
            text.clear();
            count += 1;
        }
        assert_eq!(count, 100_000);
        assert_eq!(lines.get_mut().read(&mut [0]).unwrap(), 0);
    });
}
