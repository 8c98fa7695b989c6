//! What the page gets: the profile in columns, each stack as a node of a tree, so that what stacks share is there once.

use std::collections::HashMap;

use serde::Serialize;

use crate::model::{Cost, Lost, Profile, Stack, WorkerTime};

/// No file.
const NONE: i64 = -1;

/// What a frame of the page is. `assets/flame.js` has the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sort {
    Library = 0,
    Own = 1,
    /// The innermost frame of what waits: what for.
    Wait = 2,
    /// The outermost frame: whose stack it is.
    Group = 3,
}

/// One profile, or two to compare: the earlier one first.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    sides: Vec<Side<'a>>,
    names: Vec<&'a str>,
    frames: Frames,
    /// Names of the groups of all sides.
    groups: Vec<u32>,
    on: Half,
    off: Half,
    allocated: Half,
    /// Of the last side.
    timeline: Timeline,
    /// Numbers of the coroutines in the timeline. As text, for JavaScript's numbers are not exact that far.
    coroutines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Side<'a> {
    application: &'a str,
    started: f64,
    lasted: f64,
    hertz: u32,
    samples: u64,
    /// One byte in so many was sampled when it was allocated; 0: none.
    every: u64,
    /// Sampled ones.
    allocations: u64,
    lost: Lost,
    cost: Cost,
    groups: Vec<GroupOf>,
    workers: &'a [WorkerTime],
    wakes: Vec<WakeOf>,
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct GroupOf {
    group: u32,
    coroutines: u64,
    cpu: u64,
    switches: u64,
    waits: Vec<(u32, u64, u64)>,
}

#[derive(Debug, Serialize)]
struct WakeOf {
    from: u32,
    to: u32,
    kind: u32,
    times: u64,
}

#[derive(Debug, Default, Serialize)]
struct Frames {
    name: Vec<u32>,
    file: Vec<i64>,
    line: Vec<u32>,
    sort: Vec<u8>,
}

/// The tree, and what was spent at its nodes.
#[derive(Debug, Default, Serialize)]
struct Half {
    /// How far before a node its parent is, for small numbers take little room. 0: it has none.
    up: Vec<u32>,
    frame: Vec<u32>,
    node: Vec<u32>,
    group: Vec<u32>,
    worker: Vec<u32>,
    side: Vec<u8>,
    count: Vec<u64>,
    nanos: Vec<u64>,
    #[serde(skip)]
    known: HashMap<(Option<u32>, u32), u32>,
}

#[derive(Debug, Default, Serialize)]
struct Timeline {
    worker: Vec<u32>,
    coroutine: Vec<usize>,
    group: Vec<u32>,
    from: Vec<u64>,
    to: Vec<u64>,
}

/// Numbers what it is shown, from 0.
#[derive(Debug)]
struct Numbers<T>(HashMap<T, u32>);

impl<T: Eq + std::hash::Hash> Numbers<T> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// Its number, and whether it is new.
    fn of(&mut self, thing: T) -> (u32, bool) {
        let next = self.0.len() as u32;
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}

/// What several profiles have in common.
#[derive(Debug)]
struct Merge<'a> {
    names: Vec<&'a str>,
    name_numbers: Numbers<&'a str>,
    frames: Frames,
    frame_numbers: Numbers<(u32, i64, u32, Sort)>,
    groups: Vec<u32>,
    group_numbers: Numbers<&'a str>,
}

impl<'a> Merge<'a> {
    fn name(&mut self, text: &'a str) -> u32 {
        let (number, is_new) = self.name_numbers.of(text);
        if is_new {
            self.names.push(text);
        }
        number
    }

    fn frame(&mut self, name: u32, file: i64, line: u32, sort: Sort) -> u32 {
        let (number, is_new) = self.frame_numbers.of((name, file, line, sort));
        if is_new {
            self.frames.name.push(name);
            self.frames.file.push(file);
            self.frames.line.push(line);
            self.frames.sort.push(sort as u8);
        }
        number
    }

    fn group(&mut self, text: &'a str) -> u32 {
        let name = self.name(text);
        let (number, is_new) = self.group_numbers.of(text);
        if is_new {
            self.groups.push(name);
        }
        number
    }
}

