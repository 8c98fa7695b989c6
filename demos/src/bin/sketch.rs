//! `cargo run --bin sketch`: one sheet of paper for everybody who opens the page.
//!
//! What a browser says, a text each: `D,x0,y0,x1,y1,colour` draws a line; a stroke is many of them, and `N` begins the next;
//! `U` takes back one's last stroke; `C` takes a new sheet. What it hears: lines as `D,stroke,x0,y0,x1,y1,colour`, several in
//! a message; `U,stroke`; `C`. A browser that falls behind is told the whole sheet again, which also is how it begins.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Parser;
use grapeshot::net::{SocketAddr, TcpListener};
use grapeshot::sync::broadcast::{self, RecvError};
use grapeshot::sync::{Event, RateLimiter};
use grapeshot::{fs, scope, sleep, spawn};
use grapeshot_backdoor::{Backdoor, Right};
use grapeshot_demos::inside::Inside;
use grapeshot_http::{HandlerError, Request, Response, Server, Status};
use grapeshot_websocket::{Compression, Limits, Message, Upgrade, WebSocket};

const PAGE: &str = include_str!("../../assets/sketch.html");
/// The sheet, in its own units.
const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1000;
/// Lines on a sheet; what comes after them is not drawn.
const FULL: usize = 100_000;
/// How many lines one may draw in a second: more than a hand can.
const LINES_A_SECOND: u32 = 500;
const LONGEST_COMMAND: u64 = 64;
/// How many strokes of one's own can be taken back.
const UNDOABLE: usize = 1000;
/// How far a browser may fall behind, in messages.
const BEHIND: usize = 1000;
/// A changed sheet is written to its file after so long.
const SAVE_AFTER: Duration = Duration::from_secs(1);

#[derive(Parser)]
#[command(about = "A sheet on which everybody draws")]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9004")]
    listen: SocketAddr,
    /// Keep the sheet in this file.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    inside: Inside,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    grapeshot::run(move || {
        let listener = TcpListener::bind(options.listen)?;
        let board = Arc::new(Board::new());
        if let Some(file) = options.file {
            board.load(&file)?;
            let board = Arc::clone(&board);
            spawn(move || board.keep_in(&file));
        }
        let shown = Arc::clone(&board);
        let backdoor = Backdoor::new("sketch").expose(
            "lines",
            "how many are on the sheet",
            Right::Observe,
            move || shown.sheet().lines.len(),
        );
        let _inside = options.inside.serve("sketch", backdoor)?;
        println!("look at http://{}/", listener.local_addr()?);
        let server = Server::new(move |request, response| match request.path() {
            "/" => {
                let page = response.header("Content-Type", "text/html; charset=utf-8");
                Ok(page.send(PAGE)?)
            }
            "/board" => draw(&board, request, response),
            _ => Ok(response
                .status(Status::NOT_FOUND)
                .send_text("not found\n")?),
        });
        server.serve(listener)
    })
}

/// One who draws, from coming to going.
fn draw(
    board: &Board,
    request: &mut Request<'_>,
    response: Response<'_>,
) -> Result<(), HandlerError> {
    let mut limits = Limits::default();
    limits.message = LONGEST_COMMAND;
    let upgrade = Upgrade::new()
        .limits(limits)
        .compression(Compression::new());
    let socket = upgrade.accept(request, response)?;
    let hand = RateLimiter::new(LINES_A_SECOND, Duration::from_secs(1));
    scope(|s| {
        let watching = s.spawn(|| watch(board, &socket));
        let mut strokes = vec![board.next_stroke()];
        while let Ok(Message::Text(command)) = socket.recv() {
            hand.acquire();
            match command.split_at_checked(1) {
                Some(("D", line)) => {
                    if let (Ok(line), Some(&stroke)) = (line.parse(), strokes.last()) {
                        board.add(stroke, line);
                    }
                }
                Some(("N", _)) => {
                    if strokes.len() == UNDOABLE {
                        strokes.remove(0);
                    }
                    strokes.push(board.next_stroke());
                }
                Some(("U", _)) => {
                    // Strokes of no lines are no strokes.
                    while let Some(stroke) = strokes.pop() {
                        if board.take_back(stroke) {
                            break;
                        }
                    }
                    strokes.push(board.next_stroke());
                }
                Some(("C", _)) => board.clear(),
                _ => {}
            }
        }
        watching.interrupt();
    });
    Ok(())
}

