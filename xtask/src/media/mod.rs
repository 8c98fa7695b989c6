//! `cargo xtask docs-media`: the pictures and the recorded session in `docs/`, made from the running demo.
//!
//! | file | what it is |
//! |---|---|
//! | `docs/mmo.png` | the demo's page in Chromium |
//! | `docs/console-session.txt` | a session with the console, as text |
//! | `docs/console.png` | the end of the same session, as a terminal shows it |
//! | `docs/profile*.png` | the report of a profile of the demo: its flame graph, who ran when, on a phone |
//! | `docs/page-*.png` | the live page: its views, in both themes, and on a phone |
//! | `docs/top.txt`, `docs/top.png` | `console top`, as text and as a terminal shows it |

mod ansi;
mod page;
mod report;
mod terminal;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use grapeshot_browser::Browser;

use crate::demo::{self, Demo};
use crate::{packages, place, shell};
use terminal::Terminal;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the files go.
    #[arg(long, default_value = "docs")]
    to: PathBuf,
}

/// What is typed in the recorded session.
const SESSION: &[&str] = &[
    "help()",
    "players()",
    "ps().top(\"cpu\", 5)",
    "where(ps(\"pulse\")[0].id)",
    "groups()",
    "workers()",
    "speed(0)",
    "npcs()",
    "speed(1)",
    "spawn_npcs(500)",
];
/// The picture begins with this line; the text has all.
const PICTURE_FROM: &str = "players()";
const PROMPT: &str = "mmo> ";
const COLUMNS: u32 = 108;
const LINES: u32 = 48;

/// The live view's terminal.
const TOP_COLUMNS: u32 = 132;
const TOP_LINES: u32 = 36;

pub(crate) fn run(options: &Options) -> Result<()> {
    let missing = packages::install(&[packages::FOR_TESTS, packages::FOR_MEDIA])?;
    ensure!(
        missing.is_empty(),
        "no pictures without {}",
        missing.join(", ")
    );
    demo::build(&["mmo", "mmo-load", "console"])?;
    let to = place::root().join(&options.to);
    fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;

    // More than by default: a picture shows only a small part of the field.
    let demo = Demo::start(&["--npcs", "20000", "--page", "127.0.0.1:0"])?;
    let mut others = Command::new(place::release_binary("mmo-load"));
    others.args([demo.host(), "--viewports", "7", "--scroll", "120"]);
    let _others = shell::Server::start(others.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let browser = Browser::start(1280, 800);
    browser.open(&format!("{}?name=Ada", demo.address()));
    // The world needs a moment to be drawn, and its figures to settle.
    thread::sleep(Duration::from_secs(3));
    picture(&browser, &to.join("mmo.png"))?;

    report::pictures(&browser, &demo, &to)?;
    page::pictures(&browser, &demo, &to)?;

    let screen = record(&demo)?;
    let text = to.join("console-session.txt");
    fs::write(&text, ansi::plain(&screen))
        .with_context(|| format!("writing {}", text.display()))?;
    println!("written: {}", text.display());
    let first = screen
        .lines()
        .position(|line| ansi::plain(line) == format!("{PROMPT}{PICTURE_FROM}"))
        .unwrap_or(0);
    let shown: Vec<&str> = screen.lines().skip(first).collect();
    show_terminal(
        &browser,
        "console",
        &shown.join("\n"),
        &to.join("console.png"),
    )?;

    let screen = record_top(&demo)?;
    let text = to.join("top.txt");
    fs::write(&text, ansi::plain(&screen))
        .with_context(|| format!("writing {}", text.display()))?;
    println!("written: {}", text.display());
    show_terminal(&browser, "console top", &screen, &to.join("top.png"))
}

/// With a palette of its own, which makes it a third as large and looks the same.
fn picture(browser: &Browser, to: &Path) -> Result<()> {
    fs::write(to, browser.screenshot()).with_context(|| format!("writing {}", to.display()))?;
    let mut quantise = Command::new("pngquant");
    quantise.args([
        "--force",
        "--skip-if-larger",
        "--strip",
        "--speed=1",
        "--ext=.png",
    ]);
    // It says with 98 or 99 that the picture is better as it was.
    let _ = shell::run(quantise.arg(to));
    println!("written: {}", to.display());
    Ok(())
}

fn record(demo: &Demo) -> Result<String> {
    let console = [demo.backdoor().as_os_str()];
    let terminal = Terminal::start(&place::release_binary("console"), &console, COLUMNS, LINES)?;
    terminal.wait_for_prompt(PROMPT)?;
    for line in SESSION {
        terminal.type_line(line, PROMPT)?;
    }
    terminal.screen()
}

/// The live view after some refreshes, with one chosen.
fn record_top(demo: &Demo) -> Result<String> {
    let top = [OsStr::new("top"), demo.backdoor().as_os_str()];
    let program = place::release_binary("console");
    let terminal = Terminal::start(&program, &top, TOP_COLUMNS, TOP_LINES)?;
    terminal.wait_for_text("npc-")?;
    // Sparklines want a past.
    thread::sleep(Duration::from_secs(25));
    terminal.press(&["Down", "Down"])?;
    thread::sleep(Duration::from_secs(2));
    terminal.screen()
}

fn show_terminal(browser: &Browser, title: &str, screen: &str, to: &Path) -> Result<()> {
    let page = place::target().join("console.html");
    fs::write(&page, ansi::page(title, screen)).context("writing the console's page")?;
    browser.open(&format!("file://{}", page.display()));
    browser.wait_for("document.querySelector('.window')?.offsetWidth > 0");
    let size = browser.script(
        "const w = document.querySelector('.window'); return [w.offsetWidth, w.offsetHeight]",
    );
    // The page's own margin, on both sides.
    let side = |i: usize| size[i].as_u64().map(|side| side as u32 + 56);
    let (width, height) = side(0).zip(side(1)).context("the page has no size")?;
    browser.resize(width, height, 1.0);
    picture(browser, to)
}
