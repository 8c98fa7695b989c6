//! Stacks as text: folded, a line each, and as `perf script` prints samples.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Half;
use crate::model::Profile;

impl Profile {
    /// One half as folded stacks, for `flamegraph.pl`, inferno, speedscope and the like: a line for each stack, outermost
    /// first, the group before it and (of the other half) what it waits for behind it, then microseconds; of what was
    /// allocated, bytes.
    ///
    /// ```text
    ///   npc-*;world::npc::live;world::path::find 700000
    ///   npc-*;world::npc::live;grapeshot::sync::Mutex::lock;[mutex] 9300000
    /// ```
    pub fn folded(&self, half: Half) -> String {
        let mut lines = BTreeMap::<String, u64>::new();
        for stack in self.half(half) {
            let mut line = part(self.group(stack.group));
            for &frame in &stack.frames {
                line.push(';');
                line += &part(self.function(frame));
            }
            if let Some(kind) = stack.kind {
                let _ = write!(line, ";[{}]", part(self.string(kind)));
            }
            *lines.entry(line).or_default() += stack.nanos;
        }
        let unit = match half {
            Half::On | Half::Off => 1_000,
            Half::Allocated => 1,
        };
        let lines = lines.into_iter();
        lines
            .map(|(line, nanos)| format!("{line} {}\n", nanos.div_ceil(unit)))
            .collect()
    }

    /// The samples on the processor as `perf script` prints them, for tools that read that: one entry a sample, whose period
    /// is the nanoseconds that it stands for, whose command is the group, and whose thread is the worker's number. The times
    /// are made up, in order: a profile does not keep when each sample came.
    pub fn perf_script(&self) -> String {
        let mut text = String::new();
        let mut clocks = vec![0_u64; self.workers.len()];
        for stack in &self.on {
            let group = self.group(stack.group).replace(char::is_whitespace, "_");
            let mut frames = String::new();
            for &frame in stack.frames.iter().rev() {
                let function = self.function(frame);
                let it = &self.frames[frame as usize];
                let place = match (it.file, it.line) {
                    (Some(file), Some(line)) => format!("{}:{line}", self.string(file)),
                    (Some(file), None) => self.string(file).to_owned(),
                    (None, _) => "unknown".to_owned(),
                };
                // There is no address: what is inlined has none of its own.
                let _ = writeln!(frames, "\t{:16x} {function} ({place})", frame + 1);
            }
            let (worker, period) = (stack.worker, stack.nanos / stack.count.max(1));
            for _ in 0..stack.count {
                let clock = &mut clocks[worker as usize];
                *clock += period;
                let (seconds, micros) = (*clock / 1_000_000_000, *clock / 1_000 % 1_000_000);
                let _ = write!(
                    text,
                    "{group} 1/{worker} [{worker:03}] {seconds}.{micros:06}: {period:10} cpu-clock:\n{frames}\n"
                );
            }
        }
        text
    }
}

/// A part of a folded line, in which a `;` would begin the next: `[u8; 4]`.
fn part(name: &str) -> String {
    name.replace(';', ",").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    #[test]
    fn folded_lines_sum_up() {
        let mut profile = example();
        profile.strings[0] += "; 4]";
        for (half, unit) in [(Half::On, 1_000), (Half::Off, 1_000), (Half::Allocated, 1)] {
            let text = profile.folded(half);
            let mut sum = 0;
            for line in text.lines() {
                let (stack, count) = line.rsplit_once(' ').unwrap();
                sum += count.parse::<u64>().unwrap();
                assert!(stack.split(';').count() > 1, "{line}");
                assert_eq!(half == Half::Off, stack.ends_with(']'), "{line}");
            }
            let nanos: u64 = profile.half(half).iter().map(|it| it.nanos).sum();
            assert_eq!(sum, nanos / unit);
            assert!(sum > 0);
        }
        let text = profile.folded(Half::Off);
        assert!(text.contains("world::npc::step;grapeshot::sync::mutex::Mutex<T>::lock;[mutex] "));
    }

    #[test]
    fn perf_script_has_an_entry_for_each_sample() {
        let profile = example();
        let text = profile.perf_script();
        let entries: Vec<_> = text.split("\n\n").filter(|it| !it.is_empty()).collect();
        let samples: u64 = profile.on.iter().map(|it| it.count).sum();
        assert_eq!(entries.len() as u64, samples);
        let mut lines = entries[0].lines();
        let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(head[0], "npc-*");
        assert_eq!(head[4..], ["1000000", "cpu-clock:"]);
        let innermost = lines.next().unwrap();
        assert!(
            innermost.contains("BinaryHeap<T,A>::pop (/rustc/"),
            "{innermost}"
        );
    }
}