impl<'a> Data<'a> {
    pub(super) fn of(profiles: &[&'a Profile]) -> Self {
        let mut merge = Merge {
            names: Vec::new(),
            name_numbers: Numbers::new(),
            frames: Frames::default(),
            frame_numbers: Numbers::new(),
            groups: Vec::new(),
            group_numbers: Numbers::new(),
        };
        let [mut on, mut off, mut allocated] = [(); 3].map(|()| Half::default());
        let mut sides = Vec::new();
        let mut timeline = Timeline::default();
        let mut coroutines = Vec::new();
        for (side, &profile) in profiles.iter().enumerate() {
            let numbers = Translation::of(profile, &mut merge);
            sides.push(numbers.side(profile, &mut merge));
            on.add(profile, &profile.on, side as u8, &numbers, &mut merge);
            off.add(profile, &profile.off, side as u8, &numbers, &mut merge);
            let stacks = &profile.allocated.stacks;
            allocated.add(profile, stacks, side as u8, &numbers, &mut merge);
            if profiles.len() == 1 {
                (timeline, coroutines) = numbers.timeline(profile);
            }
        }
        Self {
            sides,
            names: merge.names,
            frames: merge.frames,
            groups: merge.groups,
            on,
            off,
            allocated,
            timeline,
            coroutines,
        }
    }
}

/// From the numbers of one profile to those of the page.
#[derive(Debug)]
struct Translation {
    frames: Vec<u32>,
    groups: Vec<u32>,
}

impl Translation {
    fn of<'a>(profile: &'a Profile, merge: &mut Merge<'a>) -> Self {
        let groups = (0..profile.groups.len() as u32)
            .map(|group| merge.group(profile.group(group)))
            .collect();
        let frames = (profile.frames.iter())
            .map(|frame| {
                let name = merge.name(profile.string(frame.function));
                let file = (frame.file).map_or(NONE, |it| merge.name(profile.string(it)).into());
                let sort = if frame.own { Sort::Own } else { Sort::Library };
                merge.frame(name, file, frame.line.unwrap_or(0), sort)
            })
            .collect();
        Self { frames, groups }
    }

    fn group(&self, group: u32) -> u32 {
        self.groups[group as usize]
    }

    fn side<'a>(&self, profile: &'a Profile, merge: &mut Merge<'a>) -> Side<'a> {
        let groups = (profile.groups.iter().zip(&self.groups))
            .map(|(it, &group)| GroupOf {
                group,
                coroutines: it.coroutines,
                cpu: it.cpu,
                switches: it.switches,
                waits: (it.waits.iter())
                    .map(|&(kind, nanos, times)| (merge.name(profile.string(kind)), nanos, times))
                    .collect(),
            })
            .collect();
        let wakes = (profile.wakes.iter())
            .map(|it| WakeOf {
                from: self.group(it.from),
                to: self.group(it.to),
                kind: merge.name(profile.string(it.kind)),
                times: it.times,
            })
            .collect();
        Side {
            application: &profile.application,
            started: profile.started,
            lasted: profile.lasted,
            hertz: profile.hertz,
            samples: profile.on.iter().map(|stack| stack.count).sum(),
            every: profile.allocated.every,
            allocations: profile.allocated.samples,
            lost: profile.lost,
            cost: profile.cost,
            groups,
            workers: &profile.workers,
            wakes,
            notes: &profile.notes,
        }
    }

    fn timeline(&self, profile: &Profile) -> (Timeline, Vec<String>) {
        let mut timeline = Timeline::default();
        let mut coroutines = Vec::new();
        let mut numbers = Numbers::new();
        let mut slices: Vec<_> = profile.timeline.iter().collect();
        slices.sort_by_key(|slice| slice.from);
        for slice in slices {
            let (number, is_new) = numbers.of(slice.coroutine);
            if is_new {
                coroutines.push(slice.coroutine.to_string());
            }
            timeline.worker.push(slice.worker);
            timeline.coroutine.push(number as usize);
            timeline.group.push(self.group(slice.group));
            timeline.from.push(slice.from);
            timeline.to.push(slice.to);
        }
        (timeline, coroutines)
    }
}

impl Half {
    fn add<'a>(
        &mut self,
        profile: &'a Profile,
        stacks: &[Stack],
        side: u8,
        numbers: &Translation,
        merge: &mut Merge<'a>,
    ) {
        for stack in stacks {
            let group = merge.name(profile.group(stack.group));
            let mut node = self.node(None, merge.frame(group, NONE, 0, Sort::Group));
            for &frame in &stack.frames {
                node = self.node(Some(node), numbers.frames[frame as usize]);
            }
            if let Some(kind) = stack.kind {
                let kind = merge.name(profile.string(kind));
                node = self.node(Some(node), merge.frame(kind, NONE, 0, Sort::Wait));
            }
            self.node.push(node);
            self.group.push(numbers.group(stack.group));
            self.worker.push(stack.worker);
            self.side.push(side);
            self.count.push(stack.count);
            self.nanos.push(stack.nanos);
        }
    }

    /// The child of a node, or a root, for a frame.
    fn node(&mut self, parent: Option<u32>, frame: u32) -> u32 {
        let next = self.frame.len() as u32;
        let node = *self.known.entry((parent, frame)).or_insert(next);
        if node == next {
            self.up.push(parent.map_or(0, |parent| next - parent));
            self.frame.push(frame);
        }
        node
    }
}
