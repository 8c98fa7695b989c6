//! Pictures of the report of a profile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use grapeshot_browser::Browser;

use super::picture;
use crate::demo::Demo;
use crate::{place, shell};

struct Picture {
    file: &'static str,
    /// What the browser prefers.
    theme: &'static str,
    /// In CSS pixels.
    size: (u32, u32),
    /// Device pixels to each of these.
    ratio: f64,
    view: &'static str,
}

const PICTURES: [Picture; 3] = [
    Picture {
        file: "profile.png",
        theme: "light",
        size: (1280, 860),
        ratio: 1.0,
        view: "flame",
    },
    Picture {
        file: "profile-timeline.png",
        theme: "dark",
        size: (1280, 760),
        ratio: 1.0,
        view: "timeline",
    },
    Picture {
        file: "profile-phone.png",
        theme: "light",
        size: (390, 844),
        ratio: 2.0,
        view: "flame",
    },
];

/// Profiles the demo, and takes them all.
pub(super) fn pictures(browser: &Browser, demo: &Demo, to: &Path) -> Result<()> {
    let report = profile(demo)?;
    for shot in PICTURES {
        browser.prefer(shot.theme);
        browser.resize(shot.size.0, shot.size.1, shot.ratio);
        browser.open(&format!("file://{}", report.display()));
        // Own code is what people look for; the libraries below it are a click away.
        browser.script("document.getElementById('switch-fold').click()");
        browser.script(&format!("report.open('{}')", shot.view));
        browser.wait_for("!report.flame.due && !report.timeline.due");
        picture(browser, &to.join(shot.file))?;
    }
    browser.prefer("light");
    browser.resize(1280, 800, 1.0);
    Ok(())
}

/// For some seconds, by the console as anybody would; gives where the report is.
fn profile(demo: &Demo) -> Result<PathBuf> {
    let report = place::target().join("profile.html");
    let save = format!("profile.save({:?})", report.display().to_string());
    let statements = ["profile.take(5)", &save];
    let mut console = Command::new(place::release_binary("console"));
    console
        .arg(demo.backdoor())
        .args(statements.map(|it| format!("--command={it}")));
    shell::run(&mut console)?;
    Ok(report)
}
