//! What every server of the HTTP rows answers with, so that they answer the same.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use serde::Serialize;

/// The answer to `/plaintext`.
pub const PLAINTEXT: &str = "Hello, World!";

/// What the servers are told on the command line: which of them to be, and the folder whose files are under `/files/`.
#[must_use]
pub fn arguments() -> (String, PathBuf) {
    let mut words = std::env::args().skip(1);
    match (words.next(), words.next()) {
        (Some(which), Some(folder)) => (which, folder.into()),
        _ => {
            eprintln!("usage: PROGRAM WHICH FOLDER");
            std::process::exit(2);
        }
    }
}

/// Says where it listens, to whoever started it.
pub fn report_listening(port: u16) {
    println!("{{\"listening\": {port}}}");
}

/// The answer to `/json`: a kibibyte, made anew for each request.
#[derive(Serialize)]
pub struct Ship {
    name: String,
    tons: u32,
    crew: Vec<Sailor>,
}

#[derive(Serialize)]
struct Sailor {
    id: u32,
    name: &'static str,
    rank: &'static str,
    watch: u8,
}

impl Ship {
    /// The `n`th.
    #[must_use]
    pub fn new(n: u32) -> Self {
        const RANKS: [(&str, &str); 4] = [
            ("Anne", "boatswain"),
            ("Bartholomew", "gunner's mate"),
            ("Charlotte", "quartermaster"),
            ("Davy", "able seaman"),
        ];
        let crew = (0..18).map(|i| {
            let (name, rank) = RANKS[i as usize % RANKS.len()];
            Sailor {
                id: 1_000 + n % 1_000 + i,
                name,
                rank,
                watch: i as u8 % 3,
            }
        });
        Self {
            name: "Queen Anne's Revenge".to_owned(),
            tons: 200 + n % 100,
            crew: crew.collect(),
        }
    }
}
