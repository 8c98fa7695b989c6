//! A profile whose figures are known, and a report opened in a browser.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use grapeshot_browser::Browser;
use grapeshot_profiler::{
    Cost, Frame, Group, Lost, Profile, Slice, Stack, VERSION, Wake, WorkerTime,
};
use serde_json::Value;
use tempfile::TempDir;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// Makes a profile of names.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) profile: Profile,
}

impl Maker {
    pub(crate) fn string(&mut self, text: &str) -> u32 {
        let strings = &mut self.profile.strings;
        let known = strings.iter().position(|it| it == text);
        known.unwrap_or_else(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        }) as u32
    }

    /// Of `function@file:line`; what is in `src/` is the application's own.
    fn frame(&mut self, text: &str) -> u32 {
        let (function, place) = text.split_once('@').expect("a place");
        let (file, line) = place.rsplit_once(':').expect("a line");
        let frame = Frame {
            function: self.string(function),
            file: Some(self.string(file)),
            line: Some(line.parse().expect("a number")),
            own: file.starts_with("src/"),
        };
        let frames = &mut self.profile.frames;
        let known = frames.iter().position(|it| *it == frame);
        known.unwrap_or_else(|| {
            frames.push(frame);
            frames.len() - 1
        }) as u32
    }

    pub(crate) fn stack(&mut self, (group, worker): (u32, u32), path: &str, nanos: u64) -> Stack {
        Stack {
            frames: path.split(" > ").map(|it| self.frame(it)).collect(),
            group,
            worker,
            kind: None,
            count: nanos.div_ceil(MILLI),
            nanos,
        }
    }

    pub(crate) fn on(&mut self, whose: (u32, u32), path: &str, millis: u64) {
        let stack = self.stack(whose, path, millis * MILLI);
        self.profile.on.push(stack);
    }

    /// Bytes that a group has allocated somewhere, and how often.
    pub(crate) fn allocated(&mut self, group: u32, path: &str, (count, bytes): (u64, u64)) {
        let mut stack = self.stack((group, 0), path, bytes);
        stack.count = count;
        let allocated = &mut self.profile.allocated;
        allocated.every = 1 << 19;
        allocated.samples += 30;
        allocated.stacks.push(stack);
    }

    fn off(&mut self, whose: (u32, u32), kind: &str, path: &str, seconds: u64) {
        let mut stack = self.stack(whose, path, seconds * SECOND);
        stack.kind = Some(self.string(kind));
        self.profile.off.push(stack);
    }

    pub(crate) fn group(&mut self, name: &str, coroutines: u64, cpu: u64, waits: &[(&str, u64)]) {
        let waits: Vec<_> = (waits.iter())
            .map(|&(kind, seconds)| (self.string(kind), seconds * SECOND, 10))
            .collect();
        let group = Group {
            name: self.string(name),
            coroutines,
            cpu: cpu * MILLI,
            switches: waits.iter().map(|wait| wait.2).sum(),
            waits,
        };
        self.profile.groups.push(group);
    }
}

