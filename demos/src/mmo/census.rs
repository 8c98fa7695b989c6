//! A census of the NPCs, with a fault: it is a *selfish coroutine*. Only `--fault census` starts it; the book's chapter
//! `selfish.md` finds it.

use std::time::Duration;

use super::wire::{Body, MoverId, QUANTA};
use super::world::World;
use crate::quadtree::Rect;

/// Time between two censuses.
pub const EVERY: Duration = Duration::from_secs(5);

/// Takes a census every few seconds, until it is interrupted. **May suspend.**
pub fn run(world: &World) {
    let field = world.settings.field;
    let everywhere = Rect::new(0.0, 0.0, field, field).expect("a field has a size");
    let mut found = Vec::new();
    loop {
        grapeshot::sleep(EVERY);
        world.movers_in(&everywhere, MoverId::npc(0), &mut found);
        found.retain(|body| !body.id.is_player());
        if found.len() > 1 {
            let apart = mean_distance(&found);
            log::info!(
                "{} NPCs, {apart:.0} units from one to the next",
                found.len()
            );
        }
    }
}

/// How far it is from one of them to the next, on average, in units.
#[inline(never)]
fn mean_distance(all: &[Body]) -> f64 {
    let mut sum = 0.0;
    for one in all {
        let mut nearest = i64::MAX;
        // The fault: all are compared with all, and nobody else runs meanwhile. A thousand of them take a millisecond.
        for other in all {
            if other.id == one.id {
                continue;
            }
            let (dx, dy) = (i64::from(one.x - other.x), i64::from(one.y - other.y));
            nearest = nearest.min(dx * dx + dy * dy);
        }
        sum += (nearest as f64).sqrt();
    }
    sum / (all.len() as f64 * f64::from(QUANTA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_each_counts() {
        let body = |n, x| Body {
            id: MoverId::npc(n),
            x: x * QUANTA as i32,
            y: 0,
        };
        // 30, 30 and 70 units.
        let apart = mean_distance(&[body(1, 0), body(2, 30), body(3, 100)]);
        assert!((apart - 130.0 / 3.0).abs() < 1e-9, "{apart}");
    }
}
