//! `cargo run --bin grid`: a field of 50 × 30 with one X. Whoever clicks moves it, and all who look see it move.
//!
//! What everybody shares is one value in a `watch` channel. Each browser has a coroutine that waits for its next change
//! and writes it down the connection: server-sent events.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use grapeshot::net::{SocketAddr, TcpListener};
use grapeshot::sync::watch;
use grapeshot::with_timeout;
use grapeshot_backdoor::{Backdoor, Right};
use grapeshot_demos::inside::Inside;
use grapeshot_http::{
    Event, HandlerError, Html, Rejection, Request, Response, Router, Server, Status, handler,
};
use serde::Serialize;

const PAGE: &str = include_str!("../../assets/grid.html");
const WIDTH: u32 = 50;
const HEIGHT: u32 = 30;
/// After so long without a move we look whether a browser is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Longer than any "x,y".
const LONGEST_MOVE: u64 = 16;

#[derive(Parser)]
#[command(about = "A field with one X that everybody moves")]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9006")]
    listen: SocketAddr,
    #[command(flatten)]
    inside: Inside,
}

/// What everybody sees.
#[derive(Clone, Copy, Serialize)]
struct Grid {
    x: u32,
    y: u32,
    moves: u64,
    watchers: u32,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    grapeshot::run(move || {
        let start = Grid {
            x: WIDTH / 2,
            y: HEIGHT / 2,
            moves: 0,
            watchers: 0,
        };
        let grid = Arc::new(watch::channel(start).0);
        let listener = TcpListener::bind(options.listen)?;
        println!("look at http://{}/", listener.local_addr()?);
        let shown = Arc::clone(&grid);
        let backdoor = Backdoor::new("grid").expose(
            "grid",
            "where the X is, and how many look",
            Right::Observe,
            move || *shown.latest(),
        );
        let _inside = options.inside.serve("grid", backdoor)?;
        let (seen, moved) = (Arc::clone(&grid), grid);
        let site = Router::new()
            .get("/", |_| Html(PAGE))
            .on(
                "GET",
                "/events",
                handler(move |_, response| tell(&seen, response)),
            )
            .post("/move", move |request| play(&moved, request));
        Server::with_handler(site).serve(listener)
    })
}

/// Tells one browser where the X is, until it goes away: then a write fails.
fn tell(grid: &watch::Sender<Grid>, response: Response<'_>) -> Result<(), HandlerError> {
    let _seat = Seat::take(grid);
    let mut news = grid.subscribe();
    let mut events = response.events()?;
    let mut now = news.latest();
    loop {
        events.send(&Event::new(serde_json::to_string(&*now)?))?;
        now = loop {
            match with_timeout(HEARTBEAT, || news.changed()) {
                Ok(grid) => break grid?,
                Err(_) => events.comment()?,
            }
        };
    }
}

/// Moves it to where the request says: "x,y".
fn play(grid: &watch::Sender<Grid>, request: &mut Request<'_>) -> Result<Status, HandlerError> {
    request.limit_body(LONGEST_MOVE);
    let text = String::from_utf8(request.read_body()?)?;
    let place = text
        .split_once(',')
        .and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)));
    let Some((x, y)) = place.filter(|&(x, y)| x < WIDTH && y < HEIGHT) else {
        let help = "send \"x,y\", from 0,0 to 49,29";
        return Err(Rejection::new(Status::BAD_REQUEST, help).into());
    };
    grid.update(|grid| Grid {
        x,
        y,
        moves: grid.moves + 1,
        ..*grid
    });
    Ok(Status::NO_CONTENT)
}

/// One who looks, counted for as long as it lives.
struct Seat<'g>(&'g watch::Sender<Grid>);

impl<'g> Seat<'g> {
    fn take(grid: &'g watch::Sender<Grid>) -> Self {
        count(grid, |watchers| watchers + 1);
        Self(grid)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        count(self.0, |watchers| watchers - 1);
    }
}

fn count(grid: &watch::Sender<Grid>, change: impl Fn(u32) -> u32) {
    grid.update(|grid| Grid {
        watchers: change(grid.watchers),
        ..*grid
    });
}
