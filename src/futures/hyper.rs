//! What hyper wants besides streams: somebody who drives futures, and timers.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::{Sleep, sleep, sleep_until, spawn};

/// Drives each future that hyper gives it in a coroutine of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(spawn(future));
    }
}

/// Our timers, for hyper's timeouts. Its time is [`time::now`](crate::time::now), virtual in a simulation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(sleep_until(deadline))
    }

    fn now(&self) -> Instant {
        crate::time::now()
    }
}

impl hyper::rt::Sleep for Sleep {}
