//! What is answered to which request.
//!
//! | path | what is there |
//! |---|---|
//! | `/` | the page; without a token, a form that asks for it, or for a name and a password |
//! | `/login`, `/logout` | where that form goes, and the way out |
//! | `/page/…` | its parts |
//! | `/live` | its WebSocket |
//! | `/session` | the WebSocket of its terminal |
//! | `/profile/…` | profiles that were taken, as files |
//! | `/metrics` | figures for Prometheus |
//! | `/me` | whether the token is still good, and what it may do |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grapeshot_http::{Handler, HandlerError, Limits, Request, Response, Server, Status};
use grapeshot_websocket::{Upgrade, WebSocket};
use serde_json::{Value, json};

use super::files::{FILES, HTML, INDEX, LOGIN_SCRIPT, SCRIPT, headers, plain};
use super::gate::{Credentials, Gate, Verdict};
use super::logins::Who;
use super::profiler::Reports;
use super::terminal::Messages;
use super::trouble::Watch;
use super::{asker, live, metrics};
use crate::backdoor::Shared;
use crate::journal;
use crate::protocol::MAX_CLIENT_MESSAGE;
use crate::rights::{Right, Rights};
use crate::session;
use crate::transport::Visitor;

/// Connections to the page at once; more wait outside.
const CONNECTIONS: usize = 128;
/// Pages that are open at once.
const PAGES: usize = 16;
/// Bytes of a page's message.
const MESSAGE: u64 = 16 << 10;
/// Bytes of a login: a name and a password, however they are written.
const LOGIN_FORM: u64 = 8 << 10;
/// How long a wrong token waits for its answer.
pub(super) const WRONG_TOKEN_DELAY: Duration = Duration::from_secs(1);

pub(super) type Answer = Result<(), HandlerError>;

pub(crate) struct Site {
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Gate,
    pub(super) rights: Rights,
    /// Between two snapshots.
    pause: Duration,
    reports: Reports,
    watch: Arc<Watch>,
    /// When it began, in milliseconds since 1970: what a page remembers is of one start.
    started: u64,
    pages: AtomicUsize,
    numbers: AtomicU64,
    refused: AtomicU64,
}

