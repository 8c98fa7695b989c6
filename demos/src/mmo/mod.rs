//! A field of wandering coroutines, watched from browsers.
//!
//! ```text
//!              browser                            browser
//!                 |                                  |
//!        +--------+---------+               +--------+---------+
//!        | http   | viewport|               | http   | viewport|      two coroutines a browser:
//!        | reads  | writes  |               | reads  | writes  |      one reads, one writes
//!        +--------+---------+               +--------+---------+
//!             look |  ^ search                  look |  ^ search
//!                  v  |   up to 20 times a second    v  |
//!        +--------------------------------------------------+
//!        |  world: background | movers, a shard a worker | viewports  |
//!        +--------------------------------------------------+
//!             ^       ^       ^       ^       ^
//!           npc-1   npc-2   npc-3   npc-4   npc-5 ...                 a coroutine each, 10 steps a second
//! ```
//!
//! An NPC's step touches no viewport: it moves a body in the index and goes back to sleep. Each viewport searches the
//! index on its own beat and sends the difference to what its browser knows. So the cost of a step does not depend on
//! how many look, and a browser that is slow delays nobody.
//!
//! **Invariant:** nothing suspends while it holds a lock of the world.
//!
//! `census` and `ledger` are faults for the book's chapters to find; nobody meets them but by `--fault`.

pub mod census;
pub mod console;
pub mod lateness;
pub mod ledger;
pub mod names;
pub mod npc;
pub mod options;
pub mod program;
pub mod pulse;
pub mod seat;
pub mod server;
pub mod viewport;
pub mod wire;
pub mod world;
