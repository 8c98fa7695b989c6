//! What the demo exposes to the console.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use grapeshot_backdoor::{Backdoor, Right};
use serde::Serialize;

use super::npc::{MOST, Population};
use super::pulse::Pulses;
use super::world::World;

/// The WebSocket close code that tells a page it was kicked, and that it is not to come back by itself.
pub const KICKED: u16 = 4001;

#[derive(Serialize)]
struct Npcs {
    count: usize,
    speed: f32,
    steps_per_second: u64,
    late_p50_us: u64,
    late_p99_us: u64,
    steps_missed: u64,
}

#[derive(Serialize)]
struct PlayerRow {
    name: String,
    x: i32,
    y: i32,
    viewport: String,
    seen_by: usize,
    seconds: u64,
    kilobytes: u64,
}

/// The demo's own functions, beside the built-in ones.
pub fn backdoor(
    world: &Arc<World>,
    population: &Arc<Population>,
    pulses: &Arc<Pulses>,
) -> Backdoor {
    let (w, p) = (Arc::clone(world), Arc::clone(pulses));
    let backdoor = Backdoor::new("mmo").expose(
        "npcs",
        "how many NPCs there are and how they do",
        Right::Observe,
        move || npcs(&w, &p),
    );
    let w = Arc::clone(world);
    let backdoor = backdoor.expose("players", "who is here", Right::Observe, move || {
        players(&w)
    });
    let w = Arc::clone(world);
    let backdoor = backdoor.expose("speed", "how fast NPCs go", Right::Observe, move || {
        w.speed()
    });
    let w = Arc::clone(world);
    let backdoor = backdoor.expose(
        "speed",
        "sets it: 0 freezes them, 1 is normal, 20 the most",
        Right::Operate,
        move |x: f64| w.set_speed(x),
    );
    let p = Arc::clone(population);
    let backdoor = backdoor.expose(
        "spawn_npcs",
        "adds so many NPCs",
        Right::Operate,
        move |n: i64| spawn(&p, n),
    );
    let w = Arc::clone(world);
    backdoor.expose(
        "kick",
        "sends the player of this name away",
        Right::Operate,
        move |name: String| kick(&w, &name),
    )
}

fn npcs(world: &World, pulses: &Pulses) -> Npcs {
    let pulse = pulses.last();
    let late = pulse.figures.lateness_us;
    Npcs {
        count: world.npcs(),
        speed: world.speed(),
        steps_per_second: pulse.figures.steps_per_second.round() as u64,
        late_p50_us: late.p50,
        late_p99_us: late.p99,
        steps_missed: pulse.figures.steps_missed_total,
    }
}

fn players(world: &World) -> Vec<PlayerRow> {
    let now = grapeshot::time::now();
    let row = |(seat, name): (Arc<super::seat::Seat>, String)| {
        let gaze = seat.gaze();
        PlayerRow {
            name,
            x: gaze.x as i32,
            y: gaze.y as i32,
            viewport: format!("{}×{}", gaze.w, gaze.h),
            // It sees itself as well.
            seen_by: world.watchers_of(&seat.body_rect()).len().saturating_sub(1),
            seconds: now.saturating_duration_since(seat.since).as_secs(),
            kilobytes: seat.bytes.load(Ordering::Relaxed) / 1000,
        }
    };
    world.players().into_iter().map(row).collect()
}

fn spawn(population: &Population, n: i64) -> Result<usize, String> {
    match usize::try_from(n) {
        Ok(n) if n <= MOST => Ok(population.spawn(n)),
        _ => Err(format!("between 0 and {MOST}, please")),
    }
}

fn kick(world: &World, name: &str) -> Result<String, String> {
    match world.player_named(name) {
        Some(seat) => {
            seat.dismiss(KICKED, "kicked from the console");
            Ok(format!("{name} is on the way out"))
        }
        None => Err(format!(
            "nobody is called {name:?}; players() tells who is here"
        )),
    }
}
