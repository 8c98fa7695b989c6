//! `cargo run --bin chat`: a room for everybody who opens the page. The first line that one sends is one's name.
//!
//! Each browser has two coroutines. One reads what its owner says and says it to the room; the other waits for what the
//! room hears, and sends it. The room is a broadcast channel and the last lines said.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use clap::Parser;
use grapeshot::net::{SocketAddr, TcpListener};
use grapeshot::sync::broadcast::{self, RecvError};
use grapeshot::{scope, time};
use grapeshot_backdoor::{Backdoor, Right};
use grapeshot_demos::inside::Inside;
use grapeshot_http::{HandlerError, Request, Response, Server, Status};
use grapeshot_websocket::{Limits, Message, Upgrade, WebSocket};
use serde::Serialize;

const PAGE: &str = include_str!("../../assets/chat.html");
/// What one who comes is told of the past, and how far one may fall behind.
const LINES: usize = 50;
const LONGEST_LINE: u64 = 1000;
const LONGEST_NAME: usize = 24;
const COLOURS: [&str; 7] = [
    "#ff8f80", "#8ecbff", "#a6e3a1", "#d3a4ff", "#ffb454", "#f5a9e1", "#94e2d5",
];

#[derive(Parser)]
#[command(about = "A room in which everybody hears everybody")]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9005")]
    listen: SocketAddr,
    #[command(flatten)]
    inside: Inside,
}

/// What a browser is told, as JSON.
#[derive(Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
enum News<'a> {
    /// The colour of the browser's owner.
    Color(&'a str),
    Message {
        /// Milliseconds since 1970.
        time: u64,
        author: &'a str,
        color: &'a str,
        text: &'a str,
    },
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    grapeshot::run(move || {
        let listener = TcpListener::bind(options.listen)?;
        println!("look at http://{}/", listener.local_addr()?);
        let room = Arc::new(Room::new());
        let here = Arc::clone(&room);
        let backdoor = Backdoor::new("chat").expose(
            "visitors",
            "how many have come so far",
            Right::Observe,
            move || here.visitors.load(Ordering::Relaxed),
        );
        let _inside = options.inside.serve("chat", backdoor)?;
        let server = Server::new(move |request, response| match request.path() {
            "/" => {
                let page = response.header("Content-Type", "text/html; charset=utf-8");
                Ok(page.send(PAGE)?)
            }
            "/chat" => visit(&room, request, response),
            _ => Ok(response
                .status(Status::NOT_FOUND)
                .send_text("not found\n")?),
        });
        server.serve(listener)
    })
}

/// One visitor, from coming to going.
fn visit(
    room: &Room,
    request: &mut Request<'_>,
    response: Response<'_>,
) -> Result<(), HandlerError> {
    let mut limits = Limits::default();
    limits.message = LONGEST_LINE;
    let socket = Upgrade::new().limits(limits).accept(request, response)?;
    let Ok(Message::Text(name)) = socket.recv() else {
        return Ok(());
    };
    let (name, color) = (tidy(&name), room.next_color());
    socket.send_text(&serde_json::to_string(&News::Color(color))?)?;
    scope(|s| {
        let listening = s.spawn(|| listen(room, &socket));
        room.say(&name, color, "is here");
        while let Ok(Message::Text(text)) = socket.recv() {
            room.say(&name, color, &text);
        }
        room.say(&name, color, "is gone");
        listening.interrupt();
    });
    Ok(())
}

/// Sends a visitor what is said, until it cannot be sent any more.
fn listen(room: &Room, socket: &WebSocket) -> Result<(), HandlerError> {
    let (past, mut news) = room.enter();
    for line in past {
        socket.send_text(&line)?;
    }
    loop {
        match news.recv() {
            Ok(line) => socket.send_text(&line)?,
            // What a slow browser missed is gone; what comes next it hears again.
            Err(RecvError::Lagged(_)) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// A name that does no harm in a line.
fn tidy(name: &str) -> String {
    let visible = name.chars().filter(|c| !c.is_control());
    let name: String = visible.take(LONGEST_NAME).collect();
    match name.trim() {
        "" => "somebody".to_owned(),
        name => name.to_owned(),
    }
}

struct Room {
    news: broadcast::Sender<Arc<str>>,
    /// The last lines. Locked for moments, also while a line is said, so that nobody who comes misses or doubles one.
    past: Mutex<VecDeque<Arc<str>>>,
    visitors: AtomicUsize,
}

impl Room {
    fn new() -> Self {
        Self {
            news: broadcast::channel(LINES).0,
            past: Mutex::default(),
            visitors: AtomicUsize::new(0),
        }
    }

    fn next_color(&self) -> &'static str {
        COLOURS[self.visitors.fetch_add(1, Ordering::Relaxed) % COLOURS.len()]
    }

    fn say(&self, author: &str, color: &str, text: &str) {
        let since = time::system_now().duration_since(SystemTime::UNIX_EPOCH);
        let news = News::Message {
            time: since.unwrap_or_default().as_millis() as u64,
            author,
            color,
            text,
        };
        let line: Arc<str> = serde_json::to_string(&news)
            .expect("texts and numbers are JSON")
            .into();
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == LINES {
            past.pop_front();
        }
        past.push_back(Arc::clone(&line));
        // An empty room hears nothing.
        let _ = self.news.send(line);
    }

    fn enter(&self) -> (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        (past.iter().cloned().collect(), self.news.subscribe())
    }
}
