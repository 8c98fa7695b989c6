//! The profiler's report as people see it.

mod report_support;

use grapeshot_profiler::{Stack, report};
use report_support::{Maker, Report, harbour, one_at_a_time};

const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';
const DOWN: char = '\u{e015}';
const WORK: &str = "harbour::crane::Crane<T>::work";
const VIEWS: [&str; 6] = [
    "flame",
    "functions",
    "groups",
    "workers",
    "wakes",
    "timeline",
];

fn press(report: &Report, key: char) {
    report.browser.key_down(key);
    report.browser.key_up(key);
}

#[test]
fn it_opens_in_peace_and_says_what_it_knows() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&harbour().profile));
    for view in VIEWS {
        report.view(view);
    }
    let head = report
        .browser
        .script("return document.getElementById('head').innerText");
    let head = head.as_str().unwrap().replace('\u{a0}', " ");
    for said in [
        "harbour",
        "1,000 samples/s",
        "2 workers",
        "5.0 %",
        "107",
        "1.00 ms",
        "4 samples (3.8 %) and 2 events were lost",
    ] {
        assert!(head.contains(said), "{said:?} is not in {head:?}");
    }
    assert_eq!(report.browser.complaints(), [""; 0]);
    let asked = report
        .browser
        .script("return performance.getEntriesByType('resource').map(it => it.name)");
    assert_eq!(asked, serde_json::json!([]));

    // Its policy is in force: what gets into the page all the same does nothing.
    report.browser.script(
        "const script = document.createElement('script'), image = document.createElement('img');
         script.textContent = 'window.broken = true'; image.src = 'http://127.0.0.1:9/';
         document.body.append(script, image)",
    );
    report
        .browser
        .wait_for("document.querySelector('img').complete");
    assert_eq!(
        report.browser.script("return window.broken ?? null"),
        serde_json::Value::Null
    );
    let complaints = report.browser.complaints().join(" ");
    assert!(
        complaints.contains("script-src") && complaints.contains("img-src"),
        "{complaints}"
    );
}

