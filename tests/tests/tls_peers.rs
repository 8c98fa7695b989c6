//! TLS with OpenSSL's client and server, and HTTPS and wss with foreign and own clients.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use grapeshot::net::{Listener as _, Stream as _, TcpListener, TcpStream};
use grapeshot_http::{HandlerError, Request, Response, Server};
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Backend, Connector, Info, Listener, TlsStream, Version, client, server};

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority with a host's and a client's certificate, in files.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new().expect("an authority");
        let files = Self { folder, authority };
        let host = files
            .authority
            .host(["localhost", "127.0.0.1"])
            .issue()
            .expect("made");
        let ada = files.authority.client("Ada").issue().expect("made");
        fs::write(files.at("ca.pem"), files.authority.certificate_pem()).expect("written");
        for (name, identity) in [("host", host), ("ada", ada)] {
            fs::write(files.at(&format!("{name}.pem")), &identity.chain_pem).expect("written");
            fs::write(files.at(&format!("{name}.key")), &identity.key_pem).expect("written");
        }
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self) -> server::Builder {
        server::Config::builder().certificate(self.at("host.pem"), self.at("host.key"))
    }

    fn client(&self) -> client::Builder {
        client::Config::builder()
            .backend(Backend::Rustls)
            .authorities(self.at("ca.pem"))
    }
}

/// A server in a runtime of its own, which ends when this is dropped.
struct Shouting {
    address: SocketAddr,
    infos: Receiver<Info>,
    end: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shouting {
    /// Sends each line back in capitals until one says bye; then it says close_notify.
    fn new(config: server::Builder) -> Self {
        let (tell, told) = channel();
        let (inform, infos) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            grapeshot::run(move || {
                let config = config.build().expect("good files");
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                tell.send(listener.local_addr().expect("it has one"))
                    .expect("it is waited for");
                let listener = Listener::new(listener, &config);
                let accepting = grapeshot::spawn(move || {
                    while let Ok((stream, _)) = listener.accept() {
                        let inform = inform.clone();
                        grapeshot::spawn(move || shout(&stream, &inform));
                    }
                });
                let _ = grapeshot::unblock(move || ended.recv());
                accepting.interrupt();
            });
        });
        Self {
            address: told.recv_timeout(PATIENCE).expect("an address"),
            infos,
            end: Some(end),
            thread: Some(thread),
        }
    }

    fn info(&self) -> Info {
        self.infos.recv_timeout(PATIENCE).expect("a connection")
    }
}

impl Drop for Shouting {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().expect("it runs").join();
    }
}

fn shout(stream: &TlsStream<TcpStream>, inform: &Sender<Info>) {
    let _ = grapeshot::with_timeout(PATIENCE, || {
        if stream.prepare().is_err() {
            return;
        }
        let _ = inform.send(stream.info());
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut writer = stream;
            if writeln!(writer, "{}", line.to_uppercase()).is_err() || line == "bye" {
                break;
            }
        }
        let _ = stream.close();
    });
}

