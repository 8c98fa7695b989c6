//! Pictures of the live page.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use grapeshot_browser::Browser;

use super::picture;
use crate::demo::Demo;

/// A picture: its file, the theme, the size in CSS pixels, device pixels to each, the view, and what must be there first.
type Picture = (
    &'static str,
    &'static str,
    (u32, u32),
    f64,
    &'static str,
    &'static str,
);

const WIDE: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (390, 844);

const PICTURES: &[Picture] = &[
    (
        "page-overview.png",
        "light",
        WIDE,
        1.0,
        "overview",
        "document.querySelectorAll('section:not([hidden]) tbody tr').length > 3",
    ),
    (
        "page-coroutines.png",
        "dark",
        WIDE,
        1.0,
        "coroutines",
        "document.querySelectorAll('.frames li').length > 1",
    ),
    (
        "page-console.png",
        "dark",
        WIDE,
        1.0,
        "console",
        "document.querySelector('.xterm-rows')?.textContent.includes('viewport')",
    ),
    (
        "page-profiler.png",
        "light",
        (1280, 900),
        1.0,
        "profiler",
        "document.querySelector('.report')?.contentDocument?.getElementById('application')?.textContent && !document.querySelector('.report').classList.contains('loading')",
    ),
    (
        "page-phone.png",
        "light",
        PHONE,
        2.0,
        "overview",
        "document.querySelectorAll('section:not([hidden]) tbody tr').length > 3",
    ),
];

/// Takes them all.
pub(super) fn pictures(browser: &Browser, demo: &Demo, to: &Path) -> Result<()> {
    let address = demo.page().context("the demo serves no page")?;
    browser.open(address);
    is_live(browser);
    // The curves need something to show.
    thread::sleep(Duration::from_secs(40));
    for (file, theme, size, ratio, view, there) in PICTURES {
        browser.resize(size.0, size.1, *ratio);
        let dark = browser.script("return document.documentElement.dataset.theme");
        if dark != *theme {
            browser.script("document.getElementById('theme').click()");
        }
        browser.script(&format!("location.hash = '#{view}'"));
        match *view {
            "coroutines" => open_one(browser),
            "console" => type_lines(browser),
            "profiler" => take_one(browser),
            _ => {}
        }
        browser.wait_for(there);
        thread::sleep(Duration::from_secs(1));
        picture(browser, &to.join(file))?;
    }
    browser.resize(WIDE.0, WIDE.1, 1.0);
    Ok(())
}

fn is_live(browser: &Browser) {
    browser.wait_for("document.getElementById('link').dataset.state === 'live'");
}

fn open_one(browser: &Browser) {
    let row = "[...document.querySelectorAll('section:not([hidden]) tbody tr')].find(tr => tr.textContent.includes('npc-'))";
    browser.wait_for(&format!("!!{row}"));
    browser.script(&format!("{row}.click()"));
}

fn take_one(browser: &Browser) {
    browser.wait_for("document.querySelector('.profiler form')?.offsetHeight > 0");
    browser.script(
        "document.getElementById('profile-seconds').value = 3; document.querySelector('.profiler form').requestSubmit()",
    );
    browser.wait_for(
        "document.querySelector('.report')?.contentDocument?.getElementById('tab-flame')",
    );
}

fn type_lines(browser: &Browser) {
    browser.wait_for("document.querySelector('.xterm-rows')?.textContent.includes('> ')");
    for line in ["npcs()", "ps(\"viewport\").top(\"cpu\", 8)", "workers()"] {
        for key in line.chars().chain(['\u{e007}']) {
            browser.key_down(key);
            browser.key_up(key);
        }
    }
}
