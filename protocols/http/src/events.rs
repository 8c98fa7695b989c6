//! Server-sent events (HTML, section 9.2).

use std::io::Write;
use std::time::Duration;

use crate::writer::BodyWriter;
use crate::{Error, Request, Response};

/// A stream of events to a browser's `EventSource`, which asks again by itself when the connection is lost.
///
/// ```
/// use std::time::Duration;
/// use grapeshot_http::{Error, Event, Router, handler};
///
/// let site = Router::new().on("GET", "/clock", handler(|_request, response| {
///     let mut events = response.events()?;
///     loop {
///         events.send(&Event::new("tick").kind("clock"))?;
///         grapeshot::sleep(Duration::from_secs(1));
///     }
///     # #[allow(unreachable_code)]
///     Ok::<(), Error>(())
/// }));
/// ```
///
/// That the browser has gone shows when something is sent: send a [`comment`](EventStream::comment) now and then.
#[derive(Debug)]
pub struct EventStream<'c> {
    writer: BodyWriter<'c>,
    text: String,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    data: String,
    kind: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
}

impl Event {
    /// An event with this text, of as many lines as it likes.
    #[must_use]
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// The name under which the page listens for it; `message` by default.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// What the browser says as [`Request::last_event_id`] when it asks again after this event.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// How long the browser waits before it asks again.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }

    /// Appends it as it is sent. Names and ids have no line ends: those are left out.
    fn encode(&self, out: &mut String) {
        let field = |out: &mut String, name: &str, value: &str| {
            out.push_str(name);
            out.push_str(": ");
            out.extend(
                value
                    .chars()
                    .filter(|char| !matches!(char, '\r' | '\n' | '\0')),
            );
            out.push('\n');
        };
        if let Some(kind) = &self.kind {
            field(out, "event", kind);
        }
        if let Some(id) = &self.id {
            field(out, "id", id);
        }
        if let Some(retry) = self.retry {
            field(out, "retry", &retry.as_millis().to_string());
        }
        for line in self.data.replace("\r\n", "\n").split(['\r', '\n']) {
            field(out, "data", line);
        }
        out.push('\n');
    }
}

impl<'c> Response<'c> {
    /// Begins a stream of server-sent events.
    ///
    /// # Errors
    /// As those of [`start`](Response::start).
    pub fn events(self) -> Result<EventStream<'c>, Error> {
        let mut writer = self
            .default_type("text/event-stream")
            .header("Cache-Control", "no-store")
            // nginx would hold them back otherwise.
            .header("X-Accel-Buffering", "no")
            .start()?;
        writer.flush()?;
        Ok(EventStream {
            writer,
            text: String::new(),
        })
    }
}

impl Request<'_> {
    /// The [`id`](Event::id) of the last event that the browser got before it lost the connection.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.header("Last-Event-ID")
    }
}

impl EventStream<'_> {
    /// Sends an event. **May suspend.**
    ///
    /// # Errors
    /// Those of the stream: the browser has gone, or takes nothing.
    pub fn send(&mut self, event: &Event) -> Result<(), Error> {
        self.text.clear();
        event.encode(&mut self.text);
        self.put()
    }

    /// Sends what the page does not see: it keeps the connection alive, and shows whether the browser is there.
    /// **May suspend.**
    ///
    /// # Errors
    /// As those of [`send`](EventStream::send).
    pub fn comment(&mut self) -> Result<(), Error> {
        ":\n\n".clone_into(&mut self.text);
        self.put()
    }

    fn put(&mut self) -> Result<(), Error> {
        self.writer.write_all(self.text.as_bytes())?;
        Ok(self.writer.flush()?)
    }

    /// Ends the stream; the browser asks again after a while, unless it is answered with 204 then.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn finish(self) -> Result<(), Error> {
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines() {
        let of = |event: &Event| {
            let mut out = String::new();
            event.encode(&mut out);
            out
        };
        assert_eq!(of(&Event::new("a")), "data: a\n\n");
        assert_eq!(
            of(&Event::new("a\nb\r\nc\rd")),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(of(&Event::new("")), "data: \n\n");
        let event = Event::new("x")
            .kind("k\nid: forged")
            .id("7\r\n")
            .retry(Duration::from_secs(2));
        assert_eq!(
            of(&event),
            "event: kid: forged\nid: 7\nretry: 2000\ndata: x\n\n"
        );
    }
}
