//! NPCs: each a coroutine that wanders.
//!
//! The figures are Shrapnel's: a heading of any direction and a speed of 3 to 13 units a step, kept for 20 steps.
//! Unlike there, an NPC that would leave the field turns round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use grapeshot::{Builder, JoinHandle, Placement};
use parking_lot::Mutex;

use super::ledger::Ledger;
use super::wire::MoverId;
use super::world::{Mover, RADIUS, World};

/// Steps between two changes of mind.
const STEPS_A_HEADING: u8 = 20;
/// Slowest and fastest, in units a step.
const SPEEDS: std::ops::RangeInclusive<f32> = 3.0..=13.0;
/// The most NPCs in a world.
pub const MOST: usize = 2_000_000;
/// A spawner of many lets others run after so long.
const SLICE: Duration = Duration::from_millis(20);

/// Where an NPC is and where it goes. Performs no I/O and reads no clock.
#[derive(Debug, Clone)]
pub struct Wanderer {
    rng: fastrand::Rng,
    x: f32,
    y: f32,
    dx: f32,
    dy: f32,
    steps_left: u8,
}

impl Wanderer {
    /// Somewhere in the field.
    pub fn new(mut rng: fastrand::Rng, field: f32) -> Self {
        let inside = |rng: &mut fastrand::Rng| RADIUS + rng.f32() * (field - 2.0 * RADIUS).max(0.0);
        let (x, y) = (inside(&mut rng), inside(&mut rng));
        Self {
            rng,
            x,
            y,
            dx: 0.0,
            dy: 0.0,
            steps_left: 0,
        }
    }

    /// Where it is.
    pub fn place(&self) -> (f32, f32) {
        (self.x, self.y)
    }

    /// Takes one step, `factor` times as far as its speed says, and gives the place.
    pub fn step(&mut self, factor: f32, field: f32) -> (f32, f32) {
        if self.steps_left == 0 {
            let heading = self.rng.f32() * std::f32::consts::TAU;
            let speed = SPEEDS.start() + self.rng.f32() * (SPEEDS.end() - SPEEDS.start());
            (self.dx, self.dy) = (heading.cos() * speed, heading.sin() * speed);
            self.steps_left = STEPS_A_HEADING;
        }
        self.steps_left -= 1;
        bounce(&mut self.x, &mut self.dx, factor, field);
        bounce(&mut self.y, &mut self.dy, factor, field);
        (self.x, self.y)
    }
}

/// Advances one coordinate; at a border it turns round and stays inside.
fn bounce(v: &mut f32, dv: &mut f32, factor: f32, field: f32) {
    let (low, high) = (RADIUS, (field - RADIUS).max(RADIUS));
    let next = *v + *dv * factor;
    if next < low || next > high {
        *dv = -*dv;
    }
    *v = next.clamp(low, high);
}

/// All NPCs of a world.
pub struct Population {
    world: Arc<World>,
    ledger: Option<Arc<Ledger>>,
    coroutines: Mutex<Vec<JoinHandle<()>>>,
}

impl Population {
    /// Nobody yet. If there is a ledger, each step is noted there.
    pub fn new(world: Arc<World>, ledger: Option<Arc<Ledger>>) -> Arc<Self> {
        Arc::new(Self {
            world,
            ledger,
            coroutines: Mutex::default(),
        })
    }

    /// Spawns `n` more, or as many as there is room for; gives how many. **May suspend.**
    pub fn spawn(&self, n: usize) -> usize {
        let step = self.world.settings.step;
        let n = n.min(MOST.saturating_sub(self.world.npcs()));
        let mut spawned = Vec::with_capacity(n);
        let start = grapeshot::time::now();
        let mut slice = start;
        for count in 0..n {
            let number = self.world.next_number();
            let rng = fastrand::Rng::with_seed(
                self.world
                    .settings
                    .seed
                    .wrapping_add(u64::from(number) << 20),
            );
            let (world, ledger) = (Arc::clone(&self.world), self.ledger.clone());
            // In the order of their numbers, evenly over a step: no two crowds wake at once, and those that wake one
            // after the other were made one after the other, so that what they touch lies side by side in memory.
            let phase = start + step.mul_f64(count as f64 / n as f64);
            let coroutine = Builder::new()
                .name(format!("npc-{number}"))
                // All are alike and live for long: dealing them out is fairer than looking at the load of the moment.
                .placement(Placement::Worker(number as usize))
                .spawn(move || wander(&world, ledger.as_deref(), number, rng, phase));
            spawned.push(coroutine);
            // Every yield waits for a whole round of the NPCs that live already, so there are few.
            if grapeshot::time::now().saturating_duration_since(slice) > SLICE {
                grapeshot::yield_now();
                slice = grapeshot::time::now();
            }
        }
        let mut all = self.coroutines.lock();
        all.retain(|coroutine| !coroutine.is_finished());
        all.append(&mut spawned);
        n
    }

