//! Chromium through its driver: as much of WebDriver as taking a picture needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::shell;

/// A browser with one window; it ends with this.
pub(super) struct Browser {
    port: u16,
    session: String,
    _driver: shell::Server,
}

impl Browser {
    /// Starts one whose pages have this size, in CSS pixels.
    pub(super) fn start(width: u32, height: u32) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .context("a free port")?
            .port();
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let driver = shell::Server::start(&mut command)?;
        wait_for("chromedriver to listen", || {
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        // The machine may have no way out: without these, Chromium calls home many times a second.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments}}}});
        let answer = call(port, "POST", "/session", &wanted)?;
        let session = answer["sessionId"]
            .as_str()
            .context("chromedriver gives no session")?
            .to_owned();
        let browser = Self {
            port,
            session,
            _driver: driver,
        };
        browser.resize(width, height)?;
        Ok(browser)
    }

    /// Makes the page, not the window, this large.
    pub(super) fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false } });
        self.post("goog/cdp/execute", &size).map(drop)
    }

    pub(super) fn open(&self, address: &str) -> Result<()> {
        self.post("url", &json!({ "url": address })).map(drop)
    }

    /// The value of a script that ends in `return …`.
    pub(super) fn script(&self, script: &str) -> Result<Value> {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub(super) fn screenshot(&self, to: &Path) -> Result<()> {
        let shot = self.post(
            "goog/cdp/execute",
            &json!({ "cmd": "Page.captureScreenshot", "params": {} }),
        )?;
        let png = from_base64(
            shot["data"]
                .as_str()
                .context("chromedriver gives no picture")?,
        )?;
        std::fs::write(to, png).with_context(|| format!("writing {}", to.display()))
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        call(
            self.port,
            "POST",
            &format!("/session/{}/{what}", self.session),
            body,
        )
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; killing the driver alone would leave it running.
        let _ = call(
            self.port,
            "DELETE",
            &format!("/session/{}", self.session),
            &Value::Null,
        );
    }
}

/// Asks every so often, for half a minute at most.
pub(super) fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        ensure!(Instant::now() < give_up, "waited for {what} in vain");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// One request to the driver over a connection of its own; gives the answer's `value`.
fn call(port: u16, method: &str, path: &str, body: &Value) -> Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("reaching chromedriver")?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = BufReader::new(stream);
    let mut length = None;
    loop {
        let mut line = String::new();
        ensure!(answer.read_line(&mut line)? > 0, "chromedriver hung up");
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
    }
    let mut bytes = vec![0; length.context("chromedriver gives no length")?];
    answer.read_exact(&mut bytes)?;
    let mut value: Value = serde_json::from_slice(&bytes)?;
    let value = value["value"].take();
    if let Some(error) = value["error"].as_str() {
        bail!(
            "chromedriver: {error}: {}",
            value["message"].as_str().unwrap_or_default()
        );
    }
    Ok(value)
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => bail!("{other:#04x} is no digit of base64"),
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::from_base64;

    #[test]
    fn base64_of_every_length_is_read() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(from_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(from_base64("+/8A").unwrap(), [0xfb, 0xff, 0x00]);
        assert!(from_base64("Zm9v!").is_err());
    }
}
