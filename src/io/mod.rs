//! Pipes, and any descriptor that can be waited for.
//!
//! As the sockets of [`net`](crate::net): a call that would block suspends its coroutine (on a plain thread it blocks the
//! thread), `&T` is as good as `T`, one coroutine may read while another writes and further ones queue, `close` wakes
//! whoever waits, an interrupted wait has done nothing, and no call raises `SIGPIPE`.

// A descriptor is registered with the poller of the worker whose coroutine first has to wait for it, once, edge-triggered
// and for both directions; it leaves the poller before it is closed. Events only set a flag and queue the waiter.

mod closed;
mod conversions;
mod copy;
#[cfg(target_os = "linux")]
mod datagrams;
mod descriptor;
#[cfg(feature = "futures-io")]
mod descriptor_polls;
mod endpoint;
mod group;
#[cfg(feature = "hyper")]
mod hyper;
mod listing;
mod mapping;
mod operation;
mod pipe;
#[cfg(feature = "futures-io")]
mod polled;
mod poller;
mod readiness;
mod rights;
mod select;
mod sigpipe;
mod source;
#[cfg(target_os = "linux")]
mod splice;
mod system;
mod thread;
mod turn;

pub(crate) use crate::sched::wait::WaitKind;
pub use closed::Closed;
pub(crate) use conversions::conversions;
pub use copy::{CopyFrom, CopyTo, copy, copy_n, send_file};
pub(crate) use copy::{End, sealed};
#[cfg(target_os = "linux")]
pub(crate) use datagrams::{recv_datagrams, send_datagrams};
pub use descriptor::Descriptor;
pub(crate) use group::Group;
pub(crate) use mapping::Mapping;
#[doc(hidden)]
pub use operation::{Operation, OperationArm};

pub use pipe::{PipeReader, PipeWriter, pipe};
#[cfg(feature = "futures-io")]
#[doc(hidden)]
pub use polled::{PollRead, PollWrite, Polled};
#[cfg(feature = "futures-io")]
pub(crate) use polled::{poll_read, poll_write, polls, sealed as sealed_polls};
pub(crate) use poller::{Poller, Reactor, Simulated, Slot};
pub(crate) use rights::recv_rights;
#[doc(hidden)]
pub use select::ReadinessArm;
pub(crate) use source::{NotOfThreads, Source, Stream, Way, share_the_worker};
pub(crate) use system::dead;
#[cfg(target_os = "linux")]
pub(crate) use system::peer_cred;

#[cfg(test)]
mod tests;
