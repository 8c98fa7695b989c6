//! Two ends on a simulated network, with certificates that are valid on its first day, too.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use grapeshot::net::{Listener as _, TcpListener, TcpStream};
use grapeshot::sync::channel;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::{JoinHandle, sleep, spawn};
use grapeshot_tls::demo::{Authority, Identity, Request};
use grapeshot_tls::{Backend, Connector, Listener, TlsStream, client, server};

/// Whom both sides trust.
pub(crate) static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::new().expect("chance"));
/// Whom nobody trusts.
pub(crate) static STRANGER: LazyLock<Authority> =
    LazyLock::new(|| Authority::new().expect("chance"));
/// The certificate of the host `server`.
pub(crate) static SERVER: LazyLock<Identity> =
    LazyLock::new(|| made(AUTHORITY.host(["server"]).ed25519()));

/// Makes a certificate that is valid from 1994 to 2134: the simulation begins in 2000.
pub(crate) fn made(request: Request<'_>) -> Identity {
    request
        .valid(day(9_000), day(60_000))
        .issue()
        .expect("a certificate")
}

/// The date that is so many days after 1 January 1970.
pub(crate) fn day(days: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + days * Duration::from_secs(86_400)
}

/// A server of the host `server`, and a client that trusts its authority.
#[derive(Clone)]
pub(crate) struct Sides {
    pub(crate) server: server::Config,
    pub(crate) client: client::Config,
}

/// As configured for both; on rustls, whatever features are on.
pub(crate) fn sides() -> Sides {
    sides_with(|server| server, |client| client)
}

pub(crate) fn sides_with(
    server: impl FnOnce(server::Builder) -> server::Builder,
    client: impl FnOnce(client::Builder) -> client::Builder,
) -> Sides {
    let builder = server::Config::builder().certificate(SERVER.chain(), SERVER.key());
    Sides {
        server: server(builder).build().expect("a server's configuration"),
        client: client(trusting())
            .build()
            .expect("a client's configuration"),
    }
}

/// A client's configuration so far.
pub(crate) fn trusting() -> client::Builder {
    client::Config::builder()
        .backend(Backend::Rustls)
        .authorities(AUTHORITY.pem())
}

pub(crate) type Stream = TlsStream<TcpStream>;

/// The coroutines of a server, in the order of their connections.
pub(crate) struct Served(channel::Receiver<JoinHandle<()>>);

impl Served {
    /// Waits for one; it must not have panicked.
    pub(crate) fn join(&self) {
        self.0
            .recv()
            .expect("a connection")
            .join()
            .expect("it served");
    }
}

impl Sides {
    /// Serves each connection with `serve`, in a coroutine of its own, on the host `server`.
    pub(crate) fn serve(
        &self,
        serve: impl Fn(Arc<Stream>) + Send + Sync + Clone + 'static,
    ) -> Served {
        let (sender, served) = channel::unbounded();
        let config = self.server.clone();
        host("server", move || {
            let listener = TcpListener::bind("0.0.0.0:443").expect("a port");
            let listener = Listener::new(listener, &config);
            while let Ok((stream, _)) = listener.accept() {
                let serve = serve.clone();
                let served = spawn(move || serve(Arc::new(stream)));
                // The test may be over.
                let _ = sender.send(served);
            }
        });
        sleep(Duration::from_millis(1));
        Served(served)
    }

    pub(crate) fn connect(&self) -> io::Result<Stream> {
        self.connect_as("server")
    }

    /// Asks for this name, whatever the host is called.
    pub(crate) fn connect_as(&self, name: &str) -> io::Result<Stream> {
        let carrier = TcpStream::connect("server:443")?;
        Connector::new(self.client.clone()).connect(carrier, name)
    }
}

/// Sends back what comes, and says good-bye after the client has.
pub(crate) fn echo(stream: Arc<Stream>) {
    if io::copy(&mut &*stream, &mut &*stream).is_ok() {
        let _ = stream.close();
    }
}

/// Runs `f` on a simulated network, with several seeds.
pub(crate) fn simulate(network: NetworkConfig, f: impl Fn() + Send + Sync + Clone + 'static) {
    for seed in 0..2 {
        Simulation::new(seed)
            .network(network.clone())
            .run(f.clone());
    }
}
