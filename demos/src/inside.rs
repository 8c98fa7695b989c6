//! The console and the live page, for demos that have them when they are asked for.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use grapeshot_backdoor::{Backdoor, Handle, Web};

/// How to look inside.
#[derive(Debug, Clone, Args)]
pub struct Inside {
    /// Unix socket of a console
    #[arg(long)]
    pub backdoor: Option<PathBuf>,
    /// Address and port of the live page that looks inside, such as 127.0.0.1:9002
    #[arg(long)]
    pub page: Option<SocketAddr>,
}

impl Inside {
    /// Serves what was asked for, and prints where. To be called in the runtime, and kept as long as it is to be served.
    ///
    /// # Errors
    /// Those of [`Backdoor::serve_unix`].
    pub fn serve(&self, name: &str, backdoor: Backdoor) -> io::Result<Option<Handle>> {
        if self.backdoor.is_none() && self.page.is_none() {
            return Ok(None);
        }
        let backdoor = match self.page {
            Some(address) => backdoor.web(Web::at(address)),
            None => backdoor,
        };
        let beside = || std::env::temp_dir().join(format!("{name}-{}.sock", std::process::id()));
        let handle = backdoor.serve_unix(self.backdoor.clone().unwrap_or_else(beside))?;
        println!("console: {}", handle.path().display());
        if let Some(page) = handle.page() {
            println!("see inside at {page}");
        }
        Ok(Some(handle))
    }
}
