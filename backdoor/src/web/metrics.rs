//! The figures for Prometheus, in its text format (version 0.0.4).

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::registry::{Delays, Latency, WorkerInfo};

use super::snapshot::{self, Group};
use crate::backdoor::Shared;
use crate::render::printable;

/// What the text is.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Groups that have figures of their own, those with the most coroutines; all others are one.
const GROUPS: usize = 50;
/// What they are called.
const OTHERS: &str = "(others)";

/// What the page itself counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) pages: usize,
    pub(crate) refused: u64,
}

/// All of it. **May suspend**: it looks at each coroutine.
pub(crate) fn text(shared: &Arc<Shared>, own: Own) -> String {
    let mut page = Page::default();
    runtime(&mut page, shared);
    workers(&mut page, &shared.runtimes.application.workers());
    latency(&mut page, &shared.runtimes.application.latency());
    groups(&mut page, snapshot::groups(shared));
    page.family("grapeshot_pages", "gauge", "Live pages that are open.")
        .value(&[], own.pages);
    page.family(
        "grapeshot_page_refusals_total",
        "counter",
        "Requests to the live page with a wrong token or from elsewhere.",
    )
    .value(&[], own.refused);
    page.0
}

fn runtime(page: &mut Page, shared: &Shared) {
    let stats = shared.runtimes.application.stats();
    page.family(
        "grapeshot_info",
        "gauge",
        "Always 1; the labels say what runs.",
    )
    .value(
        &[
            ("application", &shared.name),
            ("version", &env!("CARGO_PKG_VERSION")),
        ],
        1,
    );
    let mut one = |name, kind, help, value: f64| page.family(name, kind, help).value(&[], value);
    one(
        "grapeshot_uptime_seconds",
        "gauge",
        "Since the start of the runtime.",
        stats.uptime.as_secs_f64(),
    );
    one(
        "grapeshot_coroutines",
        "gauge",
        "Coroutines that live.",
        stats.live as f64,
    );
    for (name, help, value) in [
        (
            "grapeshot_coroutines_started_total",
            "Coroutines that workers took on.",
            stats.spawned,
        ),
        (
            "grapeshot_coroutines_ended_total",
            "Coroutines that ended, however they did.",
            stats.ended,
        ),
        (
            "grapeshot_coroutines_panicked_total",
            "Coroutines that ended by a panic.",
            stats.panicked,
        ),
        (
            "grapeshot_coroutines_interrupted_total",
            "Coroutines that ended by an interrupt.",
            stats.interrupted,
        ),
        (
            "grapeshot_timeouts_total",
            "Blocking calls that a timeout ended.",
            stats.timeouts,
        ),
    ] {
        one(name, "counter", help, value as f64);
    }
    if let Some(bytes) = stats.resident_bytes {
        one(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            bytes as f64,
        );
    }
}

fn workers(page: &mut Page, workers: &[WorkerInfo]) {
    type Figure = fn(&WorkerInfo) -> f64;
    let families: [(&str, &str, &str, Figure); 9] = [
        (
            "grapeshot_worker_busy_seconds_total",
            "counter",
            "Time that the worker did not sleep.",
            |it| it.busy.as_secs_f64(),
        ),
        (
            "grapeshot_worker_idle_seconds_total",
            "counter",
            "Time that the worker slept.",
            |it| it.idle.as_secs_f64(),
        ),
        (
            "grapeshot_worker_resumes_total",
            "counter",
            "How often the worker resumed a coroutine.",
            |it| it.resumes as f64,
        ),
        (
            "grapeshot_worker_polls_total",
            "counter",
            "How often the worker looked at its poller.",
            |it| it.polls as f64,
        ),
        (
            "grapeshot_worker_stolen_total",
            "counter",
            "Unstarted coroutines that the worker took from others.",
            |it| it.stolen as f64,
        ),
        (
            "grapeshot_worker_coroutines",
            "gauge",
            "Coroutines that are pinned to the worker.",
            |it| it.coroutines as f64,
        ),
        (
            "grapeshot_worker_ready",
            "gauge",
            "Coroutines that are queued to run.",
            |it| it.ready as f64,
        ),
        (
            "grapeshot_worker_timers",
            "gauge",
            "Timers that are armed.",
            |it| it.timers as f64,
        ),
        (
            "grapeshot_worker_runs_for_seconds",
            "gauge",
            "For how long the coroutine that runs has not suspended; 0 if none runs.",
            |it| it.runs_for.map_or(0.0, |it| it.as_secs_f64()),
        ),
    ];
    for (name, kind, help, figure) in families {
        let mut family = page.family(name, kind, help);
        for worker in workers {
            family.value(&[("worker", &worker.index)], figure(worker));
        }
    }
}

fn latency(page: &mut Page, workers: &[Latency]) {
    type Figure = fn(&Latency) -> &Delays;
    let families: [(&str, &str, Figure); 2] = [
        (
            "grapeshot_worker_queued_seconds",
            "From ready to resumed: by samples, each standing for all that were queued with it.",
            |it| &it.queued,
        ),
        (
            "grapeshot_worker_unseen_seconds",
            "Between two looks at the poller, one for each 50 us.",
            |it| &it.unseen,
        ),
    ];
    for (name, help, figure) in families {
        page.family(name, "histogram", help);
        for (worker, latency) in workers.iter().enumerate() {
            page.histogram(name, worker, figure(latency));
        }
    }
}

