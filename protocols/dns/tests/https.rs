//! DNS over HTTPS: on a simulated network, and with foreign ends. No server of Debian's speaks it over HTTP/1.1 (unbound, BIND and
//! dnsdist want HTTP/2), so the foreign one is Python's `http.server`, with TLS, in front of a name server.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{load, settle};
use grapeshot::net::{TcpListener, UdpSocket};
use grapeshot::testing::{self, NetworkConfig, Simulation};
use grapeshot::{process, with_timeout};
use grapeshot_dns::server::{Server, Zone};
use grapeshot_dns::{Config, Hosts, Https, Limits, RecordType, Resolver};
use grapeshot_http::{HandlerError, Request, Response, Status};
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Listener, client, server as tls_server};

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

const ZONE: &str = "$TTL 300
@    IN SOA ns hostmaster 1 3600 600 86400 60
www  IN A   127.0.0.1
";

/// A web server that answers questions of DNS.
fn answering() -> grapeshot_http::Server {
    let names = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
    grapeshot_http::Server::new(
        move |request: &mut Request<'_>, response: Response<'_>| -> Result<(), HandlerError> {
            let is_dns = |name| request.header(name) == Some("application/dns-message");
            if request.path() != "/dns-query" || !is_dns("Content-Type") || !is_dns("Accept") {
                return Err(Status::BAD_REQUEST.into());
            }
            let mut query = Vec::new();
            request.read_to_end(&mut query)?;
            let answer = names.answer(&query, [192, 0, 2, 1].into());
            let response = response.header("Content-Type", "application/dns-message");
            Ok(response.send(answer.unwrap_or_default())?)
        },
    )
}

fn resolver(server: SocketAddr, https: Https) -> Resolver {
    let mut config = Config::with_servers([server]);
    config.timeout = Duration::from_secs(20);
    config.attempts = 1;
    config.carrier = Some(https.carrier());
    Resolver::new(config, Hosts::default(), Limits::default())
}

#[test]
fn one_connection_carries_many_questions() {
    Simulation::new(7).network(NetworkConfig::new()).run(|| {
        let web = answering();
        let serving = web.clone();
        let host = testing::host("doh", move || {
            let listener = TcpListener::bind("0.0.0.0:80").unwrap();
            serving.serve(listener).unwrap();
        });
        settle();
        // The name in the URL leads nowhere: the server's address counts.
        let https = Https::new("http://dns.example/dns-query");
        let resolver = resolver((host.ip(), 80).into(), https);
        for _ in 0..5 {
            resolver.clear_cache();
            let answer = resolver.lookup("www.example.org", RecordType::A).unwrap();
            assert_eq!(answer.records.len(), 1);
        }
        let missing = resolver.lookup("none.example.org", RecordType::A);
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("none.example.org")
        );
        let found = web.statistics();
        assert_eq!((found.connections_total, found.requests), (1, 6));
        assert_eq!(resolver.statistics().carried, 6);
    });
}

