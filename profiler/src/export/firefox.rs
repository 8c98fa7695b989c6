//! The Firefox Profiler's processed format, version 62, which profiler.firefox.com loads from a file.
//!
//! ```text
//!   threads[].samples.stack ──▶ shared.stackTable ──▶ frameTable ──▶ funcTable ──▶ stringArray
//!                                 └─ prefix: itself                   ├─▶ resourceTable
//!                                                                     └─▶ sources
//! ```
//!
//! Each worker is two threads there: what it ran, and what its coroutines waited for, the group as the outermost frame. The
//! timeline's slices are markers of the first. What was allocated is one more thread, without samples and with
//! `nativeAllocations`, as the Firefox Profiler itself makes them of dhat's files.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::model::{Profile, Stack};

/// Of the format.
const PROCESSED_VERSION: u32 = 62;
/// Of the format that Firefox itself writes, which it is made from.
const GECKO_VERSION: u32 = 24;

const OTHER: u32 = 0;
const OWN: u32 = 1;
const LIBRARY: u32 = 2;
const GROUP: u32 = 3;
const WAIT: u32 = 4;

/// A function of the format: a name, a file, and a category.
type Function = (u32, Option<u32>, u32);

#[derive(Default)]
struct Tables {
    strings: Vec<String>,
    known_strings: HashMap<String, u32>,
    functions: Vec<Function>,
    known_functions: HashMap<Function, u32>,
    /// By function and line.
    frames: Vec<(u32, Option<u32>)>,
    known_frames: HashMap<(u32, Option<u32>), u32>,
    /// By frame and who called it.
    stacks: Vec<(u32, Option<u32>)>,
    known_stacks: HashMap<(u32, Option<u32>), u32>,
    sources: Vec<u32>,
    known_sources: HashMap<u32, u32>,
}

/// Where `key` is in `list`, put there if need be.
fn intern<K: Clone + Eq + std::hash::Hash>(
    list: &mut Vec<K>,
    known: &mut HashMap<K, u32>,
    key: K,
) -> u32 {
    *known.entry(key).or_insert_with_key(|key| {
        list.push(key.clone());
        list.len() as u32 - 1
    })
}

impl Tables {
    fn string(&mut self, text: &str) -> u32 {
        intern(&mut self.strings, &mut self.known_strings, text.to_owned())
    }

    /// The stack that is `name` called by `prefix`.
    fn push(
        &mut self,
        prefix: Option<u32>,
        name: &str,
        place: (Option<&str>, Option<u32>),
        category: u32,
    ) -> u32 {
        let (file, line) = place;
        let name = self.string(name);
        let source = file.map(|file| {
            let file = self.string(file);
            intern(&mut self.sources, &mut self.known_sources, file)
        });
        let function = (name, source, category);
        let function = intern(&mut self.functions, &mut self.known_functions, function);
        let frame = intern(&mut self.frames, &mut self.known_frames, (function, line));
        intern(&mut self.stacks, &mut self.known_stacks, (frame, prefix))
    }

    fn stack(&mut self, profile: &Profile, stack: &Stack) -> u32 {
        let nowhere = (None, None);
        let mut at = self.push(None, profile.group(stack.group), nowhere, GROUP);
        for &frame in &stack.frames {
            let it = &profile.frames[frame as usize];
            let place = (it.file.map(|file| profile.string(file)), it.line);
            let category = if it.own { OWN } else { LIBRARY };
            at = self.push(Some(at), profile.string(it.function), place, category);
        }
        if let Some(kind) = stack.kind {
            let name = format!("[{}]", profile.string(kind));
            at = self.push(Some(at), &name, nowhere, WAIT);
        }
        at
    }

