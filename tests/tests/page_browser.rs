//! The live page as people see it: in headless Chromium.

mod page_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use grapeshot::{Builder, sleep};
use grapeshot_backdoor::{Backdoor, Right, Rights, Web};
use grapeshot_tests::browser::{Browser, wait_until};
use page_support::Page;
use serde_json::{Value, json};

/// Browsers are heavy; on a small machine several at once only wait for each other.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Players that come and go with their beat, and a crowd that sleeps.
fn arcade() {
    for number in 0..3 {
        let player = Builder::new().name(format!("player-{number}"));
        drop(player.spawn(|| {
            loop {
                sleep(Duration::from_millis(20));
            }
        }));
    }
    for number in 0..300 {
        let npc = Builder::new().name(format!("npc-{number:03}"));
        drop(npc.spawn(|| sleep(Duration::from_secs(3600))));
    }
}

fn open(page: &Page) -> Browser {
    let browser = Browser::start(1280, 800);
    browser.open(&page.url());
    is_live(&browser);
    browser
}

fn is_live(browser: &Browser) {
    browser.wait_for("document.getElementById('link').dataset.state === 'live'");
}

fn press(browser: &Browser, key: char) {
    browser.key_down(key);
    browser.key_up(key);
}

/// The texts of a column of the table that is shown.
fn column(browser: &Browser, number: usize) -> Vec<String> {
    let texts = browser.script(&format!(
        "return [...document.querySelectorAll('section:not([hidden]) tbody tr')].map(tr => tr.cells[{number}].textContent)"
    ));
    let texts = texts.as_array().expect("texts").iter();
    texts
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn the_page_shows_a_server_that_lives() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0), arcade);
    let browser = open(&page);
    assert_eq!(
        browser.script("return location.search"),
        "",
        "the token stays in the address"
    );
    assert_eq!(
        browser.script("return document.cookie"),
        "",
        "scripts can read the cookie"
    );
    browser.wait_for(
        "[...document.querySelectorAll('.overview td')].some(td => td.textContent === 'npc-*')",
    );
    browser.wait_for("document.querySelectorAll('.worker').length === 2");
    let switches = "document.querySelectorAll('.tile .value')[2].textContent";
    browser.wait_for(&format!("/^[1-9]/.test({switches})"));
    // It moves by itself.
    browser.script("window.was = document.querySelectorAll('.tile .note')[2].textContent");
    browser.wait_for("document.querySelectorAll('.tile .note')[2].textContent !== window.was");
    assert!(
        browser
            .script("return document.getElementById('facts').textContent")
            .as_str()
            .is_some_and(|text| text.contains("pid"))
    );
}

#[test]
fn nothing_leaves_the_window_and_nothing_jumps() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0).updates_per_second(10), arcade);
    let browser = open(&page);
    for (width, height) in [(1280, 800), (768, 1024), (390, 844), (340, 600)] {
        browser.resize(width, height, 1.0);
        for view in [
            "overview",
            "coroutines",
            "groups",
            "sites",
            "trouble",
            "log",
        ] {
            browser.script(&format!("location.hash = '#{view}'"));
            browser.wait_for(&format!(
                "document.getElementById('tab-{view}').getAttribute('aria-selected') === 'true'"
            ));
            let wide = browser.script(
                "return [...document.querySelectorAll('body, header, main, main section:not([hidden]), .tile, .worker, .tools')]
                   .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5).map(one => one.className || one.tagName)",
            );
            assert_eq!(wide, json!([]), "{view} at {width} × {height}");
        }
    }
    browser.resize(1280, 800, 1.0);
    for view in ["overview", "coroutines"] {
        browser.script(&format!("location.hash = '#{view}'"));
        browser.wait_for("document.querySelectorAll('section:not([hidden]) tbody tr').length > 0");
        let places = "JSON.stringify([...document.querySelectorAll('section:not([hidden]) :is(th, .tile, .worker, .facts-row, .range)')]
            .map(one => one.getBoundingClientRect()).map(box => [box.left, box.top]))";
        browser.script(&format!("window.places = {places}; window.seen = 0; window.moved = [];
            window.watch = setInterval(() => {{ window.seen++; const now = {places}; if (now !== window.places) window.moved.push(now); }}, 50)"));
        browser.wait_for("window.seen > 30");
        assert_eq!(
            browser.script("clearInterval(window.watch); return window.moved"),
            json!([]),
            "in {view}"
        );
    }
}

