//! The profiler in the live page: a profile is the process's, so these tests take turns.

mod page_support;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use grapeshot::profile::Allocator;
use grapeshot::{Builder, yield_now};
use grapeshot_backdoor::{Backdoor, Right, Rights, Web};
use grapeshot_tests::browser::Browser;
use page_support::{PATIENCE, Page, Watcher, body, header, status};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn frequent() -> Web {
    Web::local(0).updates_per_second(20)
}

/// How often the mill went round.
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// Has the processor, and memory, so that there is something to sample.
fn mill() {
    drop(Builder::new().name("mill-1").spawn(|| {
        loop {
            grind();
            fetch();
            ROUNDS.fetch_add(1, Ordering::Relaxed);
            yield_now();
        }
    }));
}

#[inline(never)]
fn grind() -> u64 {
    (0..20_000_u64).fold(1, |value, _| black_box(value * 31 % 1_000_003))
}

/// A mebibyte.
#[inline(never)]
fn fetch() {
    drop(black_box(Vec::<u8>::with_capacity(black_box(1 << 20))));
}

/// Until there is enough to sample.
fn until_it_went_round() {
    let (rounds, begun) = (ROUNDS.load(Ordering::Relaxed), Instant::now());
    while ROUNDS.load(Ordering::Relaxed) < rounds + 50 {
        assert!(begun.elapsed() < PATIENCE, "the mill stands still");
        std::thread::yield_now();
    }
}

/// Looks at the profiler until what it shows is right.
fn look(watcher: &Watcher, right: impl Fn(&Value) -> bool) -> Value {
    watcher.view(json!({"panel": "profiler"}), right)
}

fn answered(watcher: &Watcher, message: Value) -> (bool, String) {
    watcher.say(message);
    let snapshot = watcher.until("an answer", |snapshot| {
        snapshot["answers"]
            .as_array()
            .is_some_and(|answers| !answers.is_empty())
    });
    let answer = &snapshot["answers"][0];
    let text = answer["text"].as_str().expect("a sentence").to_owned();
    (answer["done"] == true, text)
}

fn newest(view: &Value) -> Option<u64> {
    view["kept"][0]["number"].as_u64()
}

/// Takes one, and ends it when there is something in it.
fn take(watcher: &Watcher, seconds: u32) -> u64 {
    let ask = json!({"type": "profile", "seconds": seconds, "hertz": 1000});
    take_as(watcher, ask)
}

fn take_as(watcher: &Watcher, ask: Value) -> u64 {
    let before = newest(&look(watcher, |_| true));
    let started = answered(watcher, ask);
    assert!(started.0, "{}", started.1);
    until_it_went_round();
    look(watcher, |view| {
        view["taking"]["elapsed"].as_f64() > Some(0.2)
    });
    let stopped = answered(watcher, json!({"type": "stop_profile", "keep": true}));
    assert!(stopped.0, "{}", stopped.1);
    let view = look(watcher, |view| {
        view["taking"].is_null() && newest(view) != before
    });
    newest(&view).expect("a profile")
}

#[test]
fn a_profile_is_taken_seen_by_all_and_had_in_every_form() {
    let _turn = one_at_a_time();
    let page = Page::serve(frequent(), mill);
    let (ours, theirs) = (page.open(), page.open());
    let first = take(&ours, 300);
    let second = take(&theirs, 300);
    let kept = look(&ours, |view| newest(view) == Some(second));
    assert_eq!(kept["kept"][1]["number"], first, "the one before is kept");
    assert!(
        kept["kept"][0]["by"]
            .as_str()
            .is_some_and(|by| by.contains("web 127.0.0.1"))
    );

    let answer = page.ask(&format!("GET /profile/{first}.html"), &page.bearer());
    assert_eq!(status(&answer), 200);
    assert_eq!(
        header(&answer, "Content-Security-Policy"),
        Some("frame-ancestors 'self'")
    );
    assert!(body(&answer).contains("http-equiv=\"Content-Security-Policy\""));
    assert!(body(&answer).contains("page_profiler::grind"));
    let difference = page.get(&format!("/profile/{first}-{second}.html"));
    assert!(difference.contains(": two profiles"));
    let profile: Value =
        serde_json::from_str(&page.get(&format!("/profile/{first}.json"))).expect("JSON");
    let strings = profile["strings"].as_array().expect("names");
    assert!(strings.contains(&json!("mill-*")), "{strings:?}");
    assert!(
        page.get(&format!("/profile/{first}.firefox.json"))
            .contains("preprocessedProfileVersion")
    );
    assert!(
        page.get(&format!("/profile/{first}.folded"))
            .contains("page_profiler::grind;")
    );
    for gone in [
        "/profile/".to_owned(),
        format!("/profile/{}.html", second + 1),
        format!("/profile/{first}.exe"),
        format!("/profile/{first}-{}.html", second + 1),
    ] {
        let answer = page.ask(&format!("GET {gone}"), &page.bearer());
        assert_eq!(status(&answer), 404, "{gone}");
    }
    let stranger = page.ask(&format!("GET /profile/{first}.html"), "");
    assert_eq!(status(&stranger), 401);
}