    fn shared(&self) -> Value {
        let (frames, functions) = (&self.frames, &self.functions);
        fn all<T: serde::Serialize>(count: usize, value: T) -> Value {
            json!(std::iter::repeat_n(&value, count).collect::<Vec<_>>())
        }
        let category = |&(function, _): &(u32, _)| functions[function as usize].2;
        json!({
            "stackTable": {
                "length": self.stacks.len(),
                "frame": self.stacks.iter().map(|it| it.0).collect::<Vec<_>>(),
                "prefix": self.stacks.iter().map(|it| it.1).collect::<Vec<_>>(),
            },
            "frameTable": {
                "length": frames.len(),
                "address": all(frames.len(), -1),
                "inlineDepth": all(frames.len(), 0),
                "category": frames.iter().map(category).collect::<Vec<_>>(),
                "subcategory": all(frames.len(), 0),
                "func": frames.iter().map(|it| it.0).collect::<Vec<_>>(),
                "nativeSymbol": all(frames.len(), Value::Null),
                "innerWindowID": all(frames.len(), 0),
                "line": frames.iter().map(|it| it.1).collect::<Vec<_>>(),
                "column": all(frames.len(), Value::Null),
            },
            "funcTable": {
                "length": functions.len(),
                "name": functions.iter().map(|it| it.0).collect::<Vec<_>>(),
                "isJS": all(functions.len(), false),
                "relevantForJS": all(functions.len(), false),
                "resource": all(functions.len(), -1),
                "source": functions.iter().map(|it| it.1).collect::<Vec<_>>(),
                "lineNumber": all(functions.len(), Value::Null),
                "columnNumber": all(functions.len(), Value::Null),
            },
            "resourceTable": { "length": 0, "lib": [], "name": [], "host": [], "type": [] },
            "nativeSymbols": { "length": 0, "address": [], "functionSize": [], "libIndex": [], "name": [] },
            "sources": {
                "length": self.sources.len(),
                "id": all(self.sources.len(), Value::Null),
                "filename": self.sources,
                "startLine": all(self.sources.len(), 1),
                "startColumn": all(self.sources.len(), 1),
                "sourceMapURL": all(self.sources.len(), Value::Null),
            },
            "stringArray": self.strings,
        })
    }
}

impl Profile {
    /// As a file for the Firefox Profiler: open it at <https://profiler.firefox.com>, which looks at it in the browser and
    /// uploads nothing. Samples weigh the milliseconds that they stand for; when each came is not known, so those of a thread
    /// follow each other. What was allocated is in the thread `allocated`, in bytes, all of it at the beginning.
    pub fn firefox(&self) -> String {
        let mut tables = Tables::default();
        let mut threads = Vec::new();
        for worker in 0..self.workers.len() as u32 {
            let (on, off) = (of_worker(&self.on, worker), of_worker(&self.off, worker));
            let mut ran = self.thread(format!("worker {worker}"), threads.len());
            ran["samples"] = self.samples(&mut tables, &on);
            ran["samples"]["threadCPUDelta"] = on.iter().map(|it| it.nanos).collect();
            ran["markers"] = self.markers(&mut tables, worker);
            ran["showMarkersInTimeline"] = (ran["markers"]["length"] != 0).into();
            threads.push(ran);
            if !off.is_empty() {
                let mut waited = self.thread(format!("worker {worker}, waiting"), threads.len());
                waited["samples"] = self.samples(&mut tables, &off);
                threads.push(waited);
            }
        }
        if !self.allocated.stacks.is_empty() {
            let mut allocated = self.thread("allocated".into(), threads.len());
            allocated["nativeAllocations"] = self.allocations(&mut tables);
            threads.push(allocated);
        }
        let category = |name: &str, color: &str| json!({ "name": name, "color": color, "subcategories": ["Other"] });
        let hertz = f64::from(self.hertz.max(1));
        let mut profile = json!({
            "meta": {
                "version": GECKO_VERSION,
                "preprocessedProfileVersion": PROCESSED_VERSION,
                "product": self.application,
                "interval": 1_000.0 / hertz,
                "startTime": self.started * 1_000.0,
                "profilingStartTime": 0.0,
                "profilingEndTime": self.lasted * 1_000.0,
                "processType": 0,
                "debug": false,
                "symbolicated": true,
                "sourceCodeIsNotOnSearchfox": true,
                "usesOnlyOneStackType": true,
                "importedFrom": "grapeshot",
                "categories": [
                    category("Other", "grey"),
                    category("Application", "blue"),
                    category("Libraries", "lightblue"),
                    category("Coroutines", "green"),
                    category("Waiting", "orange"),
                ],
                "extensions": { "length": 0, "baseURL": [], "id": [], "name": [] },
                "markerSchema": [{
                    "name": "coroutine",
                    "display": ["marker-chart", "marker-table", "timeline-overview"],
                    "chartLabel": "{marker.name} #{marker.data.number}",
                    "tableLabel": "#{marker.data.number}",
                    "fields": [{ "key": "number", "label": "Coroutine", "format": "integer" }],
                }],
                "sampleUnits": { "time": "ms", "eventDelay": "ms", "threadCPUDelta": "ns" },
                "pausedRanges": [],
            },
            "libs": [],
            "pages": [],
            "counters": [],
            "profilerOverhead": [],
            "shared": tables.shared(),
            "threads": threads,
        });
        if !self.allocated.stacks.is_empty() {
            // It hides a thread without samples, unless it is told which ones to show.
            let all = profile["threads"].as_array().map_or(0, Vec::len);
            profile["meta"]["initialVisibleThreads"] = (0..all).collect();
        }
        profile.to_string()
    }