/// Shows one who draws what all draw, until that fails.
fn watch(board: &Board, socket: &WebSocket) -> Result<(), HandlerError> {
    let (mut sheet, mut news) = board.whole();
    loop {
        // One message of many lines compresses well.
        socket.send_text(&sheet)?;
        loop {
            match news.recv() {
                Ok(line) => socket.send_text(&line)?,
                Err(RecvError::Lagged(_)) => break,
                Err(_) => return Ok(()),
            }
        }
        (sheet, news) = board.whole();
    }
}

/// A line between two points of the sheet.
#[derive(Clone, Copy)]
struct Line {
    ends: [u32; 4],
    colour: u32,
}

impl FromStr for Line {
    type Err = ();

    /// Of `,x0,y0,x1,y1,colour`, the colour in six hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(',').skip(1);
        let mut ends = [0; 4];
        for (end, most) in ends.iter_mut().zip([WIDTH, HEIGHT, WIDTH, HEIGHT]) {
            let number: u32 = words.next().ok_or(())?.parse().map_err(|_| ())?;
            *end = Some(number).filter(|&number| number <= most).ok_or(())?;
        }
        let colour = words.next().filter(|word| word.len() == 6).ok_or(())?;
        let colour = u32::from_str_radix(colour, 16).map_err(|_| ())?;
        Ok(Self { ends, colour })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x0, y0, x1, y1] = self.ends;
        write!(f, "{x0},{y0},{x1},{y1},{:06x}", self.colour)
    }
}

/// What everybody shares. Whatever changes the sheet tells of it under the same lock, so that nobody misses a change.
struct Board {
    sheet: Mutex<Sheet>,
    news: broadcast::Sender<Arc<str>>,
    changed: Event,
}

#[derive(Default)]
struct Sheet {
    lines: Vec<(u64, Line)>,
    strokes: u64,
}

impl Board {
    fn new() -> Self {
        Self {
            sheet: Mutex::default(),
            news: broadcast::channel(BEHIND).0,
            changed: Event::new(),
        }
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, _sheet: MutexGuard<'_, Sheet>, news: &str) {
        self.changed.set();
        // Nobody may be looking.
        let _ = self.news.send(news.into());
    }

    fn next_stroke(&self) -> u64 {
        let mut sheet = self.sheet();
        sheet.strokes += 1;
        sheet.strokes
    }

    fn add(&self, stroke: u64, line: Line) {
        let mut sheet = self.sheet();
        if sheet.lines.len() < FULL {
            sheet.lines.push((stroke, line));
            self.tell(sheet, &format!("D,{stroke},{line}"));
        }
    }

    /// False if there is nothing of it.
    fn take_back(&self, stroke: u64) -> bool {
        let mut sheet = self.sheet();
        let before = sheet.lines.len();
        sheet.lines.retain(|&(of, _)| of != stroke);
        let is_there = sheet.lines.len() < before;
        if is_there {
            self.tell(sheet, &format!("U,{stroke}"));
        }
        is_there
    }

    fn clear(&self) {
        let mut sheet = self.sheet();
        sheet.lines.clear();
        self.tell(sheet, "C");
    }

    /// All there is, and what comes after it.
    fn whole(&self) -> (String, broadcast::Receiver<Arc<str>>) {
        let sheet = self.sheet();
        let mut text = "C".to_owned();
        for (stroke, line) in &sheet.lines {
            text += &format!("\nD,{stroke},{line}");
        }
        (text, self.news.subscribe())
    }

    fn load(&self, file: &PathBuf) -> io::Result<()> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        let mut sheet = self.sheet();
        for word in text.lines().take(FULL) {
            let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("no line: {word}"));
            let (stroke, line) = word.split_once(',').ok_or_else(bad)?;
            let stroke = stroke.parse().map_err(|_| bad())?;
            let line = format!(",{line}").parse().map_err(|()| bad())?;
            sheet.lines.push((stroke, line));
            sheet.strokes = sheet.strokes.max(stroke);
        }
        Ok(())
    }

    /// Writes the sheet whenever it has changed.
    fn keep_in(&self, file: &PathBuf) {
        loop {
            self.changed.wait();
            sleep(SAVE_AFTER);
            self.changed.clear();
            let lines: Vec<String> = {
                let sheet = self.sheet();
                let lines = sheet.lines.iter();
                lines
                    .map(|(stroke, line)| format!("{stroke},{line}\n"))
                    .collect()
            };
            if let Err(error) = fs::write(file, lines.concat()) {
                eprintln!("sketch: cannot write {}: {error}", file.display());
            }
        }
    }
}
