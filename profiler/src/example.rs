//! A profile made by hand, for tests: a world whose characters path-find, served over HTTP by two workers.

use crate::model::{
    Allocated, Cost, Frame, Group, Lost, Profile, Slice, Stack, VERSION, Wake, WorkerTime,
};

/// Builds a profile from names.
struct Maker {
    profile: Profile,
}

impl Maker {
    fn string(&mut self, text: &str) -> u32 {
        let strings = &mut self.profile.strings;
        let known = strings.iter().position(|it| it == text);
        let at = known.unwrap_or_else(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        });
        at as u32
    }

    /// A frame from `function@file:line`, or from a function alone. What is in `src/` is the application's.
    fn frame(&mut self, text: &str) -> u32 {
        let (function, place) = text.split_once('@').unwrap_or((text, ""));
        let place = place.rsplit_once(':');
        let frame = Frame {
            function: self.string(function),
            file: place.map(|(file, _)| self.string(file)),
            line: place.map(|(_, line)| line.parse().unwrap()),
            own: place.is_some_and(|(file, _)| file.starts_with("src/")),
        };
        let frames = &mut self.profile.frames;
        let known = frames.iter().position(|it| *it == frame);
        let at = known.unwrap_or_else(|| {
            frames.push(frame);
            frames.len() - 1
        });
        at as u32
    }

    fn stack(&mut self, group: u32, worker: u32, path: &str, count: u64, nanos: u64) -> Stack {
        Stack {
            frames: path.split(" > ").map(|it| self.frame(it)).collect(),
            group,
            worker,
            kind: None,
            count,
            nanos,
        }
    }

    fn on(&mut self, group: u32, worker: u32, path: &str, samples: u64) {
        let stack = self.stack(group, worker, path, samples, samples * 1_000_000);
        self.profile.on.push(stack);
    }

    fn off(&mut self, group: u32, worker: u32, kind: &str, path: &str, (count, nanos): (u64, u64)) {
        let mut stack = self.stack(group, worker, path, count, nanos);
        stack.kind = Some(self.string(kind));
        self.profile.off.push(stack);
    }

    fn allocated(&mut self, group: u32, path: &str, (count, bytes): (u64, u64)) {
        let stack = self.stack(group, 0, path, count, bytes);
        let allocated = &mut self.profile.allocated;
        allocated.samples += bytes.div_ceil(allocated.every);
        allocated.stacks.push(stack);
    }

    fn group(&mut self, name: &str, coroutines: u64, cpu: u64, waits: &[(&str, u64, u64)]) {
        let group = Group {
            name: self.string(name),
            coroutines,
            cpu,
            waits: waits
                .iter()
                .map(|&(kind, nanos, times)| (self.string(kind), nanos, times))
                .collect(),
            switches: waits.iter().map(|it| it.2).sum(),
        };
        self.profile.groups.push(group);
    }
}

const START: &str =
    "grapeshot::sched::record::Run<F,T>::run_current@grapeshot/src/sched/record.rs:301";

