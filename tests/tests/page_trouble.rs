//! The live page's "Trouble": planted faults, as people see them in headless Chromium.

mod page_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grapeshot::registry::{CloseWatch, watch_closely};
use grapeshot::{Builder, sync};
use grapeshot_backdoor::{Backdoor, Rights, Web};
use grapeshot_tests::browser::Browser;
use page_support::Page;
use serde_json::json;

/// Browsers are heavy; on a small machine several at once only wait for each other.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn web() -> Web {
    Web::local(0).updates_per_second(10)
}

fn open(page: &Page) -> Browser {
    let browser = Browser::start(1280, 800);
    browser.open(&format!("{}#trouble", page.url()));
    browser.wait_for("document.querySelector('.stuck').checkVisibility()");
    browser
}

fn press(browser: &Browser, key: char) {
    browser.key_down(key);
    browser.key_up(key);
}

/// Takes two locks in one order and in the other, one after the other: nobody waits, this time. Watched closely, that is a lint.
/// Gives the line of the second lock of the second who takes them.
fn plant_lint() -> u32 {
    let _watch: CloseWatch = watch_closely();
    let (purse, sword) = (sync::Mutex::new(()), sync::Mutex::new(()));
    let (purse, sword) = (Arc::new(purse), Arc::new(sword));
    let (own_purse, own_sword) = (Arc::clone(&purse), Arc::clone(&sword));
    let thief = Builder::new().name("thief").spawn(move || {
        let _first = own_purse.lock();
        let _then = own_sword.lock();
    });
    thief.join().expect("it ends");
    let knight = Builder::new().name("knight").spawn(move || {
        let _first = sword.lock();
        let (_then, line) = (purse.lock(), line!());
        line
    });
    knight.join().expect("it ends")
}

/// One who waits for itself, and one who waits for that one to end. Gives the id of the former.
fn plant_stuck() -> u64 {
    let lock = Arc::new(sync::Mutex::new(()));
    let twice = Builder::new().name("twice").spawn(move || {
        let _held = lock.lock();
        let _again = lock.lock();
    });
    let id = twice.id().0;
    drop(Builder::new().name("heir").spawn(move || twice.join()));
    id
}

fn picture(browser: &Browser, name: &str) {
    if let Ok(to) = std::env::var("GRAPESHOT_PICTURES") {
        std::fs::write(format!("{to}/{name}.png"), browser.screenshot()).expect("a picture");
    }
}

/// What leaves the window sidewards.
fn wide(browser: &Browser) -> serde_json::Value {
    browser.script(
        "return [...document.querySelectorAll('body, main, main section:not([hidden]) :is(h2, p, ol, li, form, .head, .scroll, .tools, button, select)')]
           .filter(one => one.checkVisibility() && !one.closest('table') && one.getBoundingClientRect().right > innerWidth + 0.5).map(one => one.className || one.tagName)",
    )
}

