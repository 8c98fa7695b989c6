//! HTTP under TLS, on a simulated network.

use std::io::{self, Read, Write};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use grapeshot::net::{Shutdown, TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::{sleep, spawn};
use grapeshot_http::{Refusal, Request, Response, Server};
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Backend, Connector, Listener, client, server};

/// Of both sides; the certificate is valid on the simulation's first day, too.
static SIDES: LazyLock<(server::Config, client::Config)> = LazyLock::new(|| {
    let day = Duration::from_secs(86_400);
    let authority = Authority::new().expect("an authority");
    let identity = authority
        .host(["server"])
        .ed25519()
        .valid(
            SystemTime::UNIX_EPOCH + 9_000 * day,
            SystemTime::UNIX_EPOCH + 60_000 * day,
        )
        .issue()
        .expect("a certificate");
    // Whose errors are known word by word.
    let client = client::Config::builder()
        .backend(Backend::Rustls)
        .authorities(authority.pem());
    (
        server::Config::new(identity.chain(), identity.key()).expect("it fits"),
        client.build().expect("an authority is enough"),
    )
});

fn simulate(f: impl Fn(Server) + Send + Sync + Clone + 'static) {
    LazyLock::force(&SIDES);
    Simulation::new(5)
        .network(NetworkConfig::new())
        .run(move || {
            let server = Server::new(|request: &mut Request<'_>, response: Response<'_>| {
                response.send(format!("you asked for {}", request.path()))
            });
            let serving = server.clone();
            host("server", move || {
                let listener = TcpListener::bind("0.0.0.0:443").expect("a port");
                let listener = Listener::new(listener, &SIDES.0);
                serving.serve(listener).expect("it serves");
            });
            sleep(Duration::from_millis(1));
            f(server);
        });
}

#[test]
fn a_request_is_answered_and_the_end_is_said() {
    simulate(|_| {
        let carrier = TcpStream::connect("server:443").expect("a connection");
        let mut stream = Connector::new(SIDES.1.clone())
            .connect(carrier, "server")
            .expect("a handshake");
        stream
            .write_all(b"GET /it HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
            .expect("it is sent");
        let mut answer = String::new();
        // Without the server's close_notify this would fail.
        stream.read_to_string(&mut answer).expect("all of it");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("you asked for /it"), "{answer}");
    });
}

#[test]
fn silent_clients_are_shed_and_keep_nobody_out() {
    simulate(|server| {
        let silent: Vec<_> = (0..100)
            .map(|_| TcpStream::connect("server:443").expect("a connection"))
            .collect();
        let carrier = TcpStream::connect("server:443").expect("a connection");
        Connector::new(SIDES.1.clone())
            .connect(carrier, "server")
            .expect("it is served meanwhile");
        let began = grapeshot::time::now();
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
        }
        let took = grapeshot::time::now().duration_since(began);
        assert_eq!(took.as_secs_f64().round(), 10.0);
        let refused = server.statistics().refused;
        assert!(
            refused.contains(&(Refusal::HandshakeTimeout, 100)),
            "{refused:?}"
        );
    });
}

#[test]
fn plain_http_on_the_port_is_told_so() {
    simulate(|server| {
        let mut stream = TcpStream::connect("server:443").expect("a connection");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")
            .expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer}"
        );
        let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", content.len())),
            "{answer}"
        );
        drop(stream);
        sleep(Duration::from_secs(1));
        assert_eq!(server.statistics().refused, [(Refusal::Handshake, 1)]);
    });
}

#[test]
fn tls_on_the_plain_port_is_refused() {
    LazyLock::force(&SIDES);
    Simulation::new(5)
        .network(NetworkConfig::new())
        .run(|| -> io::Result<()> {
            host("server", || {
                let server = Server::new(|_: &mut Request<'_>, response: Response<'_>| {
                    response.send("hello")
                });
                server
                    .serve(TcpListener::bind("0.0.0.0:80").expect("a port"))
                    .expect("it serves");
            });
            sleep(Duration::from_millis(1));
            let carrier = TcpStream::connect("server:80")?;
            let error = Connector::new(SIDES.1.clone())
                .connect(carrier, "server")
                .expect_err("no TLS there");
            let error = grapeshot_tls::Error::of(&error).expect("one of TLS");
            assert!(matches!(error, grapeshot_tls::Error::NotTls(_)), "{error}");
            Ok(())
        })
        .expect("a connection");
}

#[test]
fn garbage_ends_its_own_connection_only() {
    simulate(|server| {
        let garbage: [&[u8]; 4] = [
            b"\x16\x03\x01\xff\xff",
            &[0; 5_000],
            b"\x16\x03\x01\0\x02ab",
            b"\x80\x2e\x01",
        ];
        let ended: Vec<_> = garbage
            .into_iter()
            .map(|bytes| {
                spawn(move || {
                    let mut stream = TcpStream::connect("server:443").expect("a connection");
                    stream.write_all(bytes).expect("it is sent");
                    let _ = stream.shutdown(Shutdown::Write);
                    // An alert, an end or a reset, but no waiting.
                    let _ = stream.read_to_end(&mut Vec::new());
                })
            })
            .collect();
        for ended in ended {
            ended.join().expect("it ended");
        }
        sleep(Duration::from_secs(1));
        assert_eq!(server.statistics().refused, [(Refusal::Handshake, 4)]);
        assert_eq!(server.statistics().connections, 0);
    });
}
