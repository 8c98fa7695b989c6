//! Other ways to a name server than datagrams: TLS, for instance.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grapeshot::net::Stream;
use grapeshot::time;
use parking_lot::Mutex;

use crate::exchange::ask;

/// Connections that are kept for the next question.
const MAX_IDLE: usize = 8;
/// For so long. Servers close them when they like; then there is a new one.
const IDLE: Duration = Duration::from_secs(5);

/// Takes queries to name servers, and brings back their answers.
pub trait Carry: Send + Sync + 'static {
    /// Asks `server`. The query is a whole message, and so is the answer; whether they fit each other is looked at by who calls.
    /// **May suspend**; the caller bounds it by a time.
    ///
    /// # Errors
    /// Its own. The next server is asked then.
    fn ask(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>>;
}

/// A function that asks is enough.
impl<F> Carry for F
where
    F: Fn(SocketAddr, &[u8]) -> io::Result<Vec<u8>> + Send + Sync + 'static,
{
    fn ask(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        self(server, query)
    }
}

/// A way to name servers that a [`Config`](crate::Config) is given in place of UDP and TCP. Cheap to clone.
#[derive(Clone)]
pub struct Carrier {
    name: &'static str,
    carry: Arc<dyn Carry>,
}

impl Carrier {
    /// One that is called `name` in errors. With the feature `https` there is one for DNS over HTTPS: `Https`.
    pub fn new(name: &'static str, carry: impl Carry) -> Self {
        Self {
            name,
            carry: Arc::new(carry),
        }
    }

    /// Over streams that `connect` opens: DNS over TLS (RFC 7858) is this, with the port 853. A stream is used for one question
    /// at a time, and kept for the next for a few seconds.
    ///
    /// ```no_run
    /// use grapeshot::net::TcpStream;
    /// use grapeshot_dns::{Carrier, Config};
    /// use grapeshot_tls::{Connector, client};
    ///
    /// let connector = Connector::new(client::Config::new()?);
    /// let mut config = Config::with_servers(["192.0.2.53:853".parse()?]);
    /// config.carrier = Some(Carrier::streams("tls", move |server| {
    ///     // The name that its certificate must be for.
    ///     connector.connect(TcpStream::connect(server)?, "dns.example.org")
    /// }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn streams<S: Stream>(
        name: &'static str,
        connect: impl Fn(SocketAddr) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Streams::new(connect))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn ask(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        self.carry.ask(server, query)
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Carrier").field(&self.name).finish()
    }
}

/// The same one.
impl PartialEq for Carrier {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.carry, &other.carry)
    }
}

/// Streams that are opened when they are needed, and kept for a while.
pub(crate) struct Streams<F, S> {
    connect: F,
    /// Nothing is under way on these: the last question was answered, with what belongs to it.
    idle: Mutex<Vec<Idle<S>>>,
}

struct Idle<S> {
    server: SocketAddr,
    stream: S,
    until: Instant,
}

impl<F, S: Stream> Streams<F, S> {
    pub(crate) fn new(connect: F) -> Self {
        Self {
            connect,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn take(&self, server: SocketAddr) -> Option<S> {
        let now = time::now();
        let (stale, found) = {
            let mut idle = self.idle.lock();
            let stale: Vec<Idle<S>> = idle.extract_if(.., |idle| idle.until <= now).collect();
            let index = idle.iter().rposition(|idle| idle.server == server);
            (stale, index.map(|index| idle.remove(index).stream))
        };
        // Their ends are theirs, and not under our lock.
        drop(stale);
        found
    }

    fn put(&self, server: SocketAddr, stream: S) {
        let until = time::now() + IDLE;
        let dropped = {
            let mut idle = self.idle.lock();
            idle.push(Idle {
                server,
                stream,
                until,
            });
            (idle.len() > MAX_IDLE).then(|| idle.remove(0))
        };
        drop(dropped);
    }
}

impl<F, S> Carry for Streams<F, S>
where
    F: Fn(SocketAddr) -> io::Result<S> + Send + Sync + 'static,
    S: Stream,
{
    fn ask(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        if let Some(stream) = self.take(server)
            && let Ok(answer) = ask(&stream, query)
            && belongs(&answer, query)
        {
            self.put(server, stream);
            return Ok(answer);
        }
        // There was none, or it was closed while nobody looked.
        let stream = (self.connect)(server)?;
        let answer = ask(&stream, query)?;
        if belongs(&answer, query) {
            self.put(server, stream);
        }
        Ok(answer)
    }
}

/// Whether the ids are the same. If not, whoever used the stream after this would get the next answer too late, and so would all
/// after them.
fn belongs(answer: &[u8], query: &[u8]) -> bool {
    answer.first_chunk::<2>() == query.first_chunk::<2>()
}
