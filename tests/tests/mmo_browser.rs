//! The demo as people see it: in headless Chromium.

mod mmo_support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use grapeshot_tests::browser::{Browser, wait_until};
use mmo_support::Demo;
use serde_json::Value;

/// Browsers are heavy; on a small machine several at once only wait for each other.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A field so small and full that there is always somebody in view.
const CROWDED: [&str; 6] = ["--npcs", "600", "--field", "2048", "--rects", "150"];

fn camera(browser: &Browser) -> (f64, f64) {
    let camera = browser.script("return mmo.state().camera");
    (
        camera["x"].as_f64().expect("a number"),
        camera["y"].as_f64().expect("a number"),
    )
}

/// Colours on the canvas, most frequent first, as (share of the pixels, how many distinct).
fn colours(browser: &Browser) -> (f64, u64) {
    let counted = browser.script(
        "const canvas = document.getElementById('world');
         const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
         const seen = new Map();
         const words = new Uint32Array(data.buffer);
         for (const word of words) seen.set(word, (seen.get(word) ?? 0) + 1);
         return [Math.max(...seen.values()) / words.length, seen.size];",
    );
    (
        counted[0].as_f64().expect("a share"),
        counted[1].as_u64().expect("a number"),
    )
}

/// Where NPCs in view are, by id.
fn npcs(browser: &Browser) -> Value {
    browser.script("return Object.fromEntries(mmo.movers().filter(m => !m.player).map(m => [m.id, [m.x, m.y]]))")
}

/// How many that are in both have moved, and how many are in both.
fn moved(before: &Value, after: &Value) -> (usize, usize) {
    let (before, after) = (
        before.as_object().expect("a map"),
        after.as_object().expect("a map"),
    );
    let both: Vec<_> = before
        .iter()
        .filter_map(|(id, place)| Some((place, after.get(id)?)))
        .collect();
    (
        both.iter()
            .filter(|(before, after)| before != after)
            .count(),
        both.len(),
    )
}

#[test]
fn the_canvas_shows_a_world_that_moves() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&CROWDED);
    let browser = demo.browser("");
    browser.wait_for("mmo.state().npcs > 20 && mmo.state().panels > 5 && mmo.state().hud");
    let (largest, distinct) = colours(&browser);
    assert!(largest < 0.9, "{largest} of the pixels have one colour");
    assert!(distinct > 500, "only {distinct} colours");
    assert!(
        browser.screenshot().len() > 20_000,
        "the picture of the page is nearly empty"
    );

    let before = npcs(&browser);
    let updates = browser
        .script("return mmo.state().updates")
        .as_u64()
        .expect("a number");
    browser.wait_for(&format!("mmo.state().updates > {}", updates + 10));
    let (changed, both) = moved(&before, &npcs(&browser));
    assert!(
        both > 20 && changed * 10 >= both * 9,
        "{changed} of {both} NPCs moved"
    );

    // Not only in what the page knows: on the canvas as well.
    let different = browser.script(
        "const canvas = document.getElementById('world');
         const shot = () => new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
         const first = shot();
         return new Promise(done => setTimeout(() => {
           const second = shot();
           let different = 0;
           first.forEach((word, i) => { if (word !== second[i]) different++; });
           done(different);
         }, 300));",
    );
    assert!(
        different.as_u64() > Some(1000),
        "{different} pixels differ after 300 ms"
    );
}

#[test]
fn the_canvas_follows_the_window_and_the_pixel_ratio() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&CROWDED);
    let browser = demo.browser("");
    for (width, height, ratio) in [(1000, 700, 1.0), (640, 900, 2.0), (390, 780, 3.0)] {
        browser.resize(width, height, ratio);
        let (w, h) = (f64::from(width) * ratio, f64::from(height) * ratio);
        browser.wait_for(&format!("document.getElementById('world').width === {w} && document.getElementById('world').height === {h}"));
    }
}

#[test]
fn nothing_lies_on_top_of_anything_else_in_any_window() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&CROWDED);
    let browser = demo.browser("?name=Ada");
    let sizes = [
        (320, 240),
        (360, 640),
        (640, 360),
        (740, 360),
        (740, 900),
        (941, 500),
        (1280, 800),
        (3840, 2160),
    ];
    for (width, height) in sizes {
        browser.resize(width, height, 1.0);
        browser.wait_for(&format!("mmo.state().screen.width === {width}"));
        let wrong = browser.script(
            "const shown = ['hud', 'people', 'map', 'help']
               .map(id => ({ id, box: document.getElementById(id).getBoundingClientRect() }))
               .filter(({ box }) => box.width > 0);
             const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
             const inside = b => b.left >= 0 && b.top >= 0 && b.right <= innerWidth && b.bottom <= innerHeight;
             return shown.flatMap(({ id, box }, i) => [
               ...inside(box) ? [] : [`${id} leaves the window`],
               ...shown.slice(i + 1).filter(other => !apart(box, other.box)).map(other => `${id} meets ${other.id}`)]);",
        );
        assert_eq!(wrong, serde_json::json!([]), "{width} × {height}");
    }
}