#[test]
fn tables_sort_filter_and_open() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&harbour().profile));
    report.view("functions");
    let names = || report.column("functions", 0);
    assert_eq!(names()[..3], ["core::slice::sort", WORK, "std::io::write"]);
    assert_eq!(
        report.column("functions", 1)[..3],
        ["60.0 ms", "30.0 ms", "10.0 ms"]
    );
    assert_eq!(
        report.column("functions", 4)[..3],
        ["60.0 %", "90.0 %", "10.0 %"]
    );

    // By the keyboard: the head of a column is a button.
    report
        .browser
        .script("document.querySelector('[data-key=total] button').focus()");
    press(&report, ENTER);
    assert_eq!(names()[..2], ["grapeshot::run", WORK]);
    let order = "document.querySelector('[data-key=total]').getAttribute('aria-sort')";
    assert_eq!(
        report.browser.script(&format!("return {order}")),
        "descending"
    );
    press(&report, ENTER);
    assert_eq!(
        report.browser.script(&format!("return {order}")),
        "ascending"
    );
    assert_eq!(names().last().unwrap(), "grapeshot::run");

    report
        .browser
        .script("document.getElementById('switch-own').click()");
    assert_eq!(names(), ["harbour::ship::sail", WORK]);
    report.browser.script(
        "const filter = document.getElementById('function-filter');
         filter.value = 'CRANE.rs:24'; filter.dispatchEvent(new Event('input'))",
    );
    assert_eq!(names(), [WORK]);

    // Who calls it, whom it calls, where.
    report
        .browser
        .script("document.querySelector('#functions tbody button').click()");
    let about = report
        .browser
        .script("return document.querySelector('.about').innerText");
    let about = about.as_str().unwrap();
    for said in [
        "grapeshot::run",
        "core::slice::sort",
        "src/crane.rs:20",
        "src/crane.rs:24",
    ] {
        assert!(about.contains(said), "{said:?} is not in {about:?}");
    }

    report.view("groups");
    assert_eq!(report.column("groups", 0), ["crane-*", "ship-*"]);
    assert_eq!(report.column("groups", 2), ["90.0 ms", "10.0 ms"]);
    report.view("wakes");
    assert_eq!(report.column("wakes", 3), ["12"]);
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn the_flame_graph_shows_shares_searches_and_zooms() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&harbour().profile));
    let share = |name: &str| {
        let boxes = report.boxes();
        (boxes.iter()).find_map(|(it, share)| (it == name).then_some(*share))
    };
    assert_eq!(share("grapeshot::run"), Some(100.0));
    assert_eq!(share(WORK), Some(90.0));
    assert_eq!(share("core::slice::sort"), Some(60.0));
    assert_eq!(share("std::io::write"), Some(10.0));

    // The search counts what is under a match once.
    report.browser.script(
        "const search = document.getElementById('search');
         search.value = 'crane'; search.dispatchEvent(new Event('input'))",
    );
    report
        .browser
        .wait_for("report.flame.nodes().some(it => it.matched)");
    assert_eq!(
        report
            .browser
            .script("return document.getElementById('found').textContent"),
        "90.0\u{a0}% of all"
    );

    // A click fills the window with a box; Escape goes back.
    report.browser.click(report.middle("harbour::ship::sail"));
    let wide = "(() => { const it = report.flame.nodes().find(it => it.name === 'std::io::write'); return it && it.width > 1000; })()";
    report.browser.wait_for(wide);
    press(&report, ESCAPE);
    report.browser.wait_for(&format!("!{wide}"));

    // By the keyboard alone: down to the root's first child, and its first child, and into it.
    report.browser.script("report.flame.canvas.focus()");
    press(&report, ESCAPE);
    report
        .browser
        .script("report.flame.select(report.flame.root)");
    for _ in 0..2 {
        press(&report, DOWN);
    }
    let spoken = report
        .browser
        .script("return report.flame.spoken.textContent");
    let spoken = spoken.as_str().unwrap();
    assert!(
        spoken.contains(WORK) && spoken.contains("90.0 %"),
        "{spoken}"
    );
    press(&report, ENTER);
    report.browser.wait_for(&format!(
        "!report.flame.motion && report.flame.nodes().every(it => it.name !== 'std::io::write') \
         && report.flame.nodes().some(it => it.name === '{WORK}')"
    ));
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn any_part_can_be_looked_at() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&harbour().profile));
    let select = |id: &str, text: &str| {
        report.browser.script(&format!(
            "const select = document.getElementById('{id}');
             select.value = [...select.options].find(it => it.text === '{text}').value;
             select.dispatchEvent(new Event('change'))"
        ));
    };
    let has = |name: &str, share: f64| {
        let boxes = report.boxes();
        assert!(
            boxes.contains(&(name.to_owned(), share)),
            "{name} is not {share} of {boxes:?}"
        );
    };
    select("worker", "0");
    has("core::slice::sort", 85.71);
    select("group", "ship-*");
    has("std::io::write", 100.0);
    select("group", "all");
    select("worker", "all");

    // Where they wait: what for is the innermost box.
    report
        .browser
        .script("document.querySelector('[data-half=off]').click()");
    has("sleep", 50.0);
    has("mutex", 20.0);
    has("harbour::ship::sail", 30.0);
    report
        .browser
        .script("document.getElementById('switch-inverted').click()");
    has("harbour::crane::Crane<T>::rest", 50.0);
    select("kind", "mutex");
    has(WORK, 100.0);
    select("kind", "anything");
    report.browser.script("document.getElementById('switch-inverted').click(); document.getElementById('switch-groups').click()");
    has("crane-*", 70.0);
    has("ship-*", 30.0);
    report.view("functions");
    assert_eq!(
        report.column("functions", 0)[0],
        "harbour::crane::Crane<T>::rest"
    );

    report.view("flame");
    report.browser.script("document.querySelector('[data-half=on]').click(); document.getElementById('switch-lines').click()");
    let boxes = report.boxes();
    let lines: Vec<_> = boxes
        .iter()
        .filter(|it| it.0 == WORK)
        .map(|it| it.1)
        .collect();
    assert_eq!(lines, [60.0, 30.0]);
    report
        .browser
        .script("document.getElementById('switch-upwards').click()");
    let (_, leaf) = report.middle("core::slice::sort");
    let (_, root) = report.middle("all");
    assert!(
        leaf < root,
        "upwards the root is at the bottom: {leaf}, {root}"
    );
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn what_was_allocated_is_in_bytes() {
    let _turn = one_at_a_time();
    let mut maker = harbour();
    let ship = "grapeshot::run@grapeshot/run.rs:3 > harbour::ship::load@src/ship.rs:30";
    maker.allocated(1, ship, (3_000, 48 << 20));
    maker.allocated(0, "harbour::crane::grease@src/crane.rs:50", (2, 16 << 20));
    maker.profile.lost.allocations = 20;
    let without = Report::open(&report::html(&harbour().profile));
    let halves = "return document.querySelectorAll('[data-half]').length";
    assert_eq!(without.browser.script(halves), 2);

    without.show(&report::html(&maker.profile));
    let report = without;
    let head = report
        .browser
        .script("return document.getElementById('head').innerText");
    let head = head.as_str().unwrap().replace('\u{a0}', " ");
    for said in [
        "64.0 MiB",
        "estimated from 60 samples",
        "20 samples of allocations (25.0 %) were lost",
    ] {
        assert!(head.contains(said), "{said:?} is not in {head:?}");
    }
    report
        .browser
        .script("document.querySelector('[data-half=allocated]').click()");
    let boxes = report.boxes();
    let has = |name: &str, share: f64| boxes.contains(&(name.to_owned(), share));
    assert!(has("harbour::ship::load", 75.0), "{boxes:?}");
    assert!(has("harbour::crane::grease", 25.0), "{boxes:?}");
    let hidden =
        "return ['worker-label', 'kind-label'].map(id => document.getElementById(id).hidden)";
    let hidden = report.browser.script(hidden);
    assert_eq!(hidden, serde_json::json!([true, true]));
    report.view("functions");
    assert_eq!(report.column("functions", 0)[0], "harbour::ship::load");
    assert_eq!(report.column("functions", 1)[..2], ["48.0 MiB", "16.0 MiB"]);
    assert_eq!(report.column("functions", 5)[..2], ["3,000", "2"]);
    report.view("groups");
    assert_eq!(report.column("groups", 0)[..2], ["crane-*", "ship-*"]);
    assert_eq!(report.column("groups", 6)[..2], ["16.0 MiB", "48.0 MiB"]);

    // The other halves are as they were.
    report.view("functions");
    report
        .browser
        .script("document.querySelector('[data-half=on]').click()");
    assert_eq!(report.column("functions", 1)[0], "60.0 ms");

    // Twice as much, in twice the time.
    let mut later = harbour();
    later.allocated(1, ship, (6_000, 96 << 20));
    later.profile.lasted = 2.0;
    report.show(&report::difference(&maker.profile, &later.profile));
    report
        .browser
        .script("document.querySelector('[data-half=allocated]').click()");
    report.view("functions");
    let about = report.column("functions", 0);
    let load = about.iter().position(|it| it == "harbour::ship::load");
    let load = load.expect("it is there");
    assert_eq!(report.column("functions", 1)[load], "48.0 MiB/s");
    assert_eq!(report.column("functions", 3)[load], "–");
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn libraries_can_be_folded() {
    let _turn = one_at_a_time();
    let mut maker = harbour();
    maker.on(
        (0, 0),
        "grapeshot::run@grapeshot/run.rs:3 > std::catch@std/c.rs:1 > harbour::crane::lift@src/crane.rs:60 \
         > std::a@std/a.rs:1 > std::b@std/b.rs:1",
        100,
    );
    let report = Report::open(&report::html(&maker.profile));
    let share = |name: &str| {
        let boxes = report.boxes();
        (boxes.iter()).find_map(|(it, share)| (it == name).then_some(*share))
    };
    for name in ["std::catch", "harbour::crane::lift", "std::a", "std::b"] {
        assert_eq!(share(name), Some(50.0), "{name}");
    }
    // What a library calls in libraries is its own; own code stays, whoever calls it.
    report
        .browser
        .script("document.getElementById('switch-fold').click()");
    report
        .browser
        .wait_for("report.flame.options.fold && !report.flame.due");
    for (name, shown) in [
        ("grapeshot::run", Some(100.0)),
        ("std::catch", None),
        ("harbour::crane::lift", Some(50.0)),
        ("std::a", Some(50.0)),
        ("std::b", None),
        ("core::slice::sort", Some(30.0)),
    ] {
        assert_eq!(share(name), shown, "{name}");
    }
    report
        .browser
        .script("document.getElementById('switch-inverted').click()");
    report
        .browser
        .wait_for("report.flame.options.inverted && !report.flame.due");
    assert_eq!(share("std::b"), Some(50.0));
    assert_eq!(share("std::a"), None);
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn the_timeline_tells_who_ran_when() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&harbour().profile));
    report.view("timeline");
    report.browser.wait_for("report.timeline.wide > 0");
    // Where a slice of the first lane, worker 0, is on the page.
    let place = |time: f64| {
        let at = report.browser.script(&format!(
            "const it = report.timeline, frame = it.canvas.getBoundingClientRect();
             return [frame.left + it.x({time}), frame.top + it.rows[0].y + 5]"
        ));
        let side = |i: usize| at[i].as_f64().unwrap() as i32;
        (side(0), side(1))
    };
    report.browser.point(place(0.130e9));
    let tip = report
        .browser
        .wait_for("!report.timeline.tip.hidden && report.timeline.tip.innerText");
    let tip = tip.as_str().unwrap().replace('\u{a0}', " ");
    assert!(
        tip.contains("crane-*, coroutine 1") && tip.contains("ran 60.0 ms on worker 0"),
        "{tip}"
    );

    report.browser.script("report.timeline.canvas.focus()");
    press(&report, '+');
    report
        .browser
        .wait_for("report.timeline.to - report.timeline.from < 0.7e9");
    let from = report
        .browser
        .script("return report.timeline.from")
        .as_f64()
        .unwrap();
    let (x, y) = place(0.5e9);
    report.browser.drag("mouse", (x, y), (x + 100, y));
    report
        .browser
        .wait_for(&format!("report.timeline.from < {from}"));
    // From slice to slice by the keyboard.
    press(&report, ESCAPE);
    press(&report, '\u{e014}');
    press(&report, '\u{e014}');
    report
        .browser
        .wait_for("report.timeline.spoken.textContent.includes('coroutine 9')");
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn names_never_become_markup() {
    const EVIL: &str = "</script><img src=x onerror=\"window.broken = true\"><b>";
    let _turn = one_at_a_time();
    let mut maker = harbour();
    maker.profile.application = EVIL.into();
    for name in &mut maker.profile.strings {
        name.insert_str(0, EVIL);
    }
    let report = Report::open(&report::html(&maker.profile));
    for view in VIEWS {
        report.view(view);
    }
    report.view("functions");
    report
        .browser
        .script("document.querySelector('#functions tbody button').click()");
    report.view("timeline");
    report.browser.script("report.timeline.hover(0, 10, 10)");
    report.view("flame");
    report
        .browser
        .script("report.flame.describe(report.flame.parts(report.flame.root)[0], 10, 10)");
    let strange = report.browser.script("return [document.querySelectorAll('img, b').length, window.broken ?? null, document.title]");
    assert_eq!(
        strange,
        serde_json::json!([0, null, format!("{EVIL}: profile")])
    );
    assert!(report.column("groups", 0)[0].starts_with("</script><img"));
    assert_eq!(report.browser.complaints(), [""; 0]);
}

