//! Coroutines that held their worker for too long.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Frame, WaitFor};
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::shown;
use crate::sched::spawn::CoroutineId;

/// Stalls that are kept.
const KEPT: usize = 64;
/// Frames of a backtrace that go to the log.
const LOGGED: usize = 24;

/// A coroutine held its worker for longer than
/// [`RuntimeBuilder::latency_limit`](crate::RuntimeBuilder::latency_limit): it computed, or blocked the thread, and all the
/// others of that worker waited.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stall {
    /// Its number.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// The worker that it held.
    pub worker: usize,
    /// Since when, to within half of the limit.
    pub since: SystemTime,
    /// For how long, when it was looked at last.
    pub lasted: Duration,
    /// It let go of the worker.
    pub over: bool,
    /// How much of that the thread ran, as far as it was looked at. Much less than `lasted`: it was blocked in the kernel,
    /// if it was not `queued`.
    pub ran: Option<Duration>,
    /// How much of that the thread could have run if the machine had had a processor for it.
    pub queued: Option<Duration>,
    /// It sleeps in a lock that is none of ours, and that a coroutine of the same worker seems to have: then neither ever
    /// goes on. Linux only; the kinds that are known are those of std and parking_lot, and `pthread_mutex_t`.
    pub lock: Option<ForeignLock>,
    /// Where it was at the latest look, innermost first. Empty if it did not answer; what it called in a library without
    /// frame pointers may lack a frame.
    pub backtrace: Vec<Frame>,
}

/// A lock that is none of [`sync`](crate::sync), in which a coroutine blocks its worker's thread.
///
/// Such a lock does not know of coroutines. Who has it is found by the lock's address on the stack of a suspended one, where a
/// guard has it. A mere reference looks the same, so this is what seems to be, not what is known. That nobody is found means
/// nothing: the guard may be in a box.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForeignLock {
    /// Such as `std::sync::Mutex`.
    pub kind: &'static str,
    /// The address of the word that the thread sleeps on in futex(2).
    pub futex: usize,
    /// Coroutines of the same worker, one of which seems to have it; at least one.
    pub holders: Vec<LockHolder>,
    /// What of [`sync`](crate::sync) there is for the purpose.
    pub(crate) instead: &'static str,
}

/// A suspended coroutine that seems to have a [`ForeignLock`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LockHolder {
    /// Its number.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// What it waits for; `None` if it could go on but for its worker.
    pub waits_for: Option<WaitFor>,
    /// Where it is suspended, innermost frame first.
    pub backtrace: Vec<Frame>,
}

impl fmt::Display for ForeignLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} (futex {:#x}) that ", self.kind, self.futex)?;
        if self.holders.len() > 1 {
            f.write_str("one of these seems to hold: ")?;
        }
        for (number, holder) in self.holders.iter().enumerate() {
            let LockHolder { id, name, .. } = holder;
            let name = shown(name);
            if number > 0 {
                f.write_str(", ")?;
            }
            write!(f, "coroutine '{name}' (#{id}), ")?;
            match &holder.waits_for {
                Some(wait) => write!(f, "which waits for {}", wait.operation)?,
                None => f.write_str("which is ready to run")?,
            }
            if let Some(place) = place(&holder.backtrace) {
                write!(f, " at {place}")?;
            }
        }
        if self.holders.len() == 1 {
            f.write_str(", seems to hold")?;
        }
        write!(
            f,
            ". Hold no such lock across a blocking call: use grapeshot::sync::{}",
            self.instead
        )
    }
}

/// The innermost place that is the application's own.
pub(crate) fn place(frames: &[Frame]) -> Option<String> {
    let own = frames.iter().find(|frame| is_own(frame))?;
    let (file, line) = (own.file.as_deref()?, own.line?);
    Some(format!(
        "{}:{line}",
        file.rsplit('/').next().unwrap_or(file)
    ))
}