#[test]
fn allocations_are_in_it_if_they_are_asked_for() {
    let _turn = one_at_a_time();
    let page = Page::serve(frequent(), mill);
    let watcher = page.open();
    assert_eq!(look(&watcher, |_| true)["allocator"], true);
    let plain = take(&watcher, 300);
    let ask = json!({"type": "profile", "seconds": 300, "hertz": 0, "allocations": true});
    let with = take_as(&watcher, ask);
    let kept = look(&watcher, |view| newest(view) == Some(with))["kept"].clone();
    assert_eq!(
        (&kept[0]["allocations"], &kept[1]["allocations"]),
        (&json!(true), &json!(false))
    );
    let folded = page.get(&format!("/profile/{with}.alloc.folded"));
    let fetched = |line: &str| line.starts_with("mill-*;") && line.contains("page_profiler::fetch");
    assert!(folded.lines().any(fetched), "{folded}");
    assert_eq!(page.get(&format!("/profile/{plain}.alloc.folded")), "");
    let firefox: Value =
        serde_json::from_str(&page.get(&format!("/profile/{with}.firefox.json"))).expect("JSON");
    let threads = firefox["threads"].as_array().expect("threads");
    let last = threads.last().expect("a thread");
    assert_eq!(last["nativeAllocations"]["weightType"], "bytes");
}

#[test]
fn there_is_one_at_a_time_and_it_can_be_thrown_away() {
    let _turn = one_at_a_time();
    let page = Page::serve(frequent(), mill);
    let (ours, theirs) = (page.open(), page.open());
    let before = newest(&look(&ours, |_| true));
    let ask = json!({"type": "profile", "seconds": 300, "hertz": 0});
    assert!(answered(&ours, ask.clone()).0);
    let (done, text) = answered(&theirs, ask);
    assert!(!done && text.contains("is being taken already"), "{text}");
    // It outlives its page, and anybody may end it.
    drop(ours);
    look(&theirs, |view| view["taking"]["lasts"] == 300.0);
    assert!(answered(&theirs, json!({"type": "stop_profile", "keep": false})).0);
    let view = look(&theirs, |view| view["taking"].is_null());
    assert_eq!(newest(&view), before, "nothing came of it");
}

#[test]
fn who_may_not_trace_sees_what_others_took_and_takes_none() {
    let _turn = one_at_a_time();
    let taken = {
        let page = Page::serve(frequent(), mill);
        take(&page.open(), 300)
    };
    let web = frequent().rights(Rights::observe());
    let page = Page::serve(web, mill);
    let watcher = page.open();
    for message in [
        json!({"type": "profile", "seconds": 1, "hertz": 100}),
        json!({"type": "profile", "seconds": 1, "hertz": 0, "allocations": true}),
        json!({"type": "stop_profile", "keep": true}),
    ] {
        let (done, text) = answered(&watcher, message);
        assert!(!done && text.contains("no right to trace"), "{text}");
    }
    let view = look(&watcher, |_| true);
    assert_eq!(
        (&view["taking"], newest(&view)),
        (&Value::Null, Some(taken))
    );
    page.get(&format!("/profile/{taken}.html"));
}

#[test]
fn a_server_that_ends_leaves_no_profile_running() {
    let _turn = one_at_a_time();
    let page = Page::serve(frequent(), mill);
    let watcher = page.open();
    assert!(
        answered(
            &watcher,
            json!({"type": "profile", "seconds": 300, "hertz": 100})
        )
        .0
    );
    drop(watcher);
    drop(page);
    let next = Page::serve(frequent(), mill);
    take(&next.open(), 300);
}

const TAB: char = '\u{e004}';

/// Tab from the seconds goes to the rate, then to the box for allocations.
fn tab_to_allocations(browser: &Browser) {
    browser.wait_for(
        "document.querySelector('.profiler select[aria-label=Samples]')?.offsetWidth > 0",
    );
    browser.script("document.getElementById('profile-seconds').focus()");
    for _ in 0..2 {
        browser.key_down(TAB);
        browser.key_up(TAB);
    }
}

