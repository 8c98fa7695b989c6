//! Coroutines that outlive the test that spawned them.

use std::fmt::Write;
use std::time::Duration;

use super::network;
use crate::registry::{self, CoroutineInfo};
use crate::sched::record::shown;
use crate::time;

/// How long those may still take that are about to end.
const GRACE: Duration = Duration::from_millis(500);
/// How often they are looked at meanwhile.
const BEAT: Duration = Duration::from_millis(1);
/// So many are told of, at most.
const SHOWN: usize = 20;

/// Makes sure that every coroutine of this runtime has ended, but for the caller: a test that ends with this fails if it
/// has left one behind. `#[grapeshot::test]` does it by itself. **May suspend**, for half a second of the runtime's clock, in
/// which those can end that are about to.
///
/// Coroutines on a [`host`](super::host()) of a simulated network do not count: they end with the simulation.
///
/// ```
/// use grapeshot::sync::channel;
/// use grapeshot::testing;
///
/// testing::run(7, || {
///     let (sender, receiver) = channel::bounded(1);
///     grapeshot::spawn(move || receiver.iter().sum::<i32>());
///     sender.send(1).unwrap();
///     drop(sender); // without this, the sum would be waited for forever
///     testing::assert_no_leaks();
/// });
/// ```
///
/// # Panics
/// If one is alive. The message says where each was spawned and what it waits for.
#[track_caller]
pub fn assert_no_leaks() {
    let deadline = time::now() + GRACE;
    loop {
        let alive = others();
        if alive.is_empty() {
            return;
        }
        if time::now() >= deadline {
            panic!("{}", complaint(&alive));
        }
        time::sleep(BEAT);
    }
}

fn others() -> Vec<CoroutineInfo> {
    let mut alive = registry::coroutines();
    let me = registry::current();
    alive.retain(|it| Some(it.id) != me && !network::is_on_a_host(it.id));
    alive
}

fn complaint(alive: &[CoroutineInfo]) -> String {
    let mut text = match alive.len() {
        1 => "a coroutine is still alive:".to_owned(),
        count => format!("{count} coroutines are still alive:"),
    };
    for it in alive.iter().take(SHOWN) {
        let site = it.site.to_string();
        let _ = write!(text, "\n  #{}", it.id);
        // One without a name is called after the same place.
        if !site.contains(&it.name) {
            let _ = write!(text, " '{}'", shown(&it.name));
        }
        let _ = match it.waits_for {
            Some(wait) => write!(text, " spawned at {site} waits for {wait}"),
            None => write!(text, " spawned at {site} is {}", it.state),
        };
    }
    if let more @ 1.. = alive.len().saturating_sub(SHOWN) {
        let _ = write!(text, "\n  and {more} more");
    }
    text + "\nJoin or interrupt what a test spawns, or allow it: #[grapeshot::test(leaks = allow)]"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Event, channel};
    use crate::testing::{NetworkConfig, Simulation, host};
    use crate::{Builder, sleep, spawn};

    fn message(program: impl Fn() + Send + Sync + 'static) -> Option<String> {
        let simulation = Simulation::new(0).network(NetworkConfig::new());
        let failure = simulation.first_failure(0..1, move |_| {
            program();
            assert_no_leaks();
        });
        failure.map(|failure| failure.message)
    }

    #[test]
    fn who_waits_forever_is_told_of() {
        let line = line!() + 2;
        let said = message(|| {
            drop(spawn(|| Event::new().wait()));
        });
        let said = said.unwrap();
        assert!(said.starts_with("a coroutine is still alive:"), "{said}");
        assert!(said.contains(&format!("{}:{line}", file!())), "{said}");
        assert!(said.contains("waits for event"), "{said}");
    }

    #[test]
    fn a_crowd_is_counted() {
        let said = message(|| {
            for number in 0..30 {
                let named = Builder::new().name(format!("sleeper {number}"));
                drop(named.spawn(|| sleep(Duration::from_secs(9))));
            }
        });
        let said = said.unwrap();
        assert!(said.starts_with("30 coroutines are still alive:"), "{said}");
        assert!(said.contains("'sleeper 19'") && !said.contains("'sleeper 20'"));
        assert!(said.contains("and 10 more"), "{said}");
    }

    #[test]
    fn who_is_about_to_end_is_not() {
        let said = message(|| {
            let (sender, receiver) = channel::bounded(1);
            drop(spawn(move || receiver.iter().sum::<u32>()));
            drop(spawn(|| sleep(Duration::from_millis(100))));
            sender.send(1).unwrap();
        });
        assert_eq!(said, None);
    }

    #[test]
    fn servers_on_hosts_go_on() {
        let said = message(|| {
            host("server", || {
                drop(spawn(|| sleep(Duration::MAX)));
                sleep(Duration::MAX);
            });
            sleep(Duration::from_secs(1));
        });
        assert_eq!(said, None);
    }
}
