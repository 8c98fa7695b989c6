//! Randomness that a simulation can repeat.

use std::io;

use crate::sched::worker;
use crate::testing::Chance;

/// Fills `buf` with random bytes: from the system, fit for secrets; but in a simulation from its seed, so that the same seed
/// gives the same run. Never suspends, but for a system that has just booted, which may block the thread until it has
/// randomness.
///
/// ```
/// let draw = || {
///     let mut token = [0; 16];
///     grapeshot::random::fill(&mut token).map(|()| token)
/// };
/// assert_ne!(draw()?, draw()?);
/// assert_eq!(grapeshot::testing::run(7, draw)?, grapeshot::testing::run(7, draw)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of the system, if it has no randomness to give.
pub fn fill(buf: &mut [u8]) -> io::Result<()> {
    let seed = worker::with(|worker| worker.and_then(worker::Worker::draw));
    let Some(seed) = seed else {
        return getrandom::fill(buf).map_err(io::Error::from);
    };
    let mut chance = Chance::new(seed);
    for chunk in buf.chunks_mut(8) {
        chunk.copy_from_slice(&chance.next().to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}
