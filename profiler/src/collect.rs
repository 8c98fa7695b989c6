//! Taking a profile: start, stop, and what was collected made readable.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use grapeshot::profile::{self, READY, RUNTIME, Recorded, Settings, StackTimes};

use crate::model::{
    Allocated, Cost, Group, Lost, Profile, Slice, Stack, VERSION, Wake, WorkerTime,
};
use crate::symbols::{Origin, Symbols};

pub use grapeshot::profile::StartError;

/// What a profile has besides the exact times, which are always there.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    hertz: u32,
    waits: bool,
    slices: usize,
    allocations: u64,
    application: Option<String>,
}

impl Default for Options {
    /// 1,000 samples a second, stacks of waits, a timeline of 10,000 slices for each worker, no allocations.
    fn default() -> Self {
        let Settings {
            hertz,
            waits,
            slices,
            allocations,
            ..
        } = Settings::default();
        Self {
            hertz,
            waits,
            slices,
            allocations,
            application: None,
        }
    }
}

impl Options {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples a second of each worker that runs, 10,000 at most. 0: none. A sample stands for the processor time since the one
    /// before, so fewer of them are less fine, but not wrong.
    pub fn hertz(mut self, hertz: u32) -> Self {
        self.hertz = hertz;
        self
    }

    /// Whether to tell where coroutines wait. Without, a profile still has for how long and for what.
    pub fn waits(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }

    /// Slices of the timeline, at most, for each worker; the longest stay. 0: no timeline.
    pub fn timeline(mut self, slices: usize) -> Self {
        self.slices = slices;
        self
    }

    /// Tells where memory is allocated, by samples: one byte in so many, on average. 0: none, as by default. 524,288 is a good
    /// number for a server; the fewer bytes, the finer it is and the more it costs, about a microsecond a sample.
    ///
    /// Told is all that was allocated meanwhile, also what was given back since; what an allocation grew by counts as one of
    /// its own. Plain threads are in it, too, as the group `(thread)`. The program must have the profiler's allocator:
    ///
    /// ```
    /// use grapeshot_profiler::{Allocator, Options, run};
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: Allocator = Allocator::system();
    ///
    /// let fill = || std::hint::black_box(vec![1_u8; 10_000_000]).len();
    /// let (_, profile) = run(Options::new().hertz(0).allocations(100_000), fill)?;
    /// assert!(profile.allocated.bytes() >= 10_000_000);
    /// # Ok::<_, grapeshot_profiler::StartError>(())
    /// ```
    pub fn allocations(mut self, bytes: u64) -> Self {
        self.allocations = bytes;
        self
    }

    /// What to call the program. By default it is the name of its file.
    pub fn application(mut self, name: impl Into<String>) -> Self {
        self.application = Some(name.into());
        self
    }
}

/// There is nothing to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no profile is being taken: start one first")]
pub struct NotRunning;

/// What the latest start said of the application.
static APPLICATION: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);

/// Starts to take a profile of the process. Never suspends.
///
/// # Errors
/// One is being taken already, or the system has no timers for it (only Linux samples on the processor; ask for 0 Hz
/// elsewhere). Allocations are asked for, and the program has not installed [`Allocator`](crate::Allocator).
pub fn start(options: Options) -> Result<(), StartError> {
    let mut settings = Settings::default();
    settings.hertz = options.hertz;
    settings.waits = options.waits;
    settings.slices = options.slices;
    settings.allocations = options.allocations;
    profile::start(settings)?;
    *APPLICATION.lock().unwrap_or_else(|it| it.into_inner()) = options.application;
    Ok(())
}

/// Stops, and gives the profile. **May suspend**: the workers say where their coroutines still wait, and reading the
/// program's debug information, on another thread, may take a second or more.
///
/// # Errors
/// No profile is being taken.
pub fn stop() -> Result<Profile, NotRunning> {
    let recorded = profile::stop().ok_or(NotRunning)?;
    let application = (APPLICATION.lock())
        .unwrap_or_else(|it| it.into_inner())
        .take();
    let recorded = std::sync::Arc::new(recorded);
    let theirs = std::sync::Arc::clone(&recorded);
    let named = application.clone();
    // Not on the worker, which has others to serve; unless there is no thread to be had.
    grapeshot::unblock(move || make(&theirs, named)).or_else(|_| Ok(make(&recorded, application)))
}

/// Ends the profile that is being taken, if one is, and forgets it. **May suspend**, unless the caller unwinds.
pub fn discard() {
    let _unwanted = profile::stop();
}