#[test]
fn a_browser_has_allocations_by_the_keyboard() {
    let _turn = one_at_a_time();
    let page = Page::serve(frequent(), mill);
    let browser = Browser::start(1280, 900);
    browser.open(&page.url());
    browser.wait_for("document.getElementById('tab-profiler')");
    browser.script("location.hash = '#profiler'");
    let ticked = "document.getElementById('profile-allocations')";
    browser.wait_for(&format!("{ticked} && !{ticked}.disabled"));
    assert_eq!(browser.script(&format!("return {ticked}.checked")), false);
    assert_eq!(
        browser.script("return document.querySelector('.missing').hidden"),
        true
    );
    tab_to_allocations(&browser);
    browser.wait_for(&format!("document.activeElement === {ticked}"));
    browser.key_down(' ');
    browser.key_up(' ');
    browser.wait_for(&format!("{ticked}.checked"));
    // Others have taken some before.
    let chosen = "Number(document.querySelector('.profiler select[aria-label=Profile]').value)";
    let before = browser.script(&format!("return {chosen}"));
    browser.script("document.querySelector('#profile-seconds').value = 300; document.querySelector('.profiler form').requestSubmit()");
    browser.wait_for("document.querySelector('.taking').offsetHeight > 0");
    until_it_went_round();
    browser.script("[...document.querySelectorAll('.taking button')].find(it => it.textContent === 'Stop and show').click()");
    browser.wait_for(&format!("{chosen} > {before}"));
    let report = "document.querySelector('.report:not(.loading)')?.contentDocument";
    browser.wait_for(&format!(
        "{report}?.getElementById('application')?.textContent"
    ));
    // The report's third part.
    browser.script(&format!("{report}.getElementById('tab-flame').click()"));
    let part = format!(
        "[...{report}.querySelectorAll('button, option')].find(it => it.textContent === 'Allocated')"
    );
    browser.wait_for(&part);
    let link = "[...document.querySelectorAll('.downloads a')].find(it => it.textContent === 'Folded allocations')";
    browser.wait_for(&format!("!{link}.hidden"));
    let name = browser.script(&format!("return {link}.download"));
    let name = name.as_str().expect("a name");
    assert!(name.ends_with(".alloc.folded"), "{name}");
    let folded = browser.script(&format!(
        "const request = new XMLHttpRequest(); request.open('GET', {link}.href, false); request.send(); return request.responseText"
    ));
    let folded = folded.as_str().expect("text");
    assert!(folded.contains("page_profiler::fetch"), "{folded}");
    if let Ok(to) = std::env::var("GRAPESHOT_PICTURES") {
        browser.script(&format!("{part}.click()"));
        browser.script("document.querySelector('.downloads').open = true");
        std::fs::write(format!("{to}/allocations.png"), browser.screenshot()).expect("a picture");
    }
    // Of one without them there is no such file.
    browser.script("document.getElementById('profile-allocations').click()");
    browser.script("document.querySelector('#profile-seconds').value = 1; document.querySelector('.profiler form').requestSubmit()");
    browser.wait_for(&format!("{link}.hidden"));
}

#[test]
fn a_browser_takes_one_and_shows_its_flame_graph() {
    let _turn = one_at_a_time();
    let backdoor =
        Backdoor::new("arcade")
            .web(frequent())
            .expose("score", "points", Right::Observe, || 1_u8);
    let page = Page::serve_with(2, backdoor, mill);
    let browser = Browser::start(1280, 900);
    browser.open(&page.url());
    browser.wait_for("document.getElementById('tab-profiler')");
    browser.script("location.hash = '#profiler'");
    browser.wait_for(
        "document.querySelector('.profiler select[aria-label=Samples]')?.offsetWidth > 0",
    );
    let press = "document.querySelector('#profile-seconds').value = 2; document.querySelector('.profiler form').requestSubmit()";
    browser.script(press);
    browser.wait_for("document.querySelector('.taking').offsetHeight > 0 && document.querySelector('.taking progress').max === 2");
    // It ends by itself, and is shown at once, in the theme of the page.
    browser.wait_for("document.querySelector('.report').contentDocument?.getElementById('application')?.textContent");
    browser.wait_for("document.querySelector('.report').contentDocument.documentElement.dataset.theme === document.documentElement.dataset.theme");
    let report = "document.querySelector('.report').contentWindow";
    browser.script(&format!(
        "{report}.document.getElementById('tab-functions').click()"
    ));
    browser.wait_for(&format!(
        "{report}.document.body.innerText.includes('grind')"
    ));
    browser.script("document.getElementById('theme').click()");
    browser.wait_for("document.querySelector('.report').contentDocument.documentElement.dataset.theme === document.documentElement.dataset.theme");
    let first = browser
        .script("return document.querySelector('.profiler select[aria-label=Profile]').value");
    // A second one, which is shown instead; then the two compared.
    browser.wait_for("!document.querySelector('.profiler .strong-button').disabled");
    browser.script(press);
    browser.wait_for(&format!(
        "document.querySelector('.profiler select[aria-label=Profile]').value > {first}"
    ));
    browser.script(&format!(
        "const before = document.querySelector('.profiler select[aria-label=\"Compared with\"]');
         before.value = {first}; before.dispatchEvent(new Event('change'))"
    ));
    browser.wait_for(&format!(
        "{report}.location.pathname.startsWith('/profile/' + {first} + '-') && {report}.document.title.includes('two profiles')"
    ));
    let link = "document.querySelector('.downloads a')";
    let name = browser.script(&format!("return {link}.download"));
    let name = name.as_str().expect("a name");
    assert!(
        name.starts_with("arcade-") && name.ends_with(".html"),
        "{name}"
    );
    if let Ok(to) = std::env::var("GRAPESHOT_PICTURES") {
        std::fs::write(format!("{to}/profiler.png"), browser.screenshot()).expect("a picture");
    }
}
