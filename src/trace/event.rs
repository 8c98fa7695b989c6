//! Events: how they are written, and what they say.

use std::fmt;
use std::time::Duration;

use super::label;
use super::ring::{Copy, LOW, LOW_MASK};
use crate::sched::hooks::{Cause, Leaves};
use crate::sched::record::{EndedBy, shown};
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;

/// What a word says that happened.
pub(super) mod code {
    /// Below this: suspended, to wait for the kind with that number.
    pub(crate) const KINDS: u8 = 64;
    pub(crate) const YIELDED: u8 = 64;
    pub(crate) const THROUGH_POLLER: u8 = 65;
    pub(crate) const RESUMED: u8 = 66;
    pub(crate) const ENDED: u8 = 67;
    pub(crate) const ENDED_LAST: u8 = 69;
    pub(crate) const SPAWNED: u8 = 70;
    pub(crate) const WOKEN: u8 = 71;
    pub(crate) const WOKEN_LAST: u8 = 75;
    pub(crate) const INTERRUPT_ASKED: u8 = 76;
    /// The upper bits of the stamps change, from the operand's upper half to its lower.
    pub(crate) const TURNED: u8 = 77;
    /// Whoever suspended just now waits for a lock that this coroutine owns.
    pub(crate) const OWNED: u8 = 78;
}

pub(super) fn leaves(leaves: Leaves) -> (u8, u64) {
    match leaves {
        Leaves::For(kind, object) => (kind as u8, object as u64),
        Leaves::Yields => (code::YIELDED, 0),
        Leaves::ThroughPoller => (code::THROUGH_POLLER, 0),
    }
}

pub(super) fn woken(cause: Cause) -> u8 {
    code::WOKEN + cause as u8
}

pub(super) fn ended(by: EndedBy) -> u8 {
    code::ENDED + by as u8
}

/// Something that happened to a coroutine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When, since the recording began.
    pub at: Duration,
    /// The worker on which it happened; `None`: a thread that is no worker of the runtime.
    pub worker: Option<usize>,
    /// To whom.
    pub coroutine: CoroutineId,
    /// What.
    pub what: What,
}

/// What happened to a coroutine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It was made.
    Spawned {
        /// By whom.
        by: Actor,
    },
    /// It runs from now on.
    Resumed,
    /// It was suspended by a blocking call.
    Suspended(Wait),
    /// It lets the others run, and is ready.
    Yielded,
    /// Its wait is over, and it is ready.
    Woken {
        /// Who ended the wait.
        by: Actor,
    },
    /// It was asked to end.
    InterruptAsked {
        /// By whom.
        by: Actor,
    },
    /// It is over.
    Ended(End),
}

/// Who made something happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// A coroutine of the same worker set.
    Coroutine(CoroutineId),
    /// A timer.
    Timer,
    /// The poller: a descriptor is ready, or something else came from outside.
    Descriptor,
    /// The deadline of a [`with_timeout`](crate::with_timeout).
    Deadline,
    /// An interrupt that was asked for.
    Interrupt,
    /// The worker's own loop, on behalf of nobody in particular.
    Worker,
    /// A plain thread, or another runtime.
    Outside,
    /// A coroutine whose resumption has been overwritten.
    Unknown,
}

/// How a coroutine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// Its closure returned.
    Returned,
    /// It panicked.
    Panicked,
    /// It was interrupted.
    Interrupted,
}

/// What a coroutine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wait {
    pub(super) kind: u8,
    /// A descriptor's number, a coroutine's id, or the address of a primitive; 0 if there is nothing to name.
    pub object: u64,
    /// Who owned the lock when it began to wait, if it is one and that is known.
    pub owner: Option<CoroutineId>,
}

impl Wait {
    pub(super) fn new(kind: u8, object: u64) -> Self {
        Self {
            kind,
            object,
            owner: None,
        }
    }

    pub(super) fn kind(&self) -> WaitKind {
        WaitKind::from_u8(self.kind)
    }

    /// The blocking call, such as `read` or `mutex`.
    pub fn operation(&self) -> &'static str {
        self.kind().name()
    }

    /// In words, with the [label](super::label) of what is waited for, if it has one in this process now.
    pub fn named(&self) -> String {
        let is_address = self.object != 0 && !self.kind().object_is_number();
        let label = is_address
            .then(|| label::of(self.object as usize))
            .flatten();
        self.show(label.as_deref())
    }

    /// As the registry shows it, with the name that `label` knows for the object.
    pub(super) fn show(&self, label: Option<&str>) -> String {
        let operation = self.operation();
        match (label, self.object, self.kind()) {
            (Some(label), ..) => format!("{operation} '{}'", shown(label)),
            (None, arms, WaitKind::Select) => format!("{operation} of {arms}"),
            (None, id, WaitKind::Join) => format!("{operation} #{id}"),
            (None, fd, kind) if kind.object_is_number() => format!("{operation} fd {fd}"),
            (None, 0, _) => operation.to_owned(),
            (None, address, _) => format!("{operation} {address:#x}"),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show(None))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coroutine(id) => write!(f, "#{id}"),
            Self::Timer => f.write_str("a timer"),
            Self::Descriptor => f.write_str("the poller"),
            Self::Deadline => f.write_str("a deadline"),
            Self::Interrupt => f.write_str("an interrupt"),
            Self::Worker => f.write_str("the worker"),
            Self::Outside => f.write_str("a thread"),
            Self::Unknown => f.write_str("somebody"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawned { by } => write!(f, "spawned by {by}"),
            Self::Resumed => f.write_str("resumed"),
            Self::Suspended(wait) => write!(f, "waits for {wait}"),
            Self::Yielded => f.write_str("yields"),
            Self::Woken { by } => write!(f, "woken by {by}"),
            Self::InterruptAsked { by } => write!(f, "asked to end by {by}"),
            Self::Ended(End::Returned) => f.write_str("returned"),
            Self::Ended(End::Panicked) => f.write_str("panicked"),
            Self::Ended(End::Interrupted) => f.write_str("was interrupted"),
        }
    }
}