    /// A thread of the format, the so manieth, in which nothing happened.
    fn thread(&self, name: String, number: usize) -> Value {
        json!({
            "name": name,
            "processName": self.application,
            "processType": "default",
            "isMainThread": number == 0,
            "pid": "1",
            "tid": (number + 1).to_string(),
            "registerTime": 0.0,
            "unregisterTime": null,
            "processStartupTime": 0.0,
            "processShutdownTime": null,
            "pausedRanges": [],
            "showMarkersInTimeline": false,
            "samples": { "length": 0, "stack": [], "timeDeltas": [], "weight": [], "weightType": "tracing-ms" },
            "markers": { "length": 0, "name": [], "category": [], "phase": [], "startTime": [], "endTime": [], "data": [] },
        })
    }

    /// A table of samples that follow each other.
    fn samples(&self, tables: &mut Tables, stacks: &[&Stack]) -> Value {
        let (mut places, mut deltas, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = 0.0;
        for stack in stacks {
            let its = milliseconds(stack.nanos);
            places.push(tables.stack(self, stack));
            deltas.push(before);
            weights.push(its);
            before = its;
        }
        json!({
            "length": places.len(),
            "stack": places,
            "timeDeltas": deltas,
            "weight": weights,
            "weightType": "tracing-ms",
        })
    }

    /// A worker's slices.
    fn markers(&self, tables: &mut Tables, worker: u32) -> Value {
        let slices = self.timeline.iter();
        let slices: Vec<_> = slices.filter(|it| it.worker == worker).collect();
        let names: Vec<_> = (slices.iter())
            .map(|it| tables.string(self.group(it.group)))
            .collect();
        json!({
            "length": slices.len(),
            "name": names,
            "category": vec![OTHER; slices.len()],
            "phase": vec![1; slices.len()],
            "startTime": slices.iter().map(|it| milliseconds(it.from)).collect::<Vec<_>>(),
            "endTime": slices.iter().map(|it| milliseconds(it.to)).collect::<Vec<_>>(),
            "data": slices.iter()
                .map(|it| json!({ "type": "coroutine", "number": it.coroutine }))
                .collect::<Vec<_>>(),
        })
    }

    /// The table of what was allocated: an entry for each stack, of all its bytes.
    fn allocations(&self, tables: &mut Tables) -> Value {
        let stacks = &self.allocated.stacks;
        json!({
            "length": stacks.len(),
            "time": vec![0.0; stacks.len()],
            "stack": stacks.iter().map(|it| tables.stack(self, it)).collect::<Vec<_>>(),
            "weight": stacks.iter().map(|it| it.nanos).collect::<Vec<_>>(),
            "weightType": "bytes",
        })
    }
}

fn of_worker(half: &[Stack], worker: u32) -> Vec<&Stack> {
    half.iter().filter(|it| it.worker == worker).collect()
}

fn milliseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use crate::model::Allocated;
    use std::collections::HashSet;