/// Is a profile being taken?
pub fn is_running() -> bool {
    profile::is_running()
}

/// Calls `body`, and gives what it returns with a profile of the process meanwhile. **May suspend**, as [`stop`] does.
///
/// If `body` panics or is interrupted, there is no profile, and the next one may be started.
///
/// ```
/// use grapeshot_profiler::{Options, run};
///
/// let (sum, profile) = run(Options::new().hertz(0), || (1..=100_u64).sum::<u64>())?;
/// assert_eq!(sum, 5050);
/// println!("{} of processor time", profile.cpu());
/// # Ok::<_, grapeshot_profiler::StartError>(())
/// ```
///
/// # Errors
/// As for [`start`]; `body` is not called then.
pub fn run<T>(options: Options, body: impl FnOnce() -> T) -> Result<(T, Profile), StartError> {
    /// Ends it if `body` does not return.
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            discard();
        }
    }
    start(options)?;
    let ends = Ends;
    let value = body();
    std::mem::forget(ends);
    // Whoever stopped it meanwhile has the profile.
    Ok((value, stop().unwrap_or_default()))
}

/// The readable form. Reads the program's debug information.
fn make(recorded: &Recorded, application: Option<String>) -> Profile {
    let mut symbols = Symbols::default();
    let groups = Groups::new(recorded, &mut symbols);
    let on = groups.stacks(&recorded.on, &mut symbols);
    let off = groups.stacks(&recorded.off, &mut symbols);
    let allocated = Allocated {
        every: recorded.every,
        samples: recorded.allocated.iter().map(|it| it.samples).sum(),
        stacks: groups.allocated(&recorded.allocated, &mut symbols),
    };
    let wakes = recorded.wakes.iter().map(|wakes| Wake {
        from: groups.index(wakes.from),
        to: groups.index(wakes.to),
        kind: symbols.string(wakes.waited_for),
        times: wakes.times,
    });
    let wakes = wakes.collect();
    let timeline = recorded.slices.iter().map(|slice| Slice {
        worker: slice.worker as u32,
        coroutine: slice.coroutine,
        group: groups.index(slice.group),
        from: slice.from,
        to: slice.to,
    });
    let own_name = || {
        let path = std::env::current_exe().ok()?;
        Some(path.file_name()?.to_str()?.to_owned())
    };
    let mut notes = Vec::new();
    if symbols.nameless > symbols.named {
        notes.push(
            "The program has no symbols, so functions are shown by their addresses: build it with debug = \"line-tables-only\" \
             and do not strip it."
                .to_owned(),
        );
    }
    Profile {
        version: VERSION,
        application: application.or_else(own_name).unwrap_or_default(),
        started: (recorded.started.duration_since(UNIX_EPOCH))
            .map_or(0.0, |since| since.as_secs_f64()),
        lasted: recorded.lasted.as_secs_f64(),
        hertz: recorded.hertz,
        on,
        off,
        allocated,
        timeline: timeline.collect(),
        wakes,
        workers: (recorded.workers.iter())
            .map(|worker| WorkerTime {
                busy: worker.busy,
                idle: worker.idle,
            })
            .collect(),
        lost: Lost {
            samples: recorded.lost_samples,
            events: recorded.lost_events,
            allocations: recorded.lost_allocations,
        },
        cost: Cost {
            nanos: u64::try_from(recorded.cost.as_nanos()).unwrap_or(u64::MAX),
        },
        groups: groups.groups,
        strings: symbols.strings,
        frames: symbols.frames,
        notes,
    }
}

/// The groups that did anything.
struct Groups {
    groups: Vec<Group>,
    /// By their number in what was recorded.
    index: Vec<Option<u32>>,
    /// That of the workers' loops.
    runtime: Option<u32>,
}

impl Groups {
    fn new(recorded: &Recorded, symbols: &mut Symbols) -> Self {
        let stacks = recorded.on.iter().chain(&recorded.off);
        let mut used: Vec<bool> = (recorded.groups.iter())
            .map(|group| group.coroutines > 0 || group.cpu > 0)
            .collect();
        stacks.for_each(|stack| used[stack.group] = true);
        (recorded.allocated.iter()).for_each(|it| used[it.group] = true);
        for wakes in &recorded.wakes {
            used[wakes.from] = true;
            used[wakes.to] = true;
        }
        let (mut groups, mut index) = (Vec::new(), Vec::new());
        for (group, used) in recorded.groups.iter().zip(used) {
            index.push(used.then_some(groups.len() as u32));
            if used {
                groups.push(Group {
                    name: symbols.string(&group.name),
                    coroutines: group.coroutines,
                    cpu: group.cpu,
                    waits: (group.waits.iter())
                        .map(|&(kind, nanos, times)| (symbols.string(kind), nanos, times))
                        .collect(),
                    switches: group.switches,
                });
            }
        }
        let is_runtime = |group: &Group| symbols.strings[group.name as usize] == RUNTIME;
        let runtime = groups.iter().position(is_runtime).map(|at| at as u32);
        Self {
            groups,
            index,
            runtime,
        }
    }