#[test]
fn one_is_found_opened_and_killed_after_a_question() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0).updates_per_second(10), arcade);
    let browser = open(&page);
    press(&browser, '2');
    browser.wait_for("document.querySelectorAll('section:not([hidden]) tbody tr').length === 100");
    press(&browser, '/');
    browser.wait_for("document.activeElement.classList.contains('search')");
    "npc-2".chars().for_each(|key| press(&browser, key));
    browser
        .wait_for("document.querySelector('.range').textContent.startsWith('1–100 of 100 of 3')");
    browser
        .script("document.querySelector('section:not([hidden]) th[data-key=name] button').click()");
    browser.wait_for("document.querySelector('section:not([hidden]) tbody tr').cells[1].textContent === 'npc-200'");
    let names = column(&browser, 1);
    assert_eq!(names[0..3], ["npc-200", "npc-201", "npc-202"]);

    // By keys alone: out of the search, down to the second row, into it.
    press(&browser, '\u{e00c}');
    press(&browser, 'j');
    press(&browser, 'j');
    press(&browser, '\u{e007}');
    browser.wait_for("document.querySelector('.detail h2').textContent === 'npc-201'");
    browser.wait_for("document.querySelectorAll('.frames li').length > 1");
    let frames = browser.script("return document.querySelector('.frames').textContent");
    assert!(
        frames
            .as_str()
            .is_some_and(|frames| frames.contains("sleep") && frames.contains("page_browser.rs")),
        "{frames}"
    );

    // The question can be answered with no.
    press(&browser, 'x');
    browser.wait_for("document.getElementById('kill').open");
    let asked = browser.script("return document.getElementById('kill-title').textContent");
    assert!(
        asked
            .as_str()
            .is_some_and(|asked| asked.starts_with("Kill npc-201 (#")),
        "{asked}"
    );
    browser.script("document.querySelector('#kill button[value=cancel]').click()");
    browser.wait_for("!document.getElementById('kill').open");
    browser.script("document.querySelector('.detail .danger').click()");
    browser.wait_for("document.getElementById('kill').open");
    browser.script("document.getElementById('kill-why').value = 'in a test'; document.querySelector('#kill button[value=kill]').click()");
    browser.wait_for("!document.getElementById('toast').hidden && document.getElementById('toast').textContent.includes('asked npc-201 to end')");
    browser.wait_for("document.querySelector('.note-line').textContent.includes('It has ended')");
    browser.wait_for("document.querySelector('.range').textContent.startsWith('1–99 of 99 of')");
    assert!(!column(&browser, 1).contains(&"npc-201".to_owned()));
    press(&browser, '\u{e00c}');
    browser.wait_for("document.getElementById('detail').hidden");
    // The log says who, what and why.
    press(&browser, '6');
    browser.wait_for("[...document.querySelectorAll('.log .text')].some(text => text.textContent.includes('asked coroutine') && text.textContent.includes('\"in a test\"'))");
}

