//! A small server with a console: `cargo run -p grapeshot-backdoor --example arcade -- /tmp/arcade.sock`,
//! then `cargo run --bin console -- /tmp/arcade.sock`.
//!
//! Players come as coroutines that sleep between their moves; a second argument says how many.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grapeshot::signal::{SIGINT, SIGTERM, Signals};
use grapeshot_backdoor::{Backdoor, Right};

#[derive(serde::Serialize)]
struct Player {
    name: String,
    moves: u64,
    pause: Duration,
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .unwrap_or_else(|| "/tmp/arcade.sock".to_owned());
    let players = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(3);
    grapeshot::run(move || serve(&path, players))
}

fn serve(path: &str, players: u64) -> io::Result<()> {
    let mut signals = Signals::new(&[SIGTERM, SIGINT])?;
    let moves: Vec<_> = (0..players).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let pause = Arc::new(AtomicU64::new(50));
    let (played, pace) = (moves.clone(), Arc::clone(&pause));
    let game = grapeshot::Builder::new().name("game");
    drop(game.spawn(move || {
        // Whoever kills the game throws all players out: `tree()` shows it.
        grapeshot::scope(|scope| {
            for (number, moves) in played.iter().enumerate() {
                let player = grapeshot::Builder::new().name(format!("player-{number}"));
                player.spawn_scoped(scope, || play(moves, &pace));
            }
        });
    }));
    let milliseconds = Arc::clone(&pause);
    let list = move || -> Vec<Player> {
        let pause = Duration::from_millis(milliseconds.load(Ordering::Relaxed));
        let player = |(number, moves): (usize, &Arc<AtomicU64>)| Player {
            name: format!("player-{number}"),
            moves: moves.load(Ordering::Relaxed),
            pause,
        };
        moves.iter().enumerate().map(player).collect()
    };
    let backdoor = Backdoor::new("arcade")
        .expose("players", "everybody who plays", Right::Observe, list)
        .expose_setting(
            "pause",
            "milliseconds between two moves",
            Right::Observe,
            Right::Operate,
            &pause,
        )
        .expose(
            "kick",
            "throw a player out",
            Right::Operate,
            |name: String| -> Result<(), String> { Err(format!("nobody is called {name}")) },
        )
        .try_expose("store", "write a file", Right::Operate, |path: String| {
            std::fs::write(path, "saved")
        })
        .expose(
            "nap",
            "block for some seconds",
            Right::Operate,
            |seconds: f64| {
                grapeshot::sleep(Duration::from_secs_f64(seconds));
            },
        )
        .expose("crash", "panic", Right::Operate, || -> u32 {
            panic!("the machine tilted")
        })
        .serve_unix(path)?;
    println!("listening at {}", backdoor.path().display());
    signals.wait()?;
    println!("bye");
    Ok(())
}

fn play(moves: &AtomicU64, pause: &AtomicU64) {
    loop {
        moves.fetch_add(1, Ordering::Relaxed);
        grapeshot::sleep(Duration::from_millis(pause.load(Ordering::Relaxed)));
    }
}