#[test]
fn two_profiles_show_what_changed() {
    let _turn = one_at_a_time();
    let before = harbour();
    let mut after = harbour();
    // Twice as long; the same work in `sort` is half a second's work now, `write` has gone, `load` is new.
    after.profile.lasted = 2.0;
    after.profile.on.truncate(2);
    after.on(
        (1, 0),
        "grapeshot::run@grapeshot/run.rs:3 > harbour::ship::load@src/ship.rs:90",
        40,
    );
    let report = Report::open(&report::difference(&before.profile, &after.profile));
    report.view("functions");
    assert_eq!(report.column("functions", 0)[0], "harbour::ship::load");
    assert_eq!(report.column("functions", 3)[0], "+20.0 ms/s");
    let changes: Vec<_> = report
        .column("functions", 0)
        .into_iter()
        .zip(report.column("functions", 3))
        .collect();
    assert!(
        changes.contains(&("core::slice::sort".into(), "−30.0 ms/s".into())),
        "{changes:?}"
    );
    assert!(
        changes.contains(&("std::io::write".into(), "−10.0 ms/s".into())),
        "{changes:?}"
    );

    report.view("flame");
    assert_eq!(report.browser.complaints(), [""; 0]);

    // What is more is red, what is less is blue. (The browser would have the page read its pixels otherwise.)
    let colour = |name: &str| {
        let (x, y) = report.middle(name);
        let pixel = report.browser.script(&format!(
            "const frame = report.flame.canvas.getBoundingClientRect(), it = report.flame.nodes().find(it => it.name === '{name}');
             return [...report.flame.context.getImageData(it.x + it.width - 4, {y} - frame.top, 1, 1).data, {x}]"
        ));
        [0, 1, 2].map(|i| pixel[i].as_i64().unwrap())
    };
    let [red, _, blue] = colour("harbour::ship::load");
    assert!(red > blue + 40, "red {red}, blue {blue}");
    let [red, _, blue] = colour("core::slice::sort");
    assert!(blue > red + 40, "red {red}, blue {blue}");
    assert!(report.boxes().iter().all(|it| it.0 != "std::io::write"));
    report
        .browser
        .script("document.getElementById('switch-before').click()");
    assert!(report.boxes().contains(&("std::io::write".into(), 10.0)));
}

