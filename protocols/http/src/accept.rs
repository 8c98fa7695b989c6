//! The accept loop, and what it makes of the ways in which `accept` can fail.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::Listener;
use rustix::io::Errno;

use crate::server::{Inner, spawn_connection};

/// First and longest pause after an `accept` that found a resource exhausted.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts until there is no recovery. **May suspend.**
pub(crate) fn accept_loop<L: Listener>(inner: &Arc<Inner>, listener: &L) -> io::Result<()> {
    let mut pause = None;
    loop {
        inner.wait_for_room();
        match listener.accept() {
            Ok((stream, peer)) => {
                if pause.take().is_some() {
                    log::info!("http {}: accepting again", listener.name());
                }
                spawn_connection(inner, Arc::new(stream), peer);
            }
            Err(error) => match judge(&error) {
                Verdict::Ignore => log::debug!("http {}: accept: {error}", listener.name()),
                Verdict::BackOff => {
                    let wait = match pause {
                        None => {
                            inner.count_exhausted();
                            log::warn!(
                                "http {}: accept: {error}; trying again until it works",
                                listener.name()
                            );
                            BACK_OFF.0
                        }
                        Some(last) => BACK_OFF.1.min(last * 2),
                    };
                    pause = Some(wait);
                    grapeshot::sleep(wait);
                }
                Verdict::GiveUp => return Err(error),
            },
        }
    }
}

enum Verdict {
    /// The connection was gone before it was accepted, or a signal came.
    Ignore,
    /// A resource is exhausted; others give it back.
    BackOff,
    GiveUp,
}

fn judge(error: &io::Error) -> Verdict {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Verdict::BackOff,
        // What accept(2) says is to be treated like EAGAIN: errors of the new connection, not of the listener.
        Some(
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::AGAIN
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::TIMEDOUT,
        ) => Verdict::Ignore,
        _ => Verdict::GiveUp,
    }
}