/// A page that is open; counted while it lives.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Site {
    pub(crate) fn new(shared: Arc<Shared>, gate: Gate, rights: Rights, pause: Duration) -> Self {
        Self {
            shared,
            gate,
            rights,
            pause,
            reports: Reports::new(),
            watch: Arc::default(),
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(0)),
            pages: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn server(self) -> Server {
        let mut limits = Limits::default();
        limits.connections = CONNECTIONS;
        limits.body = if self.gate.takes_logins() {
            LOGIN_FORM
        } else {
            0
        };
        limits.headers = 16 << 10;
        limits.idle = Duration::from_secs(20);
        limits.first_byte = Duration::from_secs(5);
        Server::builder().limits(limits).build(self)
    }

    fn answer(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
        who: &Who,
        login: bool,
    ) -> Answer {
        if !who.rights.contains(Right::Observe) {
            return Ok(plain(
                headers(response),
                Status::FORBIDDEN,
                "there is no right to look",
            )?);
        }
        let path = request.path();
        if let Some(name) = path.strip_prefix("/profile/") {
            return self.reports.send(name, response);
        }
        let response = headers(response);
        if let Some(name) = path.strip_prefix("/page/") {
            let file = FILES.iter().find(|(known, ..)| *known == name);
            let sent = match file {
                Some((_, kind, text)) => response.header("Content-Type", kind).send(text),
                None => plain(response, Status::NOT_FOUND, "there is nothing here"),
            };
            return Ok(sent?);
        }
        match path {
            "/" => {
                let response = if login {
                    response.header("Set-Cookie", self.gate.set_cookie())
                } else {
                    response
                };
                Ok(response.header("Content-Type", HTML).send(INDEX)?)
            }
            "/me" => {
                let me = self.me(who).to_string();
                Ok(response
                    .header("Content-Type", "application/json")
                    .send(me)?)
            }
            "/metrics" => {
                let own = metrics::Own {
                    pages: self.pages.load(Ordering::Relaxed),
                    refused: self.refused.load(Ordering::Relaxed),
                };
                let text = metrics::text(&self.shared, own);
                Ok(response
                    .header("Content-Type", metrics::CONTENT_TYPE)
                    .send(text)?)
            }
            "/live" => self.live(request, response, who),
            "/session" => self.session(request, response, who),
            _ => Ok(plain(
                response,
                Status::NOT_FOUND,
                "there is nothing here; the page is at /",
            )?),
        }
    }

    /// What there is, and what this visitor may do with it.
    fn me(&self, who: &Who) -> Value {
        let rights: Vec<&str> = who.rights.iter().map(Right::name).collect();
        let views = asker::views().map(|entry| json!({"name": entry.name, "about": entry.about}));
        let exposed = self.shared.functions.iter().map(|function| {
            json!({
                "name": function.name, "call": function.signature(), "about": function.doc,
                "right": function.right.name(), "askable": function.parameters.is_empty() && asker::is_askable(&function.name, &self.shared),
            })
        });
        json!({
            "application": self.shared.name, "pid": std::process::id(), "rights": rights, "user": self.gate.takes_logins().then_some(&who.name),
            "started": self.started, "pause": self.pause.as_secs_f64(), "version": env!("CARGO_PKG_VERSION"),
            "views": views.collect::<Value>(), "exposed": exposed.collect::<Value>(),
        })
    }

    fn live(&self, request: &mut Request<'_>, response: Response<'_>, who: &Who) -> Answer {
        let Some(_place) = self.place() else {
            let text =
                format!("{PAGES} pages are open already, which is the limit; close one of them");
            return Ok(plain(response, Status::SERVICE_UNAVAILABLE, &text)?);
        };
        let (visitor, number) = (
            visitor(request, who),
            self.numbers.fetch_add(1, Ordering::Relaxed) + 1,
        );
        let socket = upgrade(request, response, MESSAGE)?;
        live::serve(
            &self.shared,
            &self.watch,
            visitor,
            self.pause,
            number,
            socket,
        );
        Ok(())
    }

    /// A console in the page.
    fn session(&self, request: &mut Request<'_>, response: Response<'_>, who: &Who) -> Answer {
        let visitor = visitor(request, who);
        let socket = upgrade(request, response, u64::from(MAX_CLIENT_MESSAGE))?;
        let transport = Arc::new(Messages(socket));
        if session::is_greeted(&*transport) {
            let number = self.shared.seats.next_number();
            session::run(&self.shared, transport, visitor, number);
        }
        Ok(())
    }

    /// Whoever has the token.
    fn holder(&self) -> Who {
        Who {
            name: "page".to_owned(),
            rights: self.rights,
        }
    }

    fn place(&self) -> Option<Place<'_>> {
        let more = |open: usize| (open < PAGES).then_some(open + 1);
        self.pages
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Place(&self.pages))
    }

    pub(super) fn refuse(&self, request: &Request<'_>, why: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        // What a stranger wrote is quoted, so that it cannot forge another line.
        let (peer, host, path) = (request.peer(), request.host(), request.path());
        journal::warn(format!(
            "page: refused {peer}, which asked {host:?} for {path:?}: {why}"
        ));
    }
}

impl Handler for Site {
    fn handle(&self, request: &mut Request<'_>, response: Response<'_>) -> Answer {
        let asked = Credentials::of(request);
        let verdict = self.gate.judge(asked);
        let is_ours = matches!(verdict, Verdict::Known | Verdict::Login | Verdict::Unknown);
        match (request.method(), request.path()) {
            ("GET" | "HEAD", _) => {}
            ("POST", "/login") if is_ours && self.gate.takes_logins() => {
                return self.log_in(request, response);
            }
            ("POST", "/logout") if is_ours && self.gate.takes_logins() => {
                return self.log_out(request, response);
            }
            _ if is_ours => {
                let response = headers(response).header("Allow", "GET, HEAD");
                return Ok(plain(
                    response,
                    Status::METHOD_NOT_ALLOWED,
                    "there is nothing to send here",
                )?);
            }
            _ => {}
        }
        let named = match verdict {
            Verdict::Unknown => self.gate.named(asked, grapeshot::time::now()),
            _ => None,
        };
        if let Some(who) = named {
            return self.answer(request, response, &who, false);
        }
        match verdict {
            Verdict::Known => self.answer(request, response, &self.holder(), false),
            Verdict::Login => self.answer(request, response, &self.holder(), true),
            Verdict::Unknown if request.path() == "/" => {
                self.ask_who(response, Status::UNAUTHORIZED, "")
            }
            Verdict::Unknown if request.path() == "/login.js" => Ok(headers(response)
                .header("Content-Type", SCRIPT)
                .send(LOGIN_SCRIPT)?),
            Verdict::Unknown => {
                let text = "who are you? Open the address with the token that the server printed, or send it as `Authorization: Bearer …`";
                let response = headers(response).header("WWW-Authenticate", "Bearer");
                Ok(plain(response, Status::UNAUTHORIZED, text)?)
            }
            Verdict::Wrong => {
                self.refuse(request, "a wrong token");
                grapeshot::sleep(WRONG_TOKEN_DELAY);
                let text = "this token is wrong: it changes with each start of the server, which prints the new address";
                Ok(plain(headers(response).close(), Status::FORBIDDEN, text)?)
            }
            Verdict::ForeignHost => {
                self.refuse(request, "a host that is not ours");
                let text = "this page is asked for by an address, localhost, or a name that the application allows with `Web::host`";
                Ok(plain(
                    headers(response).close(),
                    Status::MISDIRECTED_REQUEST,
                    text,
                )?)
            }
            Verdict::ForeignPage => {
                self.refuse(request, "it came from another page");
                Ok(plain(
                    headers(response).close(),
                    Status::FORBIDDEN,
                    "requests from other pages are refused",
                )?)
            }
        }
    }
}

