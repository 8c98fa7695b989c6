//! The same for the demo: a browser's socket, looks at its figures and a console, while one system call of the server fails;
//! then it is told to end.
//!
//! One call fails once, so whoever tries again must succeed, unless the server has ended and said why. A viewport sees
//! the world, or its socket ends. Told to end, the server ends, soon.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{How, LIMIT, NO_MEMORY_FOR_STD, Run, end_of};
use crate::{place, shell};

/// Strace counts by thread, and there are two workers: so a call may fail twice, but not thrice.
const TRIES: usize = 3;
/// How long a client tries before it counts as left waiting.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Demo {
    programs: PathBuf,
    folder: PathBuf,
}

impl Demo {
    pub(super) fn build() -> Result<Self> {
        // As `tests/src/programs.rs` does, so that nothing is compiled twice.
        let mut build = shell::cargo(&["build", "--bins", "--example=arcade"]);
        build.args(["--package=grapeshot-demos", "--package=grapeshot-console"]);
        shell::run(build.arg("--package=grapeshot-backdoor"))?;
        let folder = std::env::temp_dir().join(format!("grapeshot-demo-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self {
            programs: place::target().join("debug"),
            folder,
        })
    }

    /// Runs it once under strace with `arguments`.
    pub(super) fn once(&self, arguments: &[&str]) -> Result<Run> {
        let (log, socket) = (self.folder.join("log"), self.folder.join("socket"));
        for file in [&log, &socket] {
            let _ = fs::remove_file(file);
        }
        let mut command = Command::new("strace");
        // As its grandchild, strace leaves us the demo itself for a child.
        command.args(["-D", "-f", "-o"]).arg(&log).args(arguments);
        command.arg(self.programs.join("mmo"));
        command.args(["--listen", "127.0.0.1:0", "--workers", "2"]);
        command.args(["--npcs", "20", "--rects", "20", "--backdoor"]);
        command.arg(&socket).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = shell::Server::start(command.stderr(Stdio::piped()))?;
        let child = server.child();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stderr = shell::drain(stderr.expect("it is piped"));
        let (address, stdout) = Greeting::read(stdout.expect("it is piped"));

        let mut complaints = Vec::new();
        if let Ok(address) = address.recv_timeout(LIMIT) {
            complaints = self.visit(&address, &socket)?;
        }
        let pid = server.child().id().to_string();
        // It may have ended already.
        let _ = Command::new("kill").args(["-TERM", &pid]).output();
        let ended = end_of(&mut server)?;
        if ended.is_none() {
            let _ = server.child().kill();
        }
        let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
        let (stdout, stderr) = (text(stdout), text(stderr));
        let log = whole(&log, &pid)?;
        let how = if log.is_empty() {
            How::NotTraced(stderr.trim().to_owned())
        } else {
            judge(ended, &stdout, &stderr, &complaints)
        };
        Ok(Run {
            how,
            injected: log.contains("(INJECTED)"),
            log,
        })
    }

    /// All that visit it. Gives what they have to complain of.
    fn visit(&self, address: &str, socket: &Path) -> Result<Vec<String>> {
        let mut complaints = Vec::new();
        let mut load = Command::new(self.programs.join("mmo-load"));
        load.args([address, "--viewports", "1"]);
        load.stdin(Stdio::null()).stdout(Stdio::null());
        let mut load = shell::Server::start(load.stderr(Stdio::piped()))?;
        let said = shell::drain(load.child().stderr.take().expect("it is piped"));

        let give_up = Instant::now() + PATIENCE;
        let (mut refused, mut seen) = (Vec::new(), false);
        while !seen && refused.len() < TRIES && Instant::now() < give_up {
            match figures(address) {
                Ok(figures) => seen = is_watched(&figures),
                Err(error) => refused.push(format!("{error:#}")),
            }
            thread::sleep(Duration::from_millis(20));
        }
        if refused.len() == TRIES {
            complaints.push(format!("each browser is refused: {refused:?}"));
        }
        let consoles = (0..TRIES).map_while(|_| self.console(socket).err());
        let failed: Vec<_> = consoles.map(|error| format!("{error:#}")).collect();
        if failed.len() == TRIES {
            complaints.push(format!("each console fails: {failed:?}"));
        }
        let pid = load.child().id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).output();
        if end_of(&mut load)?.is_none() {
            complaints.push("the viewport does not end".to_owned());
        }
        drop(load);
        let said = said.join().unwrap_or_default();
        if !seen && refused.len() < TRIES && said.is_empty() {
            complaints.push("a viewport sees nothing, and is not told".to_owned());
        }
        Ok(complaints)
    }

    fn console(&self, socket: &Path) -> Result<()> {
        let mut console = Command::new(self.programs.join("console"));
        console.arg(socket).args(["-c", "npcs().count"]);
        let ended = shell::run_bounded(&mut console, PATIENCE)?;
        ensure!(ended.status.success(), "{}", ended.stderr.trim());
        ensure!(ended.stdout.trim() == "20", "it says {:?}", ended.stdout);
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What the demo prints.
struct Greeting;

impl Greeting {
    /// Reads all of it: sends the address when it comes, and gives the text at its end.
    fn read(
        from: impl Read + Send + 'static,
    ) -> (mpsc::Receiver<String>, thread::JoinHandle<String>) {
        let (sender, address) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("http://") {
                    // Whoever waited may have given up.
                    let _ = sender.send(rest.trim_end_matches('/').to_owned());
                }
                text += &line;
                text.push('\n');
            }
            text
        });
        (address, reader)
    }
}

