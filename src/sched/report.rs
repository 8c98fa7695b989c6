//! What a panic in a coroutine prints: as a thread's, with the coroutine's name and number.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic;
use std::sync::Once;

use super::current;
use super::record::shown;

/// Wraps the panic hook that is in force, once in a process; outside coroutines it still has the word.
pub(super) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let who = current::with(|coroutine| {
                coroutine.map(|coroutine| {
                    let head = &coroutine.head;
                    head.name
                        .with(|name| format!("coroutine '{}' (#{})", shown(name), head.id))
                })
            });
            let Some(who) = who else {
                return previous(info);
            };
            let place = info
                .location()
                .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            let message = info
                .payload_as_str()
                .unwrap_or("(a payload that is not text)");
            let backtrace = Backtrace::capture();
            let mut text = format!("\n{who} panicked at {place}:\n{message}\n");
            if backtrace.status() == BacktraceStatus::Captured {
                text += &format!("stack backtrace:\n{backtrace}");
            } else {
                text += "note: run with `RUST_BACKTRACE=1` to see a backtrace\n";
            }
            // One write, so that panics of several workers do not mix. There is nobody to tell if it fails.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }));
    });
}
