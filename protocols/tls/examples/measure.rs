//! What TLS costs a server of one worker: handshakes, a long stream, idle connections. The other end is this program
//! again, in a process of its own, on plain threads with the crate rustls alone.
//!
//! ```sh
//! cargo run --release -p grapeshot-tls --example measure -- handshakes
//! cargo run --release -p grapeshot-tls --example measure -- stream
//! cargo run --release -p grapeshot-tls --example measure -- idle
//! ```

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Plain};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grapeshot::net::{Listener as _, Stream as _, TcpListener, TcpStream};
use grapeshot_tls::demo::{Authority, Identity};
use grapeshot_tls::{Listener, TlsStream, server};
use rustix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

const HANDSHAKES: u64 = 4_000;
const GIB: u64 = 1 << 30;
const IDLE: usize = 2_000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["handshakes"] => handshakes(),
        ["stream"] => stream(),
        ["idle"] => idle(),
        ["client", what, address, authority] => {
            client(what, address.parse().expect("an address"), authority)
        }
        _ => {
            eprintln!("usage: measure handshakes|stream|idle");
            Ok(())
        }
    }
}

/// This process's processor time.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn identity() -> (Identity, tempfile::NamedTempFile) {
    let authority = Authority::new().expect("an authority");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority.certificate_pem()).expect("it is written");
    (
        authority
            .host(["localhost"])
            .issue()
            .expect("a certificate"),
        file,
    )
}

/// Starts the other end.
fn start(what: &str, address: SocketAddr, authority: &tempfile::NamedTempFile) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["client", what, &address.to_string()])
        .arg(authority.path())
        .spawn()
        .expect("it starts")
}

/// Serves with `serve` while the other end does `what`: how long it took, how much processor time here.
fn beside(
    what: &'static str,
    serve: impl Fn(Arc<TlsStream<TcpStream>>) + Send + Sync + Clone + 'static,
) -> (Duration, Duration) {
    let (identity, authority) = identity();
    let config = server::Config::new(identity.chain(), identity.key()).expect("they fit");
    let runtime = grapeshot::Runtime::builder().workers(1).build();
    runtime.expect("a runtime").run(move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one");
        let listener = Listener::new(listener, &config);
        let (began, used) = (Instant::now(), processor());
        let mut child = start(what, address, &authority);
        let accepting = grapeshot::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let serve = serve.clone();
                grapeshot::spawn(move || serve(Arc::new(stream)));
            }
        });
        let ended = grapeshot::unblock(move || child.wait()).expect("a thread");
        assert!(ended.expect("it ends").success());
        let took = (began.elapsed(), processor() - used);
        accepting.interrupt();
        took
    })
}

fn handshakes() -> io::Result<()> {
    for what in ["full", "resumed"] {
        let (took, used) = beside(what, |stream| {
            let mut question = [0];
            if let Ok(1) = stream.read(&mut question) {
                let _ = stream.write(&question);
                let _ = stream.close();
            }
        });
        println!(
            "{what}: {:.0} handshakes/s, {:.0} µs of the processor each",
            HANDSHAKES as f64 / took.as_secs_f64(),
            used.as_secs_f64() * 1e6 / HANDSHAKES as f64,
        );
    }
    Ok(())
}

fn told(what: &str, took: Duration, used: Duration) {
    println!(
        "{what}: {:.0} MB/s, {:.2} s of the processor a GiB",
        GIB as f64 / took.as_secs_f64() / 1e6,
        used.as_secs_f64(),
    );
}

fn stream() -> io::Result<()> {
    let (took, used) = beside("take", |stream| {
        let part = vec![7; 64 << 10];
        for _ in 0..GIB / (64 << 10) {
            (&*stream).write_all(&part).expect("it is taken");
        }
        stream.close().expect("it is taken");
    });
    told("we send", took, used);
    let (took, used) = beside("give", |stream| {
        let count = io::copy(&mut &*stream, &mut io::sink()).expect("all of it");
        assert_eq!(count, GIB);
        stream.close().expect("it is taken");
    });
    told("we receive", took, used);
    plain(true)?;
    plain(false)
}

