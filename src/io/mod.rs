//! Descriptors: the poller of a worker, and waiting for one descriptor.
//!
//! A descriptor is registered with the poller of the worker whose coroutine first has to wait for it, once, edge-triggered
//! and for both directions; it leaves the poller before it is closed. Events only set a flag and queue the waiter.

mod poller;
mod source;
mod turn;

pub(crate) use crate::sched::wait::WaitKind;
pub(crate) use poller::{Poller, Reactor};
pub(crate) use source::Source;
