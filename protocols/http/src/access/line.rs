//! A line of the access log. Performs no I/O.

use std::time::{Duration, SystemTime};

use grapeshot::net::Peer;

use crate::Status;

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `host - user [date] "request" status bytes`, as all web servers since NCSA's have it.
    Common,
    /// The same with the referer and the user agent.
    Combined,
    /// A JSON object, with the microseconds that the request took besides.
    Json,
}

/// What is logged of a request.
pub(crate) struct Line<'l> {
    pub(crate) peer: Peer,
    pub(crate) user: Option<&'l str>,
    /// Seconds since 1970.
    pub(crate) when: u64,
    /// Method, target and version; none, if the head was refused.
    pub(crate) request: Option<(&'l str, &'l str, &'static str)>,
    pub(crate) status: Status,
    /// Of the content, as sent.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    pub(crate) referer: Option<&'l str>,
    pub(crate) agent: Option<&'l str>,
}

impl Line<'_> {
    pub(crate) fn encode(&self, format: LogFormat, out: &mut Vec<u8>) {
        let host = match self.peer {
            Peer::Tcp(address) => address.ip().to_string(),
            other => other.to_string(),
        };
        let text = match format {
            LogFormat::Json => self.json(&host),
            _ => {
                let request = self.request.map_or_else(
                    || "-".to_owned(),
                    |(method, target, version)| {
                        format!("{} {} {version}", escape(method), escape(target))
                    },
                );
                let user = self.user.filter(|user| !user.is_empty());
                let user = user.map_or("-".to_owned(), |user| escape(user).replace(' ', "\\x20"));
                let bytes = match self.bytes {
                    0 => "-".to_owned(),
                    bytes => bytes.to_string(),
                };
                let code = self.status.code();
                let date = Date::of(self.when).common();
                let mut line = format!("{host} - {user} [{date}] \"{request}\" {code} {bytes}");
                if format == LogFormat::Combined {
                    let or_dash = |text: Option<&str>| text.map_or("-".to_owned(), escape);
                    let (referer, agent) = (or_dash(self.referer), or_dash(self.agent));
                    line.push_str(&format!(" \"{referer}\" \"{agent}\""));
                }
                line
            }
        };
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }

    fn json(&self, host: &str) -> String {
        let (method, target, version) = match self.request {
            Some((method, target, version)) => (Some(method), Some(target), Some(version)),
            None => (None, None, None),
        };
        serde_json::json!({
            "time": Date::of(self.when).rfc3339(),
            "peer": host,
            "user": self.user,
            "method": method,
            "target": target,
            "version": version,
            "status": self.status.code(),
            "bytes": self.bytes,
            "micros": u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            "referer": self.referer,
            "agent": self.agent,
        })
        .to_string()
    }
}

/// What a client chose, so that it can neither end a field nor a line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            0x20..=0x7e => out.push(byte as char),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, from which others are made.
struct Date(String);

impl Date {
    fn of(when: u64) -> Self {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(when);
        Self(httpdate::fmt_http_date(time))
    }

    fn part(&self, range: std::ops::Range<usize>) -> &str {
        self.0.get(range).unwrap_or_default()
    }

    fn common(&self) -> String {
        let (day, month, year) = (self.part(5..7), self.part(8..11), self.part(12..16));
        format!("{day}/{month}/{year}:{} +0000", self.part(17..25))
    }

    fn rfc3339(&self) -> String {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let month = MONTHS.find(self.part(8..11)).map_or(0, |at| at / 3 + 1);
        format!(
            "{}-{month:02}-{}T{}Z",
            self.part(12..16),
            self.part(5..7),
            self.part(17..25)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_fields_and_no_more() {
        let line = Line {
            peer: Peer::Tcp("192.0.2.1:5000".parse().unwrap()),
            user: Some("a b"),
            when: 784_111_777,
            request: Some(("GET", "/\"x\\", "HTTP/1.1")),
            status: Status::OK,
            bytes: 12,
            took: Duration::from_micros(5),
            referer: None,
            agent: Some("evil\" \u{e9}\n"),
        };
        let of = |format| {
            let mut out = Vec::new();
            line.encode(format, &mut out);
            String::from_utf8(out).unwrap()
        };
        let common =
            "192.0.2.1 - a\\x20b [06/Nov/1994:08:49:37 +0000] \"GET /\\\"x\\\\ HTTP/1.1\" 200 12";
        assert_eq!(of(LogFormat::Common), format!("{common}\n"));
        assert_eq!(
            of(LogFormat::Combined),
            format!("{common} \"-\" \"evil\\\" \\xc3\\xa9\\x0a\"\n")
        );
        let json: serde_json::Value = serde_json::from_str(&of(LogFormat::Json)).unwrap();
        assert_eq!(json["time"], "1994-11-06T08:49:37Z");
        assert_eq!(
            (&json["status"], &json["micros"], &json["agent"]),
            (&200.into(), &5.into(), &"evil\" \u{e9}\n".into())
        );
    }
}
