//! The live page: what `top` and the console tell, in a browser.
//!
//! | file | what it does |
//! |---|---|
//! | `gate.rs`, `logins.rs` | who may come in, and who logged in by name; no I/O |
//! | `site.rs`, `files.rs` | what is answered to which request; the parts of the page |
//! | `entrance.rs` | logging in by name, and out |
//! | `live.rs` | the WebSocket of a page |
//! | `desk.rs` | what a page is owed and when; no I/O, no clock |
//! | `view.rs` | what pages may say; no I/O |
//! | `snapshot.rs`, `pick.rs`, `asker.rs`, `trouble.rs` | what they are shown |
//! | `terminal.rs` | a session of the console in the page |
//! | `profiler.rs` | profiles: taking them, and serving them as files |
//! | `metrics.rs`, `logs.rs` | figures for Prometheus; the latest lines of the log |
//! | `../../assets/page/`, `../../assets/xterm/` | the page itself, and its terminal |

mod asker;
mod desk;
mod entrance;
mod files;
mod gate;
mod live;
mod logins;
mod logs;
mod metrics;
mod pick;
mod profiler;
mod site;
mod snapshot;
mod terminal;
mod trouble;
mod view;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::{Listener, TcpListener};
use grapeshot::{Builder, RuntimeHandle};
use grapeshot_http::Server;

use self::gate::Gate;
pub use self::logs::LogTail;
pub(crate) use self::logs::keep_own;
use self::site::Site;
use crate::backdoor::Shared;
use crate::journal;
use crate::rights::Rights;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 24;
/// Snapshots a second, unless the application says otherwise.
const RATE: u32 = 2;

/// Where the live page is served, and what its visitors may do; for [`Backdoor::web`](crate::Backdoor::web).
///
/// ```no_run
/// use grapeshot_backdoor::{Backdoor, Rights, Web};
///
/// # fn main() -> std::io::Result<()> {
/// grapeshot::run(|| {
///     let page = Web::local(9002).rights(Rights::observe());
///     let backdoor = Backdoor::new("game").web(page).serve_unix("/run/game.sock")?;
///     println!("look inside at {}", backdoor.page().unwrap_or_default());
///     // … serve players …
///     Ok(())
/// })
/// # }
/// ```
///
/// # Who gets in
///
/// Whoever has the token of this start, which is in the address that [`Handle::page`](crate::Handle::page) gives and the log
/// tells. The browser keeps it as a cookie that no script can read; scripts and Prometheus send it as `Authorization: Bearer
/// …`. A wrong one is logged and answered late. The page is asked for by an address, `localhost` or a [name](Self::host) that
/// was given, and its WebSocket opened from that page only. With [`Web::users`], people log in by name and password instead.
///
/// Without TLS, anybody on the way reads the token and all else: serve other machines by [`Web::on`] with a listener of
/// `grapeshot-tls`, or through a tunnel such as `ssh -L`.
pub struct Web {
    place: Place,
    rights: Rights,
    hosts: Vec<String>,
    token: Option<String>,
    rate: u32,
    users: bool,
}

enum Place {
    At(SocketAddr),
    On(Box<dyn Carrier>, Origin),
}

/// What the page's addresses begin with.
struct Origin {
    text: String,
    port: u16,
    secure: bool,
}

/// A listener of any kind.
trait Carrier: Send {
    fn serve(self: Box<Self>, server: Server) -> io::Result<()>;
}

impl<L: Listener> Carrier for L {
    fn serve(self: Box<Self>, server: Server) -> io::Result<()> {
        server.serve(*self)
    }
}

impl Web {
    /// On this machine only, at this port; 0 takes a free one.
    pub fn local(port: u16) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// At this address, without TLS.
    pub fn at(address: SocketAddr) -> Self {
        Self::new(Place::At(address))
    }

    /// On a listener, with TLS or whatever else it brings. `origin` is how browsers reach it, such as
    /// `https://ops.example.com:9443`; the host in it is one of [those](Self::host) that may be asked for.
    ///
    /// # Panics
    /// If `origin` is not `http://` or `https://` and a host, perhaps with a port.
    pub fn on(listener: impl Listener, origin: &str) -> Self {
        let (host, origin) = Origin::parse(origin).unwrap_or_else(|| {
            panic!("{origin:?} is no origin such as https://ops.example.com:9443")
        });
        Self::new(Place::On(Box::new(listener), origin)).host(host)
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            rights: Rights::all(),
            hosts: Vec::new(),
            token: None,
            rate: RATE,
            users: false,
        }
    }

    /// What whoever has the token may do; everything unless set.
    #[must_use]
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    /// A name that the page may be asked for by, besides addresses and `localhost`: that of a proxy in front, say.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// This token instead of a new one with each start. Whoever guesses it has the page.
    ///
    /// # Panics
    /// If it has fewer than 16 characters, or others than letters, digits, `-` and `_`.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        let token = token.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(
            token.len() >= 16 && token.bytes().all(plain),
            "the page's token needs 16 characters or more, of letters, digits, - and _"
        );
        self.token = Some(token);
        self
    }

    /// Asks people for a name and a password: lets in the backdoor's [users](crate::Backdoor::user), each with the rights
    /// that both have, that one and the page. The token still opens it, too, for scripts and for whoever reads the log.
    ///
    /// What is typed goes over the wire, so [`serve_unix`](crate::Backdoor::serve_unix) refuses it with `InvalidInput` for an
    /// address that other machines reach, unless it is `https`. A login is good for twelve hours, or until one logs out.
    #[must_use]
    pub fn users(mut self) -> Self {
        self.users = true;
        self
    }

    /// How often a second a page is told what is new, at most; 2 unless set, between 1 and 20.
    #[must_use]
    pub fn updates_per_second(mut self, rate: u32) -> Self {
        self.rate = rate.clamp(1, 20);
        self
    }

    /// Serves the page in `runtime`, from now on; gives its address with the token. Never suspends.
    pub(crate) fn open(self, shared: &Arc<Shared>, runtime: RuntimeHandle) -> io::Result<String> {
        let token = match self.token {
            Some(token) => token,
            None => new_token()?,
        };
        let (carrier, origin): (Box<dyn Carrier>, Origin) = match self.place {
            Place::On(carrier, origin) => {
                check_logins(self.users, shared, origin.secure || origin.is_here())?;
                (carrier, origin)
            }
            Place::At(address) => {
                check_logins(self.users, shared, address.ip().is_loopback())?;
                let (listener, origin) = listen(address)?;
                (Box::new(listener), origin)
            }
        };
        let address = format!("{}/?token={token}", origin.text);
        let mut gate = Gate::new(token, origin.port, self.hosts, origin.secure);
        if self.users {
            gate = gate.with_logins();
        }
        let pause = Duration::from_secs(1) / self.rate;
        let site = Site::new(Arc::clone(shared), gate, self.rights, pause);
        let server = site.server();
        drop(runtime.spawn(Builder::new().name("page-server"), move || {
            if let Err(error) = carrier.serve(server) {
                journal::warn(format!("page: it is not served any more: {error}"));
            }
        }));
        log::info!("console: the live page is at {address}");
        Ok(address)
    }
}