    /// Asks all to end, and waits until they have. **May suspend.**
    pub fn end(&self) {
        let coroutines = std::mem::take(&mut *self.coroutines.lock());
        for coroutine in &coroutines {
            coroutine.interrupt();
        }
        for coroutine in coroutines {
            // Interrupted, as asked; one that panicked has been reported already.
            let _ = coroutine.join();
        }
    }
}

/// The life of an NPC, until it is interrupted. Steps keep to absolute deadlines, so lateness does not add up; a step
/// whose successor is due already is left out, so that an overloaded world slows down instead of falling behind.
fn wander(
    world: &Arc<World>,
    ledger: Option<&Ledger>,
    number: u32,
    rng: fastrand::Rng,
    phase: Instant,
) {
    let (step, field) = (world.settings.step, world.settings.field);
    let mut wanderer = Wanderer::new(rng, field);
    let (x, y) = wanderer.place();
    let mut body = Mover::enter(world, MoverId::npc(number), x, y);
    // Spawning many takes longer than a step; the beat is kept, the beats before birth are nobody's.
    let born = grapeshot::time::now();
    let beats = born.saturating_duration_since(phase).as_nanos() / step.as_nanos().max(1) + 1;
    let mut deadline = phase + step * u32::try_from(beats).unwrap_or(u32::MAX);
    loop {
        grapeshot::sleep_until(deadline);
        let now = grapeshot::time::now();
        let late = now.saturating_duration_since(deadline);
        let factor = world.speed();
        let to = (factor > 0.0).then(|| wanderer.step(factor, field));
        let mut missed = 0;
        deadline += step;
        if deadline <= now {
            missed = (late.as_nanos() / step.as_nanos().max(1)) as u32;
            deadline += step * missed;
        }
        body.step(to, late, missed);
        if let (Some(ledger), Some((x, y))) = (ledger, to) {
            ledger.note(number, x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanders_at_the_right_speed_and_stays_in_the_field() {
        let field = 400.0;
        let mut wanderer = Wanderer::new(fastrand::Rng::with_seed(7), field);
        let mut before = wanderer.place();
        let mut turned = 0;
        for _ in 0..20_000 {
            let after = wanderer.step(1.0, field);
            let inside = RADIUS..=field - RADIUS;
            assert!(
                inside.contains(&after.0) && inside.contains(&after.1),
                "{after:?}"
            );
            let way = (after.0 - before.0).hypot(after.1 - before.1);
            assert!(way <= 13.01, "{way} units in a step");
            turned += usize::from(way < 2.99);
            before = after;
        }
        assert!(
            turned < 2_000,
            "{turned} steps were shorter than 3 units; only those at a border may be"
        );
    }

    #[test]
    fn keeps_a_heading_for_twenty_steps() {
        let mut wanderer = Wanderer::new(fastrand::Rng::with_seed(1), 1e6);
        let mut headings = Vec::new();
        for _ in 0..200 {
            let before = wanderer.place();
            let after = wanderer.step(1.0, 1e6);
            headings.push(((after.1 - before.1).atan2(after.0 - before.0) * 20.0).round() as i32);
        }
        headings.dedup();
        assert!((8..=14).contains(&headings.len()), "{headings:?}");
    }

    #[test]
    fn a_factor_of_twenty_and_a_field_of_nothing_stay_inside() {
        let mut wanderer = Wanderer::new(fastrand::Rng::with_seed(3), 60.0);
        for _ in 0..1000 {
            let (x, y) = wanderer.step(20.0, 60.0);
            assert!(
                (RADIUS..=35.0).contains(&x) && (RADIUS..=35.0).contains(&y),
                "{x}, {y}"
            );
        }
    }
}