fn groups(page: &mut Page, mut groups: Vec<Group>) {
    if groups.len() > GROUPS {
        // They come with the largest first.
        let mut others = Group {
            name: OTHERS.to_owned(),
            ..Group::default()
        };
        for group in groups.drain(GROUPS..) {
            others.coroutines += group.coroutines;
            others.waiting += group.waiting;
            others.longest = others.longest.max(group.longest);
            others.cpu += group.cpu;
        }
        match groups.iter_mut().find(|group| group.name == OTHERS) {
            Some(same) => {
                same.coroutines += others.coroutines;
                same.waiting += others.waiting;
                same.longest = same.longest.max(others.longest);
                same.cpu += others.cpu;
            }
            None => groups.push(others),
        }
    }
    type Figure = fn(&Group) -> f64;
    let families: [(&str, &str, Figure); 4] = [
        (
            "grapeshot_group_coroutines",
            "Coroutines of this name, numbers left out.",
            |it| it.coroutines as f64,
        ),
        (
            "grapeshot_group_waiting",
            "Those of them that wait.",
            |it| it.waiting as f64,
        ),
        (
            "grapeshot_group_longest_wait_seconds",
            "The longest of their waits that are on.",
            |it| it.longest,
        ),
        (
            "grapeshot_group_cpu_seconds",
            "Processor time of those that live.",
            |it| it.cpu,
        ),
    ];
    for (name, help, figure) in families {
        let mut family = page.family(name, "gauge", help);
        for group in &groups {
            family.value(&[("group", &group.name)], figure(group));
        }
    }
}

#[derive(Default)]
struct Page(String);

/// The samples of one name.
struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let page = &mut self.0;
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("a string takes everything");
        Family { page, name }
    }

    /// The buckets of one worker. Ours end at powers of two nanoseconds, so these do: each is four times as long as the one
    /// before, from 4 µs to 17 s.
    fn histogram(&mut self, name: &str, worker: usize, delays: &Delays) {
        let page = &mut self.0;
        let mut put = |suffix: &str, label: &str, value: &dyn Display| {
            writeln!(
                page,
                "{name}_{suffix}{{worker=\"{worker}\"{label}}} {value}"
            )
            .expect("a string takes everything");
        };
        for power in (12..=34).step_by(2) {
            let end = Duration::from_nanos(1 << power);
            let label = format!(",le=\"{}\"", end.as_secs_f64());
            put("bucket", &label, &delays.within(end));
        }
        put("bucket", ",le=\"+Inf\"", &delays.count());
        put("sum", "", &delays.sum().as_secs_f64());
        put("count", "", &delays.count());
    }
}

impl Family<'_> {
    fn value(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.page.push_str(self.name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let text = escape(&printable(&text.to_string()));
            write!(self.page, "{before}{label}=\"{text}\"").expect("a string takes everything");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        writeln!(self.page, "{end} {value}").expect("a string takes everything");
    }
}

/// As the value of a label.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_any_name() {
        let mut page = Page::default();
        page.family("x", "gauge", "y")
            .value(&[("group", &"a\"b\\c\nd\x1b[2J"), ("worker", &3)], 1.5);
        // As at the console, whose backslashes are escaped again: `curl` shows them in a terminal, too.
        assert_eq!(
            page.0,
            concat!(
                "# HELP x y\n# TYPE x gauge\n",
                r#"x{group="a\"b\\c\\nd\\u{1b}[2J",worker="3"} 1.5"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_histogram_counts_everything_in_its_last_bucket() {
        let delays = grapeshot::run(|| {
            loop {
                let latency: Latency = grapeshot::registry::latency().into_iter().collect();
                if latency.unseen.count() > 9 {
                    return latency.unseen;
                }
                grapeshot::yield_now();
            }
        });
        let mut page = Page::default();
        page.histogram("x", 3, &delays);
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
        let buckets: Vec<u64> = page
            .0
            .lines()
            .filter(|line| line.starts_with("x_bucket{worker=\"3\",le="))
            .map(value)
            .collect();
        assert_eq!(buckets.len(), 13, "{}", page.0);
        assert!(buckets.is_sorted(), "{}", page.0);
        assert_eq!(buckets.last(), Some(&delays.count()));
        let end = format!("x_count{{worker=\"3\"}} {}\n", delays.count());
        assert!(page.0.ends_with(&end), "{}", page.0);
        assert!(page.0.contains("le=\"0.001048576\""), "{}", page.0);
    }

    #[test]
    fn many_groups_are_not_many_series() {
        let group = |number: usize| Group {
            name: format!("g{number}"),
            coroutines: 1000 - number as u64,
            cpu: 0.5,
            ..Group::default()
        };
        let mut page = Page::default();
        groups(&mut page, (0..200).map(group).collect());
        let counts = |line: &&str| line.starts_with("grapeshot_group_coroutines{");
        assert_eq!(page.0.lines().filter(counts).count(), GROUPS + 1);
        let others: u64 = (50..200).map(|number| 1000 - number).sum();
        let line = format!("grapeshot_group_coroutines{{group=\"(others)\"}} {others}\n");
        assert!(page.0.contains(&line));
        assert!(
            page.0
                .contains("grapeshot_group_cpu_seconds{group=\"(others)\"} 75\n")
        );
    }
}