#[test]
fn a_paused_page_holds_still_and_shows_what_is_asked_for() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0).updates_per_second(10), arcade);
    let browser = open(&page);
    press(&browser, '2');
    browser.wait_for("document.querySelectorAll('section:not([hidden]) tbody tr').length === 100");
    press(&browser, 'p');
    browser.wait_for("document.getElementById('link').dataset.state === 'paused'");
    // What is on the screen, but for the coroutine that is open.
    let screen = "document.getElementById('facts').textContent + document.getElementById('main').textContent";
    browser.script(&format!(
        "window.screen_was = {screen}; window.paused_at = Date.now()"
    ));
    let holds_still = || browser.script(&format!("return {screen} === window.screen_was")) == true;
    // Whatever is under way when it is asked for, an answer comes.
    for row in 0..12 {
        browser.script(&format!(
            "document.querySelectorAll('section:not([hidden]) tbody tr')[{row}].click()"
        ));
        let name = &column(&browser, 1)[row];
        browser.wait_for(&format!(
            "document.querySelector('.detail h2').textContent === {} && document.querySelectorAll('.frames li').length > 0",
            json!(name)
        ));
        assert!(holds_still(), "something moved when {name} was opened");
    }
    // Long enough for a second to be told, and for many snapshots.
    browser.wait_for("Date.now() - window.paused_at > 1500");
    assert!(holds_still(), "something moved by itself");
    // What becomes of one that is killed.
    press(&browser, '\u{e00c}');
    browser.wait_for("document.getElementById('detail').hidden");
    browser.script("[...document.querySelectorAll('section:not([hidden]) tbody tr')].find(tr => tr.cells[1].textContent.startsWith('npc-')).click()");
    browser.wait_for("document.querySelectorAll('.frames li').length > 0");
    press(&browser, 'x');
    browser.wait_for("document.getElementById('kill').open");
    browser.script("document.querySelector('#kill button[value=kill]').click()");
    browser.wait_for("document.getElementById('toast').textContent.includes(' to end')");
    browser.wait_for(
        "/^It (was asked to end|has ended)/.test(document.querySelector('.note-line').textContent)",
    );
    assert!(holds_still(), "something moved when one was killed");
    // Another order, another view.
    browser
        .script("document.querySelector('section:not([hidden]) th[data-key=name] button').click()");
    browser.wait_for("[...document.querySelectorAll('section:not([hidden]) tbody tr')].map(tr => tr.cells[1].textContent).every((name, at, all) => !at || all[at - 1] <= name)");
    press(&browser, '3');
    browser.wait_for("[...document.querySelectorAll('section:not([hidden]) td')].some(td => td.textContent === 'npc-*')");
    browser.script(&format!("window.screen_was = {screen}"));
    // It goes on where it is.
    press(&browser, 'p');
    browser.wait_for("document.getElementById('link').dataset.state === 'live'");
    browser.wait_for(&format!("{screen} !== window.screen_was"));
}

#[test]
fn answers_can_be_read_on_a_phone_and_lead_to_coroutines() {
    let _turn = one_at_a_time();
    let backdoor = Backdoor::new("arcade")
        .web(Web::local(0).updates_per_second(10))
        .expose("motto", "a long text", Right::Observe, || {
            "x".repeat(100_000)
        })
        .expose(
            "texts",
            "one is long",
            Right::Observe,
            || json!([{"id": 1, "text": "y".repeat(100_000)}, {"id": 2, "text": "short"}]),
        );
    let page = Page::serve_with(2, backdoor, || {
        arcade();
        let lock = Arc::new(grapeshot::sync::Mutex::new(()));
        for number in 0..2 {
            let (lock, one) = (
                Arc::clone(&lock),
                Builder::new().name(format!("captain-{number}")),
            );
            drop(one.spawn(move || {
                let _held = lock.lock();
                sleep(Duration::from_secs(3600));
            }));
        }
    });
    let browser = open(&page);
    browser.resize(390, 844, 1.0);
    for (view, rows) in [("timers", 10), ("locks", 1), ("latency", 4), ("cost", 1)] {
        browser.script(&format!("location.hash = '#{view}'"));
        let shown = "document.querySelectorAll('section:not([hidden]) tbody tr')";
        browser.wait_for(&format!("{shown}.length >= {rows}"));
        let narrow = browser.script(
            "return [...document.querySelectorAll('section:not([hidden]) table :is(th, td)')].filter(one => one.checkVisibility())
               .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth < 200).map(one => one.textContent)",
        );
        assert_eq!(narrow, json!([]), "cut off in {view}");
    }
    // A lock leads to who has it.
    browser.script("location.hash = '#locks'");
    browser.wait_for("[...document.querySelectorAll('section:not([hidden]) td .link')].length > 0");
    browser.script("document.querySelector('section:not([hidden]) td .link').click()");
    browser.wait_for("document.querySelector('.detail h2').textContent.startsWith('captain-')");
    press(&browser, '\u{e00c}');
    // Nobody reads 100,000 characters there.
    browser.script("location.hash = '#values'");
    browser.wait_for("document.querySelector('.answer .word')?.textContent.endsWith('x… 99,700 characters more')");
    browser.wait_for("[...document.querySelectorAll('.answer td')].some(td => td.textContent.endsWith('y… 99,700 characters more'))");
    // What the application calls an id is its own affair.
    assert_eq!(
        browser.script("return document.querySelector('.card td .link')"),
        json!(null)
    );
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn groups_are_shown_by_what_they_use_now() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0).updates_per_second(10), || {
        arcade();
        drop(Builder::new().name("stoker").spawn(|| {
            loop {
                let mut heat = 1_u64;
                for _ in 0..20_000 {
                    heat = std::hint::black_box(heat.wrapping_mul(3));
                }
                grapeshot::yield_now();
            }
        }));
    });
    let browser = open(&page);
    // The one that burns stands first, with nearly a whole processor or what the machine gives it.
    browser.wait_for(
        "document.querySelector('.overview tbody tr')?.cells[0].textContent === 'stoker'",
    );
    browser.wait_for("/^[1-9][0-9]* %$/.test(document.querySelector('.overview tbody tr').querySelectorAll('td')[6].textContent)");
    let sleepers = "[...document.querySelectorAll('.overview tbody tr')].find(tr => tr.cells[0].textContent === 'npc-*').cells[6].textContent";
    browser.wait_for(&format!("{sleepers} === '0.0 %'"));
}