/// The profile: ten seconds, four groups, a lock that everybody waits for.
pub(crate) fn example() -> Profile {
    let mut maker = Maker {
        profile: Profile {
            version: VERSION,
            application: "world".into(),
            started: 1_795_000_000.25,
            lasted: 10.0,
            hertz: 1_000,
            workers: vec![
                WorkerTime {
                    busy: 7_900_000_000,
                    idle: 2_100_000_000,
                },
                WorkerTime {
                    busy: 4_200_000_000,
                    idle: 5_800_000_000,
                },
            ],
            lost: Lost {
                samples: 3,
                events: 0,
                allocations: 0,
            },
            allocated: Allocated {
                every: 1 << 19,
                ..Allocated::default()
            },
            cost: Cost { nanos: 61_000_000 },
            ..Profile::default()
        },
    };
    let npcs = [
        ("mutex", 9_300_000_000_000, 41_000),
        ("sleep", 10_400_000_000_000, 60_000),
        ("ready", 240_000_000_000, 101_000),
    ];
    let connections = [
        ("read", 590_000_000_000, 12_000),
        ("write", 4_000_000_000, 300),
        ("ready", 9_000_000_000, 12_300),
    ];
    let saves = [("sleep", 8_900_000_000, 9), ("ready", 1_000_000, 9)];
    maker.group("npc-*", 2_000, 8_100_000_000, &npcs);
    maker.group("connection-*", 64, 2_600_000_000, &connections);
    maker.group("save", 1, 900_000_000, &saves);
    maker.group("main", 1, 1_000_000, &[("join", 9_999_000_000, 1)]);

    let npc = format!("{START} > world::npc::live@src/npc.rs:88");
    for (worker, share) in [(0, 2), (1, 1)] {
        maker.on(0, worker, &format!("{npc} > world::path::find@src/path.rs:41 > world::path::Open::pop@src/path.rs:120 > alloc::collections::binary_heap::BinaryHeap<T,A>::pop@/rustc/library/alloc/src/collections/binary_heap/mod.rs:700"), 900 * share);
        maker.on(
            0,
            worker,
            &format!(
                "{npc} > world::path::find@src/path.rs:52 > world::map::Map::cost@src/map.rs:17"
            ),
            700 * share,
        );
        maker.on(
            0,
            worker,
            &format!("{npc} > world::path::find@src/path.rs:52"),
            250 * share,
        );
        maker.on(0, worker, &format!("{npc} > world::npc::talk@src/npc.rs:140 > core::fmt::write@/rustc/library/core/src/fmt/mod.rs:1200"), 180 * share);
        let serve = format!(
            "{START} > grapeshot_http::server::connection::serve@protocols/http/src/server/connection.rs:77"
        );
        maker.on(1, worker, &format!("{serve} > world::view::render@src/view.rs:30 > serde_json::ser::to_writer@serde_json/src/ser.rs:2100"), 500 * share);
        maker.on(
            1,
            worker,
            &format!("{serve} > httparse::Request::parse@httparse/src/lib.rs:400"),
            160 * share,
        );
        maker.off(1, worker, "read", &format!("{serve} > grapeshot::net::tcp_stream::TcpStream::read@grapeshot/src/net/tcp_stream.rs:90"), (4_000 * share, 196_000_000_000 * share));
        maker.off(
            0,
            worker,
            "sleep",
            &format!("{npc} > grapeshot::sched::sleeper::sleep@grapeshot/src/sched/sleeper.rs:20"),
            (20_000 * share, 3_466_000_000_000 * share),
        );
        maker.off(0, worker, "mutex", &format!("{npc} > world::npc::step@src/npc.rs:101 > grapeshot::sync::mutex::Mutex<T>::lock@grapeshot/src/sync/mutex.rs:60"), (13_600 * share, 3_100_000_000_000 * share));
        maker.off(
            0,
            worker,
            "ready",
            &npc,
            (33_600 * share, 80_000_000_000 * share),
        );
    }
    maker.on(
        2,
        0,
        &format!("{START} > world::save::write@src/save.rs:22 > 0x55d0c0ffee10"),
        900,
    );
    maker.off(
        2,
        0,
        "sleep",
        &format!("{START} > world::save::write@src/save.rs:19"),
        (9, 8_900_000_000),
    );
    maker.off(
        3,
        0,
        "join",
        &format!("{START} > world::main@src/main.rs:9"),
        (1, 9_999_000_000),
    );

    let render = format!(
        "{START} > grapeshot_http::server::connection::serve@protocols/http/src/server/connection.rs:77 > world::view::render@src/view.rs:30"
    );
    for (group, path, spent) in [
        (1, render, (1_400_000, 5_300_000_000)),
        (
            0,
            format!("{npc} > world::path::find@src/path.rs:44"),
            (9_000_000, 2_100_000_000),
        ),
        (
            2,
            format!("{START} > world::save::write@src/save.rs:22"),
            (9, 420_000_000),
        ),
    ] {
        maker.allocated(group, &path, spent);
    }

    let spans = (0..400_u64).map(|number| {
        let worker = (number % 2) as u32;
        let from = number / 2 * 50_000_000 + u64::from(worker) * 9_000_000;
        let group = [0, 0, 1, 0, 1, 0, 2][number as usize % 7];
        Slice {
            worker,
            coroutine: 10 + number % 90,
            group,
            from,
            to: from + 4_000_000 + number % 11 * 3_000_000,
        }
    });
    maker.profile.timeline = spans.collect();
    maker.profile.timeline.sort_by_key(|slice| slice.from);
    let wakes = [
        (0, 0, "mutex", 40_900),
        (2, 0, "mutex", 100),
        (0, 1, "write", 25),
        (1, 0, "channel recv", 900),
    ];
    for (from, to, kind, times) in wakes {
        let kind = maker.string(kind);
        maker.profile.wakes.push(Wake {
            from,
            to,
            kind,
            times,
        });
    }
    maker.profile
}