/// The same by rustls alone, with its own buffers, on a thread.
fn plain(send: bool) -> io::Result<()> {
    let (identity, authority) = identity();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain =
        CertificateDer::from_pem_slice(identity.chain_pem.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![chain], key)
        })
        .map_err(io::Error::other)?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let (began, used) = (Instant::now(), processor());
    let mut child = start(
        if send { "take" } else { "give" },
        listener.local_addr()?,
        &authority,
    );
    let done = converse(&listener, config, send);
    let ended = child.wait()?;
    done?;
    assert!(ended.success());
    told(
        if send {
            "rustls alone sends"
        } else {
            "rustls alone receives"
        },
        began.elapsed(),
        processor() - used,
    );
    Ok(())
}

/// The conversation of [`plain`].
fn converse(listener: &std::net::TcpListener, config: ServerConfig, send: bool) -> io::Result<()> {
    let (carrier, _) = listener.accept()?;
    let connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, carrier);
    if send {
        let part = vec![7; 64 << 10];
        for _ in 0..GIB / (64 << 10) {
            stream.write_all(&part)?;
        }
    } else {
        io::copy(&mut stream, &mut io::sink())?;
    }
    stream.conn.send_close_notify();
    stream.flush()
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it is there");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

fn idle() -> io::Result<()> {
    static WAITING: AtomicU64 = AtomicU64::new(0);
    static AT_FIRST: AtomicU64 = AtomicU64::new(0);
    beside("idle", |stream| {
        let mut question = [0; 512];
        let count = stream.read(&mut question).expect("a question");
        stream.write(&question[..count]).expect("it is taken");
        match WAITING.fetch_add(1, Ordering::Relaxed) + 1 {
            // Those before have brought what is needed once.
            100 => AT_FIRST.store(resident(), Ordering::Relaxed),
            count if count == IDLE as u64 => {
                let grown = resident() - AT_FIRST.load(Ordering::Relaxed);
                println!(
                    "{:.1} KiB an idle connection, its coroutine's stack included",
                    grown as f64 / (IDLE - 100) as f64
                );
            }
            _ => {}
        }
        // It waits here until the other end is done.
        let _ = stream.read(&mut question);
    });
    Ok(())
}

/// The other end.
fn client(what: &str, address: SocketAddr, authority: &str) -> io::Result<()> {
    let authority = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if what != "resumed" {
        config.resumption = Resumption::disabled();
    }
    let config = Arc::new(config);
    let connect = move || -> io::Result<StreamOwned<ClientConnection, Plain>> {
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let connection =
            ClientConnection::new(Arc::clone(&config), name).map_err(io::Error::other)?;
        let carrier = Plain::connect(address)?;
        carrier.set_nodelay(true)?;
        Ok(StreamOwned::new(connection, carrier))
    };
    match what {
        "take" => {
            let mut stream = connect()?;
            stream.flush()?;
            assert_eq!(io::copy(&mut stream, &mut io::sink())?, GIB);
        }
        "give" => {
            let mut stream = connect()?;
            let part = vec![7; 64 << 10];
            for _ in 0..GIB / (64 << 10) {
                stream.write_all(&part)?;
            }
            stream.conn.send_close_notify();
            stream.flush()?;
            io::copy(&mut stream, &mut io::sink())?;
        }
        "idle" => {
            let mut streams = Vec::new();
            for _ in 0..IDLE {
                let mut stream = connect()?;
                stream.write_all(b"?")?;
                stream.read_exact(&mut [0])?;
                streams.push(stream);
            }
        }
        _ => {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let connect = connect.clone();
                    std::thread::spawn(move || -> io::Result<()> {
                        for _ in 0..HANDSHAKES / 4 {
                            let mut stream = connect()?;
                            stream.write_all(b"?")?;
                            stream.read_exact(&mut [0])?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("it ended")?;
            }
        }
    }
    Ok(())
}
