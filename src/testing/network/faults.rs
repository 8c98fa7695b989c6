//! One call on the network that fails: which, and with which error.

use std::fmt;

use parking_lot::Mutex;
use rustix::io::Errno;

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Connect,
    /// The look at how connecting has ended.
    Connected,
    Listen,
    Accept,
    Recv,
    Send,
    Shutdown,
    LocalAddr,
    PeerAddr,
    Clone,
    Option,
    Bind,
    SendTo,
    RecvFrom,
}

impl Call {
    /// What Linux may say to it. `EAGAIN` is not here: it is no failure.
    pub(crate) fn errors(self) -> &'static [Errno] {
        match self {
            Self::Connect => &[Errno::MFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL],
            Self::Connected => &[Errno::CONNREFUSED, Errno::TIMEDOUT],
            Self::Listen => &[Errno::MFILE, Errno::ADDRINUSE],
            Self::Accept => &[Errno::MFILE, Errno::NOBUFS, Errno::INTR],
            Self::Recv => &[Errno::CONNRESET, Errno::NOMEM, Errno::INTR],
            Self::Send => &[Errno::CONNRESET, Errno::PIPE, Errno::NOBUFS, Errno::INTR],
            Self::Shutdown | Self::PeerAddr => &[Errno::NOTCONN, Errno::NOBUFS],
            Self::LocalAddr => &[Errno::NOBUFS],
            Self::Clone => &[Errno::MFILE],
            Self::Option => &[Errno::NOMEM],
            Self::Bind => &[Errno::MFILE, Errno::ADDRINUSE],
            Self::SendTo => &[Errno::NOBUFS, Errno::PERM, Errno::INTR],
            Self::RecvFrom => &[Errno::NOMEM, Errno::INTR],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connected => "the end of connect",
            Self::Listen => "listen",
            Self::Accept => "accept",
            Self::Recv => "recv",
            Self::Send => "send",
            Self::Shutdown => "shutdown",
            Self::LocalAddr => "local_addr",
            Self::PeerAddr => "peer_addr",
            Self::Clone => "try_clone",
            Self::Option => "a socket option",
            Self::Bind => "bind",
            Self::SendTo => "send_to",
            Self::RecvFrom => "recv_from",
        }
    }
}

/// Does it tell that the connection is over?
pub(super) fn is_final(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNREFUSED | Errno::TIMEDOUT | Errno::CONNRESET | Errno::PIPE | Errno::NOTCONN
    )
}

/// The calls of one run.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The one that fails, counted from 0, with its error.
    chosen: Option<(usize, Errno)>,
    made: Mutex<Vec<Made>>,
}

/// A call, and the host that made it.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) call: Call,
    host: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on the host {:?}", self.call.name(), self.host)
    }
}

impl Faults {
    /// Call number `call`, counted from 0, gives `error`.
    pub(crate) fn at(call: usize, error: Errno) -> Self {
        Self {
            chosen: Some((call, error)),
            made: Mutex::default(),
        }
    }

    /// Every call so far.
    pub(crate) fn made(&self) -> Vec<Made> {
        self.made.lock().clone()
    }

    /// Counts a call. The error, if it is the one that fails.
    pub(super) fn next(&self, call: Call, host: &str) -> Option<Errno> {
        let mut made = self.made.lock();
        let number = made.len();
        made.push(Made {
            call,
            host: host.to_owned(),
        });
        let (chosen, error) = self.chosen?;
        (chosen == number).then_some(error)
    }
}
