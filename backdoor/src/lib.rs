//! A console into the running server.
//!
//! [`Backdoor`] serves it: name the application, expose functions in one line each, and serve a Unix socket that
//! only the server's user can open. The program `console` attaches to it. What the two say to each other is in
//! [`protocol`]; how results look is in [`render`].
//!
//! From elsewhere, users whom the application names log in over [TCP](Backdoor::tcp), TLS (`Backdoor::tls`, with the feature
//! `tls`) or [telnet](Backdoor::telnet), and may do there what the application says. All of that is off unless it is asked for.
//!
//! The language is rhai. Every session has variables of its own; `_` is its last result; `help()` lists what there is.
//! An evaluation runs in a coroutine of its own and lets others run every few thousand steps, so a console that loops
//! holds up nobody; it ends by Ctrl-C, at its time limit, or when its console leaves.
//!
//! All of that is on threads of the backdoor's own: `backdoor` serves the consoles, and an exposed function runs on one
//! called `backdoor-call`. So the consoles answer though every worker of the application is held.
#![forbid(unsafe_code)]

// What tests in here and in `tests/` share names it so.
#[cfg(test)]
extern crate self as grapeshot_backdoor;

mod backdoor;
mod backtrace;
mod builtin;
mod calls;
mod captured;
mod complaint;
mod complete;
mod crowds;
mod depth;
mod door;
mod evaluation;
mod expose;
mod handle;
mod journal;
mod language;
mod limits;
mod log_filter;
pub mod login;
mod look;
mod network;
mod pace;
mod probe;
// Pages look at more of it than consoles do.
#[cfg_attr(not(feature = "web"), allow(dead_code))]
mod profiles;
pub mod protocol;
pub mod render;
mod rights;
mod runtimes;
mod seats;
mod secret;
mod server;
mod session;
mod setting;
mod terminal;
mod transport;
mod tree;
mod users;
mod value;
#[cfg(feature = "web")]
mod web;
mod weight;

pub use backdoor::Backdoor;
pub use expose::{Exposed, Readable, SharedValue, TryExposed};
pub use log_filter::{LogFilter, LogFilterError};
pub use rights::{Right, Rights, UnknownRight};
pub use secret::Secret;
pub use server::Handle;
#[cfg(feature = "web")]
pub use web::{LogTail, Web};
