//! Waiting for the first of several things: see [`select!`](crate::select!).
//!
//! All that is here apart from the macro is what its expansion calls.
//!
//! How it works: one wait, with an arm for each thing. Every thing gets a waiter of its own for the same wait; a grant
//! ends the wait and says by which arm, in one atomic step, so the grants of all others fail and go to whoever is next
//! in line there. Nothing is ever taken from two.

mod timer;

#[cfg(test)]
mod tests;

use crate::sched::wait::{self, WaitKind, check_interrupt};
use crate::sched::worker;

pub use timer::{Timer, after, at};

/// One thing that a `select!` waits for.
pub trait Arm: sealed::Arm {}

impl<A: sealed::Arm> Arm for A {}

/// More arms than that do not fit into a wait.
const MOST: usize = 255;

pub(crate) mod sealed {
    use crate::sched::wait::Waiter;

    /// What [`super::Arm`] is, for this crate alone.
    pub trait Arm {
        /// Does it, if that needs no wait.
        fn attempt(&mut self) -> bool;
        /// Leaves the waiter. False: it is ready, and nothing was left nor done.
        fn enlist(&mut self, waiter: Waiter) -> bool;
        /// The wait was granted by this arm: does it. False: what was granted has gone.
        fn complete(&mut self) -> bool;
        /// The wait is over, and was not granted by this arm: takes the waiter back, if it was left.
        fn withdraw(&mut self);
        /// A time at which a plain thread, which has no timers, is to grant it by itself.
        fn alarm(&self) -> Option<u64> {
            None
        }
    }
}

/// Does one of `arms`; waits for one if `waits`. It then has its output. **May suspend.**
#[track_caller]
pub fn choose(arms: &mut [&mut dyn Arm], waits: bool) {
    assert!(
        !arms.is_empty() && arms.len() <= MOST,
        "select! takes between 1 and {MOST} arms besides `default`"
    );
    if waits {
        check_interrupt();
    }
    while !attempt(arms) && waits {
        if wait_for_any(arms) {
            break;
        }
    }
}

/// Does one of those that need no wait; which, if there are several, is left to chance.
fn attempt(arms: &mut [&mut dyn Arm]) -> bool {
    let count = arms.len();
    let first = worker::random(count);
    (0..count).any(|offset| arms[(first + offset) % count].attempt())
}

/// Waits until one of them is granted, and does it. False: it did none, but one may be ready now.
#[track_caller]
fn wait_for_any(arms: &mut [&mut dyn Arm]) -> bool {
    let Ok((wait, waiter)) = wait::prepare(WaitKind::Select, arms.len()) else {
        panic!(
            "select! would have to wait, but its caller is unwinding (and a coroutine never suspends while it unwinds) or is an \
             observer of switches: \
             give it a `default`, or spawn a coroutine for the cleanup"
        );
    };
    let all_wait = (1..=MOST as u8)
        .zip(arms.iter_mut())
        .all(|(number, arm)| arm.enlist(waiter.for_arm(number)));
    let outcome = if all_wait {
        drop(waiter);
        let alarms = (1..=MOST as u8).zip(arms.iter());
        let alarm = alarms
            .filter_map(|(number, arm)| Some((number, arm.alarm()?)))
            .min_by_key(|&(_, time)| time);
        wait.suspend_for_any(alarm).map(Some)
    } else {
        Ok(wait.cancel(&waiter).err())
    };
    let granted = outcome.as_ref().ok().copied().flatten();
    for (number, arm) in (1..=MOST as u8).zip(arms.iter_mut()) {
        if granted != Some(number.into()) {
            arm.withdraw();
        }
    }
    match outcome {
        Ok(Some(number)) => arms[number - 1].complete(),
        Ok(None) => false,
        Err(interrupt) => interrupt.raise(),
    }
}

