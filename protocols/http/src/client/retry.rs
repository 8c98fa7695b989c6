//! What is worth another try, and when. Performs no I/O.

use std::time::{Duration, SystemTime};

use grapeshot::random;

use super::error::{ErrorKind, Phase};
use crate::Status;

/// Which failures are tried again. Only what is safe is: a request whose method is idempotent (RFC 9110, section 9.2.2)
/// and whose content can be sent once more; and any request that never left, because there was no connection.
///
/// Apart from this, a request that finds its idle connection ended by the server is sent again on a new one, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// So many more tries. Default 0.
    pub most: u32,
    /// The pause before the first of them; it doubles with each. A random part of it is left off, so that clients which
    /// failed together do not come back together. Default 200 ms.
    pub pause: Duration,
    /// The longest pause, and the longest `Retry-After` that is waited for; a server that wants more gets no other try.
    /// Default 30 s.
    pub longest: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            most: 0,
            pause: Duration::from_millis(200),
            longest: Duration::from_secs(30),
        }
    }
}

impl Retries {
    /// So many more tries, with the default pauses.
    #[must_use]
    pub fn most(count: u32) -> Self {
        Self {
            most: count,
            ..Self::default()
        }
    }

    /// How long to wait before try number `next`, which counts from 1. `random` is one of all numbers.
    pub(super) fn pause(&self, next: u32, random: u64) -> Duration {
        let doubled = self.pause.saturating_mul(1 << (next - 1).min(20));
        let whole = doubled.min(self.longest);
        // Between half of it and all.
        let share = 0.5 + (random as f64 / u64::MAX as f64) / 2.0;
        whole.mul_f64(share)
    }
}

/// How long to wait after `tries` tries and the first.
pub(super) fn pause(retries: &Retries, tries: u32) -> Duration {
    let mut random = [0; 8];
    // Without randomness the whole pause is right too.
    let random = random::fill(&mut random).map_or(u64::MAX, |()| u64::from_ne_bytes(random));
    retries.pause(tries + 1, random)
}

/// Whether sending it twice does what sending it once does.
pub(super) fn is_idempotent(method: &str) -> bool {
    matches!(
        method,
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
    )
}

/// Whether the request cannot have reached the server.
pub(super) fn never_left(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Io(
            Phase::Resolve | Phase::Connect | Phase::Proxy | Phase::Handshake,
            _
        ) | ErrorKind::Timeout(
            Phase::Resolve | Phase::Connect | Phase::Proxy | Phase::Handshake,
            _
        )
    )
}

/// Whether the network is to blame, and may be better next time.
pub(super) fn is_passing(kind: &ErrorKind) -> bool {
    never_left(kind)
        || matches!(
            kind,
            ErrorKind::Io(Phase::Send | Phase::Answer, _)
                | ErrorKind::Timeout(Phase::Send | Phase::Answer, _)
                | ErrorKind::Truncated
        )
}

/// Whether the server says that it may be better next time.
pub(super) fn is_passing_status(status: Status) -> bool {
    matches!(status.code(), 408 | 429 | 502 | 503 | 504)
}

/// What `Retry-After` says: seconds, or a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_scattered() {
        let retries = Retries::default();
        let millis = |next, random| retries.pause(next, random).as_millis();
        assert_eq!((millis(1, 0), millis(1, u64::MAX)), (100, 200));
        assert_eq!((millis(3, 0), millis(3, u64::MAX)), (400, 800));
        assert_eq!(millis(60, u64::MAX), 30_000);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let after = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(after("Sun, 06 Nov 1994 08:48:37 GMT"), Some(0));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
