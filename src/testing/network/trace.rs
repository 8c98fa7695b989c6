//! What happened on the network, as lines for people.

use std::fmt::{self, Write};
use std::net::SocketAddr;

/// Lines kept, at most: a program that never ends must not fill the memory.
const MOST: usize = 1 << 20;

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Connect,
    Connected,
    Refused,
    Data,
    Fin,
    Reset,
    Broken,
    TimedOut,
    Cut,
    Healed,
    Killed,
    Restarted,
    Datagram,
    Lost,
    Full,
    Unreachable,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connects to",
            Self::Connected => "is connected to",
            Self::Refused => "is refused by",
            Self::Data => "hears from",
            Self::Fin => "hears the end of",
            Self::Reset => "is reset by",
            Self::Broken => "loses its connection to",
            Self::TimedOut => "has waited too long for",
            Self::Cut => "is cut off from",
            Self::Healed => "reaches again",
            Self::Killed => "is killed",
            Self::Restarted => "is started again",
            Self::Datagram => "receives from",
            Self::Lost => "sends in vain to",
            Self::Full => "has no room for what is from",
            Self::Unreachable => "hears that nobody receives at",
        })
    }
}

pub(super) struct Trace {
    lines: Option<Vec<Line>>,
}

struct Line {
    at: u64,
    kind: Kind,
    who: SocketAddr,
    whom: SocketAddr,
    bytes: usize,
}

impl Trace {
    pub(super) fn new(on: bool) -> Self {
        Self {
            lines: on.then(Vec::new),
        }
    }

    pub(super) fn push(
        &mut self,
        at: u64,
        kind: Kind,
        who: SocketAddr,
        whom: SocketAddr,
        bytes: usize,
    ) {
        let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < MOST) else {
            return;
        };
        lines.push(Line {
            at,
            kind,
            who,
            whom,
            bytes,
        });
    }

    /// Everything so far.
    pub(super) fn show(&self) -> String {
        let mut text = String::new();
        for line in self.lines.iter().flatten() {
            let (seconds, nanos) = (line.at / 1_000_000_000, line.at % 1_000_000_000);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{seconds}.{nanos:09} {} {}",
                Address(line.who),
                line.kind
            );
            let _ = match line.kind {
                Kind::Killed | Kind::Restarted => writeln!(text),
                Kind::Data | Kind::Datagram | Kind::Lost | Kind::Full => {
                    writeln!(text, " {}: {} bytes", Address(line.whom), line.bytes)
                }
                _ => writeln!(text, " {}", Address(line.whom)),
            };
        }
        text
    }
}

/// A host's has no port.
struct Address(SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port() {
            0 => self.0.ip().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}
