//! Coroutines that become more and more and do not go on.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::Ordering;

use super::super::info;
use super::{Lint, LintKind, lint, spawned_at};
use crate::sched::record::CoroRef;
use crate::sched::wait::WaitKind;

/// Checks in a row at which there must be more of them.
const STREAK: u32 = 3;
/// Fewer than these are nothing to speak of.
const MANY: usize = 1000;

/// Those of each place that wait for others of the program, not for the outside or a time: who does may be a client's.
#[derive(Default)]
pub(super) struct Growth {
    sites: HashMap<Location<'static>, Site>,
}

#[derive(Default)]
struct Site {
    /// The first one that came after its growth was noticed.
    mark: u64,
    /// Those before the mark, and how often they had been resumed: as long as it grows, that must not change.
    old: (usize, u64),
    all: usize,
    streak: u32,
}

/// What is there of one place.
struct Now<'a> {
    old: (usize, u64),
    everyone: (usize, u64),
    /// The latest.
    one: &'a CoroRef,
}

impl Growth {
    /// The largest group that grew from check to check, and of which nobody went on. `all` are in the order of their ids.
    pub(super) fn look(&mut self, all: &[CoroRef]) -> Option<Lint> {
        let mut sites: HashMap<Location<'static>, Now<'_>> = HashMap::new();
        for coroutine in all.iter().filter(|it| waits_for_others(it)) {
            let head = &coroutine.head;
            let now = sites.entry(*head.name.site).or_insert(Now {
                old: (0, 0),
                everyone: (0, 0),
                one: coroutine,
            });
            let switches = head.switches.load(Ordering::Relaxed);
            now.one = coroutine;
            now.everyone = (now.everyone.0 + 1, now.everyone.1 + switches);
            let site = self.sites.get(head.name.site);
            if site.is_some_and(|site| head.id < site.mark) {
                now.old = (now.old.0 + 1, now.old.1 + switches);
            }
        }
        self.sites.retain(|site, _| sites.contains_key(site));
        let mut found: Option<(&Now<'_>, usize)> = None;
        for (place, now) in &sites {
            let site = self.sites.entry(*place).or_default();
            let grew = site.streak > 0 && now.everyone.0 > site.all && now.old == site.old;
            if !grew {
                *site = Site {
                    mark: now.one.head.id + 1,
                    old: now.everyone,
                    all: now.everyone.0,
                    streak: 1,
                };
                continue;
            }
            site.all = now.everyone.0;
            site.streak += 1;
            if site.streak > STREAK
                && site.all >= MANY
                && found.is_none_or(|(most, _)| most.everyone.0 < site.all)
            {
                found = Some((now, site.old.0));
            }
        }
        let (now, old) = found?;
        let wait = info(now.one)
            .waits_for
            .map_or_else(String::new, |wait| format!(", such as this one for {wait}"));
        let what = format!(
            "the same place spawned {} that wait{wait}; there are more each time, and none of the first {old} was resumed \
             since",
            now.everyone.0
        );
        let place = spawned_at(now.one.head.name.site);
        Some(lint(LintKind::GroupGrows, now.one, place, what))
    }
}

fn waits_for_others(coroutine: &CoroRef) -> bool {
    let kind = WaitKind::from_u8(coroutine.head.waits_for.load(Ordering::Relaxed));
    let waits = coroutine.head.word.current().is_some();
    waits && !kind.is_outside() && !matches!(kind, WaitKind::Sleep | WaitKind::Select)
}