#[test]
fn it_fits_every_window_in_light_and_dark() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&harbour().profile));
    for (width, height, ratio) in [
        (360, 640, 3.0),
        (768, 1024, 2.0),
        (1280, 800, 1.0),
        (3840, 2160, 1.0),
    ] {
        report.browser.resize(width, height, ratio);
        for view in VIEWS {
            report.view(view);
            let wide = report
                .browser
                .script("return document.documentElement.scrollWidth - innerWidth");
            assert!(
                wide.as_i64() <= Some(0),
                "{view} is {wide} too wide for {width}"
            );
        }
    }
    report.view("flame");
    let light = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).every(it => it > 200)";
    report.browser.prefer("dark");
    report.browser.wait_for(&format!("!{light}"));
    report.browser.prefer("light");
    report.browser.wait_for(light);
    // The switch: as the system, light, dark.
    for wanted in [light.to_owned(), format!("!{light}"), light.to_owned()] {
        report
            .browser
            .script("document.getElementById('theme').click()");
        report.browser.wait_for(&wanted);
    }
    assert_eq!(report.browser.complaints(), [""; 0]);
}

/// Stacks of many shapes, and as many slices.
fn large(count: u64) -> Maker {
    let mut maker = harbour();
    let shapes: Vec<Stack> = (0..200)
        .map(|n| {
            maker.stack(
                (n % 2, n % 2),
                &format!("a::f{}@src/a.rs:1 > b::g{n}@src/b.rs:{}", n % 7, n + 1),
                1_000_000,
            )
        })
        .collect();
    for n in 0..count {
        // Each stack is a shape with another one on top, and another one on that: no two are the same.
        let mut stack = shapes[n as usize % 200].clone();
        let more = [n / 200 % 200, n / 40_000].map(|it| shapes[it as usize].frames[1]);
        stack.frames.extend(more);
        maker.profile.on.push(stack);
        let mut slice = maker.profile.timeline[n as usize % 3].clone();
        (slice.from, slice.to, slice.coroutine) = (n * 9_000, n * 9_000 + 5_000, n);
        maker.profile.timeline.push(slice);
    }
    maker.profile.timeline.sort_by_key(|slice| slice.from);
    maker
}