/// Waits for the first of several things, and does that one and none of the others. **May suspend.**
///
/// | arm | waits until | its value |
/// |---|---|---|
/// | `recv(receiver) -> message => …` | there is a message, or no sender any more | as [`Receiver::recv`](crate::sync::channel::Receiver::recv) |
/// | `send(sender, message) -> sent => …` | there is room, or no receiver any more | as [`Sender::send`](crate::sync::channel::Sender::send) |
/// | `recv(receiver) -> message => …` of a [broadcast](crate::sync::broadcast) | there is a message or a gap, or no sender any more | as [`Receiver::recv`](crate::sync::broadcast::Receiver::recv) |
/// | `changed(receiver) -> value => …` of a [watch](crate::sync::watch) | the value is another than seen last, or no sender any more | as [`Receiver::changed`](crate::sync::watch::Receiver::changed) |
/// | `join(handle) -> result => …` | the coroutine has ended | as [`JoinHandle::join`](crate::JoinHandle::join), which is spent then |
/// | `after(duration) => …`, `at(instant) => …` | the time has come | |
/// | `wait(child) -> status => …` | the program has ended; its standard input stays open until then | as [`Child::wait`](crate::process::Child::wait) |
/// | `wait(signals) -> signal => …` | a signal arrives | as [`Signals::wait`](crate::signal::Signals::wait) |
/// | `next(watcher) -> change => …` | a file changes | as [`Watcher::next`](crate::fs::Watcher::next) |
/// | `readable(it) -> result => …`, `writable(it) -> …` | a call on the socket, pipe or [`Descriptor`](crate::io::Descriptor) would not have to wait | `io::Result<()>` |
/// | `default => …` | nothing: it is taken if no other arm is ready | |
///
/// If several are ready, chance decides, so none starves. The expressions in the parentheses are evaluated once, in order,
/// before the wait; those behind the arrow run when everything is settled, outside of the wait, and may `return`, `break`
/// or use `?`, and use again what the arms have borrowed. All must have the same type. At most 255 arms. In a loop, `after` starts anew each time; for a beat or a
/// deadline of the whole, take `at`.
///
/// A message that is not sent is dropped, unless the arm was chosen and failed: then it is in the error. With `default`
/// nothing suspends, and no interrupt is raised.
///
/// # Panics
/// If it would have to wait while the caller unwinds.
///
/// ```
/// use grapeshot::select;
/// use grapeshot::sync::channel;
/// use std::time::Duration;
///
/// grapeshot::run(|| {
///     let (orders, helm) = channel::bounded(1);
///     let lookout = grapeshot::spawn(move || orders.send("hard to port").unwrap());
///     let mut heard = Vec::new();
///     loop {
///         select! {
///             recv(helm) -> order => match order {
///                 Ok(order) => heard.push(order),
///                 Err(_) => break,
///             },
///             after(Duration::from_secs(60)) => panic!("nobody gives orders"),
///         }
///     }
///     assert_eq!(heard, ["hard to port"]);
///     select! {
///         join(lookout) -> ended => ended.unwrap(),
///     }
/// });
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)+) => {
        $crate::__select!(@parse [] $($arms)+)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Each arm becomes (variable [kind and arguments] [pattern] [body]); the variables differ by hygiene.
    (@parse [$($done:tt)*] default => $body:block $(,)?) => {
        $crate::__select!(@expand [$($done)*] false $body)
    };
    (@parse [$($done:tt)*] default => $body:expr $(,)?) => {
        $crate::__select!(@expand [$($done)*] false $body)
    };
    (@parse [$($done:tt)*] default => $($rest:tt)*) => {
        ::core::compile_error!("`default` must be the last arm of select!")
    };
    (@parse [$($done:tt)*]) => {
        $crate::__select!(@expand [$($done)*] true ::core::unreachable!("one arm was chosen"))
    };
    (@parse [$($done:tt)*] $kind:ident $args:tt -> $value:pat => $body:block $(,)? $($rest:tt)*) => {
        $crate::__select!(@parse [$($done)* (arm [$kind $args] [$value] [$body])] $($rest)*)
    };
    (@parse [$($done:tt)*] $kind:ident $args:tt -> $value:pat => $body:expr, $($rest:tt)*) => {
        $crate::__select!(@parse [$($done)* (arm [$kind $args] [$value] [$body])] $($rest)*)
    };
    (@parse [$($done:tt)*] $kind:ident $args:tt -> $value:pat => $body:expr) => {
        $crate::__select!(@parse [$($done)* (arm [$kind $args] [$value] [$body])])
    };
    (@parse [$($done:tt)*] $kind:ident $args:tt => $body:block $(,)? $($rest:tt)*) => {
        $crate::__select!(@parse [$($done)* (arm [$kind $args] [_] [$body])] $($rest)*)
    };
    (@parse [$($done:tt)*] $kind:ident $args:tt => $body:expr, $($rest:tt)*) => {
        $crate::__select!(@parse [$($done)* (arm [$kind $args] [_] [$body])] $($rest)*)
    };
    (@parse [$($done:tt)*] $kind:ident $args:tt => $body:expr) => {
        $crate::__select!(@parse [$($done)* (arm [$kind $args] [_] [$body])])
    };
    (@parse [$($done:tt)*] $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "no arm of select! begins so: `",
            ::core::stringify!($($rest)+),
            "`; an arm is `recv(receiver) -> message => what to do,` or `after(duration) => what to do,`, and its docs list the others",
        ))
    };

    (@expand [$(($arm:ident [$($make:tt)*] [$value:pat] [$body:expr]))*] $waits:literal $otherwise:expr) => {{
        // The arms end here: what is behind the arrows may use what they borrowed.
        let ($($arm,)*) = {
            $(let mut $arm = $crate::__select!(@make $($make)*);)*
            $crate::__select_arms::choose(
                &mut [$(&mut $arm as &mut dyn $crate::__select_arms::Arm),*],
                $waits,
            );
            ($($arm.into_output(),)*)
        };
        $crate::__select!(@run [$(($arm [$value] [$body]))*] $otherwise)
    }};

    (@run [] $otherwise:expr) => { $otherwise };
    (@run [($arm:ident [$value:pat] [$body:expr]) $($rest:tt)*] $otherwise:expr) => {
        if let ::core::option::Option::Some(output) = $arm {
            let $value = output;
            $body
        } else {
            $crate::__select!(@run [$($rest)*] $otherwise)
        }
    };

    (@make recv ($receiver:expr $(,)?)) => { ($receiver).__select_recv() };
    (@make send ($sender:expr, $message:expr $(,)?)) => { ($sender).__select_send($message) };
    (@make join ($handle:expr $(,)?)) => { ($handle).__select_join() };
    (@make after ($duration:expr $(,)?)) => { $crate::__select_arms::after($duration) };
    (@make at ($time:expr $(,)?)) => { $crate::__select_arms::at($time) };
    (@make changed ($receiver:expr $(,)?)) => { ($receiver).__select_changed() };
    (@make wait ($what:expr $(,)?)) => { ($what).__select_wait() };
    (@make next ($watcher:expr $(,)?)) => { ($watcher).__select_next() };
    (@make readable ($socket:expr $(,)?)) => { ($socket).__select_readable() };
    (@make writable ($socket:expr $(,)?)) => { ($socket).__select_writable() };
    (@make $kind:ident $args:tt) => {
        ::core::compile_error!(::core::concat!(
            "select! has no arm `",
            ::core::stringify!($kind $args),
            "`; there are recv(receiver), send(sender, message), changed(receiver), join(handle), after(duration), at(instant), \
             wait(it), next(watcher), readable(it), writable(it) and default",
        ))
    };
}