#[test]
fn a_page_that_nobody_looks_at_still_tells_that_it_lives() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&CROWDED);
    let browser = demo.browser("");
    browser.wait_for("mmo.state().updates > 20 && mmo.state().rtt !== null");
    // What a browser does to a page in the background: no frames, and timers once a minute.
    browser.script(
        "window.said = 0;
         const send = WebSocket.prototype.send;
         WebSocket.prototype.send = function (message) { window.said++; send.call(this, message); };
         window.requestAnimationFrame = () => 0;
         for (let id = setTimeout(() => {}); id > 0; id--) clearTimeout(id);",
    );
    browser.wait_for("window.said >= 2");
}

#[test]
fn keys_mouse_finger_and_minimap_scroll() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&["--npcs", "50"]);
    let browser = demo.browser("");
    let (right, down, left) = ('\u{e014}', '\u{e015}', '\u{e012}');
    for (key, dx, dy) in [
        ('d', 1.0, 0.0),
        ('s', 0.0, 1.0),
        ('a', -1.0, 0.0),
        ('w', 0.0, -1.0),
        (right, 1.0, 0.0),
        (down, 0.0, 1.0),
        (left, -1.0, 0.0),
    ] {
        browser.script("window.from = mmo.state().camera");
        browser.key_down(key);
        browser.wait_for(&format!(
            "(mmo.state().camera.x - from.x) * {dx} + (mmo.state().camera.y - from.y) * {dy} > 60"
        ));
        browser.key_up(key);
        // It glides to a stop.
        browser.wait_for("(() => { const was = window.was; window.was = mmo.state().camera; return was && was.x === window.was.x && was.y === window.was.y; })()");
    }
    // The server was told: its console says the same, to within a unit.
    let (x, y) = camera(&browser);
    wait_until("the server to know where the browser looks", || {
        let row = demo.ask("players()")[0].clone();
        let near = |a: &Value, b: f64| a.as_f64().is_some_and(|a| (a - b).abs() <= 1.5);
        near(&row["x"], x) && near(&row["y"], y)
    });

    browser.key_down('r');
    browser.key_up('r');
    browser.wait_for("mmo.state().camera.x === 400 && mmo.state().camera.y === 300");
    browser.drag("mouse", (500, 400), (380, 330));
    browser.wait_for("mmo.state().camera.x === 520 && mmo.state().camera.y === 370");
    browser.drag("touch", (500, 400), (400, 400));
    browser.wait_for("mmo.state().camera.x === 620");

    let middle = browser.script("const b = document.getElementById('minimap').getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 4]");
    let at = |i: usize| middle[i].as_f64().expect("a number") as i32;
    browser.drag("mouse", (at(0), at(1)), (at(0), at(1)));
    browser.wait_for("Math.abs(mmo.state().camera.x - 10240) < 150 && Math.abs(mmo.state().camera.y - 5120) < 150");
    browser.wait_for("mmo.state().seqSeen === mmo.state().seq");
}

#[test]
fn two_browsers_see_each_other() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&["--npcs", "20"]);
    let ada = demo.browser("?name=Ada");
    let grace = demo.browser("?name=Grace");
    // Grace flies to Ada by her name in the list.
    let to_ada = "[...document.querySelectorAll('#roster button')].find(button => button.textContent === 'Ada')";
    grace.wait_for(&format!("!!{to_ada}"));
    // The minimap, which tells where she is, comes with the list or before it.
    grace.script(&format!("{to_ada}.click()"));
    grace.wait_for("mmo.movers().some(m => m.player && m.name === 'Ada')");
    ada.wait_for("mmo.movers().some(m => m.player && m.name === 'Grace')");
    ada.wait_for("mmo.state().hud.seenBy === 1");

    // Ada moves, and Grace sees where to.
    ada.key_down('d');
    ada.wait_for("(() => { window.from ??= mmo.state().camera.x; return mmo.state().camera.x > window.from + 100; })()");
    ada.key_up('d');
    wait_until("Grace to see Ada where she is", || {
        let (x, y) = camera(&ada);
        let seen = grace.script("return mmo.movers().find(m => m.name === 'Ada') ?? null");
        let near = |a: &Value, b: f64| a.as_f64().is_some_and(|a| (a - b).abs() <= 1.0);
        near(&seen["x"], x) && near(&seen["y"], y)
    });

    // A new name reaches who is looking; a taken one gets a number.
    grace.script("const input = document.getElementById('name'); input.focus(); input.value = 'Ada'; input.blur(); input.dispatchEvent(new Event('change'))");
    ada.wait_for("mmo.movers().some(m => m.name === 'Ada-2')");
    grace.wait_for("mmo.state().name === 'Ada-2'");
}

