//! Carrying bytes both ways between two streams.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::net::{Shutdown, Stream};
use grapeshot::{time, with_deadline};

/// Carried at a time.
const CHUNK: usize = 16 << 10;

/// What was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    /// Bytes from the first stream to the second, and back.
    pub(super) there: u64,
    pub(super) back: u64,
    /// It ended because nothing moved for too long.
    pub(super) expired: bool,
}

/// Carries until both directions have ended. The end of one is passed on, and the other goes on; an error ends both, and so
/// does a time of `idle` in which no byte moves in either. **May suspend.**
pub(super) fn carry(first: &dyn Stream, second: &dyn Stream, idle: Option<Duration>) -> Carried {
    let relay = Relay {
        idle,
        moved: Mutex::new(time::now()),
    };
    let (there, back) = (AtomicU64::new(0), AtomicU64::new(0));
    let expired = grapeshot::scope(|scope| {
        let other = scope.spawn(|| relay.one_way(second, first, &back));
        let here = relay.one_way(first, second, &there);
        let other = other.join().unwrap_or(false);
        here || other
    });
    Carried {
        there: there.into_inner(),
        back: back.into_inner(),
        expired,
    }
}

struct Relay {
    idle: Option<Duration>,
    /// When a byte last moved in either direction.
    moved: Mutex<Instant>,
}

impl Relay {
    /// True if it ended because nothing moved.
    fn one_way(&self, from: &dyn Stream, to: &dyn Stream, count: &AtomicU64) -> bool {
        let mut chunk = vec![0; CHUNK];
        let end = loop {
            match self.wait(|| from.read(&mut chunk)) {
                Ok(0) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return false;
                }
                Ok(length) => match self.write_all(to, &chunk[..length]) {
                    Ok(()) => _ = count.fetch_add(length as u64, Ordering::Relaxed),
                    Err(error) => break error,
                },
                Err(error) => break error,
            }
        };
        // Nothing can follow: the other direction is to end as well.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
        let expired = end.kind() == io::ErrorKind::TimedOut;
        if expired {
            from.reset_on_close();
            to.reset_on_close();
        }
        expired
    }

    fn write_all(&self, to: &dyn Stream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.wait(|| to.write(bytes))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Makes a call that moves bytes, within the limit. One that is left has moved none, but a write under TLS, after which
    /// nothing more is written.
    fn wait(&self, mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let result = match self.idle {
                None => call(),
                Some(idle) => match with_deadline(self.moved() + idle, &mut call) {
                    Ok(result) => result,
                    // The other direction was busy meanwhile.
                    Err(_) if self.moved() + idle > time::now() => continue,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                },
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = time::now();
                    return result;
                }
            }
        }
    }

    fn moved(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
