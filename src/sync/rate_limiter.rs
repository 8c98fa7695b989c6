//! No more than so many in a time.

use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use crate::time::{now, sleep};
use std::fmt;
use std::time::{Duration, Instant};

/// A token bucket: tokens drip in at a steady rate, up to a limit; each call takes some and waits while there are too
/// few.
///
/// First come, first served: one who waits for many is not passed by those who come later for few. When it gives up,
/// those behind it are looked at again. Fractions of tokens are kept exactly, at any rate.
///
/// ```
/// use grapeshot::sync::RateLimiter;
/// use grapeshot::{testing, time};
/// use std::time::Duration;
///
/// testing::run(0, || {
///     // Ten a second, at most two at once.
///     let limiter = RateLimiter::new(10, Duration::from_secs(1)).with_burst(2);
///     let start = time::now();
///     for _ in 0..5 {
///         limiter.acquire();
///     }
///     assert_eq!(time::now() - start, Duration::from_millis(300));
/// });
/// ```
pub struct RateLimiter {
    /// Tokens that drip in during a `period`.
    rate: u32,
    period: Duration,
    burst: u32,
    state: parking_lot::Mutex<State>,
}

/// Between two calls: nobody is in line while nobody is at its head.
///
/// Who is at the head, and nobody else, sleeps until there are tokens enough. It is not in the queue.
struct State {
    /// In drops: a token is as many drops as the period has nanoseconds, and `rate` drops fall every nanosecond.
    /// Negative after more than `burst` tokens were taken at once.
    drops: i128,
    /// Up to when `drops` has been counted.
    counted: Instant,
    head_taken: bool,
    queue: WaitQueue<()>,
    acquired: u64,
    wait: WaitStatistics,
}

/// What a [`RateLimiter`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimiterStatistics {
    /// Tokens that are there now.
    pub available: u32,
    /// Tokens that were ever taken.
    pub acquired: u64,
    /// How much tokens have been waited for.
    pub wait: WaitStatistics,
}

impl RateLimiter {
    /// A full bucket, for `rate` tokens in each `period`, and as many at once.
    ///
    /// # Panics
    /// If `rate` or `period` is zero.
    #[track_caller]
    pub fn new(rate: u32, period: Duration) -> Self {
        assert!(rate > 0 && !period.is_zero(), "a rate above zero");
        let state = State {
            drops: 0,
            counted: now(),
            head_taken: false,
            queue: WaitQueue::new(),
            acquired: 0,
            wait: WaitStatistics::default(),
        };
        let limiter = Self {
            rate,
            period,
            burst: rate,
            state: parking_lot::Mutex::new(state),
        };
        limiter.with_burst(rate)
    }

    /// The same, and full, with room for `burst` tokens: so many can be had at once after a rest.
    ///
    /// # Panics
    /// If `burst` is zero.
    #[track_caller]
    pub fn with_burst(mut self, burst: u32) -> Self {
        assert!(burst > 0, "room for a token");
        self.burst = burst;
        self.state.get_mut().drops = self.full();
        self
    }

    /// Takes one token; waits until there is one. **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn acquire(&self) {
        self.acquire_many(1);
    }

    /// Takes `tokens` at once; waits until there are so many. **May suspend.** More than the burst are taken from a
    /// full bucket, and those behind wait until the debt is paid off.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many(&self, tokens: u32) {
        wait::check_interrupt();
        let mut state = self.state.lock();
        if self.try_take(&mut state, tokens) {
            return;
        }
        if wait::nothing_may_wait() {
            drop(state);
            refuse("RateLimiter::acquire", "try_acquire");
        }
        state.wait.waits += 1;
        state.wait.waiting += 1;
        // From here on it is counted out again, and the head passed on, however this ends.
        let mut place = Place {
            limiter: self,
            at_head: !state.head_taken,
            served: false,
        };
        state.head_taken = true;
        if !place.at_head {
            let (wait, waiter) = wait::prepare(WaitKind::RateLimiter, address(self))
                .expect("the caller is not unwinding");
            let ticket = state.queue.push(waiter, ());
            drop(state);
            if let Outcome::Interrupted(interrupt) = wait.suspend() {
                self.state.lock().queue.withdraw(ticket);
                interrupt.raise();
            }
            place.at_head = true;
        } else {
            drop(state);
        }
        while let Some(time) = self.take_at_head(tokens) {
            sleep(time);
        }
        place.served = true;
    }

    /// Takes one token, if there is one and nobody waits.
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_many(1)
    }

    /// Takes `tokens` at once, if there are so many and nobody waits.
    pub fn try_acquire_many(&self, tokens: u32) -> bool {
        self.try_take(&mut self.state.lock(), tokens)
    }

    /// What is there, and how much it has been waited for.
    pub fn statistics(&self) -> RateLimiterStatistics {
        let mut state = self.state.lock();
        self.count(&mut state);
        let available = state.drops.max(0) / self.token();
        RateLimiterStatistics {
            available: u32::try_from(available).expect("at most the burst"),
            acquired: state.acquired,
            wait: state.wait,
        }
    }

    fn try_take(&self, state: &mut State, tokens: u32) -> bool {
        !state.head_taken && self.take(state, tokens).is_none()
    }

    /// For who is at the head: takes the tokens, or tells how long it will be until they are there.
    fn take_at_head(&self, tokens: u32) -> Option<Duration> {
        self.take(&mut self.state.lock(), tokens)
    }

    fn take(&self, state: &mut State, tokens: u32) -> Option<Duration> {
        self.count(state);
        let wanted = i128::from(tokens) * self.token();
        let lacking = wanted.min(self.full()) - state.drops;
        if lacking <= 0 {
            state.drops -= wanted;
            state.acquired += u64::from(tokens);
            return None;
        }
        let nanos = lacking.unsigned_abs().div_ceil(u128::from(self.rate));
        Some(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }

    /// Adds what has dripped in since it was counted last.
    fn count(&self, state: &mut State) {
        let now = now();
        let nanos = now.saturating_duration_since(state.counted).as_nanos();
        let fallen = i128::try_from(nanos)
            .unwrap_or(i128::MAX)
            .saturating_mul(i128::from(self.rate));
        state.drops = state.drops.saturating_add(fallen).min(self.full());
        state.counted = state.counted.max(now);
    }

    /// A token, in drops.
    fn token(&self) -> i128 {
        // A `Duration` has at most 2^64 seconds: less than 2^94 nanoseconds.
        self.period.as_nanos().cast_signed()
    }

    /// A full bucket, in drops.
    fn full(&self) -> i128 {
        i128::from(self.burst) * self.token()
    }
}

/// A call that waits, at the head or in line.
struct Place<'a> {
    limiter: &'a RateLimiter,
    at_head: bool,
    served: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        state.wait.waiting -= 1;
        state.wait.interrupted += u64::from(!self.served);
        if self.at_head {
            state.head_taken = state.queue.grant_first().is_some();
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("rate", &self.rate)
            .field("period", &self.period)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}
