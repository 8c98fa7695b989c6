//! What the parts of a session come to.

use std::time::Duration;

use super::allocations::Allocations;
use super::control::{Running, Seat};
use super::groups::{GroupId, RUNTIME};
use super::sampler::{Samples, UNKNOWN};
use super::tally::{KINDS, READY_KIND, Tally, Totals};
use super::{GroupTimes, READY, Recorded, Slice, StackTimes, Wakes, WorkerTimes};
use crate::context::{allocations, cycles};
use crate::sched::wait::WaitKind;

/// All that was counted.
pub(super) struct Report {
    running: Running,
    /// As many as seats.
    tallies: Vec<Tally>,
    samples: Samples,
    /// Cycles.
    end: u64,
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        READY_KIND => READY,
        kind => WaitKind::from_u8(kind).name(),
    }
}

fn nanos(cycles: u64) -> u64 {
    cycles::scale().nanos(cycles)
}

impl Report {
    pub(super) fn new(running: Running, tallies: Vec<Tally>, samples: Samples, end: u64) -> Self {
        Self {
            running,
            tallies,
            samples,
            end,
        }
    }

    /// Sums it up.
    pub(super) fn make(self, lasted: Duration) -> Recorded {
        let on = self.on();
        let off = self.off();
        let Samples {
            counts,
            allocations,
            used,
        } = &self.samples;
        let met = self.tallies.iter().filter_map(|it| it.first).collect();
        let allocated = allocations
            .as_ref()
            .map_or(Vec::new(), |it| it.report(&met));
        let (lost, allocating) = match allocations {
            Some(_) => allocations::figures(),
            None => (0, 0),
        };
        let lost_allocations = lost + allocations.as_ref().map_or(0, Allocations::lost_stacks);
        let cost: u64 = used
            + allocating
            + self.tallies.iter().map(|it| nanos(it.cost)).sum::<u64>()
            + counts.iter().map(|it| it.cost).sum::<u64>();
        let lost_events = self.tallies.iter().map(|it| it.lost + it.stacks.lost).sum();
        Recorded {
            started: self.running.started,
            lasted,
            hertz: self.running.session.settings.hertz,
            every: self.running.session.settings.allocations,
            groups: self.groups(),
            on,
            off,
            allocated,
            workers: self
                .running
                .seats
                .iter()
                .map(|seat| self.worker(seat))
                .collect(),
            slices: self.slices(),
            wakes: self.wakes(),
            lost_samples: counts.iter().map(|it| it.lost).sum(),
            lost_allocations,
            lost_events,
            cost: Duration::from_nanos(cost),
        }
    }

    fn groups(&self) -> Vec<GroupTimes> {
        let names = self.running.session.groups.names().into_iter();
        let sum = |(id, name): (usize, String)| {
            let mut sum = Totals::NONE;
            for totals in self.tallies.iter().filter_map(|it| it.totals.get(id)) {
                sum.coroutines += totals.coroutines;
                sum.cpu += totals.cpu;
                sum.switches += totals.switches;
                for (sum, spent) in sum.waits.iter_mut().zip(&totals.waits) {
                    sum.time += spent.time;
                    sum.times += spent.times;
                }
            }
            let waits = (0..KINDS as u8).zip(&sum.waits);
            GroupTimes {
                name,
                coroutines: sum.coroutines,
                cpu: nanos(sum.cpu),
                switches: sum.switches,
                waits: waits
                    .filter(|(_, spent)| spent.times > 0)
                    .map(|(kind, spent)| (kind_name(kind), nanos(spent.time), spent.times))
                    .collect(),
            }
        };
        let mut groups: Vec<_> = names.enumerate().map(sum).collect();
        // What the workers did beside running coroutines.
        let busy: u64 = self
            .running
            .seats
            .iter()
            .map(|it| self.worker(it).busy)
            .sum();
        let ran: u64 = groups.iter().map(|it| it.cpu).sum();
        groups[RUNTIME as usize].cpu = busy.saturating_sub(ran);
        groups
    }

    fn on(&self) -> Vec<StackTimes> {
        let mut on = Vec::new();
        for counts in &self.samples.counts {
            let met = self.tallies[counts.seat].first;
            let unknown = met.filter(|(id, _)| counts.unknown == Some(*id));
            for entry in counts.stacks.entries() {
                let group = match entry.key.0 {
                    UNKNOWN => unknown.map_or(super::groups::OTHERS, |(_, group)| group),
                    group => group,
                };
                on.push(StackTimes {
                    frames: counts.stacks.frames_of(entry).to_vec(),
                    group: group as usize,
                    worker: counts.seat,
                    waits_for: None,
                    count: entry.waited.times,
                    nanos: entry.waited.time,
                });
            }
        }
        on
    }

    fn off(&self) -> Vec<StackTimes> {
        let mut off = Vec::new();
        for (worker, tally) in self.tallies.iter().enumerate() {
            for entry in tally.stacks.entries() {
                let (group, kind) = entry.key;
                for (kind, spent) in [(kind, entry.waited), (READY_KIND, entry.queued)] {
                    if spent.times == 0 || spent.time == 0 {
                        continue;
                    }
                    off.push(StackTimes {
                        frames: tally.stacks.frames_of(entry).to_vec(),
                        group: group as usize,
                        worker,
                        waits_for: Some(kind_name(kind)),
                        count: spent.times,
                        nanos: nanos(spent.time),
                    });
                }
            }
        }
        off
    }

    fn worker(&self, seat: &Seat) -> WorkerTimes {
        let end = seat.ended.unwrap_or(self.end);
        let figures = &seat.worker.figures;
        let slept = seat.idle_after.unwrap_or_else(|| figures.idle_until(end));
        let idle = slept.saturating_sub(seat.idle_before);
        WorkerTimes {
            busy: nanos(end.saturating_sub(seat.began)).saturating_sub(idle),
            idle,
        }
    }

    fn slices(&self) -> Vec<Slice> {
        let start = self.running.session.start;
        let most = self.running.session.settings.slices;
        let mut slices = Vec::new();
        for (worker, tally) in self.tallies.iter().enumerate() {
            let mut ran = tally.ran.clone();
            ran.sort_unstable_by_key(|ran| std::cmp::Reverse(ran.to - ran.from));
            ran.truncate(most);
            slices.extend(ran.into_iter().map(|ran| Slice {
                coroutine: ran.coroutine,
                group: ran.group as usize,
                worker,
                from: nanos(ran.from.saturating_sub(start)),
                to: nanos(ran.to.saturating_sub(start)),
            }));
        }
        slices.sort_unstable_by_key(|slice| (slice.from, slice.worker));
        slices
    }

    fn wakes(&self) -> Vec<Wakes> {
        let mut sums = std::collections::BTreeMap::<(GroupId, GroupId, u8), u64>::new();
        for (&edge, times) in self.tallies.iter().flat_map(|it| &it.edges) {
            *sums.entry(edge).or_default() += times;
        }
        let groups = self.running.session.groups.names().len();
        let wakes = sums.into_iter().map(|((from, to, kind), times)| Wakes {
            from: from as usize,
            to: to as usize,
            waited_for: kind_name(kind),
            times,
        });
        wakes.filter(|wakes| wakes.from < groups).collect()
    }
}
