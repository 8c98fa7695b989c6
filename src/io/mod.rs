//! Descriptors: waiting for one, and the poller of a worker.
//!
//! A descriptor is registered with the poller of the worker whose coroutine first has to wait for it, once, edge-triggered
//! and for both directions; it leaves the poller before it is closed. Events only set a flag and queue the waiter.

mod conversions;
#[cfg(target_os = "linux")]
mod datagrams;
mod poller;
mod rights;
mod source;
mod system;
mod thread;
mod turn;

pub(crate) use crate::sched::wait::WaitKind;
pub(crate) use conversions::conversions;
#[cfg(target_os = "linux")]
pub(crate) use datagrams::{recv_datagrams, send_datagrams};
pub(crate) use poller::{Poller, Reactor};
pub(crate) use rights::recv_rights;
pub use source::Closed;
pub(crate) use source::Source;
#[cfg(target_os = "linux")]
pub(crate) use system::peer_cred;
