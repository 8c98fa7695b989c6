//! Consoles over TCP: what an application asks for, and how one logs in there.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::{Listener, Peer, Stream, TcpListener, TcpStream};
use grapeshot::{Builder, RuntimeHandle, with_timeout};

use crate::backdoor::Shared;
use crate::door::{self, Guest};
use crate::journal;
use crate::limits;
use crate::protocol::{ClientMessage, MAX_LOGIN_MESSAGE};
use crate::session::{self, for_log};
use crate::terminal;
use crate::transport::{Framed, Transport, Visitor};

/// What has to be spelled out to have passwords or sessions go over a network as they are.
pub(crate) const IN_THE_CLEAR: &str = "anybody on the way may read and change what I send";

/// What is spoken at an address.
#[derive(Debug, Clone)]
pub(crate) enum Speaks {
    /// The protocol of the program `console`.
    Console,
    /// Telnet.
    Telnet,
    /// The protocol of the program `console` under TLS.
    #[cfg(feature = "tls")]
    Tls(grapeshot_tls::server::Config),
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Console => "tcp",
            Self::Telnet => "telnet",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "tls",
        })
    }
}

/// An address that the application asked for.
pub(crate) struct Asked {
    pub(crate) speaks: Speaks,
    pub(crate) address: String,
    /// Others than the loopback's are fine: it is encrypted, or the application spelled it out.
    pub(crate) anywhere: bool,
}

/// An address that is served.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) scheme: String,
    pub(crate) address: SocketAddr,
}

/// Serves what was asked for in that runtime, which is the backdoor's own.
///
/// # Errors
/// `InvalidInput` if nobody could log in, or if an address is one that others can reach and the application did not say that
/// it knows; else what the system says.
pub(crate) fn open(
    shared: &Arc<Shared>,
    asked: Vec<Asked>,
    runtime: RuntimeHandle,
) -> io::Result<Vec<Open>> {
    if !asked.is_empty() && shared.users.is_empty() {
        return Err(invalid(
            "nobody could log in to the backdoor over the network: name a user with Backdoor::user"
                .into(),
        ));
    }
    // All of them, or none.
    let mut bound = Vec::new();
    for asked in asked {
        let listener = bind(&asked)?;
        bound.push((asked.speaks, listener.local_addr()?, listener));
    }
    let mut opened = Vec::new();
    for (speaks, address, listener) in bound {
        let scheme = speaks.to_string();
        journal::info(format!("console: listening at {scheme}://{address}"));
        spawn_door(shared, speaks, listener, runtime);
        opened.push(Open { scheme, address });
    }
    Ok(opened)
}

fn spawn_door(shared: &Arc<Shared>, speaks: Speaks, listener: TcpListener, runtime: RuntimeHandle) {
    let (shared, door) = (Arc::clone(shared), speaks.to_string());
    let listener = KeptAlive(listener);
    let coroutine = Builder::new().name(format!("console-listener-{door}"));
    drop(runtime.spawn(coroutine, move || match speaks {
        Speaks::Console => door::accept_forever(&shared, &listener, &door, enter),
        Speaks::Telnet => door::accept_forever(&shared, &listener, &door, terminal::enter),
        #[cfg(feature = "tls")]
        Speaks::Tls(config) => {
            let listener = grapeshot_tls::Listener::new(listener, &config);
            door::accept_forever(&shared, &listener, &door, enter);
        }
    }));
}

fn bind(asked: &Asked) -> io::Result<TcpListener> {
    let Asked {
        speaks,
        address,
        anywhere,
    } = asked;
    let explain = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot open a backdoor at {speaks}://{address}: {error}"),
        )
    };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(explain)?.collect();
    if let Some(reachable) = addresses.iter().find(|it| !it.ip().is_loopback())
        && !anywhere
    {
        return Err(invalid(format!(
            "{reachable} can be reached from elsewhere, and what goes over {speaks} can be read and changed on the way: serve \
             it on 127.0.0.1, or with TLS, or spell out that it is what you want (Backdoor::{speaks}_in_the_clear)"
        )));
    }
    TcpListener::bind(&addresses[..]).map_err(explain)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Has the system notice peers that are gone without a word.
struct KeptAlive(TcpListener);

impl Listener for KeptAlive {
    type Stream = TcpStream;

    fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = Listener::accept(&self.0)?;
        // They fail for a peer that has gone already.
        let _ = stream.set_keepalive(Some(Duration::from_secs(30)));
        let _ = stream.set_keepalive_probes(Duration::from_secs(10), 3);
        Ok((stream, peer))
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// Serves one connection that speaks the console's protocol.
pub(crate) fn enter<S: Stream>(shared: &Arc<Shared>, stream: S, guest: Guest) {
    let stream: Arc<dyn Stream> = Arc::new(stream);
    match with_timeout(limits::HELLO_TIMEOUT, || stream.prepare()) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return refused(&guest, &error.to_string()),
        Err(_elapsed) => return refused(&guest, "no handshake came in time"),
    }
    let transport = Framed::with_limit(stream, MAX_LOGIN_MESSAGE);
    if !session::is_greeted(&transport) {
        return refused(&guest, "it did not greet as a console does");
    }
    let Some(visitor) = log_in(shared, &transport, &guest) else {
        return;
    };
    guest.is_known();
    transport.take_long_messages();
    session::run(shared, Arc::new(transport), visitor, guest.number);
}

fn refused(guest: &Guest, why: &str) {
    journal::info(format!(
        "console session {}: refused {}: {why}",
        guest.number, guest.from
    ));
}

/// Who logs in; `None` if nobody does, and then the peer has been told. May suspend.
fn log_in(shared: &Shared, transport: &Framed, guest: &Guest) -> Option<Visitor> {
    let refuse = |log: &str, say: &str| {
        journal::warn(format!(
            "console session {}: {}: {log}",
            guest.number, guest.from
        ));
        session::refuse(transport, say);
        None
    };
    let challenge = match shared.users.challenge() {
        Ok(challenge) => challenge,
        Err(error) => return refuse(&format!("no challenge: {error}"), "try again later"),
    };
    let answer = with_timeout(limits::HELLO_TIMEOUT, || {
        transport.send(&challenge.to_message()).ok()?;
        transport.receive().ok()?
    });
    let (user, nonce, proof) = match answer {
        Ok(Some(ClientMessage::Login { user, nonce, proof })) => (user, nonce, proof),
        Ok(Some(_)) => {
            return refuse(
                "asked without a login",
                "log in first; use the program `console`",
            );
        }
        Ok(None) => return refuse("left without a login", "log in first"),
        Err(_elapsed) => return refuse("no login came in time", "no login came in time"),
    };
    let Some((rights, welcome)) = shared.users.answered(&challenge, &user, &nonce, &proof) else {
        // Whoever guesses waits, and takes up one of few places meanwhile.
        grapeshot::sleep(limits::LOGIN_PENALTY);
        return refuse(
            &format!("failed to log in as {}", for_log(&user)),
            "wrong user or password",
        );
    };
    let sent = with_timeout(limits::HELLO_TIMEOUT, || transport.send(&welcome));
    matches!(sent, Ok(Ok(()))).then(|| Visitor {
        name: user,
        from: guest.from.clone(),
        rights,
    })
}

#[cfg(test)]
mod tests;
