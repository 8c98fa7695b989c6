//! Why a look-up failed, and whose fault that is.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

use crate::skim::Malformed;

/// Why a look-up has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's fault: what was given is no domain name.
    #[error("{name:?} is no domain name: {why}")]
    BadName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The answer: there is no such name (NXDOMAIN).
    #[error("there is no name {name}{}", of(*.server))]
    NoSuchName {
        /// The name; with a search list, the last that was tried.
        name: String,
        /// Who said so; `None` if nobody had to be asked.
        server: Option<SocketAddr>,
    },
    /// The answer: the name is there, but has no address.
    #[error("the name {name} has no address{}", of(*.server))]
    NoAddress {
        /// The name.
        name: String,
        /// Who said so.
        server: Option<SocketAddr>,
    },
    /// No name server gave an answer that can be used. Says which of them did what.
    #[error("no answer to {question}: {}", Listed(.attempts))]
    NoAnswer {
        /// What was asked for.
        question: String,
        /// What was tried, in order.
        attempts: Arc<[Attempt]>,
    },
    /// A recursive look-up was given up, through no fault of a single server.
    #[error("no answer to {question}: {failure}")]
    GivenUp {
        /// What was asked for.
        question: String,
        /// Why.
        failure: Failure,
    },
    /// Our fault: the system gave no socket or no randomness, or a file cannot be read.
    #[error("cannot {what}: {why}")]
    System {
        /// What we wanted of it.
        what: &'static str,
        /// What it said.
        why: String,
        /// Its kind.
        kind: io::ErrorKind,
    },
}

/// One exchange with a name server that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Who was asked.
    pub server: SocketAddr,
    /// How.
    pub transport: Transport,
    /// What came of it.
    pub failure: Failure,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// The [`Carrier`](crate::Carrier) of this name.
    Carried(&'static str),
}

/// What came of an exchange with a name server, or of a recursive look-up, instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It said nothing in this time.
    #[error("silent for {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The system could not reach it, or the connection broke.
    #[error("{1}")]
    Io(io::ErrorKind, String),
    /// It said that it will not, or cannot: SERVFAIL, REFUSED and others.
    #[error("said {0}")]
    Said(ResponseCode),
    /// Its answer is not one.
    #[error("malformed answer: {0}")]
    Malformed(Malformed),
    /// Over a connection, it answered another question.
    #[error("answered what was not asked")]
    NotOurs,
    /// It cut its answer short, over TCP, too.
    #[error("cut its answer short, even over TCP")]
    Truncated,
    /// It neither knows the answer nor who does.
    #[error("knows nothing of it (lame)")]
    Lame,
    /// The aliases (CNAME) go in a circle, or there are more than [`Limits::aliases`](crate::Limits::aliases).
    #[error("more than {0} aliases (CNAME), or a circle of them")]
    TooManyAliases(usize),
    /// A recursive look-up took more than [`Limits::upstream_queries`](crate::Limits::upstream_queries) messages.
    #[error("it would take more than {0} messages")]
    Runaway(usize),
    /// No name server that may be asked has an address.
    #[error("none of the name servers has an address that can be asked")]
    NoServers,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Carried(name) => name,
        })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.server, self.transport, self.failure)
    }
}

/// The end of a sentence about what a server said.
fn of(server: Option<SocketAddr>) -> String {
    server.map_or_else(String::new, |server| format!(", says {server}"))
}

struct Listed<'a>(&'a [Attempt]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is no name server to ask");
        }
        for (index, attempt) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

impl Error {
    /// Whether the answer is that there is none: no such name, or no address of it. Anything else may go away.
    pub fn is_negative(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoAddress { .. })
    }

    pub(crate) fn system(what: &'static str, error: &io::Error) -> Self {
        Self::System {
            what,
            why: error.to_string(),
            kind: error.kind(),
        }
    }
}

impl Failure {
    pub(crate) fn io(error: &io::Error) -> Self {
        Self::Io(error.kind(), error.to_string())
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::BadName { .. } => io::ErrorKind::InvalidInput,
            Error::NoSuchName { .. } | Error::NoAddress { .. } => io::ErrorKind::NotFound,
            Error::NoAnswer { attempts, .. }
                if attempts
                    .iter()
                    .all(|a| matches!(a.failure, Failure::TimedOut(_))) =>
            {
                io::ErrorKind::TimedOut
            }
            Error::NoAnswer { .. } | Error::GivenUp { .. } => io::ErrorKind::Other,
            Error::System { kind, .. } => *kind,
        };
        io::Error::new(kind, error)
    }
}
