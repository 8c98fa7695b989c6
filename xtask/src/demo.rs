//! A demo, started for a measurement or a picture, on a free port and with a socket of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::{place, shell};

/// Builds programs in release.
pub(crate) fn build(programs: &[&str]) -> Result<()> {
    let mut cargo = shell::cargo(&["build", "--release"]);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    shell::run(&mut cargo)
}

/// A running demo in `target/release`; it ends with this.
pub(crate) struct Demo {
    server: shell::Server,
    address: String,
    /// The live page with its token, if it was started with one.
    page: Option<String>,
    backdoor: PathBuf,
}

impl Demo {
    /// The world.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        Self::of("mmo", arguments)
    }

    /// Any of those that say first where they serve.
    pub(crate) fn of(program: &str, arguments: &[&str]) -> Result<Self> {
        let socket = format!("grapeshot-xtask-{}-{program}.sock", std::process::id());
        let backdoor = std::env::temp_dir().join(socket);
        let mut command = Command::new(place::release_binary(program));
        command
            .args(["--listen", "127.0.0.1:0", "--backdoor"])
            .arg(&backdoor)
            .args(arguments);
        let mut server = shell::Server::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut lines = BufReader::new(server.child().stdout.take().expect("it is piped")).lines();
        let mut greeting = lines.by_ref().map_while(Result::ok);
        let address = greeting
            .find_map(|line| address_in(&line))
            .context("the demo ended without saying where it serves")?;
        // The world says more; the others have nothing to add.
        let more =
            (program == "mmo").then(|| greeting.take_while(|line| !line.contains("started in")));
        let mut addresses = more
            .into_iter()
            .flatten()
            .filter_map(|line| address_in(&line));
        let page = addresses.find(|address| address.contains("/?token="));
        // It must never wait for somebody to read what else it says.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            server,
            address,
            page,
            backdoor,
        })
    }

    /// `http://127.0.0.1:PORT/`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> &str {
        self.address
            .trim_start_matches("http://")
            .trim_end_matches('/')
    }

    pub(crate) fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    pub(crate) fn backdoor(&self) -> &Path {
        &self.backdoor
    }

    pub(crate) fn pid(&mut self) -> u32 {
        self.server.child().id()
    }
}

impl Drop for Demo {
    /// It is killed, and could not remove this itself.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.backdoor);
    }
}

fn address_in(line: &str) -> Option<String> {
    let address = &line[line.find("http://")?..];
    address
        .split(|c: char| c.is_whitespace() || c == '\x1b')
        .next()
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_address_is_found_among_words_and_colours() {
        assert_eq!(
            address_in("look at  http://127.0.0.1:8080/  now").as_deref(),
            Some("http://127.0.0.1:8080/")
        );
        assert_eq!(
            address_in("\x1b[1mhttp://[::1]:80/\x1b[0m").as_deref(),
            Some("http://[::1]:80/")
        );
        assert_eq!(address_in("attach with: console /tmp/mmo.sock"), None);
    }
}
