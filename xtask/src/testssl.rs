//! testssl.sh against our HTTPS server as it is by default: nothing above *low* may be found.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use grapeshot_tls::demo::Authority;
use serde_json::Value;

use crate::section::Outcome;
use crate::{place, shell};

/// It tries a hundred things, some of which wait for an answer that does not come.
const SILENCE: Duration = Duration::from_secs(10 * 60);
/// What it may say of a finding. It warns of what it could not find out.
const GOOD: [&str; 5] = ["OK", "INFO", "LOW", "DEBUG", "WARN"];
/// What is not the server's: an authority for demonstrations publishes no revocations, and DNS says nothing of localhost.
const NOT_OURS: [&str; 4] = [
    "cert_revocation",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "DNS_CAArecord",
];

pub(crate) fn run() -> Result<Outcome> {
    let Some(testssl) = ["testssl", "testssl.sh"]
        .into_iter()
        .find_map(place::in_path)
    else {
        return Ok(Outcome::Skipped(
            "testssl.sh is not installed (the Debian package testssl.sh)".into(),
        ));
    };
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "-p",
        "grapeshot-http",
        "--example",
        "https",
    ]))?;
    let folder = place::target().join("testssl");
    std::fs::create_dir_all(&folder)?;
    let authority = Authority::new()?;
    let identity = authority.host(["localhost", "127.0.0.1"]).issue()?;
    let put = |name: &str, content: &str| -> Result<_> {
        let path = folder.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    };
    let trusted = put("ca.pem", authority.certificate_pem())?;
    let mut command = Command::new(place::target().join("release/examples/https"));
    command
        .arg(put("site.pem", &identity.chain_pem)?)
        .arg(put("site.key", &identity.key_pem)?)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped());
    let mut server = shell::Server::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(server.child().stdout.take().expect("it is piped")).read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("listening on 127.0.0.1")
        .context("our server did not say where it listens")?;
    let report = folder.join("report.json");
    let _ = std::fs::remove_file(&report);
    // Its status tells how many findings there are; the report tells which.
    shell::run_inspected(
        Command::new(testssl)
            .args([
                "--quiet",
                "--color",
                "0",
                "--warnings",
                "off",
                "--ip",
                "127.0.0.1",
                "--add-ca",
            ])
            .arg(trusted)
            .arg("--jsonfile")
            .arg(&report)
            .arg(format!("localhost{address}")),
        SILENCE,
        |_| {},
    )?;
    judge(&std::fs::read_to_string(report)?)
}

fn judge(report: &str) -> Result<Outcome> {
    let findings: Vec<Value> = serde_json::from_str(report).context("the report is no JSON")?;
    // So many it has when it comes to its end.
    ensure!(
        findings.len() > 60,
        "the report has only {} findings",
        findings.len()
    );
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    ensure!(
        !findings
            .iter()
            .any(|finding| text(finding, "finding") == "Scan interrupted"),
        "it did not come to its end"
    );
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| !GOOD.contains(&text(finding, "severity").as_str()))
        .filter(|finding| {
            !NOT_OURS
                .iter()
                .any(|id| text(finding, "id").starts_with(id))
        })
        .map(|finding| {
            let [severity, id, said] = ["severity", "id", "finding"].map(|key| text(finding, key));
            format!("{severity}: {id}: {said}")
        })
        .collect();
    ensure!(bad.is_empty(), "testssl.sh found:\n{}", bad.join("\n"));
    Ok(Outcome::Done(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(severity: &str, id: &str) -> String {
        let fine = r#"{"id": "fine", "severity": "OK", "finding": "not vulnerable"},"#.repeat(70);
        format!(r#"[{fine}{{"id": "{id}", "severity": "{severity}", "finding": "said"}}]"#)
    }

    #[test]
    fn what_is_above_low_fails() {
        assert!(judge(&report("LOW", "BREACH")).is_ok());
        assert!(judge(&report("HIGH", "cert_revocation")).is_ok());
        for severity in ["MEDIUM", "HIGH", "CRITICAL", "FATAL"] {
            let error = judge(&report(severity, "BEAST")).err().expect("it is bad");
            assert!(error.to_string().contains("BEAST"), "{error}");
        }
        assert!(judge("[]").is_err());
    }
}