    fn index(&self, recorded: usize) -> u32 {
        self.index[recorded].expect("it is used")
    }

    /// Stacks with names.
    fn stacks(&self, recorded: &[StackTimes], symbols: &mut Symbols) -> Vec<Stack> {
        let named = recorded.iter().map(|times| Stack {
            frames: self.frames(
                &times.frames,
                times.group,
                times.waits_for.is_some(),
                symbols,
            ),
            group: self.index(times.group),
            worker: times.worker as u32,
            kind: times.waits_for.map(|kind| symbols.string(kind)),
            count: times.count,
            nanos: times.nanos,
        });
        merge(named)
    }

    /// The same of what was allocated.
    fn allocated(&self, recorded: &[profile::Allocated], symbols: &mut Symbols) -> Vec<Stack> {
        let named = recorded.iter().map(|it| {
            let mut frames = self.frames(&it.frames, it.group, false, symbols);
            // How the allocator noted it is nobody's concern.
            if let Some(first) = frames.iter().position(|&it| symbols.is_allocator(it)) {
                frames.truncate(first);
            }
            Stack {
                frames,
                group: self.index(it.group),
                worker: 0,
                kind: None,
                count: it.times,
                nanos: it.bytes,
            }
        });
        merge(named)
    }

    /// The frames at those addresses, outermost first.
    fn frames(
        &self,
        addresses: &[usize],
        group: usize,
        waits: bool,
        symbols: &mut Symbols,
    ) -> Vec<u32> {
        let mut frames = Vec::new();
        for &address in addresses.iter().rev() {
            frames.extend(symbols.frames_at(address));
        }
        match Some(self.index(group)) == self.runtime {
            true => inside_loop(frames, symbols),
            false => without_runtime(frames, waits, symbols),
        }
    }
}

/// Stacks that have come to be the same are one.
fn merge(named: impl Iterator<Item = Stack>) -> Vec<Stack> {
    let mut stacks: Vec<Stack> = Vec::new();
    let mut known = HashMap::new();
    for stack in named {
        let key = (stack.frames.clone(), stack.group, stack.worker, stack.kind);
        match known.get(&key) {
            Some(&at) => {
                let sum: &mut Stack = &mut stacks[at];
                sum.count += stack.count;
                sum.nanos += stack.nanos;
            }
            None => {
                known.insert(key, stacks.len());
                stacks.push(stack);
            }
        }
    }
    stacks
}

/// A stack of a worker's own, outermost first, without how its thread came to the part of its loop that it is in.
fn inside_loop(mut frames: Vec<u32>, symbols: &Symbols) -> Vec<u32> {
    if let Some(last) = frames.iter().rposition(|frame| symbols.is_loop(*frame)) {
        // The innermost stays.
        frames.drain(..(last + 1).min(frames.len() - 1));
    }
    frames
}

/// A stack, outermost first, without the runtime's frames at its outer end, which say how every coroutine starts. Of one that
/// `waits`, also without how it was suspended, but for the blocking call that somebody else made.
fn without_runtime(frames: Vec<u32>, waits: bool, symbols: &Symbols) -> Vec<u32> {
    let is_other = |frame: &u32| symbols.origin(*frame) != Origin::Runtime;
    let Some(first) = frames.iter().position(is_other) else {
        return match frames.is_empty() || !waits {
            true => frames,
            false => Vec::new(),
        };
    };
    let last = frames.iter().rposition(is_other).unwrap_or(first);
    let end = match waits {
        true => (last + 2).min(frames.len()),
        false => frames.len(),
    };
    frames[first..end].to_vec()
}

/// The name of the time in the queue, among the kinds of waits.
pub const QUEUED: &str = READY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_allocator_the_line_to_add_is_told() {
        let error = start(Options::new().allocations(1)).unwrap_err();
        assert!(matches!(error, StartError::Allocator));
        let text = error.to_string();
        assert!(text.contains("#[global_allocator]"), "{text}");
        assert!(!is_running());
    }
}