#[test]
fn the_console_changes_what_browsers_see() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&CROWDED);
    let browser = demo.browser("?name=Eve");
    browser.wait_for("mmo.state().npcs > 20");
    demo.ask("speed(0)");
    // Whatever was under way when the console answered has arrived once the HUD says so.
    browser.wait_for("mmo.state().hud.speed === 0 && document.getElementById('hud-npcs').textContent.includes('frozen')");
    let before = npcs(&browser);
    let seconds = "(() => { window.huds ??= { n: 0, last: null }; if (huds.last !== mmo.state().hud) { huds.last = mmo.state().hud; huds.n++; } return huds.n > 2; })()";
    browser.wait_for(seconds);
    let (changed, both) = moved(&before, &npcs(&browser));
    assert_eq!(changed, 0, "of {both} NPCs, while all were frozen");
    assert!(both > 20);

    demo.ask("speed(2)");
    wait_until("NPCs to move again", || {
        let (changed, both) = moved(&before, &npcs(&browser));
        changed * 2 > both
    });

    assert_eq!(demo.ask("npcs().count"), 600);
    assert_eq!(demo.ask("spawn_npcs(50)"), 50);
    browser.wait_for("mmo.state().hud.npcs === 650");
    assert!(!demo.console("spawn_npcs(-1)").status.success());
    assert!(!demo.console("kick(\"nobody\")").status.success());

    demo.ask("kick(\"Eve\")");
    browser
        .wait_for("mmo.state().connection === 'away' && !document.getElementById('rejoin').hidden");
    wait_until("the player to be gone", || {
        demo.ask("players()") == serde_json::json!([])
    });
    browser.script("document.getElementById('rejoin').click()");
    browser.wait_for("mmo.state().connection === 'live' && mmo.state().npcs > 20");
}

#[test]
fn a_killed_browser_leaves_the_world_well() {
    let _turn = one_at_a_time();
    let demo = Demo::start(&CROWDED);
    let browser = demo.browser("?name=Doomed");
    assert_eq!(demo.ask("players()")[0]["name"], "Doomed");
    browser.kill();
    wait_until("the player to disappear", || {
        demo.ask("players()") == serde_json::json!([])
    });
    assert_eq!(demo.ask("npcs().count"), 600);
    let other = demo.browser("?name=Next");
    other.wait_for("mmo.state().npcs > 20 && mmo.state().players === 0");
    let coroutines = demo.ask("ps()").as_array().map(|all| {
        all.iter()
            .filter(|one| {
                one["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("viewport-"))
            })
            .count()
    });
    assert_eq!(
        coroutines,
        Some(1),
        "the dead browser's coroutines have ended"
    );
}

#[test]
fn a_lost_connection_comes_back_by_itself() {
    let _turn = one_at_a_time();
    let mut demo = Demo::start(&CROWDED);
    let browser = demo.browser("?name=Patient");
    let port = demo.address.port();
    browser.key_down('r');
    browser.key_up('r');
    browser.wait_for("mmo.state().camera.x === 400");
    demo.signal("-KILL");
    demo.wait();
    browser.wait_for(
        "mmo.state().connection === 'reconnecting' && !document.getElementById('notice').hidden",
    );
    let listen = format!("127.0.0.1:{port}");
    let again = Demo::start(&[&CROWDED[..], &["--listen", &listen]].concat());
    assert_eq!(again.address.port(), port);
    browser.wait_for("mmo.state().connection === 'live' && mmo.state().npcs > 10 && document.getElementById('notice').hidden");
    assert_eq!(
        camera(&browser),
        (400.0, 300.0),
        "it looks where it looked before"
    );
    assert_eq!(again.ask("players()")[0]["name"], "Patient");
}