/// # Errors
/// `InvalidInput` if people are to log in and nobody could, or anybody on the way could read how.
fn check_logins(users: bool, shared: &Shared, is_private: bool) -> io::Result<()> {
    let wrong = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if users && shared.users.is_empty() {
        return wrong(
            "nobody could log in to the live page: name users with Backdoor::user, or leave out Web::users",
        );
    }
    if users && !is_private {
        return wrong(
            "passwords for the live page would go over the network as they are: serve it with TLS by Web::on, or on 127.0.0.1",
        );
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, Origin)> {
    let explain = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; another program has that port: choose another, or 0 for a free one"
            }
            _ => "",
        };
        io::Error::new(
            error.kind(),
            format!("cannot serve the live page at {address}: {error}{advice}"),
        )
    };
    let listener = TcpListener::bind(address).map_err(explain)?;
    let bound = listener.local_addr().map_err(explain)?;
    if !bound.ip().is_loopback() {
        log::warn!(
            "console: the live page at {bound} is served without TLS: whoever is on the way can read its token and operate the server"
        );
    }
    // Nobody can go to "any address".
    let shown = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()))
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, bound.port()))
        }
        _ => bound,
    };
    let origin = Origin {
        text: format!("http://{shown}"),
        port: bound.port(),
        secure: false,
    };
    Ok((listener, origin))
}

impl Origin {
    /// Browsers reach it on this machine only.
    fn is_here(&self) -> bool {
        let host = self.text.trim_start_matches("http://");
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let bare = name.trim_matches(['[', ']']);
        name == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// With the host, without its port.
    fn parse(text: &str) -> Option<(String, Self)> {
        let text = text.trim_end_matches('/');
        let (rest, secure) = match text.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (text.strip_prefix("http://")?, false),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (rest, if secure { 443 } else { 80 }),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:_".contains(&byte);
        let sound = !host.is_empty() && host.bytes().all(plain);
        sound.then(|| {
            let origin = Self {
                text: text.to_owned(),
                port,
                secure,
            };
            (host.to_owned(), origin)
        })
    }
}

pub(crate) fn new_token() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    grapeshot::random::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_told_from_what_is_none() {
        let parse =
            |text| Origin::parse(text).map(|(host, it)| (host, it.port, it.secure, it.text));
        let whole = |host: &str, port, secure, text: &str| {
            Some((host.to_owned(), port, secure, text.to_owned()))
        };
        assert_eq!(
            parse("https://ops.example.com:9443/"),
            whole(
                "ops.example.com",
                9443,
                true,
                "https://ops.example.com:9443"
            )
        );
        assert_eq!(
            parse("http://localhost"),
            whole("localhost", 80, false, "http://localhost")
        );
        assert_eq!(
            parse("https://[::1]"),
            whole("[::1]", 443, true, "https://[::1]")
        );
        for wrong in [
            "ops.example.com",
            "ftp://x",
            "https://",
            "https://x:y",
            "https://x/path",
            "https://a b",
            "https://x:99999",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn passwords_go_over_no_wire_that_others_read() {
        let here = |text| Origin::parse(text).expect("an origin").1.is_here();
        assert!(
            here("http://localhost:9002") && here("http://127.0.0.1") && here("http://[::1]:80")
        );
        assert!(!here("http://10.0.0.7:9002") && !here("http://localhost.example"));
        let nobody = Shared::of(crate::Backdoor::new("arcade")).expect("nobody logs in");
        assert!(check_logins(false, &nobody, false).is_ok());
        let refused = check_logins(true, &nobody, true).expect_err("nobody could");
        assert!(refused.to_string().contains("Backdoor::user"));
        let ann = crate::Backdoor::new("arcade").user("ann", "sesame", Rights::all());
        let ann = Shared::of(ann).expect("a user");
        assert!(check_logins(true, &ann, true).is_ok());
        let refused = check_logins(true, &ann, false).expect_err("anybody could");
        assert!(refused.to_string().contains("TLS"));
    }

    #[test]
    fn tokens_are_new_each_time() {
        let tokens = [new_token().unwrap(), new_token().unwrap()];
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(tokens[0].len(), 2 * TOKEN_BYTES);
    }
}
