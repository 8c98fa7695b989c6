//! Whether the peer is alive: when to ping it, and when to give it up. Performs no I/O and reads no clock.
//!
//! ```text
//!            silent for ping_every                silent for pong_wait more
//!   Quiet ─────────────────────────▶ Pinged ─────────────────────────────────▶ given up
//!     ▲      send a ping               │
//!     └────────────────────────────────┘
//!            anything at all is heard
//! ```
//!
//! A pong may have to queue behind a long message of the peer's, so any byte that it sends counts as a sign of life.

use std::time::{Duration, Instant};

/// A peer which was not listened to for a while is given so long more: what it sent is read first.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct KeepAlive {
    every: Option<Duration>,
    pong_wait: Duration,
    state: State,
    /// When the state ends.
    deadline: Option<Instant>,
    /// The clock as it was when somebody looked last.
    seen: Instant,
    /// A wait began and was not ended by what was heard or not: it was left by unwinding.
    left: bool,
    /// The number of the last ping, and when it was queued.
    number: u64,
    pinged: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Quiet,
    Pinged {
        /// The grace was given already.
        extended: bool,
    },
}

/// What to do about a peer that was silent for as long as [`KeepAlive::wait`] said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// It is gone.
    GiveUp,
}

impl KeepAlive {
    pub(crate) fn new(every: Option<Duration>, pong_wait: Duration, now: Instant) -> Self {
        Self {
            every,
            pong_wait,
            state: State::Quiet,
            deadline: every.and_then(|every| now.checked_add(every)),
            seen: now,
            left: false,
            number: 0,
            pinged: None,
        }
    }

    /// How long to listen; `None` is for ever. It is followed by [`heard`](Self::heard) or [`silent`](Self::silent),
    /// unless the listening is left: then the time that has passed meanwhile is asked of `clock`.
    pub(crate) fn wait(&mut self, clock: impl FnOnce() -> Instant) -> Option<Duration> {
        let deadline = self.deadline?;
        if std::mem::replace(&mut self.left, true) {
            self.seen = clock();
        }
        if let State::Pinged { extended: false } = self.state
            && self.seen >= deadline
        {
            self.state = State::Pinged { extended: true };
            self.deadline = self.seen.checked_add(GRACE);
            return Some(GRACE);
        }
        Some(deadline.saturating_duration_since(self.seen))
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.left = false;
        self.seen = now;
        self.state = State::Quiet;
        self.deadline = self.every.and_then(|every| now.checked_add(every));
    }

    /// Nothing came for as long as was said.
    pub(crate) fn silent(&mut self, now: Instant) -> Silence {
        self.left = false;
        self.seen = now;
        if let State::Pinged { .. } = self.state {
            return Silence::GiveUp;
        }
        self.number += 1;
        self.pinged = Some(now);
        self.await_pong(now);
        Silence::Ping(self.number.to_be_bytes())
    }

    /// The ping could not be sent yet, because the peer is busy taking a message: it is waited for anew.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.left = false;
        self.seen = now;
        self.await_pong(now);
    }

    fn await_pong(&mut self, now: Instant) {
        self.state = State::Pinged { extended: false };
        self.deadline = now.checked_add(self.pong_wait);
    }

    /// A pong came: how long it took, if it answers the last ping of ours.
    pub(crate) fn pong(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        if payload != self.number.to_be_bytes() {
            return None;
        }
        Some(now.saturating_duration_since(self.pinged.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn thirty_and_ten(now: Instant) -> KeepAlive {
        KeepAlive::new(Some(30 * SECOND), 10 * SECOND, now)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_then_given_up() {
        let start = Instant::now();
        let mut keep_alive = thirty_and_ten(start);
        assert_eq!(keep_alive.wait(|| start), Some(30 * SECOND));
        keep_alive.heard(start + 20 * SECOND);
        assert_eq!(keep_alive.wait(|| start), Some(30 * SECOND));
        assert_eq!(
            keep_alive.silent(start + 50 * SECOND),
            Silence::Ping([0, 0, 0, 0, 0, 0, 0, 1])
        );
        assert_eq!(keep_alive.wait(|| start), Some(10 * SECOND));
        assert_eq!(keep_alive.silent(start + 60 * SECOND), Silence::GiveUp);
    }

    #[test]
    fn waits_that_are_left_add_up() {
        let start = Instant::now();
        let mut keep_alive = thirty_and_ten(start);
        for n in 0..30 {
            let now = start + n * SECOND;
            assert_eq!(keep_alive.wait(|| now), Some((30 - n) * SECOND));
        }
        assert_eq!(
            keep_alive.wait(|| start + 31 * SECOND),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn what_the_peer_sent_while_nobody_listened_is_read_first() {
        let start = Instant::now();
        let mut keep_alive = thirty_and_ten(start);
        assert!(keep_alive.wait(|| start).is_some());
        assert!(matches!(
            keep_alive.silent(start + 30 * SECOND),
            Silence::Ping(_)
        ));
        assert!(keep_alive.wait(|| start).is_some());
        let later = start + 1000 * SECOND;
        assert_eq!(keep_alive.wait(|| later), Some(GRACE));
        let and_later = later + GRACE / 2;
        assert_eq!(keep_alive.wait(|| and_later), Some(GRACE / 2), "once");
        assert_eq!(keep_alive.silent(later + GRACE), Silence::GiveUp);
    }

    #[test]
    fn only_the_last_ping_is_measured_and_once() {
        let start = Instant::now();
        let mut keep_alive = thirty_and_ten(start);
        let Silence::Ping(payload) = keep_alive.silent(start) else {
            panic!("the first silence");
        };
        let now = start + SECOND;
        assert_eq!(keep_alive.pong(b"unasked", now), None);
        assert_eq!(keep_alive.pong(&payload, now), Some(SECOND));
        assert_eq!(keep_alive.pong(&payload, now), None);
    }

    #[test]
    fn without_pings_a_wait_has_no_end() {
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(None, SECOND, start);
        assert_eq!(keep_alive.wait(|| start), None);
        keep_alive.heard(start);
        assert_eq!(keep_alive.wait(|| start), None);
    }
}
