//! `cargo run --bin term`: a terminal in the browser, over TLS, for people who log in.
//!
//! ```text
//! cargo run --bin term                                                     # tells a password for this time
//! cargo run --bin term -- --users users.txt                                # a name, a password and rights a line
//! cargo xtask cert && cargo run --bin term -- --certificate target/cert/site.pem --key target/cert/site.key
//! ```
//!
//! What there is to look at is a dinner: five philosophers, each a coroutine, and five forks between them, each a lock. While
//! they are polite, everybody takes the fork with the lower number first. Type `polite(false)`, wait until nobody eats any more,
//! and ask `deadlocks()`; `why(id)` tells of one of them what it waits for, and `interrupt(id)` sends that one home.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use grapeshot::net::{SocketAddr, TcpListener};
use grapeshot::signal::{SIGINT, SIGTERM, Signals};
use grapeshot::sync::Mutex;
use grapeshot::trace::label;
use grapeshot::{Builder, random, sleep};
use grapeshot_backdoor::{Backdoor, Right, Rights, Web};
use grapeshot_demos::users;
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Listener, Pem, server};
use serde::Serialize;

const PHILOSOPHERS: [&str; 5] = ["Thales", "Hypatia", "Diotima", "Epicurus", "Arete"];

#[derive(Parser)]
#[command(about = "A terminal in the browser, over TLS, for people who log in")]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9443")]
    listen: SocketAddr,
    /// What browsers call this machine
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Certificates in PEM, ours first; one is made for this time without it
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key in PEM
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Who may log in: a file with a name, a password and rights in each line
    #[arg(long)]
    users: Option<PathBuf>,
    /// Unix socket of the console, for those who are on this machine
    #[arg(long)]
    backdoor: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    grapeshot::run(move || {
        let table = Arc::new(Table::new());
        let forks = table.forks.iter().enumerate();
        let _labels: Vec<_> = forks
            .map(|(number, fork)| label(fork, &format!("fork {number}")))
            .collect();
        for (seat, name) in PHILOSOPHERS.into_iter().enumerate() {
            let table = Arc::clone(&table);
            let philosopher = Builder::new().name(name);
            drop(philosopher.spawn(move || table.dine(seat)));
        }

        let listener = TcpListener::bind(options.listen)?;
        let site = format!("https://{}:{}", options.host, listener.local_addr()?.port());
        let page = Web::on(Listener::new(listener, &options.tls()?), &site).users();
        let (eaten, manners) = (Arc::clone(&table), &table.polite);
        let backdoor = Backdoor::new("term")
            .web(page)
            .expose_setting(
                "polite",
                "whether they take the lower fork first",
                Right::Observe,
                Right::Operate,
                manners,
            )
            .expose("meals", "how often each ate", Right::Observe, move || {
                eaten.meals()
            });
        let backdoor = options.let_in(backdoor)?;
        let unnamed = || std::env::temp_dir().join(format!("term-{}.sock", std::process::id()));
        let console = backdoor.serve_unix(options.backdoor.clone().unwrap_or_else(unnamed))?;
        println!("log in at {site}/#console");
        println!("console: {}", console.path().display());
        Signals::new(&[SIGINT, SIGTERM])?.wait()?;
        Ok(())
    })
}

impl Options {
    /// With the certificate that was named, or with one that nobody knows yet.
    fn tls(&self) -> Result<server::Config> {
        let (chain, key) = match (&self.certificate, &self.key) {
            (Some(chain), Some(key)) => (Pem::from(chain), Pem::from(key)),
            _ => {
                let names = [self.host.as_str(), "localhost", "127.0.0.1", "::1"];
                let made = Authority::new()?.host(names).issue()?;
                println!(
                    "the certificate is made for this time: your browser will ask whether you trust it"
                );
                (Pem::bytes(made.chain_pem), Pem::bytes(made.key_pem))
            }
        };
        Ok(server::Config::new(chain, key)?)
    }

    /// Those of the file, or a guest.
    fn let_in(&self, backdoor: Backdoor) -> Result<Backdoor> {
        if let Some(file) = &self.users {
            return Ok(users::add(backdoor, file)?);
        }
        let mut bytes = [0; 6];
        random::fill(&mut bytes)?;
        let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("log in as guest with the password {password}");
        Ok(backdoor.user("guest", password, Rights::all()))
    }
}

/// Where they sit.
struct Table {
    forks: [Mutex<()>; PHILOSOPHERS.len()],
    eaten: [AtomicU64; PHILOSOPHERS.len()],
    polite: Arc<AtomicBool>,
}

#[derive(Serialize)]
struct Eaten {
    philosopher: &'static str,
    meals: u64,
}

impl Table {
    fn new() -> Self {
        Self {
            forks: Default::default(),
            eaten: Default::default(),
            polite: Arc::new(AtomicBool::new(true)),
        }
    }

    /// One evening of one of them: it ends when somebody sends them home.
    fn dine(&self, seat: usize) {
        let (left, right) = (seat, (seat + 1) % PHILOSOPHERS.len());
        loop {
            think();
            // Reaching across the table takes a moment; who is not polite keeps the others waiting, fork in hand.
            let (first, second, reach) = match self.polite.load(Ordering::Relaxed) {
                true => (left.min(right), left.max(right), 40),
                false => (left, right, 600),
            };
            let _one = self.forks[first].lock();
            sleep(Duration::from_millis(reach));
            let _two = self.forks[second].lock();
            sleep(Duration::from_millis(60));
            self.eaten[seat].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn meals(&self) -> Vec<Eaten> {
        let eaten = PHILOSOPHERS.into_iter().zip(&self.eaten);
        eaten
            .map(|(philosopher, meals)| Eaten {
                philosopher,
                meals: meals.load(Ordering::Relaxed),
            })
            .collect()
    }
}

fn think() {
    sleep(Duration::from_millis(fastrand::u64(20..400)));
}
