//! `cargo xtask long`: what takes minutes and is not part of every run of CI.

use anyhow::Result;

use crate::section::{self, Outcome, Sections};
use crate::{autobahn, clean, dnsperf, fuzz, shell, slowhttp, testssl};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the sections whose names contain this, such as `Autobahn` or `fuzz websocket`.
    #[arg(long)]
    only: Option<String>,
    /// The cases of Autobahn, such as `7.*,12.1.1`.
    #[arg(long, value_delimiter = ',', default_value = "*")]
    cases: Vec<String>,
    /// How long each fuzz target runs, in seconds.
    #[arg(long, default_value_t = 60)]
    fuzz_seconds: u32,
    /// How long the demos are watched for lints, in seconds.
    #[arg(long, default_value_t = 120)]
    demo_seconds: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut sections = Sections::only(options.only.as_deref());
    sections.run("Autobahn against our server", || {
        autobahn::our_server(&options.cases)
    });
    sections.run("Autobahn against our client", || {
        autobahn::our_client(&options.cases)
    });
    sections.run("testssl.sh against our HTTPS server", testssl::run);
    sections.run("slowhttptest", slowhttp::run);
    sections.run("dnsperf against our DNS server", dnsperf::run);
    sections.run("no lint on the demos", || {
        clean::demos(options.demo_seconds)
    });
    sections.run("stuck() over 10,000 seeds", || {
        let test =
            "sync::tests::stuck::what_is_proved_never_goes_on_and_what_never_goes_on_is_proved";
        let mut command = shell::cargo(&["test", "--lib", test, "--", "--exact", "--nocapture"]);
        command.env("GRAPESHOT_STUCK_SEEDS", "10000");
        Ok(Outcome::Done(Some(section::run_tests_inspected(
            &mut command,
            |_| {},
        )?)))
    });
    for target in fuzz::targets()? {
        sections.run(&format!("fuzz {target}"), || {
            fuzz::run(&target, options.fuzz_seconds)
        });
    }
    sections.close()
}