fn visitor(request: &Request<'_>, who: &Who) -> Visitor {
    Visitor {
        name: who.name.clone(),
        from: format!("web {}", request.peer()),
        rights: who.rights,
    }
}

/// A WebSocket that takes messages of so many bytes.
fn upgrade(
    request: &mut Request<'_>,
    response: Response<'_>,
    longest: u64,
) -> Result<WebSocket, HandlerError> {
    let mut limits = grapeshot_websocket::Limits::default();
    (limits.message, limits.frame) = (longest, longest);
    Upgrade::new().limits(limits).accept(request, response)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::time::Instant;

    use grapeshot::net::{TcpListener, TcpStream};
    use grapeshot::testing::{NetworkConfig, Simulation, host};
    use grapeshot::{Builder, sleep, spawn, with_timeout};

    use super::*;
    use crate::Backdoor;

    /// A page on a simulated network, at `server:80`.
    fn serve() -> Server {
        let gate = Gate::new("sesame".into(), 80, vec!["server".into()], false);
        let shared = Shared::of(Backdoor::new("arcade")).expect("nobody logs in");
        let site = Site::new(shared, gate, Rights::all(), Duration::from_millis(500));
        let server = site.server();
        let serving = server.clone();
        host("server", move || {
            let listener = TcpListener::bind("0.0.0.0:80").expect("a free port");
            let _ = serving.serve(listener);
        });
        sleep(Duration::from_millis(1));
        server
    }

    /// The first line of the answer, and how long it took.
    fn ask(token: &str) -> io::Result<(String, Duration)> {
        let start: Instant = grapeshot::time::now();
        let mut stream = TcpStream::connect("server:80")?;
        write!(
            stream,
            "GET /me HTTP/1.1\r\nHost: server\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let line = answer.lines().next().unwrap_or_default().to_owned();
        Ok((line, grapeshot::time::now() - start))
    }

    #[test]
    fn a_wrong_token_waits_and_nobody_waits_with_it() {
        Simulation::new(5).network(NetworkConfig::new()).run(|| {
            let server = serve();
            let guesses: Vec<_> = (0..20)
                .map(|n| spawn(move || ask(&format!("sesame{n}")).expect("an answer")))
                .collect();
            sleep(Duration::from_millis(100));
            let (line, took) = ask("sesame").expect("an answer");
            assert_eq!(line, "HTTP/1.1 200 OK");
            assert!(took < WRONG_TOKEN_DELAY / 2, "{took:?}");
            for guess in guesses {
                let (line, took) = guess.join().expect("it ends");
                assert_eq!(line, "HTTP/1.1 403 Forbidden");
                assert!(took >= WRONG_TOKEN_DELAY, "{took:?}");
            }
            server.shutdown(Duration::ZERO);
        });
    }

    #[test]
    fn thousands_of_connections_are_not_thousands_of_coroutines() {
        Simulation::new(5).network(NetworkConfig::new()).run(|| {
            let server = serve();
            let silent = |_| {
                Builder::new().stack_size(64 << 10).spawn(|| {
                    let Ok(mut stream) = TcpStream::connect("server:80") else {
                        return;
                    };
                    // Until the server has enough of it, or the test.
                    let _ = stream.read(&mut [0]);
                })
            };
            let crowd: Vec<_> = (0..2000).map(silent).collect();
            sleep(Duration::from_secs(1));
            let open = server.statistics().connections;
            assert!(
                (CONNECTIONS..=CONNECTIONS + 1).contains(&open),
                "{open} are open"
            );
            crowd.iter().for_each(|one| one.interrupt());
            let answered = with_timeout(Duration::from_secs(60), || {
                loop {
                    match ask("sesame") {
                        Ok((line, _)) if line == "HTTP/1.1 200 OK" => return,
                        _ => sleep(Duration::from_millis(100)),
                    }
                }
            });
            assert!(answered.is_ok(), "the page is lost behind them");
            server.shutdown(Duration::ZERO);
        });
    }
}
