//! A server with a backdoor, the program `console`, and a terminal to run it in.
// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod ship;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use grapeshot_backdoor::protocol::{
    ClientMessage, Decoder, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ServerMessage, VERSION, encode,
};
use grapeshot_tests::programs::programs;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Long enough for a loaded machine; nothing takes this long when it works.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn console() -> Command {
    let mut command = Command::new(programs().join("console"));
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
    command
}

/// A folder of its own for each test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Short, because a socket's path may have 107 bytes only; not under a home that others cannot enter.
        let folder = PathBuf::from(format!("/tmp/gs-console-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The example server in a process of its own.
pub struct Server {
    pub child: Child,
    pub path: PathBuf,
    pub folder: Folder,
}

impl Server {
    pub fn start() -> Self {
        Self::with_players(3)
    }

    pub fn with_players(players: u32) -> Self {
        let folder = Folder::new();
        let path = folder.file("arcade");
        let child = Self::launch(&path, players);
        Self {
            child,
            path,
            folder,
        }
    }

    /// Starts it and waits until it listens.
    pub fn launch(path: &Path, players: u32) -> Child {
        let mut child = Self::command(path, players)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        // Kept open: the server prints again when it ends.
        child.stdout = Some(reader.into_inner());
        assert_eq!(line, format!("listening at {}\n", path.display()));
        child
    }

    pub fn command(path: &Path, players: u32) -> Command {
        let mut command = Command::new(programs().join("examples/arcade"));
        command
            .arg(path)
            .arg(players.to_string())
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// Evaluates one statement with `console -c`.
    pub fn ask(&self, statement: &str) -> Output {
        console()
            .arg(&self.path)
            .args(["-c", statement])
            .output()
            .unwrap()
    }

    /// What `console -c` prints for a statement that goes well.
    pub fn told(&self, statement: &str) -> String {
        let output = self.ask(statement);
        assert!(output.status.success(), "{statement}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, statement: &str) -> serde_json::Value {
        let output = console()
            .arg(&self.path)
            .args(["--json", "-c", statement])
            .output()
            .unwrap();
        assert!(output.status.success(), "{statement}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks until the answer is right; for what takes the server a moment.
    pub fn eventually(
        &self,
        statement: &str,
        right: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.json(statement);
            if right(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{statement} still gives {answer}"
            );
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits for a process, but not forever.
pub fn ended(child: &mut Child, patience: Duration) -> ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(
            Instant::now() < deadline,
            "process {} did not end within {patience:?}",
            child.id()
        );
        thread::yield_now();
    }
}

/// A peer that speaks the protocol byte by byte.
pub struct Peer {
    pub stream: UnixStream,
    /// The number in the names of its coroutines.
    pub session: u64,
    decoder: Decoder,
}

impl Peer {
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            session: 0,
            decoder: Decoder::new(MAX_SERVER_MESSAGE),
        }
    }

    /// Connected and greeted.
    pub fn attach(path: &Path) -> Self {
        let mut peer = Self::connect(path);
        peer.send(&ClientMessage::Hello { version: VERSION });
        match peer.receive() {
            Some(ServerMessage::Hello { session, .. }) => peer.session = session,
            other => panic!("{other:?}"),
        }
        peer
    }

    pub fn send(&mut self, message: &ClientMessage) {
        self.stream
            .write_all(&encode(message, MAX_CLIENT_MESSAGE).unwrap())
            .unwrap();
    }

    pub fn eval(&mut self, id: u64, source: &str) {
        self.send(&ClientMessage::Eval {
            id,
            source: source.to_owned(),
            rows: None,
        });
    }

    /// The next message; `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<ServerMessage> {
        self.decoder.receive(&self.stream).unwrap()
    }
}

/// Lines of a [`Terminal`].
pub const ROWS: u16 = 50;

/// A program in a pseudo-terminal, and what stands on its screen.
pub struct Terminal {
    pub child: Child,
    master: File,
    slave: OwnedFd,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    /// The console at its prompt.
    pub fn attach(server: &Server, columns: u16) -> Self {
        let state = server.folder.file("state");
        let mut terminal = Self::run(
            console().arg(&server.path).env("XDG_STATE_HOME", state),
            columns,
        );
        terminal.wait_for("arcade>");
        terminal
    }

    pub fn run(command: &Command, columns: u16) -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: ROWS,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        // `setsid --ctty` makes the terminal the one whose Ctrl-C reaches the program.
        let mut wrapped = Command::new("setsid");
        wrapped
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = wrapped
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let parser =
            vt100::Parser::new(ROWS.try_into().unwrap(), columns.try_into().unwrap(), 1000);
        let screen = Arc::new((Mutex::new(parser), Condvar::new()));
        let (mut reader, shown) = (master.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            // A pseudo-terminal whose last program has ended gives an error, not an end.
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                shown.0.lock().unwrap().process(&chunk[..n]);
                shown.1.notify_all();
            }
        });
        Self {
            child,
            master,
            slave: slave.into(),
            screen,
        }
    }

    /// The person changes the window's size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let mut screen = self.screen.0.lock().unwrap();
        screen
            .screen_mut()
            .set_size(rows.try_into().unwrap(), columns.try_into().unwrap());
        tcsetwinsize(&self.slave, size).unwrap();
    }

    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    pub fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Waits until the screen looks as it should.
    pub fn wait(&mut self, what: &str, right: impl Fn(&vt100::Screen) -> bool) {
        let (parser, changed) = &*self.screen;
        let screen = parser.lock().unwrap();
        let (screen, late) = changed
            .wait_timeout_while(screen, PATIENCE, |parser| !right(parser.screen()))
            .unwrap();
        assert!(
            !late.timed_out(),
            "waited for {what}, the screen shows:\n{}",
            screen.screen().contents()
        );
    }

    pub fn wait_for(&mut self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    /// Waits until the last line with anything in it is this.
    pub fn wait_for_last(&mut self, line: &str) {
        self.wait(line, |screen| {
            screen
                .contents()
                .trim_end()
                .lines()
                .last()
                .is_some_and(|last| last.trim_end() == line)
        });
    }

    pub fn contents(&self) -> String {
        self.screen.0.lock().unwrap().screen().contents()
    }

    /// Asks the screen itself.
    pub fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.0.lock().unwrap().screen())
    }

    /// Whether the terminal echoes and gathers lines, as a shell wants to find it.
    pub fn is_in_order(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    pub fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child, PATIENCE)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