/// What `/stats.json` says.
fn figures(address: &str) -> Result<serde_json::Value> {
    let mut stream = TcpStream::connect(address).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /stats.json HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).context("the figures")
}

/// Somebody is there, and was sent something.
fn is_watched(figures: &serde_json::Value) -> bool {
    let figure = |name: &str| figures[name].as_f64().unwrap_or(0.0);
    figure("players") >= 1.0 && figure("bytes_total") > 0.0
}

/// The log, when strace has written all of it: it may end a moment after the program.
fn whole(log: &Path, pid: &str) -> Result<String> {
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let is_over = |line: &str| line.starts_with(pid) && line.contains(" +++ ");
        if text.lines().any(is_over) || Instant::now() > give_up {
            return Ok(text);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn judge(
    ended: Option<std::process::ExitStatus>,
    stdout: &str,
    stderr: &str,
    complaints: &[String],
) -> How {
    let stderr = stderr.trim();
    let Some(status) = ended else {
        return How::Defect(format!("it does not end when it is told to. {stderr}"));
    };
    if let Some(words) = NO_MEMORY_FOR_STD.iter().find(|it| stderr.contains(*it)) {
        return How::SaidWhy(format!("std ends the process: {}", words.trim()));
    }
    if let Some(signal) = status.signal() {
        return How::Defect(format!("signal {signal}. {stderr}"));
    }
    if stderr.contains("panicked at") {
        return How::Defect(stderr.to_owned());
    }
    let reason = |line: &&str| line.contains("(os error ") || line.contains("error while loading");
    let reason = stderr.lines().find(reason);
    if !status.success() {
        return match reason {
            Some(line) => How::SaidWhy(line.trim_start_matches("mmo: ").to_owned()),
            None => How::Defect(format!("{status}, and no reason. {stderr}")),
        };
    }
    if !complaints.is_empty() {
        return How::Defect(format!("{}. {stderr}", complaints.join("; ")));
    }
    match (stdout.contains("no coroutine left behind"), reason) {
        (true, _) => How::WentOn,
        (false, Some(line)) => How::SaidWhy(line.trim_start_matches("mmo: ").to_owned()),
        (false, None) => How::Defect(format!("it left coroutines behind. {stdout} {stderr}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    #[test]
    fn what_ends_in_order_or_with_a_reason_is_no_defect() {
        const STOPPED: &str = "stopped in 3 ms, no coroutine left behind\n";
        let code = |code: i32| Some(ExitStatus::from_raw(code << 8));
        let is_defect = |how: How| matches!(how, How::Defect(_));
        assert_eq!(judge(code(0), STOPPED, "", &[]), How::WentOn);
        let reason = "mmo: cannot listen: No buffer space available (os error 105)\n";
        assert!(matches!(judge(code(1), "", reason, &[]), How::SaidWhy(_)));
        assert!(is_defect(judge(None, "", "", &[])));
        assert!(is_defect(judge(code(1), "", "mmo: it failed", &[])));
        assert!(is_defect(judge(code(0), "", "", &[])));
        assert!(is_defect(judge(code(0), STOPPED, "x panicked at y", &[])));
        assert!(is_defect(judge(
            code(0),
            STOPPED,
            "",
            &["refused".to_owned()]
        )));
        assert!(is_defect(judge(
            Some(ExitStatus::from_raw(11)),
            "",
            "",
            &[]
        )));
    }
}