#[test]
fn who_may_only_look_has_no_button_for_more() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0).rights(Rights::observe()), arcade);
    let browser = open(&page);
    press(&browser, '2');
    browser.wait_for("document.querySelectorAll('section:not([hidden]) tbody tr').length > 0");
    browser.script("document.querySelector('section:not([hidden]) tbody tr').click()");
    browser.wait_for("document.querySelectorAll('.frames li').length > 0");
    assert_eq!(
        browser.script("return document.querySelector('.detail .danger').checkVisibility()"),
        false
    );
    press(&browser, 'x');
    assert_eq!(
        browser.script("return document.getElementById('kill').open"),
        false
    );
}

#[test]
fn groups_and_pages_lead_on() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0).updates_per_second(10), arcade);
    let browser = open(&page);
    press(&browser, '3');
    browser.wait_for("[...document.querySelectorAll('section:not([hidden]) td')].some(td => td.textContent === 'npc-*')");
    browser.script("[...document.querySelectorAll('section:not([hidden]) td')].find(td => td.textContent === 'npc-*').click()");
    browser
        .wait_for("document.querySelector('.range').textContent.startsWith('1–100 of 300 of 3')");
    browser.script("document.querySelector('[aria-label=\"The next page\"]').click()");
    browser.wait_for("document.querySelector('.range').textContent.startsWith('101–200 of 300')");
    browser.script("document.querySelector('[aria-label=\"The next page\"]').click()");
    browser.wait_for("document.querySelector('.range').textContent.startsWith('201–300 of 300')");
    assert_eq!(
        browser.script("return document.querySelector('[aria-label=\"The next page\"]').disabled"),
        true
    );
    browser.script("document.querySelector('.chip').click()");
    browser.wait_for("document.querySelector('.range').textContent.startsWith('1–100 of 3')");
    // What is empty says so.
    press(&browser, '/');
    "nobody".chars().for_each(|key| press(&browser, key));
    browser.wait_for("document.querySelector('section:not([hidden]) .empty').textContent === 'No coroutine is like that.'");
    press(&browser, '\u{e00c}');
    press(&browser, '5');
    browser.wait_for("[...document.querySelectorAll('section:not([hidden]) .empty')].filter(one => one.textContent.startsWith('None')).length === 2");
}