#[test]
fn a_hundred_thousand_stacks_and_slices_are_drawn() {
    let _turn = one_at_a_time();
    let report = Report::open(&report::html(&large(100_000).profile));
    let boxes = report.boxes();
    assert!(boxes.len() > 150, "{} boxes", boxes.len());
    assert!(boxes.iter().any(|it| it.0 == "a::f0"));
    report.view("functions");
    assert_eq!(report.column("functions", 0).len(), 100);
    report
        .browser
        .script("document.querySelector('#functions .more').click()");
    assert!(report.column("functions", 0).len() > 200);
    report.view("timeline");
    report
        .browser
        .wait_for("report.timeline.wide > 0 && !report.timeline.due");
    let slices = report
        .browser
        .script("return report.timeline.slices.from.length");
    assert_eq!(slices, 100_003);
    assert_eq!(report.browser.complaints(), [""; 0]);
    // The lanes are covered: half of the time somebody ran.
    let drawn = report.browser.script(
        "const { canvas, context, rows } = report.timeline, { data } = context.getImageData(0, rows[0].y + 4, canvas.width, 1);
         let colours = 0;
         for (let i = 0; i < data.length; i += 4) if (Math.max(...data.slice(i, i + 3)) - Math.min(...data.slice(i, i + 3)) > 20) colours++;
         return colours",
    );
    assert!(drawn.as_i64() > Some(500), "{drawn} coloured pixels");
}