fn is_own(frame: &Frame) -> bool {
    const RUNTIME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    const OTHERS: &[&str] = &["/rustc/", "/lock_api-", "/parking_lot"];
    frame.file.as_deref().is_some_and(|file| {
        frame.line.is_some()
            && file.ends_with(".rs")
            && !file.starts_with(RUNTIME)
            && !OTHERS.iter().any(|other| file.contains(other))
    })
}

/// The frames without those below the application's outermost one: how every coroutine starts says nothing.
pub(crate) fn without_start(frames: &[Frame]) -> &[Frame] {
    match frames.iter().rposition(is_own) {
        Some(outermost) => &frames[..=outermost],
        None => frames,
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id, name, worker, ..
        } = self;
        let name = shown(name);
        if self.over {
            return write!(
                f,
                "coroutine '{name}' (#{id}) held worker {worker} for {:.1?}",
                self.lasted
            );
        }
        write!(
            f,
            "coroutine '{name}' (#{id}), spawned at {}, has held worker {worker} for {:.0?}",
            self.site, self.lasted
        )?;
        if let (Some(ran), Some(queued)) = (self.ran, self.queued) {
            write!(f, "; it ran for {ran:.0?} of the latest")?;
            if queued > self.lasted / 4 {
                write!(f, ", and waited {queued:.0?} for a processor")?;
            }
        }
        if let Some(lock) = &self.lock {
            f.write_str(". It is blocked")?;
            if let Some(place) = place(&self.backtrace) {
                write!(f, " at {place}")?;
            }
            write!(f, " in {lock}")?;
        }
        if self.backtrace.is_empty() {
            return f.write_str("; there is no backtrace");
        }
        f.write_str(". It is in")?;
        log_frames(f, &self.backtrace)?;
        for holder in self.lock.iter().flat_map(|lock| &lock.holders) {
            write!(f, "\n'{}' (#{}) is in", shown(&holder.name), holder.id)?;
            log_frames(f, &holder.backtrace)?;
        }
        Ok(())
    }
}

fn log_frames(f: &mut fmt::Formatter<'_>, frames: &[Frame]) -> fmt::Result {
    let frames = without_start(frames);
    for (number, frame) in frames.iter().take(LOGGED).enumerate() {
        write!(f, "\n{number:6}: {frame}")?;
    }
    if frames.len() > LOGGED {
        write!(f, "\n        … {} more", frames.len() - LOGGED)?;
    }
    Ok(())
}

/// The coroutines of this runtime that held their worker for too long, the latest last; 64 of them are kept, rather those that
/// are not over.
pub fn stalls() -> Vec<Stall> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::stalls)
}

impl RuntimeHandle {
    /// The coroutines of this runtime that held their worker for too long; see [`stalls`](crate::registry::stalls).
    pub fn stalls(self) -> Vec<Stall> {
        self.shared.stalls.all()
    }
}

/// What a runtime keeps of them.
pub(crate) struct Stalls(Mutex<Kept>);

struct Kept {
    /// With their numbers, which rise.
    stalls: VecDeque<(u64, Stall)>,
    next: u64,
}