/// Names may come from strangers.
#[test]
fn no_name_turns_hides_breaks_or_becomes_part_of_the_page() {
    let _turn = one_at_a_time();
    let names = [
        ("rtl\u{202e}gpj.exe", r"rtl\u{202e}gpj.exe"),
        ("two\nlines\tand tab", r"two\nlines\tand tab"),
        ("zero\u{200b}width", r"zero\u{200b}width"),
        ("bell\u{7}\u{1b}[2J", r"bell\u{7}\u{1b}[2J"),
        (
            "<img src=x onerror=window.hit=1>",
            "<img src=x onerror=window.hit=1>",
        ),
        ("क्‍ष 👩‍🚀 é", "क्‍ष 👩‍🚀 é"),
    ];
    let page = Page::serve(Web::local(0).updates_per_second(10), move || {
        for (name, _) in names {
            let one = Builder::new().name(name);
            drop(one.spawn(|| sleep(Duration::from_secs(3600))));
        }
    });
    let browser = open(&page);
    // Beside letters, no character may be left that is not seen.
    let harmless = |whole: &str| {
        assert_eq!(
            browser.script(&format!(
                "return /[\\x00-\\x08\\x0b-\\x1f\\u200b\\u202e]/.test({whole}) || document.querySelector('img') !== null || window.hit !== undefined"
            )),
            false,
            "{whole}"
        );
    };
    press(&browser, '2');
    for (_, written) in names {
        let cell = format!(
            "[...document.querySelectorAll('section:not([hidden]) td')].find(td => td.textContent === {0} && td.title === {0})",
            json!(written)
        );
        browser.wait_for(&cell);
        browser.script(&format!("{cell}.click()"));
        browser.wait_for(&format!(
            "document.querySelector('.detail h2')?.textContent.includes({})",
            json!(written)
        ));
        press(&browser, 'x');
        browser.wait_for(&format!(
            "document.getElementById('kill').open && document.getElementById('kill-title').textContent.includes({})",
            json!(written)
        ));
        harmless("document.body.textContent");
        browser.script("document.querySelector('#kill button[value=kill]').click()");
        browser.wait_for(&format!(
            "!document.getElementById('toast').hidden && document.getElementById('toast').textContent.includes({})",
            json!(format!("asked {written} to end"))
        ));
        press(&browser, '\u{e00c}');
        browser.wait_for("document.getElementById('detail').hidden");
    }
    harmless("document.body.textContent");
    // None makes a second line of the log.
    press(&browser, '6');
    for (_, written) in names {
        browser.wait_for(&format!(
            "[...document.querySelectorAll('.log .text')].some(text => text.textContent.includes({}) && !text.textContent.includes('\\n'))",
            json!(format!("({written}) to end, because"))
        ));
    }
    harmless("document.body.textContent");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_server_that_goes_is_missed_and_found_again() {
    let _turn = one_at_a_time();
    let token = "the-same-token-each-time";
    let page = Page::serve(Web::local(0).token(token), arcade);
    let address = page.address;
    let browser = open(&page);
    let notice = "document.getElementById('notice')";
    assert_eq!(browser.script(&format!("return {notice}.hidden")), true);
    drop(page);
    browser.wait_for(&format!(
        "!{notice}.hidden && {notice}.textContent.includes('has not answered')"
    ));
    browser.wait_for("document.body.classList.contains('stale')");
    is_gone(address);
    let again = Page::serve(Web::at(address).token(token), arcade);
    browser.wait_for(&format!(
        "document.getElementById('link').dataset.state === 'live' && {notice}.hidden"
    ));
    drop(again);
    browser.wait_for(&format!("!{notice}.hidden"));
    is_gone(address);
    let _other = Page::serve(Web::at(address), arcade);
    browser.wait_for(&format!(
        "{notice}.textContent.includes('with a new token')"
    ));
}

/// Waits until nobody listens there: the backdoor's own thread ends a moment after the application.
fn is_gone(address: SocketAddr) {
    wait_until("the port to be free", || {
        TcpStream::connect(address).is_err()
    });
}

#[test]
fn what_is_exposed_is_shown_and_follows() {
    let _turn = one_at_a_time();
    let score = Arc::new(AtomicUsize::new(7));
    let told = Arc::clone(&score);
    let backdoor = Backdoor::new("arcade")
        .web(Web::local(0).updates_per_second(10))
        .expose("score", "points so far", Right::Observe, move || {
            told.load(Ordering::Relaxed)
        })
        .expose("lives", "by player", Right::Observe, || {
            vec![
                json!({"player": "ann", "left": 3}),
                json!({"player": "bob", "left": 1}),
            ]
        })
        .expose("reset", "begins anew", Right::Operate, || -> u8 {
            panic!("nobody has asked for this")
        });
    let page = Page::serve_with(1, backdoor, || {});
    let browser = open(&page);
    browser.wait_for("document.getElementById('tab-values')");
    browser.script("location.hash = '#values'");
    browser.wait_for("document.querySelector('.card .word')?.textContent === '7'");
    score.store(1234, Ordering::Relaxed);
    browser.wait_for("document.querySelector('.card .word').textContent === '1234'");
    browser.wait_for("[...document.querySelectorAll('.card td')].map(td => td.textContent).join() === 'ann,3,bob,1'");
    let calls = browser.script("return [...document.querySelectorAll('section:not([hidden]) > .scroll tr')].map(tr => tr.textContent).join()");
    assert!(
        calls
            .as_str()
            .is_some_and(|calls| calls.contains("reset()") && calls.contains("operate")),
        "{calls}"
    );
}

#[test]
fn the_console_in_the_page_evaluates_completes_and_stops() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0), arcade);
    let browser = open(&page);
    browser.wait_for("document.getElementById('tab-console')");
    browser.script("location.hash = '#console'");
    let screen = "document.querySelector('.xterm-rows').innerText.replaceAll('\\u00a0', ' ')";
    let shows = |what: &str| {
        browser.wait_for(&format!(
            "document.querySelector('.xterm-rows') && {screen}.includes({})",
            json!(what)
        ))
    };
    let enter = |line: &str| {
        line.chars()
            .chain(['\u{e007}'])
            .for_each(|key| press(&browser, key))
    };
    shows("arcade> ");
    enter("6 * 7");
    shows("42");
    enter("[1, 2].map(|n| #{n: n, square: n * n})");
    shows("n  square");
    // A statement goes on in the next line; what is wrong is pointed at.
    enter("let x = #{");
    shows("...... ");
    enter("a: 1 }; x.a + 99");
    shows("100");
    enter("nonsense(1)");
    shows("nonsense");
    "work"
        .chars()
        .chain(['\u{e004}'])
        .for_each(|key| press(&browser, key));
    shows("arcade> workers()");
    enter(".len()");
    shows("arcade> workers().len()");
    // The line before comes back.
    press(&browser, '\u{e013}');
    browser.wait_for(&format!(
        "{screen}.split('arcade> workers().len()').length === 3"
    ));
    press(&browser, '\u{e007}');
    enter("loop {}");
    browser.script("document.querySelector('.xterm-helper-textarea').focus()");
    browser.key_down('\u{e009}');
    press(&browser, 'c');
    browser.key_up('\u{e009}');
    shows("interrupted");
    enter("1000 + 1");
    shows("1001");
}

