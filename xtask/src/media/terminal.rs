//! A program in a terminal of tmux: typed into, and its screen taken with its colours.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ansi;
use crate::shell;

/// A tmux server of our own, with one session; it ends with this.
pub(super) struct Terminal {
    socket: String,
}

impl Terminal {
    pub(super) fn start(
        program: &Path,
        arguments: &[&OsStr],
        columns: u32,
        lines: u32,
    ) -> Result<Self> {
        let terminal = Self {
            socket: format!("grapeshot-{}", std::process::id()),
        };
        let mut tmux = terminal.tmux(&["-f", "/dev/null", "new-session", "-d"]);
        tmux.args(["-x", &columns.to_string(), "-y", &lines.to_string()])
            .env("TERM", "xterm-256color");
        shell::output(tmux.arg(program).args(arguments))?;
        Ok(terminal)
    }

    /// Types a line and waits until the prompt stands there again.
    pub(super) fn type_line(&self, line: &str, prompt: &str) -> Result<()> {
        shell::output(&mut self.tmux(&["send-keys", "-l", line]))?;
        let typed = format!("{prompt}{line}");
        wait_for("the line to appear", || Ok(self.text()?.contains(&typed)))?;
        let before = self.count(prompt)?;
        shell::output(&mut self.tmux(&["send-keys", "Enter"]))?;
        wait_for("the prompt", || Ok(self.count(prompt)? > before))
    }

    /// Presses keys, by tmux's names for them.
    pub(super) fn press(&self, keys: &[&str]) -> Result<()> {
        shell::output(self.tmux(&["send-keys"]).args(keys)).map(drop)
    }

    /// Waits until this stands somewhere.
    pub(super) fn wait_for_text(&self, text: &str) -> Result<()> {
        wait_for(text, || Ok(self.text()?.contains(text)))
    }

    /// Waits until the program shows its first prompt.
    pub(super) fn wait_for_prompt(&self, prompt: &str) -> Result<()> {
        wait_for("the first prompt", || Ok(self.count(prompt)? > 0))
    }

    /// Everything the program wrote, with colours, from the first line on.
    pub(super) fn screen(&self) -> Result<String> {
        let screen = shell::output(&mut self.tmux(&["capture-pane", "-p", "-e", "-J", "-S", "-"]))?;
        Ok(screen.trim_end().to_owned() + "\n")
    }

    fn text(&self) -> Result<String> {
        self.screen().map(|screen| ansi::plain(&screen))
    }

    fn count(&self, prompt: &str) -> Result<usize> {
        // The last prompt has lost the space at its end.
        let text = self.text()?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with(prompt.trim_end()))
            .count())
    }

    fn tmux<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(arguments);
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = shell::output(&mut self.tmux(&["kill-server"]));
    }
}

/// Asks every so often, for half a minute at most.
fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        ensure!(Instant::now() < give_up, "waited for {what} in vain");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