/// A second of two workers. On the processor: 60 ms in `sort`, 30 ms in `work` itself, 10 ms in `write`.
pub(crate) fn harbour() -> Maker {
    let profile = Profile {
        version: VERSION,
        application: "harbour".into(),
        started: 1_795_000_000.0,
        lasted: 1.0,
        hertz: 1_000,
        workers: vec![
            WorkerTime {
                busy: 70 * MILLI,
                idle: 930 * MILLI,
            },
            WorkerTime {
                busy: 30 * MILLI,
                idle: 970 * MILLI,
            },
        ],
        lost: Lost {
            samples: 4,
            events: 2,
            allocations: 0,
        },
        cost: Cost { nanos: MILLI },
        ..Profile::default()
    };
    let mut maker = Maker { profile };
    maker.group("crane-*", 100, 90, &[("sleep", 5), ("mutex", 2)]);
    maker.group("ship-*", 7, 10, &[("read", 3)]);
    let run = "grapeshot::run@grapeshot/run.rs:3";
    maker.on((0, 0), &format!("{run} > harbour::crane::Crane<T>::work@src/crane.rs:20 > core::slice::sort@core/sort.rs:9"), 60);
    maker.on(
        (0, 1),
        &format!("{run} > harbour::crane::Crane<T>::work@src/crane.rs:24"),
        30,
    );
    maker.on(
        (1, 0),
        &format!("{run} > harbour::ship::sail@src/ship.rs:7 > std::io::write@std/io.rs:1"),
        10,
    );
    maker.off(
        (0, 0),
        "sleep",
        &format!("{run} > harbour::crane::Crane<T>::rest@src/crane.rs:40"),
        5,
    );
    maker.off(
        (0, 1),
        "mutex",
        &format!("{run} > harbour::crane::Crane<T>::work@src/crane.rs:18"),
        2,
    );
    maker.off(
        (1, 0),
        "read",
        &format!("{run} > harbour::ship::sail@src/ship.rs:5"),
        3,
    );
    let slices = [
        (0, 1, 0, 100, 160),
        (1, 2, 0, 200, 230),
        (0, 9, 1, 500, 510),
    ];
    maker.profile.timeline = slices
        .map(|(worker, coroutine, group, from, to)| Slice {
            worker,
            coroutine,
            group,
            from: from * MILLI,
            to: to * MILLI,
        })
        .into();
    let kind = maker.string("mutex");
    maker.profile.wakes.push(Wake {
        from: 1,
        to: 0,
        kind,
        times: 12,
    });
    maker
}

/// Browsers are heavy; on a small machine several at once only wait for each other.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A report in a browser.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) browser: Browser,
    folder: TempDir,
}

impl Report {
    pub(crate) fn open(page: &str) -> Self {
        let report = Self {
            browser: Browser::start(1280, 860),
            folder: tempfile::tempdir().expect("a folder for the report"),
        };
        report.show(page);
        report
    }

    /// Another page in the same browser.
    pub(crate) fn show(&self, page: &str) {
        let path = self.folder.path().join("report.html");
        fs::write(&path, page).expect("the report can be written");
        self.browser.open(&format!("file://{}", path.display()));
        self.browser.wait_for("report.flame.nodes().length > 0");
    }

    pub(crate) fn view(&self, name: &str) {
        self.browser.script(&format!(
            "document.getElementById('tab-{name}').click(); document.activeElement.blur()"
        ));
    }

    /// The boxes of the flame graph that are drawn, by name, as shares in percent. It has come to rest before.
    pub(crate) fn boxes(&self) -> Vec<(String, f64)> {
        self.browser
            .wait_for("!report.flame.motion && !report.flame.due");
        let boxes = self.browser.script("return report.flame.nodes()");
        (boxes.as_array().expect("a list").iter())
            .map(|it| {
                let name = it["name"].as_str().expect("a name").to_owned();
                (
                    name,
                    (it["share"].as_f64().expect("a share") * 1e4).round() / 1e2,
                )
            })
            .collect()
    }

    /// The middle of a box on the page.
    pub(crate) fn middle(&self, name: &str) -> (i32, i32) {
        let place = self.browser.wait_for(&format!(
            "(() => {{
               if (report.flame.motion || report.flame.due) return null;
               const it = report.flame.nodes().find(it => it.name === {}), frame = report.flame.canvas.getBoundingClientRect();
               return it && [frame.left + it.x + it.width / 2, frame.top + it.y + 10];
             }})()",
            Value::from(name)
        ));
        let side = |i: usize| place[i].as_f64().expect("a number") as i32;
        (side(0), side(1))
    }

    /// What the cells of a column say, by the place of the column.
    pub(crate) fn column(&self, table: &str, column: usize) -> Vec<String> {
        let cells = self.browser.script(&format!(
            "return [...document.querySelectorAll('#{table} tbody tr:not(.opened)')].map(row => row.children[{column}].innerText.split('\\n')[0])"
        ));
        (cells.as_array().expect("a list").iter())
            .map(|it| it.as_str().expect("a text").replace('\u{a0}', " "))
            .collect()
    }
}
