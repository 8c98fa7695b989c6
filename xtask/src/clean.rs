//! The demos under their load, for minutes: nothing is wrong with them, so no lint may say so.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::demo::{self, Demo};
use crate::section::Outcome;
use crate::{packages, place, shell};

/// Between two questions. What was noticed stays known, so nothing is missed in between.
const EVERY: Duration = Duration::from_secs(5);
/// What people do with the chat and the shared folder.
const LOAD: &str = include_str!("clean_load.py");
/// A file that is fetched again and again.
const LARGE: usize = 1 << 20;

/// A demo, and those who use it.
struct Used {
    name: &'static str,
    demo: Demo,
    load: shell::Server,
}

/// Watches the world, the chat and the shared folder together.
pub(crate) fn demos(seconds: u64) -> Result<Outcome> {
    let missing = packages::install(&[packages::FOR_TESTS])?;
    if !missing.is_empty() {
        return Ok(Outcome::Skipped(format!("no {}", missing.join(", "))));
    }
    demo::build(&["mmo", "mmo-load", "chat", "share", "console"])?;
    let folder = std::env::temp_dir().join(format!("grapeshot-share-{}", std::process::id()));
    let seen = watch(&folder, seconds);
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    println!("no lint in {seconds} s ({} looks at each demo)", seen?);
    Ok(Outcome::Done(None))
}

/// How often each was looked at.
fn watch(folder: &Path, seconds: u64) -> Result<u32> {
    fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::write(folder.join("large.bin"), vec![7; LARGE])?;
    fs::write(folder.join("small.txt"), "ahoy\n")?;
    let shared = folder.to_str().context("the folder's name is text")?;
    let mut world = Command::new(place::release_binary("mmo-load"));
    let python = |kind: &str| {
        let mut load = Command::new("/usr/bin/python3");
        load.args(["-c", LOAD, kind]);
        load
    };
    let mut used = [
        Used::start(
            "mmo",
            &["--npcs", "2000"],
            world.args(["--viewports", "30"]),
        )?,
        Used::start("chat", &[], &mut python("chat"))?,
        Used::start("share", &[shared], &mut python("share"))?,
    ];
    let (began, mut looks) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(EVERY);
        used.iter_mut().try_for_each(|it| it.look(began))?;
        looks += 1;
    }
    Ok(looks)
}

impl Used {
    fn start(name: &'static str, arguments: &[&str], load: &mut Command) -> Result<Self> {
        let demo = Demo::of(name, arguments)?;
        load.arg(demo.host())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let load = shell::Server::start(load)?;
        Ok(Self { name, demo, load })
    }

    fn look(&mut self, began: Instant) -> Result<()> {
        if let Some(status) = self.load.child().try_wait()? {
            bail!("what used {} has ended with {status}", self.name);
        }
        let said = self.ask("lints()")?;
        ensure!(
            said == "[]",
            "{}, after {:.0?}: {said}\n{}",
            self.name,
            began.elapsed(),
            self.ask("latency()")?
        );
        Ok(())
    }

    fn ask(&self, statement: &str) -> Result<String> {
        let mut console = Command::new(place::release_binary("console"));
        console
            .arg(self.demo.backdoor())
            .args(["--json", "-c", statement]);
        Ok(shell::output(&mut console)?.trim().to_owned())
    }
}
