//! Network programs in straight-line, blocking-style code, on stackful coroutines.
//!
//! Every blocking call suspends only its coroutine. [`with_timeout`] bounds any call. A console attaches to the running
//! program (see the package `grapeshot-backdoor`).
//!
//! ```no_run
//! use grapeshot::net::TcpListener;
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! fn main() -> std::io::Result<()> {
//!     grapeshot::run(|| {
//!         let listener = TcpListener::bind("127.0.0.1:9000")?;
//!         loop {
//!             let (mut stream, _peer) = listener.accept()?;
//!             grapeshot::spawn(move || -> std::io::Result<()> {
//!                 let mut chunk = [0; 4096];
//!                 // A peer that is silent for a minute is let go.
//!                 while let Ok(count) = grapeshot::with_timeout(Duration::from_secs(60), || stream.read(&mut chunk)) {
//!                     match count? {
//!                         0 => break,
//!                         count => stream.write_all(&chunk[..count])?,
//!                     }
//!                 }
//!                 Ok(())
//!             });
//!         }
//!     })
//! }
//! ```
//!
//! # Coroutines and threads
//!
//! A coroutine never changes its OS thread once it has started, so thread-locals, `Rc` and `RefCell` may live across any
//! blocking call. [`spawn`] wants `Send`, because another worker may start the coroutine; [`spawn_local`] does not. Plain
//! threads may call everything here: there a blocking call blocks the thread.
//!
//! # Interrupts
//!
//! A timeout, [`JoinHandle::interrupt`], the console's `kill` and the runtime's end all do the same: the blocking call
//! unwinds, destructors run. [`shield`] holds them off for a cleanup, [`catch_panic`] lets them through.
//!
//! # Destructors
//!
//! A coroutine never suspends while it unwinds. A destructor that runs then may use what does not have to wait; a call that
//! would have to wait gives a [`Refused`] error, or where it has no error to give, panics. The same holds for an [`Observer`].

#[cfg(panic = "abort")]
compile_error!(
    "grapeshot needs unwinding: interrupts and timeouts are delivered by it; do not set panic = \"abort\""
);

mod context;
mod events;
pub mod fs;
pub mod futures;
pub mod io;
mod local;
pub mod net;
pub mod process;
pub mod profile;
pub mod random;
pub mod registry;
mod sched;
mod select;
pub mod signal;
pub mod sync;
pub mod testing;
pub mod time;
pub mod trace;

/// What the expansions of [`test`](macro@test) and [`main`](macro@main) call; not for anybody else.
#[doc(hidden)]
pub mod __macros {
    pub use crate::testing::harness::{Outcome, Rules, main, test_for_real, test_simulated};
}

/// What the expansion of [`select!`] calls; not for anybody else.
#[doc(hidden)]
pub mod __select_arms {
    pub use crate::select::{Arm, Timer, after, at, choose};
}

pub use events::pool::UnblockStatistics;
pub use events::unblock::{UnblockError, set_unblock_threads, unblock, unblock_statistics};
pub use futures::block_on::block_on;
pub use grapeshot_macros::{main, test};
pub use local::LocalKey;
pub use sched::handle::{AtEnd, RuntimeHandle};
pub use sched::interrupt::{Elapsed, catch_panic, shield, with_deadline, with_timeout};
pub use sched::join::{JoinError, JoinHandle, LocalJoinHandle};
pub use sched::observe::{Observed, Observer, observe};
pub use sched::runtime::{Runtime, StillRunning, run};
pub use sched::scope::{InParallelError, Scope, ScopedJoinHandle, in_parallel, join_all, scope};
pub use sched::settings::RuntimeBuilder;
pub use sched::spawn::{Builder, CoroutineId, Placement, SpawnError, spawn, spawn_local};
pub use sched::wait::{Refused, yield_now};
pub use time::{sleep, sleep_until};
