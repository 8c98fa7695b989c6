//! The Firefox Profiler's processed format, version 62, which profiler.firefox.com loads from a file.
//!
//! ```text
//!   threads[].samples.stack ──▶ shared.stackTable ──▶ frameTable ──▶ funcTable ──▶ stringArray
//!                                 └─ prefix: itself                   ├─▶ resourceTable
//!                                                                     └─▶ sources
//! ```
//!
//! Each worker is two threads there: what it ran, and what its coroutines waited for, the group as the outermost frame. The
//! timeline's slices are markers of the first.

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
    /// follow each other.
    pub fn firefox(&self) -> String {
        let mut tables = Tables::default();
        let mut threads = Vec::new();
        for worker in 0..self.workers.len() as u32 {
            for (half, suffix) in [(&self.on, ""), (&self.off, ", waiting")] {
                let stacks: Vec<_> = half.iter().filter(|it| it.worker == worker).collect();
                let markers = suffix.is_empty();
                if !stacks.is_empty() || markers {
                    let name = format!("worker {worker}{suffix}");
                    let number = threads.len();
                    threads.push(self.thread(
                        &mut tables,
                        &name,
                        number,
                        &stacks,
                        markers.then_some(worker),
                    ));
                }
            }
        }
        let category = |name: &str, color: &str| json!({ "name": name, "color": color, "subcategories": ["Other"] });
        let hertz = f64::from(self.hertz.max(1));
        let profile = json!({
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
        profile.to_string()
    }

    /// A thread of the format, with the slices of `worker` as markers if it is given.
    fn thread(
        &self,
        tables: &mut Tables,
        name: &str,
        number: usize,
        stacks: &[&Stack],
        worker: Option<u32>,
    ) -> Value {
        let (mut places, mut deltas, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = 0.0;
        for stack in stacks {
            let milliseconds = stack.nanos as f64 / 1e6;
            places.push(tables.stack(self, stack));
            deltas.push(before);
            weights.push(milliseconds);
            before = milliseconds;
        }
        let slices = self.timeline.iter();
        let slices: Vec<_> = slices.filter(|it| Some(it.worker) == worker).collect();
        let names: Vec<_> = (slices.iter())
            .map(|it| tables.string(self.group(it.group)))
            .collect();
        let milliseconds = |nanos: u64| nanos as f64 / 1e6;
        let mut samples = json!({
            "length": places.len(),
            "stack": places,
            "timeDeltas": deltas,
            "weight": weights,
            "weightType": "tracing-ms",
        });
        if worker.is_some() {
            samples["threadCPUDelta"] = stacks.iter().map(|it| it.nanos).collect();
        }
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
            "showMarkersInTimeline": !slices.is_empty(),
            "samples": samples,
            "markers": {
                "length": slices.len(),
                "name": names,
                "category": vec![OTHER; slices.len()],
                "phase": vec![1; slices.len()],
                "startTime": slices.iter().map(|it| milliseconds(it.from)).collect::<Vec<_>>(),
                "endTime": slices.iter().map(|it| milliseconds(it.to)).collect::<Vec<_>>(),
                "data": slices.iter()
                    .map(|it| json!({ "type": "coroutine", "number": it.coroutine }))
                    .collect::<Vec<_>>(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

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
        for thread in profile["threads"].as_array().unwrap() {
            let (samples, markers) = (&thread["samples"], &thread["markers"]);
            points(samples, "stack", stacks, true);
            for name in ["timeDeltas", "weight"] {
                assert!(column(samples, name).iter().all(Value::is_number), "{name}");
            }
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
                "worker 1, waiting"
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

    #[test]
    fn a_profile_of_nothing_is_of_the_format() {
        validate(&serde_json::from_str(&Profile::default().firefox()).unwrap());
    }
}
