//! What the registry knows, as fields of rows.

use grapeshot::CoroutineId;
use grapeshot::registry::{CoroutineInfo, State};
use rhai::{Dynamic, INT};

use crate::runtimes::Seen;
use crate::value::{bytes, duration};

pub(super) fn id_value(id: CoroutineId) -> Dynamic {
    count(id.0)
}

pub(super) fn count(number: u64) -> Dynamic {
    INT::try_from(number).unwrap_or(INT::MAX).into()
}

pub(super) fn optional_count(number: Option<usize>) -> Dynamic {
    number.map_or(Dynamic::UNIT, |number| count(number as u64))
}

pub(super) fn optional_bytes(number: Option<usize>) -> Dynamic {
    number.map_or(Dynamic::UNIT, |number| bytes(number as u64))
}

/// The number of the application's worker, or the name of the backdoor's thread.
pub(super) fn worker(seen: &Seen) -> Dynamic {
    match seen.thread {
        Some(thread) => thread.into(),
        None => optional_count(seen.info.worker),
    }
}

pub(super) fn state(state: State) -> Dynamic {
    state.to_string().into()
}

pub(super) fn waits_for(coroutine: &CoroutineInfo) -> Dynamic {
    let wait = coroutine.waits_for.as_ref();
    wait.map_or(Dynamic::UNIT, |wait| wait.to_string().into())
}

/// For how long it has waited, or has run without suspending.
pub(super) fn since(coroutine: &CoroutineInfo) -> Dynamic {
    let waited = coroutine.waits_for.as_ref().map(|wait| wait.since);
    let since = waited.or(coroutine.runs_for);
    since.map_or(Dynamic::UNIT, duration)
}

/// `npc-17` and `npc-18` are both `npc-*`.
pub(crate) fn without_numbers(name: &str) -> String {
    grapeshot::registry::group_of(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_numbers_are_one_group() {
        assert_eq!(without_numbers("npc-17"), "npc-*");
        assert_eq!(without_numbers("conn-127.0.0.1:80"), "conn-*.*.*.*:*");
        assert_eq!(without_numbers("main"), "main");
    }
}
