//! The console and the live page, for every demo: off unless they are asked for.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use grapeshot_backdoor::{Backdoor, Handle, Web};

use crate::users;

/// How to look inside.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Looking inside")]
pub struct Inside {
    /// Unix socket of a console
    #[arg(long, value_name = "PATH")]
    pub backdoor: Option<PathBuf>,
    /// Address and port of the live page, such as 127.0.0.1:9002; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub page: Option<SocketAddr>,
    #[command(flatten)]
    doors: Doors,
}

/// Consoles for those who log in, on this machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Looking inside")]
pub struct Doors {
    /// Address and port for `telnet`, such as 127.0.0.1:9023
    #[arg(long, value_name = "ADDRESS", requires = "users")]
    telnet: Option<SocketAddr>,
    /// Address and port for `console tcp://ADDRESS`
    #[arg(long, value_name = "ADDRESS", requires = "users")]
    tcp: Option<SocketAddr>,
    /// Who may log in there: a file with a name, a password and rights in each line
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
}

impl Inside {
    /// Serves what was asked for, and says where on the standard error. To be called in the runtime, and kept as long as it
    /// is to be served.
    ///
    /// # Errors
    /// Those of [`Backdoor::serve_unix`], and of a file of users that cannot be read.
    pub fn serve(&self, name: &str, backdoor: Backdoor) -> io::Result<Option<Handle>> {
        if self.backdoor.is_none() && self.page.is_none() && self.doors.are_closed() {
            return Ok(None);
        }
        let mut backdoor = self.doors.open(backdoor)?;
        if let Some(address) = self.page {
            backdoor = backdoor.web(Web::at(address));
        }
        let beside = || std::env::temp_dir().join(format!("{name}-{}.sock", std::process::id()));
        let handle = backdoor.serve_unix(self.backdoor.clone().unwrap_or_else(beside))?;
        tell(&handle);
        Ok(Some(handle))
    }
}

impl Doors {
    fn are_closed(&self) -> bool {
        self.telnet.is_none() && self.tcp.is_none()
    }

    /// Has `backdoor` serve them too.
    ///
    /// # Errors
    /// The file of users cannot be read, or has a line that makes no sense.
    pub fn open(&self, mut backdoor: Backdoor) -> io::Result<Backdoor> {
        if let Some(file) = &self.users {
            backdoor = users::add(backdoor, file)?;
        }
        if let Some(address) = self.telnet {
            backdoor = backdoor.telnet(address.to_string());
        }
        if let Some(address) = self.tcp {
            backdoor = backdoor.tcp(address.to_string());
        }
        Ok(backdoor)
    }
}

/// Says where it can be looked inside.
pub fn tell(handle: &Handle) {
    let mut lines = vec![format!("console: {}", handle.path().display())];
    let doors = handle.network();
    lines.extend(doors.map(|(speaks, address)| format!("console: {speaks}://{address}")));
    lines.extend(handle.page().map(|page| format!("see inside at {page}")));
    // That nobody reads it is no reason to stop.
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}
