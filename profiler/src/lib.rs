//! Which coroutine and which function used the processor, and what everyone waited for.
//!
//! ```
//! use grapeshot::{Builder, yield_now};
//! use grapeshot_profiler::{Options, run};
//!
//! fn think(rounds: u64) -> u64 {
//!     (0..rounds).fold(1, |value, _| std::hint::black_box(value * 31 % 1_000_003))
//! }
//!
//! grapeshot::run(|| {
//!     let (_, profile) = run(Options::new(), || {
//!         let npc = |number| {
//!             Builder::new().name(format!("npc-{number}")).spawn(|| {
//!                 for _ in 0..10 {
//!                     think(10_000);
//!                     yield_now();
//!                 }
//!             })
//!         };
//!         [1, 2].map(npc).map(|npc| npc.join().unwrap());
//!     })?;
//!     let npcs = profile.groups.iter().find(|group| profile.string(group.name) == "npc-*").unwrap();
//!     assert_eq!(npcs.coroutines, 2);
//!     assert!(npcs.cpu > 0);
//!     Ok::<_, grapeshot_profiler::StartError>(())
//! })?;
//! # Ok::<_, grapeshot_profiler::StartError>(())
//! ```
//!
//! A profile has two halves. *Exact* are the times of each group of coroutines (`npc-1` and `npc-2` are of the group `npc-*`):
//! on the processor, waiting by what they waited for, and queued to run while others ran, counted at each switch; and where
//! they waited, as the stack of each suspension is looked at. *Sampled* is where the processor's time went: a signal
//! interrupts each worker that runs so many times a second, walks the stack that it finds along its frame pointers, and
//! weighs it by the processor time since the one before. That needs `-C force-frame-pointers=yes`; names and lines need
//! `debug = "line-tables-only"`.
//!
//! A third part is there if it is asked for: where memory is allocated, by [samples](Options::allocations), too.
//!
//! All workers of the process are in it, those that start meanwhile too. Left out are plain threads (those of
//! [`unblock`](grapeshot::unblock) among them), but for what they allocate, and the console's own runtime. Only Linux samples
//! on the processor.
//!
//! [`run`] takes a profile of a piece of code, [`start`] and [`stop`] of the time between them; [`OnDemand`] has whoever runs
//! the program ask for one, by the environment or by a signal.
//!
//! Each view states its losses and its cost: [`Profile::lost`], [`Profile::cost`].
#![forbid(unsafe_code)]

mod collect;
#[cfg(test)]
mod example;
mod export;
mod fold;
mod model;
mod on_demand;
pub mod report;
mod symbols;

pub use collect::{NotRunning, Options, QUEUED, StartError, discard, is_running, run, start, stop};
pub use export::{Form, Half, UnknownForm};
pub use fold::{Function, Node, Weight};
/// The allocator of programs whose allocations shall be profiled: see [`Options::allocations`].
pub use grapeshot::profile::Allocator;
pub use model::{
    Allocated, Cost, Frame, Group, LoadError, Lost, Profile, Slice, Stack, VERSION, Wake,
    WorkerTime,
};
pub use on_demand::{Attendant, OnDemand, VARIABLE};