#[test]
fn what_is_no_answer_is_told_as_an_error() {
    Simulation::new(7).network(NetworkConfig::new()).run(|| {
        let turn = Arc::new(AtomicUsize::new(0));
        let turns = Arc::clone(&turn);
        let host = testing::host("doh", move || {
            let turns = Arc::clone(&turns);
            let names = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
            let web = grapeshot_http::Server::new(
                move |request: &mut Request<'_>,
                      response: Response<'_>|
                      -> Result<(), HandlerError> {
                    let mut query = Vec::new();
                    request.read_to_end(&mut query)?;
                    assert_eq!(query[..2], [0, 0], "the id is nobody's business");
                    let mut answer = names.answer(&query, [192, 0, 2, 1].into()).unwrap();
                    let mut kind = "application/dns-message";
                    let mut status = Status::OK;
                    match turns.fetch_add(1, Ordering::SeqCst) {
                        0 => kind = "text/html",
                        1 => status = Status::NOT_FOUND,
                        2 => answer[1] = 7,
                        3 => answer = Vec::new(),
                        4 => answer = vec![0; 70_000],
                        5 => answer.truncate(20),
                        _ => {}
                    }
                    Ok(response
                        .status(status)
                        .header("Content-Type", kind)
                        .send(answer)?)
                },
            );
            web.serve(TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
        });
        settle();
        let https = Https::new("http://dns.example/dns-query");
        let resolver = resolver((host.ip(), 80).into(), https);
        let ask = || resolver.lookup("www.example.org", RecordType::A);
        for said in [
            "is this the right URL?",
            "404",
            "another query",
            "another query",
            "longer than the 65535",
            "(https)",
        ] {
            let error = ask().unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        assert_eq!(ask().unwrap().records.len(), 1);
        assert_eq!(load(&turn), 7);
    });
}

/// A folder with an authority's certificates, which is gone after the test.
struct Files(PathBuf, Authority);

impl Files {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("grapeshot-doh-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let authority = Authority::new().unwrap();
        let host = authority.host(["dns.test", "127.0.0.1"]).issue().unwrap();
        std::fs::write(path.join("ca.pem"), authority.certificate_pem()).unwrap();
        std::fs::write(path.join("host.pem"), &host.chain_pem).unwrap();
        std::fs::write(path.join("host.key"), &host.key_pem).unwrap();
        Self(path, authority)
    }

    fn trust(&self) -> client::Config {
        let config = client::Config::builder().authorities(self.1.pem());
        config.build().unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn curl_looks_names_up_at_our_server() {
    let files = Files::new("curl");
    grapeshot::run(move || {
        let config =
            tls_server::Config::new(files.0.join("host.pem"), files.0.join("host.key")).unwrap();
        // curl says what it takes for an answer, but not that it takes it.
        let names = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
        let web = grapeshot_http::Server::new(
            move |request: &mut Request<'_>, response: Response<'_>| -> Result<(), HandlerError> {
                if request.path() != "/dns-query" {
                    return Ok(response.send_text("found")?);
                }
                assert_eq!(
                    request.header("Content-Type"),
                    Some("application/dns-message")
                );
                let query = request.read_body()?;
                let answer = names.answer(&query, [192, 0, 2, 1].into());
                let response = response.header("Content-Type", "application/dns-message");
                Ok(response.send(answer.unwrap_or_default())?)
            },
        );
        let secure = TcpListener::bind("127.0.0.1:0").unwrap();
        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = |scheme, host, listener: &TcpListener, path| {
            let port = listener.local_addr().unwrap().port();
            format!("{scheme}://{host}:{port}{path}")
        };
        let doh = url("https", "127.0.0.1", &secure, "/dns-query");
        let page = url("http", "www.example.org", &plain, "/");
        web.listen(Listener::new(secure, &config));
        web.listen(plain);
        let mut curl = process::Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--ipv4",
            "--cacert",
        ])
        .arg(files.0.join("ca.pem"))
        .args(["--doh-url", &doh, &page]);
        let output = with_timeout(PATIENCE, || curl.output()).expect("curl hangs");
        let output = output.expect("curl is installed");
        let (said, complaint) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&said), "found", "{complaint}");
        web.shutdown(Duration::ZERO);
    });
}

const PYTHON: &str = r"
import http.server, socket, ssl, sys

class Doh(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        query = self.rfile.read(int(self.headers['Content-Length']))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
            dns.settimeout(30)
            dns.sendto(query, ('127.0.0.1', int(sys.argv[1])))
            answer = dns.recv(65535)
        right = self.headers['Content-Type'] == 'application/dns-message' and self.path == '/dns-query'
        self.send_response(200 if right else 400)
        self.send_header('Content-Type', 'application/dns-message')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Doh)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

/// Ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pythons_https_server_is_asked() {
    let files = Files::new("python");
    grapeshot::run(move || {
        // Who behind the web server knows the names.
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
                break (socket, listener);
            }
        };
        let port = socket.local_addr().unwrap().port();
        let names = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
        let serving = grapeshot::spawn(move || names.serve_on(&socket, &listener));
        let mut python = Command::new("python3");
        python
            .args(["-c", PYTHON, &port.to_string()])
            .args([files.0.join("host.pem"), files.0.join("host.key")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut python = Peer(python.spawn().expect("python3 is installed"));
        let output = python.0.stdout.take().unwrap();
        let mut line = String::new();
        let line = grapeshot::unblock(move || {
            BufReader::new(output).read_line(&mut line).unwrap();
            line
        });
        let port: u16 = line.unwrap().trim().parse().expect("a port");
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let https = |url: &str| Https::new(url).tls(files.trust());
        let asking = resolver(server, https("https://dns.test/dns-query"));
        for _ in 0..3 {
            asking.clear_cache();
            assert_eq!(asking.addresses("www.example.org").unwrap().len(), 1);
        }
        let error = resolver(server, https("https://other.test/dns-query"))
            .addresses("www.example.org")
            .unwrap_err();
        assert!(error.to_string().contains("(https)"), "{error}");
        serving.interrupt();
        let _ = serving.join();
    });
}