/// Runs `openssl s_client`, types these lines, and gives what it printed.
fn s_client(files: &Files, address: SocketAddr, arguments: &[&str], lines: &[&str]) -> String {
    let mut client = Command::new("sh")
        .args(["-c", "exec timeout 60 openssl s_client \"$@\" 2>&1", "sh"])
        .args(["-servername", "localhost"])
        .args(["-verify_return_error", "-verify_hostname", "localhost"])
        .args(["-connect", &address.to_string(), "-CAfile"])
        .arg(files.at("ca.pem"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is there");
    let mut typed = client.stdin.take().expect("piped");
    let mut printed = BufReader::new(client.stdout.take().expect("piped"));
    let mut all = String::new();
    for line in lines {
        writeln!(typed, "{line}").expect("it is typed");
        let shouted = line.to_uppercase() + "\n";
        while !all.ends_with(&shouted) && printed.read_line(&mut all).expect("text") > 0 {}
    }
    printed.read_to_string(&mut all).expect("text");
    client.wait().expect("it ends");
    all
}

#[test]
fn openssl_s_client_speaks_both_versions_with_us() {
    let files = Files::new();
    let server = Shouting::new(files.server().alpn(["shout"]));
    for (flag, version) in [("-tls1_2", Version::Tls12), ("-tls1_3", Version::Tls13)] {
        let printed = s_client(
            &files,
            server.address,
            &[flag, "-alpn", "other,shout"],
            &["ahoy", "bye"],
        );
        assert!(printed.contains("AHOY\n"), "{printed}");
        assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
        assert!(printed.contains("ALPN protocol: shout"), "{printed}");
        // It says so when the connection ends without a close_notify.
        assert!(!printed.contains("unexpected eof"), "{printed}");
        let info = server.info();
        assert_eq!(info.version, Some(version));
        assert_eq!(info.alpn.as_deref(), Some(&b"shout"[..]));
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
    }
}

#[test]
fn openssl_s_client_resumes_its_session() {
    let files = Files::new();
    let server = Shouting::new(files.server());
    for version in ["-tls1_2", "-tls1_3"] {
        let session = files.at("session.pem");
        let session = session.to_str().expect("plain");
        let first = s_client(
            &files,
            server.address,
            &[version, "-sess_out", session],
            &["ahoy", "bye"],
        );
        assert!(first.contains("New, TLSv1."), "{first}");
        assert_eq!(server.info().resumed, Some(false));
        let second = s_client(
            &files,
            server.address,
            &[version, "-sess_in", session],
            &["ahoy", "bye"],
        );
        assert!(second.contains("Reused, TLSv1."), "{second}");
        assert_eq!(server.info().resumed, Some(true));
    }
}

#[test]
fn openssl_s_client_shows_its_certificate() {
    let files = Files::new();
    let server = Shouting::new(
        files
            .server()
            .require_client_certificates(files.at("ca.pem")),
    );
    let (pem, key) = (files.at("ada.pem"), files.at("ada.key"));
    let arguments = [
        "-cert",
        pem.to_str().expect("plain"),
        "-key",
        key.to_str().expect("plain"),
    ];
    let printed = s_client(&files, server.address, &arguments, &["ahoy", "bye"]);
    assert!(printed.contains("AHOY\n"), "{printed}");
    let names = server.info().peer_names().expect("a certificate");
    assert_eq!(names.common_name.as_deref(), Some("Ada"));
    let printed = s_client(&files, server.address, &[], &["ahoy"]);
    assert!(printed.contains("certificate required"), "{printed}");
}

/// `openssl s_server`, which sends each line back reversed.
struct Reversing {
    server: Child,
    address: SocketAddr,
}

impl Reversing {
    fn new(files: &Files, arguments: &[&str]) -> Self {
        let mut server = Command::new("openssl")
            .args(["s_server", "-rev", "-accept", "127.0.0.1:0", "-CAfile"])
            .arg(files.at("ca.pem"))
            .arg("-cert")
            .arg(files.at("host.pem"))
            .arg("-key")
            .arg(files.at("host.key"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is there");
        let mut printed = BufReader::new(server.stdout.take().expect("piped"));
        let mut line = String::new();
        while !line.starts_with("ACCEPT ") {
            line.clear();
            assert_ne!(printed.read_line(&mut line).expect("text"), 0, "it ended");
        }
        let address = line["ACCEPT ".len()..].trim().parse().expect("an address");
        // Whatever else it prints must go somewhere.
        std::thread::spawn(move || printed.read_to_end(&mut Vec::new()));
        Self { server, address }
    }
}

impl Drop for Reversing {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Has it reverse a line. What was agreed on.
fn reverse(config: &client::Config, address: SocketAddr) -> std::io::Result<Info> {
    let carrier = TcpStream::connect(address)?;
    let mut stream = Connector::new(config.clone()).connect(carrier, "localhost")?;
    stream.write_all(b"ahoy\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"yoha\n");
    stream.close()?;
    Ok(stream.info())
}

#[test]
fn we_speak_with_openssl_s_server() {
    for (flag, version) in [("-tls1_2", Version::Tls12), ("-tls1_3", Version::Tls13)] {
        let files = Files::new();
        let server = Reversing::new(&files, &[flag, "-alpn", "shout"]);
        grapeshot::run(move || {
            grapeshot::with_timeout(PATIENCE, || {
                let config = files
                    .client()
                    .alpn(["other", "shout"])
                    .build()
                    .expect("good files");
                let info = reverse(&config, server.address).expect("a line");
                assert_eq!((info.version, info.resumed), (Some(version), Some(false)));
                assert_eq!(info.alpn.as_deref(), Some(&b"shout"[..]));
                let info = reverse(&config, server.address).expect("a line");
                assert_eq!(info.resumed, Some(true), "{version}");
            })
            .expect("in time");
        });
    }
}

#[test]
fn we_show_our_certificate_to_openssl_s_server() {
    let files = Files::new();
    let server = Reversing::new(&files, &["-Verify", "1", "-verify_return_error"]);
    grapeshot::run(move || {
        grapeshot::with_timeout(PATIENCE, || {
            let (chain, key) = (files.at("ada.pem"), files.at("ada.key"));
            let config = files
                .client()
                .certificate(&chain, &key)
                .build()
                .expect("good files");
            reverse(&config, server.address).expect("a line");
            let nobody = files.client().build().expect("good files");
            let error = reverse(&nobody, server.address).expect_err("it is refused");
            let error = grapeshot_tls::Error::of(&error).expect("one of TLS");
            assert_eq!(error.to_string(), "the peer refuses: certificate_required");
        })
        .expect("in time");
    });
}

/// An HTTPS server in a runtime of its own.
struct Serving {
    server: Server,
    address: SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Serving {
    fn new(config: server::Builder, server: Server) -> Self {
        let (tell, told) = channel();
        let theirs = server.clone();
        let thread = std::thread::spawn(move || {
            grapeshot::run(move || {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                tell.send(listener.local_addr().expect("it has one"))
                    .expect("it is waited for");
                let config = config.build().expect("good files");
                theirs
                    .serve(Listener::new(listener, &config))
                    .expect("it serves");
            });
        });
        Self {
            server,
            address: told.recv_timeout(PATIENCE).expect("an address"),
            thread: Some(thread),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.shutdown(Duration::from_secs(1));
        let _ = self.thread.take().expect("it runs").join();
    }
}

fn answering() -> Server {
    Server::new(
        |request: &mut Request<'_>, response: Response<'_>| -> Result<(), HandlerError> {
            let mut content = Vec::new();
            request.read_to_end(&mut content)?;
            let content = String::from_utf8_lossy(&content);
            Ok(response.send(format!(
                "{} {} {content}\n",
                request.method(),
                request.path()
            ))?)
        },
    )
}

fn curl(files: &Files, arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sv", "--max-time", "60", "--cacert"])
        .arg(files.at("ca.pem"))
        .args(arguments)
        .output()
        .expect("curl is there");
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn curl_is_served_over_https() {
    let files = Files::new();
    let serving = Serving::new(files.server().alpn(["http/1.1"]), answering());
    let url = |path: &str| format!("https://{}{path}", serving.address);
    let (output, trace) = curl(&files, &["-d", "ahoy", &url("/one"), &url("/two")]);
    assert_eq!(output, "POST /one ahoy\nPOST /two ahoy\n", "{trace}");
    assert!(trace.contains("SSL connection using TLSv1.3"), "{trace}");
    assert!(trace.contains("Re-using existing connection"), "{trace}");
    let (output, trace) = curl(
        &files,
        &["--tls-max", "1.2", "-H", "Connection: close", &url("/old")],
    );
    assert_eq!(output, "GET /old \n", "{trace}");
    assert!(trace.contains("SSL connection using TLSv1.2"), "{trace}");
    let (output, trace) = curl(&files, &[&format!("http://{}/", serving.address)]);
    assert!(trace.contains("HTTP/1.1 400 Bad Request"), "{trace}");
    assert!(output.contains("This port speaks HTTPS"), "{output}");
}

#[test]
fn a_handler_reads_what_tls_knows_of_its_client() {
    let files = Files::new();
    let server = Server::new(|request: &mut Request<'_>, response: Response<'_>| {
        let info = request.connection::<Info>().ok_or("no TLS")?;
        let again = request.connection::<Info>().ok_or("no TLS any more")?;
        let name = info.peer_names().and_then(|names| names.common_name);
        let text = format!(
            "{} {} {} {} {}\n",
            info.version.ok_or("no version")?,
            String::from_utf8_lossy(info.alpn.as_deref().unwrap_or(b"-")),
            info.server_name.as_deref().unwrap_or("-"),
            name.as_deref().unwrap_or("-"),
            info.peer_certificates.len(),
        );
        assert!(
            Arc::ptr_eq(&info, &again),
            "it is read from the session once"
        );
        Ok::<_, HandlerError>(response.send_text(&text)?)
    });
    let config = files.server().alpn(["http/1.1"]);
    let config = config.accept_client_certificates(files.at("ca.pem"));
    let serving = Serving::new(config, server);
    let (name, port) = ("localhost", serving.address.port());
    let url = format!("https://{name}:{port}/");
    let resolve = format!("{name}:{port}:127.0.0.1");
    let (certificate, key) = (files.at("ada.pem"), files.at("ada.key"));
    let showing = [
        "--resolve",
        &resolve,
        "--cert",
        certificate.to_str().expect("it is text"),
        "--key",
        key.to_str().expect("it is text"),
    ];
    // Both requests go over one connection. OpenSSL shows the authority too, which it knows from its own file.
    let (output, trace) = curl(&files, &[&showing[..], &[&url, &url]].concat());
    let said = "TLS 1.3 http/1.1 localhost Ada 2\n";
    assert_eq!(output, [said, said].concat(), "{trace}");
    let older = [&showing[..], &["--tls-max", "1.2", "--no-alpn", &url]].concat();
    let (output, trace) = curl(&files, &older);
    assert_eq!(output, "TLS 1.2 - localhost Ada 2\n", "{trace}");
    let (output, trace) = curl(&files, &["--resolve", &resolve, &url]);
    assert_eq!(output, "TLS 1.3 http/1.1 localhost - 0\n", "{trace}");
    // An address is no name to ask for (RFC 6066, section 3).
    let (output, trace) = curl(&files, &[&format!("https://{}/", serving.address)]);
    assert_eq!(output, "TLS 1.3 http/1.1 - - 0\n", "{trace}");
}

#[test]
fn websockets_run_over_tls() {
    use grapeshot_websocket::{Message, accept, client::connect};

    let files = Files::new();
    let server = Server::new(
        |request: &mut Request<'_>, response: Response<'_>| -> Result<(), HandlerError> {
            let socket = accept(request, response)?;
            while let Ok(message) = socket.recv() {
                if let Message::Binary(bytes) = message {
                    socket.send_binary(&bytes)?;
                }
            }
            Ok(())
        },
    );
    let serving = Serving::new(files.server(), server);
    let address = serving.address;
    let config = files.client();
    grapeshot::run(move || {
        grapeshot::with_timeout(PATIENCE, || {
            let connector = Connector::new(config.build().expect("good files"));
            let stream = connector
                .connect_tcp("127.0.0.1", address.port())
                .expect("a handshake");
            let socket = Arc::new(connect(stream, "127.0.0.1", "/").expect("an upgrade"));
            // One coroutine sends while another receives.
            let sending = Arc::clone(&socket);
            let sender = grapeshot::spawn(move || {
                for length in 0..200_usize {
                    sending
                        .send_binary(&vec![7; length * 100])
                        .expect("it is sent");
                }
            });
            for length in 0..200_usize {
                let Message::Binary(back) = socket.recv().expect("it comes back") else {
                    panic!("another kind of message");
                };
                assert!(back == vec![7; length * 100], "{length}");
            }
            sender.join().expect("it sent");
        })
        .expect("in time");
    });
}