/// Who runs where a ring is written, as far as the events before say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    Unknown,
    Nobody,
    Coroutine(u64),
}

/// Reads the events of one ring, in the order in which they were written.
pub(super) struct Reader {
    pub(super) runs: Runs,
    /// `None`: those of a thread that is no worker.
    pub(super) worker: Option<usize>,
    /// Events that are not what was written.
    pub(super) torn: u64,
    /// Events that cannot be told whom they are about, since what came before is overwritten.
    pub(super) adrift: u64,
}

/// An event with its stamp, before that is made a time.
pub(super) type Stamped = (u64, CoroutineId, What);

impl Reader {
    pub(super) fn new(worker: Option<usize>) -> Self {
        Self {
            runs: Runs::Unknown,
            worker,
            torn: 0,
            adrift: 0,
        }
    }

    /// What `copy` says, of a ring of so many events (a power of two).
    pub(super) fn read(&mut self, copy: &Copy, events: usize, into: &mut Vec<Stamped>) {
        let laps = events.trailing_zeros();
        let is_whole = |(word, number): &(&[u64; 2], u64)| word[0] >> 56 == (number >> laps) & 0xFF;
        let turned = |word: &[u64; 2]| (word[0] >> LOW) as u8 == code::TURNED;
        // What the stamps' upper bits were before the first change that is there.
        let numbered = || copy.words.iter().zip(copy.from..).filter(is_whole);
        let first = numbered().find(|(word, _)| turned(word));
        let mut high = first.map_or(copy.high, |(word, _)| word[1] >> 32);
        self.torn += (copy.words.len() - numbered().count()) as u64;
        for (word, _) in numbered() {
            if turned(word) {
                high = word[1] & u64::from(u32::MAX);
                continue;
            }
            let stamp = (high << LOW) | word[0] & LOW_MASK;
            self.decode((word[0] >> LOW) as u8, stamp, word[1], into);
        }
    }

    fn decode(&mut self, what: u8, stamp: u64, operand: u64, into: &mut Vec<Stamped>) {
        let operand_is = |what: What| (stamp, CoroutineId(operand), what);
        let by = match (self.worker, self.runs) {
            (None, _) => Actor::Outside,
            (_, Runs::Unknown) => Actor::Unknown,
            (_, Runs::Nobody) => Actor::Worker,
            (_, Runs::Coroutine(id)) => Actor::Coroutine(CoroutineId(id)),
        };
        let event = match what {
            code::RESUMED => {
                self.runs = Runs::Coroutine(operand);
                operand_is(What::Resumed)
            }
            code::ENDED..=code::ENDED_LAST => {
                self.runs = Runs::Nobody;
                let ends = [End::Returned, End::Panicked, End::Interrupted];
                operand_is(What::Ended(ends[usize::from(what - code::ENDED)]))
            }
            code::SPAWNED => operand_is(What::Spawned { by }),
            code::WOKEN..=code::WOKEN_LAST => {
                let causes = [
                    by,
                    Actor::Timer,
                    Actor::Descriptor,
                    Actor::Deadline,
                    Actor::Interrupt,
                ];
                let by = causes[usize::from(what - code::WOKEN)];
                operand_is(What::Woken { by })
            }
            code::INTERRUPT_ASKED => operand_is(What::InterruptAsked { by }),
            code::OWNED => {
                if let Some((_, _, What::Suspended(wait))) = into.last_mut() {
                    wait.owner = Some(CoroutineId(operand));
                }
                return;
            }
            code::YIELDED | code::THROUGH_POLLER | 0..code::KINDS => {
                let Runs::Coroutine(id) = std::mem::replace(&mut self.runs, Runs::Nobody) else {
                    self.adrift += 1;
                    return;
                };
                let suspended = What::Suspended(Wait {
                    kind: what,
                    object: operand,
                    owner: None,
                });
                let what = if what < code::KINDS {
                    suspended
                } else {
                    What::Yielded
                };
                (stamp, CoroutineId(id), what)
            }
            _ => {
                self.torn += 1;
                return;
            }
        };
        into.push(event);
    }
}