    /// A table's column, which is as long as the table says.
    fn column<'a>(table: &'a Value, name: &str) -> &'a [Value] {
        let column = table[name]
            .as_array()
            .unwrap_or_else(|| panic!("no column {name}"));
        assert_eq!(table["length"], column.len(), "{name}");
        column
    }

    /// All of a column are numbers below `end`, or null where that may be.
    fn points(table: &Value, name: &str, end: &Value, may_be_null: bool) {
        let end = match end {
            Value::Array(array) => array.len() as u64,
            table => table["length"].as_u64().unwrap(),
        };
        for value in column(table, name) {
            match value.as_u64() {
                Some(index) => assert!(index < end, "{name}: {index} of {end}"),
                None => assert!(may_be_null && value.is_null(), "{name}: {value}"),
            }
        }
    }

    /// What docs-developer/processed-profile-format.md and src/types/profile.ts of the Firefox Profiler demand of version 62.
    fn validate(profile: &Value) {
        let meta = &profile["meta"];
        assert_eq!(meta["preprocessedProfileVersion"], 62);
        for number in ["interval", "startTime"] {
            assert!(meta[number].is_number(), "{number}");
        }
        let shared = &profile["shared"];
        let strings = &shared["stringArray"];
        assert!(strings.as_array().unwrap().iter().all(Value::is_string));
        let (stacks, frames) = (&shared["stackTable"], &shared["frameTable"]);
        let (functions, sources) = (&shared["funcTable"], &shared["sources"]);
        points(stacks, "frame", frames, false);
        points(stacks, "prefix", stacks, true);
        for (at, prefix) in column(stacks, "prefix").iter().enumerate() {
            assert!(prefix.as_u64().is_none_or(|prefix| (prefix as usize) < at));
        }
        points(frames, "func", functions, false);
        points(frames, "category", &meta["categories"], false);
        for name in [
            "address",
            "inlineDepth",
            "subcategory",
            "nativeSymbol",
            "innerWindowID",
            "line",
            "column",
        ] {
            column(frames, name);
        }
        points(functions, "name", strings, false);
        points(functions, "source", sources, true);
        for name in [
            "isJS",
            "relevantForJS",
            "resource",
            "lineNumber",
            "columnNumber",
        ] {
            column(functions, name);
        }
        points(sources, "filename", strings, false);
        for name in ["id", "startLine", "startColumn", "sourceMapURL"] {
            column(sources, name);
        }
        let threads = &profile["threads"];
        if let Some(visible) = meta.get("initialVisibleThreads") {
            let visible = json!({ "length": visible.as_array().unwrap().len(), "thread": visible });
            points(&visible, "thread", threads, false);
        }
        let mut numbers = HashSet::new();
        for thread in threads.as_array().unwrap() {
            assert!(
                numbers.insert(thread["tid"].as_str()),
                "two threads {}",
                thread["tid"]
            );
            if let Some(allocations) = thread.get("nativeAllocations") {
                points(allocations, "stack", stacks, true);
                assert!(column(allocations, "time").iter().all(Value::is_number));
                // What is given back weighs less than nothing.
                assert!(column(allocations, "weight").iter().all(Value::is_i64));
                assert_eq!(allocations["weightType"], "bytes");
                // Both, or none: the table's other kind has them.
                for column in ["memoryAddress", "threadId"] {
                    assert!(allocations.get(column).is_none());
                }
            }
            let (samples, markers) = (&thread["samples"], &thread["markers"]);
            points(samples, "stack", stacks, true);
            for name in ["timeDeltas", "weight"] {
                assert!(column(samples, name).iter().all(Value::is_number), "{name}");
            }
            assert_eq!(samples["weightType"], "tracing-ms");
            points(markers, "name", strings, false);
            points(markers, "category", &meta["categories"], false);
            let times = column(markers, "startTime")
                .iter()
                .zip(column(markers, "endTime"));
            assert!(
                times
                    .into_iter()
                    .all(|(start, end)| start.as_f64() <= end.as_f64())
            );
            for data in column(markers, "data") {
                assert_eq!(data["type"], meta["markerSchema"][0]["name"]);
            }
            assert!(column(markers, "phase").iter().all(|it| *it == 1));
            for text in ["name", "processType", "pid", "tid"] {
                assert!(thread[text].is_string(), "{text}");
            }
        }
    }

    #[test]
    fn it_is_of_the_format() {
        let profile = example();
        let value: Value = serde_json::from_str(&profile.firefox()).unwrap();
        validate(&value);
        let threads = value["threads"].as_array().unwrap();
        let names: Vec<_> = threads
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "worker 0",
                "worker 0, waiting",
                "worker 1",
                "worker 1, waiting",
                "allocated"
            ]
        );
        let weights = threads
            .iter()
            .flat_map(|it| column(&it["samples"], "weight"));
        let sum: f64 = weights.map(|it| it.as_f64().unwrap()).sum();
        let stacks = profile.on.iter().chain(&profile.off);
        let nanos: u64 = stacks.map(|it| it.nanos).sum();
        assert!((sum - nanos as f64 / 1e6).abs() < 1.0);
    }

    /// The names of a stack, outermost first.
    fn names(shared: &Value, mut stack: Option<u64>) -> Vec<&str> {
        let mut names = Vec::new();
        while let Some(at) = stack {
            let at = at as usize;
            let number = |table: &Value, at: usize| table[at].as_u64().unwrap() as usize;
            let frame = number(&shared["stackTable"]["frame"], at);
            let function = number(&shared["frameTable"]["func"], frame);
            let name = number(&shared["funcTable"]["name"], function);
            names.push(shared["stringArray"][name].as_str().unwrap());
            stack = shared["stackTable"]["prefix"][at].as_u64();
        }
        names.reverse();
        names
    }

    #[test]
    fn what_was_allocated_is_a_thread_that_is_shown() {
        let profile = example();
        let value: Value = serde_json::from_str(&profile.firefox()).unwrap();
        let threads = value["threads"].as_array().unwrap();
        let (last, others) = threads.split_last().unwrap();
        assert!(
            others
                .iter()
                .all(|it| it.get("nativeAllocations").is_none())
        );
        // So that the Firefox Profiler shows the allocations of this thread at once, and the thread at all.
        assert_eq!(last["samples"]["length"], 0);
        assert_eq!(
            value["meta"]["initialVisibleThreads"],
            json!([0, 1, 2, 3, 4])
        );
        let allocations = &last["nativeAllocations"];
        let stacks = column(allocations, "stack").iter().map(Value::as_u64);
        let bytes = column(allocations, "weight").iter().map(Value::as_u64);
        let shown: Vec<_> = (stacks.map(|stack| names(&value["shared"], stack)))
            .zip(bytes.map(Option::unwrap))
            .collect();
        let there: Vec<_> = (profile.allocated.stacks.iter())
            .map(|stack| {
                let frames = stack.frames.iter().map(|&frame| profile.function(frame));
                let names = std::iter::once(profile.group(stack.group)).chain(frames);
                (names.collect::<Vec<_>>(), stack.nanos)
            })
            .collect();
        assert!(there.len() > 1);
        assert_eq!(shown, there);

        let without = Profile {
            allocated: Allocated::default(),
            ..profile
        };
        let value: Value = serde_json::from_str(&without.firefox()).unwrap();
        validate(&value);
        assert_eq!(value["threads"].as_array().map(Vec::len), Some(4));
        assert!(value["meta"].get("initialVisibleThreads").is_none());
    }

    #[test]
    fn a_profile_of_nothing_is_of_the_format() {
        validate(&serde_json::from_str(&Profile::default().firefox()).unwrap());
    }
}