#[test]
fn lints_are_shown_with_place_and_remedy_and_nothing_is_when_there_are_none() {
    let _turn = one_at_a_time();
    let line = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&line);
    let (plant, planted) = sync::channel::bounded::<()>(1);
    let page = Page::serve(web(), move || {
        let gardener = Builder::new().name("gardener");
        drop(gardener.spawn(move || {
            planted.recv().expect("the test says so");
            told.store(plant_lint().into(), Ordering::Relaxed);
        }));
    });
    let browser = open(&page);
    // What is empty has been looked at.
    browser.wait_for("document.querySelector('.circles .empty').textContent.startsWith('None')");
    assert_eq!(
        browser.script("return document.querySelector('.lints').checkVisibility()"),
        false
    );
    assert!(plant.try_send(()).is_ok());
    browser.wait_for("document.querySelectorAll('.lints li').length === 1");
    let text = browser.script("return document.querySelector('.lints li').innerText");
    let text = text.as_str().expect("text");
    let place = format!("page_trouble.rs:{}", line.load(Ordering::Relaxed));
    for part in [
        "lock order inverted",
        "knight #",
        &place,
        "s ago",
        "take these locks in the same order everywhere",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // It stays the same line while it is refreshed, and keeps the focus.
    browser.script("window.was = document.querySelector('.lints .link'); window.was.focus(); window.ago = document.querySelector('.ago').textContent");
    browser.wait_for("document.querySelector('.ago').textContent !== window.ago");
    assert_eq!(
        browser.script("return document.activeElement === window.was && window.was.isConnected"),
        true
    );
    press(&browser, '\u{e007}');
    browser.wait_for("!document.getElementById('detail').hidden");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn what_is_new_is_counted_marked_and_then_known() {
    let _turn = one_at_a_time();
    let (plant, planted) = sync::channel::bounded::<()>(2);
    let page = Page::serve(web(), move || {
        let gardener = Builder::new().name("gardener");
        drop(gardener.spawn(move || {
            planted.recv().expect("the test says so");
            plant_lint();
            planted.recv().expect("the test says so");
            plant_stuck();
        }));
    });
    let browser = open(&page);
    let badge = "document.getElementById('tab-trouble').dataset";
    let marks = "[...document.querySelectorAll('.trouble .badge.new')].filter(one => one.checkVisibility()).length";
    press(&browser, '1');
    browser.wait_for("document.querySelectorAll('.overview tbody tr').length > 0");
    assert_eq!(
        browser.script("return document.querySelector('.alarm').checkVisibility()"),
        false
    );
    assert!(plant.try_send(()).is_ok());
    browser.wait_for(&format!(
        "{badge}.count === '1 new' && {badge}.heat === 'hot'"
    ));
    assert_eq!(
        browser.script("return document.querySelector('.alarm').textContent"),
        "1 lint, 1 new: see Trouble"
    );
    // It is marked while it is looked at, and known from then on.
    browser.script("document.querySelector('.alarm').click()");
    browser.wait_for(&format!("{marks} === 1"));
    browser.wait_for(&format!("{badge}.count === '1' && {badge}.heat === ''"));
    press(&browser, '1');
    browser.wait_for("document.querySelector('.alarm').textContent === '1 lint: see Trouble'");
    press(&browser, '5');
    browser.wait_for("document.querySelector('.lints li').checkVisibility()");
    browser.script("window.ago = document.querySelector('.ago').textContent");
    browser.wait_for("document.querySelector('.ago').textContent !== window.ago");
    assert_eq!(browser.script(&format!("return {marks}")), 0);
    // Also by a page that is opened again; what comes then is new.
    press(&browser, '1');
    browser.open(&page.url());
    browser.wait_for(&format!("{badge}.count === '1'"));
    assert!(plant.try_send(()).is_ok());
    browser.wait_for(&format!(
        "{badge}.count === '1 new' && {badge}.heat === 'hot'"
    ));
    assert_eq!(
        browser.script("return document.querySelector('.alarm').textContent"),
        "1 deadlock, 1 lint, 1 new: see Trouble"
    );
    press(&browser, '5');
    browser.wait_for(&format!(
        "document.querySelector('.circle .badge.new')?.checkVisibility() && {marks} === 1"
    ));
    // Who waits for itself still does, known or not.
    browser.wait_for(&format!("{badge}.count === '2' && {badge}.heat === 'hot'"));
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn what_is_counted_is_what_is_listed() {
    let page = Page::serve_with(2, Backdoor::new("arcade").web(web()), || {
        plant_lint();
        plant_stuck();
    });
    let watcher = page.open();
    let counted = watcher.until("a count", |snapshot| {
        snapshot["trouble"]["deadlocks"][0].is_string()
    })["trouble"]
        .clone();
    let listed = watcher.view(json!({"panel": "trouble"}), |view| {
        view["deadlocks"][0].is_object()
    });
    for kind in ["deadlocks", "lints", "stalls"] {
        let rows = listed[kind].as_array().expect("a list").iter();
        let keys: Vec<&serde_json::Value> = rows.map(|row| &row["key"]).collect();
        assert_eq!(json!(keys), counted[kind], "{kind}");
    }
    assert_eq!(counted["lints"].as_array().expect("a list").len(), 1);
}

#[test]
fn who_is_stuck_is_found_when_the_button_is_pressed() {
    let _turn = one_at_a_time();
    let id = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&id);
    let page = Page::serve(web().rights(Rights::observe()), move || {
        plant_lint();
        told.store(plant_stuck(), Ordering::Relaxed);
    });
    let id = id.load(Ordering::Relaxed);
    let browser = open(&page);
    browser.wait_for("document.querySelectorAll('.circle li').length === 1");
    assert_eq!(
        browser.script("return document.querySelector('.stuck .findings').checkVisibility()"),
        false,
        "nobody has asked"
    );
    // By the keyboard: from the seconds to the button. Paused as well.
    browser.script("document.getElementById('pause').click(); document.getElementById('stuck-seconds').focus()");
    press(&browser, '\u{e004}');
    browser.wait_for("document.activeElement.id === 'stuck-search'");
    press(&browser, '\u{e007}');
    let lines = "[...document.querySelectorAll('.stuck .findings li')].map(li => li.innerText)";
    browser.wait_for(&format!("{lines}.length === 2"));
    assert_eq!(
        browser.script("return document.activeElement.id"),
        "stuck-search"
    );
    let facts = browser.script("return document.querySelector('.stuck .range').textContent");
    assert!(
        facts.as_str().is_some_and(
            |facts| facts.starts_with("2 found, at ") && facts.contains("; the search took ")
        ),
        "{facts}"
    );
    let found = browser.script(&format!("return {lines}"));
    let found: Vec<&str> = found
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|line| line.as_str())
        .collect();
    let needs = format!("needs #{id}");
    for (line, parts) in found.iter().zip([
        ["proved", "twice #", " s for mutex", &needs, "plant_stuck"],
        ["proved", "heir #", " s for join #", &needs, "plant_stuck"],
    ]) {
        for part in parts {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
    }
    picture(&browser, "trouble-light");
    for (width, height) in [(1280, 1000), (768, 1024), (390, 844), (340, 600)] {
        browser.resize(width, height, 1.0);
        assert_eq!(wide(&browser), json!([]), "at {width} × {height}");
        picture(&browser, &format!("trouble-{width}"));
    }
    browser.resize(1280, 1000, 1.0);
    browser.script("document.activeElement.blur()");
    press(&browser, 't');
    picture(&browser, "trouble-dark");
    // Whom it needs is opened.
    press(&browser, 'p');
    browser.script(
        "document.querySelectorAll('.stuck .findings li')[1].querySelector('p .link').click()",
    );
    browser.wait_for("document.querySelector('.detail h2')?.textContent.startsWith('twice')");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn a_search_that_finds_nobody_says_so_and_is_logged() {
    let _turn = one_at_a_time();
    let page = Page::serve(web(), || {});
    let browser = open(&page);
    browser.script("document.getElementById('stuck-search').click()");
    browser.wait_for(
        "document.querySelector('.stuck .range').textContent.startsWith('None found, at ')",
    );
    assert_eq!(
        browser.script("return document.querySelector('.stuck .findings').checkVisibility()"),
        false
    );
    press(&browser, '6');
    browser.wait_for("[...document.querySelectorAll('.log .text')].some(text => text.textContent.includes('asked for stuck(10)'))");
}

/// What takes minutes to plant, through the script that shows it.
#[test]
fn each_verdict_says_what_is_known() {
    let _turn = one_at_a_time();
    let page = Page::serve(web(), || {});
    let browser = open(&page);
    let row = |certainty: &str, name: &str| json!({"certainty": certainty, "id": 7, "name": name, "waits_for": "channel recv", "since": 90, "needs": [], "usual": null, "place": "", "hint": null});
    let mut suspected = row("suspected", "<b>for\u{202e}gets</b>\n");
    suspected["hint"] = "drop <i>it</i>".into();
    suspected["needs"] = json!([7, 9]);
    let mut odd = row("odd", "late");
    odd["usual"] = json!(0.5);
    let answer = json!({"rows": [suspected, odd], "total": 900, "took": 1.5});
    browser.script(&format!(
        "import('/page/trouble.js').then(({{ Trouble }}) => {{
           const page = {{ link: Object.assign(new EventTarget(), {{ state: 'live' }}), open: id => {{ window.opened = id; }} }};
           const view = new Trouble(page);
           view.found({answer});
           view.found({{ failed: 'no thread' }});
           window.failed = view.element.querySelector('.range').textContent;
           view.found({answer});
           window.made = view.element;
           window.made.querySelectorAll('.stuck p .link')[1].click();
         }})"
    ));
    browser.wait_for("window.made");
    assert_eq!(
        browser.script("return [...window.made.querySelectorAll('.stuck li :is(.head, p)')].map(one => one.textContent)"),
        json!([
            r"suspected<b>for\u{202e}gets</b>\n #7",
            "has waited 1 m 30 s for channel recv; needs #7, #9",
            "drop <i>it</i>",
            "oddlate #7",
            "has waited 1 m 30 s for channel recv; usual are 500 ms",
        ])
    );
    let facts = browser.script("return window.made.querySelector('.range').textContent");
    let facts = facts.as_str().expect("text");
    assert!(facts.starts_with("The surest 2 of 900, at "), "{facts}");
    assert!(facts.ends_with("; the search took 1.50 s"), "{facts}");
    assert_eq!(browser.script("return window.failed"), "no thread");
    assert_eq!(browser.script("return window.opened"), 9);
    assert_eq!(
        browser.script("return window.made.querySelector(':is(.stuck li) :is(i, b:not(.badge))')"),
        json!(null)
    );
}

/// Many searches at once are a few, and views go on meanwhile.
#[test]
fn a_page_that_asks_again_and_again_is_answered_and_still_served() {
    let page = Page::serve_with(1, Backdoor::new("arcade").web(web()), || {
        plant_stuck();
    });
    let watcher = page.open();
    for _ in 0..1000 {
        watcher.say(json!({"type": "stuck", "seconds": u32::MAX}));
    }
    let answered = watcher.until("an answer", |snapshot| {
        snapshot["answers"][0]["stuck"]["total"] == 2
    });
    let answers = answered["answers"].as_array().expect("a list").len();
    assert!(answers < 1000, "{answers} searches");
    watcher.view(json!({"panel": "groups"}), |view| {
        view["rows"][0].is_object()
    });
}