#[test]
fn texts_can_be_read_in_both_themes() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0), arcade);
    let browser = open(&page);
    browser.script("location.hash = '#coroutines'");
    browser.wait_for("document.querySelectorAll('section:not([hidden]) tbody tr').length > 10");
    browser.script("document.querySelector('section:not([hidden]) tbody tr').click()");
    browser.wait_for("document.querySelectorAll('.frames li').length > 0");
    let mut grounds = Vec::new();
    for _ in 0..2 {
        press(&browser, 't');
        grounds.push(browser.script("return getComputedStyle(document.body).backgroundColor"));
        let faint = browser.script(
            "const channels = text => text.match(/[\\d.]+/g).map(Number);
             const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
               .reduce((sum, c, at) => sum + c * [.2126, .7152, .0722][at], 0);
             const ground = one => { for (; one; one = one.parentElement) {
               const colour = channels(getComputedStyle(one).backgroundColor); if (colour.length < 4 || colour[3] > .5) return colour; } };
             const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
             const faint = new Set();
             while (walk.nextNode()) {
               const one = walk.currentNode.parentElement;
               if (!walk.currentNode.data.trim() || !one.checkVisibility() || one.matches(':disabled')) continue;
               const [a, b] = [light(channels(getComputedStyle(one).color)), light(ground(one))];
               const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
               if (contrast < 4.5) faint.add(`${one.tagName}.${one.className} ${contrast.toFixed(2)}`);
             }
             return [...faint];",
        );
        assert_eq!(faint, json!([]), "with {:?}", grounds.last());
    }
    assert_ne!(grounds[0], grounds[1]);
}