impl Stalls {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Kept {
            stalls: VecDeque::new(),
            next: 0,
        }))
    }

    /// Keeps one more. Returns its number.
    pub(crate) fn push(&self, stall: Stall) -> u64 {
        let mut kept = self.0.lock();
        if kept.stalls.len() == KEPT {
            let over = kept.stalls.iter().position(|(_, stall)| stall.over);
            kept.stalls.remove(over.unwrap_or(0));
        }
        let number = kept.next;
        kept.next += 1;
        kept.stalls.push_back((number, stall));
        number
    }

    /// Changes the one with this number, if it is still kept, and returns it.
    pub(crate) fn change(&self, number: u64, change: impl FnOnce(&mut Stall)) -> Option<Stall> {
        let mut kept = self.0.lock();
        let place = kept.stalls.binary_search_by_key(&number, |(it, _)| *it);
        let (_, stall) = kept.stalls.get_mut(place.ok()?)?;
        change(stall);
        Some(stall.clone())
    }

    /// The runtime has ended.
    pub(crate) fn clear(&self) {
        self.0.lock().stalls.clear();
    }

    pub(super) fn all(&self) -> Vec<Stall> {
        let kept = self.0.lock();
        kept.stalls.iter().map(|(_, stall)| stall.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(worker: usize) -> Stall {
        Stall {
            id: CoroutineId(7),
            name: "bosun".to_owned(),
            site: Location::caller(),
            worker,
            since: SystemTime::UNIX_EPOCH,
            lasted: Duration::from_millis(250),
            over: false,
            ran: Some(Duration::from_millis(20)),
            queued: Some(Duration::from_millis(90)),
            lock: None,
            backtrace: Vec::new(),
        }
    }

    #[test]
    fn only_the_latest_are_kept_and_can_be_changed() {
        let stalls = Stalls::new();
        let numbers: Vec<_> = (0..KEPT + 10).map(|n| stalls.push(stall(n))).collect();
        let kept: Vec<_> = stalls.all().iter().map(|stall| stall.worker).collect();
        assert_eq!(kept, (10..KEPT + 10).collect::<Vec<_>>());
        assert!(stalls.change(numbers[9], |_| ()).is_none(), "forgotten");
        for (n, &number) in numbers.iter().enumerate().skip(10) {
            assert_eq!(
                stalls
                    .change(number, |stall| stall.over = true)
                    .unwrap()
                    .worker,
                n
            );
        }
        assert!(stalls.all().iter().all(|stall| stall.over));
        let lasting = stalls.push(stall(KEPT + 10));
        for n in 0..2 * KEPT {
            let number = stalls.push(stall(n));
            stalls.change(number, |stall| stall.over = true);
        }
        assert!(stalls.change(lasting, |_| ()).is_some(), "it lasts");
    }

    /// Log files are read in terminals, and a line of theirs begins where its logger says.
    #[test]
    fn a_name_neither_commands_a_terminal_nor_forges_a_line() {
        let mut bosun = stall(1);
        bosun.name = "bo\x1b[2J\u{9b}\u{202e}\nINFO all is well".to_owned();
        for over in [true, false] {
            bosun.over = over;
            let text = bosun.to_string();
            let name = r"coroutine 'bo\u{1b}[2J\u{9b}\u{202e}\nINFO all is well' (#7)";
            assert!(text.starts_with(name), "{text}");
        }
    }

    #[test]
    fn how_every_coroutine_starts_is_left_out() {
        let frame = |file: &str| Frame {
            address: 1,
            function: Some(file.to_owned()),
            file: Some(file.to_owned()),
            line: Some(1),
        };
        let runtime = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sched/record.rs");
        let start = ["/rustc/0/library/std/src/panicking.rs", runtime];
        let mut bosun = stall(1);
        let all = [
            "/rustc/0/library/core/src/ops.rs",
            "/ship/pump.rs",
            "/ship/bosun.rs",
        ];
        bosun.backtrace = all.into_iter().chain(start).map(frame).collect();
        let text = bosun.to_string();
        assert!(
            text.ends_with("\n     2: /ship/bosun.rs at /ship/bosun.rs:1"),
            "{text}"
        );
        bosun.backtrace = start.map(frame).to_vec();
        let text = bosun.to_string();
        assert!(
            text.contains("record.rs:1"),
            "nothing else is known: {text}"
        );
    }

    #[test]
    fn says_who_where_and_for_how_long() {
        let mut bosun = stall(1);
        let text = bosun.to_string();
        assert!(
            text.starts_with("coroutine 'bosun' (#7), spawned at src/registry/stalls.rs:")
                && text.contains("has held worker 1 for 250ms; it ran for 20ms of the latest")
                && text.ends_with("waited 90ms for a processor; there is no backtrace"),
            "{text}"
        );
        bosun.over = true;
        assert_eq!(
            bosun.to_string(),
            "coroutine 'bosun' (#7) held worker 1 for 250.0ms"
        );
    }
}
