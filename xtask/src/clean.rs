//! The demo under load, for minutes: nothing is wrong with it, so no lint may say so.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::demo::{self, Demo};
use crate::section::Outcome;
use crate::{place, shell};

/// Between two questions. What was noticed stays known, so nothing is missed in between.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) fn mmo(seconds: u64) -> Result<Outcome> {
    demo::build(&["mmo", "mmo-load", "console"])?;
    let demo = Demo::start(&["--npcs", "2000"])?;
    let mut load = Command::new(place::release_binary("mmo-load"));
    load.args([demo.host(), "--viewports", "30"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut load = shell::Server::start(&mut load)?;
    let (began, mut asked) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(EVERY);
        if let Some(status) = load.child().try_wait()? {
            bail!("the load has ended with {status}");
        }
        let said = ask(&demo, "lints()")?;
        ensure!(
            said == "[]",
            "after {:.0?}: {said}\n{}",
            began.elapsed(),
            ask(&demo, "latency()")?
        );
        asked += 1;
    }
    println!("no lint in {seconds} s ({asked} looks)");
    Ok(Outcome::Done(None))
}

fn ask(demo: &Demo, statement: &str) -> Result<String> {
    let mut console = Command::new(place::release_binary("console"));
    console
        .arg(demo.backdoor())
        .args(["--json", "-c", statement]);
    Ok(shell::output(&mut console)?.trim().to_owned())
}