#[test]
fn a_page_of_another_port_gets_nowhere_with_the_visitors_cookie() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0), arcade);
    let browser = open(&page);
    let tried = Arc::new(AtomicUsize::new(0));
    let theirs = stranger(&page, Arc::clone(&tried));
    browser.open(&theirs);
    let told = browser.wait_for("window.told?.length === 3 && window.told");
    let told: Vec<&str> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(told, ["socket closed", "fetch failed", "script failed"]);
    wait_until("the stranger's page to be served", || {
        tried.load(Ordering::Relaxed) > 0
    });
    // And the page itself still lets this browser in.
    browser.open(&format!("http://{}/", page.address));
    is_live(&browser);
}

/// Serves a page that tries what a page of a stranger may try.
fn stranger(page: &Page, tried: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let target = page.address;
    let content = format!(
        "<!doctype html><script>
         window.told = [];
         const tell = (at, what) => {{ const told = window.found ??= []; told[at] = what; if (Object.keys(told).length === 3) window.told = told; }};
         const socket = new WebSocket('ws://{target}/live');
         socket.onmessage = () => tell(0, 'socket tells');
         socket.onclose = () => tell(0, 'socket closed');
         fetch('http://{target}/metrics', {{ credentials: 'include' }}).then(() => tell(1, 'fetch reads'), () => tell(1, 'fetch failed'));
         const script = document.createElement('script');
         script.src = 'http://{target}/page/main.js';
         script.onload = () => tell(2, 'script runs');
         script.onerror = () => tell(2, 'script failed');
         document.head.append(script);
         </script>"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{content}",
        content.len()
    );
    thread::spawn(move || {
        // Ends with the test's process. A browser opens connections before it has something to ask for.
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (answer, tried) = (answer.clone(), Arc::clone(&tried));
            thread::spawn(move || {
                if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                    tried.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    format!("http://{address}/")
}

/// This program has not the profiler's allocator.
#[test]
fn who_cannot_have_allocations_is_told_what_to_add() {
    let _turn = one_at_a_time();
    let page = Page::serve(Web::local(0), arcade);
    let watcher = page.open();
    watcher.say(json!({"type": "profile", "seconds": 1, "hertz": 0, "allocations": true}));
    let refused = watcher.until("an answer", |snapshot| {
        snapshot["answers"][0]["done"] == false
    });
    let text = refused["answers"][0]["text"].as_str().expect("a sentence");
    assert!(text.contains("`#[global_allocator] static"), "{text}");

    let browser = open(&page);
    browser.script("location.hash = '#profiler'");
    browser.wait_for("document.querySelector('.missing summary')?.offsetWidth > 0");
    assert_eq!(
        browser.script("return document.getElementById('profile-allocations').disabled"),
        true
    );
    let line = "document.querySelector('.missing code')";
    let is_shown = format!("{line}.checkVisibility()");
    assert_eq!(browser.script(&format!("return {is_shown}")), false);
    // After the seconds and the rate.
    browser.script("document.getElementById('profile-seconds').focus()");
    press(&browser, '\u{e004}');
    press(&browser, '\u{e004}');
    browser.wait_for("document.activeElement.textContent === 'not available: why?'");
    press(&browser, '\u{e007}');
    browser.wait_for(&is_shown);
    if let Ok(to) = std::env::var("GRAPESHOT_PICTURES") {
        std::fs::write(format!("{to}/no-allocations.png"), browser.screenshot())
            .expect("a picture");
    }
    let shown = browser.script(&format!("return {line}.textContent"));
    let shown = shown.as_str().expect("text");
    assert!(text.contains(&format!("`{shown}`")), "{text}");
    browser.resize(390, 800, 1.0);
    browser.wait_for(&format!(
        "{line}.getBoundingClientRect().right <= innerWidth && {line}.getBoundingClientRect().left >= 0"
    ));
    press(&browser, '\u{e00c}');
    browser.wait_for(&format!("!{is_shown}"));
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}
