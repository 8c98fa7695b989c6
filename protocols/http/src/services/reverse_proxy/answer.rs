//! The answer as it comes back from the server behind.

use std::io::{self, Read, Write};

use grapeshot::net::Stream;

use super::super::intermediary::is_own;
use super::super::relay;
use super::ReverseProxy;
use crate::buffers::{self, Buffers};
use crate::client::{self, ErrorKind};
use crate::{Error, HandlerError, Rejection, Request, Response, Status, Upgraded, Version};

/// Copied at a time.
const CHUNK: usize = 32 << 10;

impl ReverseProxy {
    /// The headers of the answer. `version` is the request's.
    fn with_headers<'c>(
        &self,
        mut response: Response<'c>,
        answer: &client::Response,
        version: Version,
    ) -> Response<'c> {
        let headers = answer.headers();
        let named: Vec<&[u8]> = headers.values("Connection").collect();
        for (name, value) in headers.iter() {
            if name.eq_ignore_ascii_case("date") {
                // The age of an answer counts from there (RFC 9111, section 4.2.3).
                response = response.dated(value);
            } else if !is_own(name, &named)
                && !name.eq_ignore_ascii_case("via")
                // Who speaks HTTP/1.0 is not sent the trailers that it announces.
                && (version == Version::Http11 || !name.eq_ignore_ascii_case("trailer"))
            {
                response = response.header(name, value);
            }
        }
        if let Some(value) = self.via_of(headers.values("Via"), answer.version()) {
            response = response.header("Via", value);
        }
        if answer.status() == Status::UPGRADE_REQUIRED
            && version == Version::Http11
            && let Some(wanted) = answer.header("Upgrade")
        {
            // Other protocols are passed through, so what the server wants can be had here.
            response = response.header("Upgrade", wanted);
        }
        response
    }

    /// Streams the answer: what comes is sent on at once. **May suspend.**
    pub(super) fn pass_back(
        &self,
        mut answer: client::Response,
        version: Version,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let mut response = self
            .with_headers(response, &answer, version)
            .status(answer.status());
        if answer.status().is_bodyless() {
            return Ok(response.send("")?);
        }
        let declared = answer
            .header("Content-Length")
            .and_then(|text| text.parse().ok());
        if let Some(length) = declared {
            response = response.content_length(length);
        }
        if response.is_head() {
            return match declared {
                Some(_) => Ok(response.send("")?),
                // How long it would be is not known here.
                None => Ok(response.start()?.finish()?),
            };
        }
        let mut writer = response.start()?;
        // What is short is passed on in a buffer that is at hand.
        let mut lent = match declared {
            Some(length) if length <= buffers::SIZE as u64 => buffers::take(),
            _ => Buffers {
                input: vec![0; CHUNK],
                ..Buffers::default()
            },
        };
        loop {
            match answer.read(&mut lent.input)? {
                0 => break,
                count => {
                    writer.write_all(&lent.input[..count])?;
                    writer.flush()?;
                }
            }
        }
        buffers::give_back(lent);
        let trailers = answer.trailers().iter();
        let trailers: Vec<_> = trailers
            .filter(|(name, _)| may_trail(name, &answer))
            .collect();
        Ok(writer.end(&trailers)?)
    }

    /// Both sides speak another protocol now. **May suspend.**
    pub(super) fn pass_through(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
        answer: &client::Response,
        theirs: Upgraded,
        protocol: &str,
    ) -> Result<(), HandlerError> {
        let changed = answer.header("Upgrade");
        if !changed.is_some_and(|to| to.eq_ignore_ascii_case(protocol)) {
            log::warn!("http: asked for {protocol}, a server went on with {changed:?}");
            let text = "the server behind this one speaks a protocol that nobody asked for";
            return Err(Rejection::new(Status::BAD_GATEWAY, text).into());
        }
        let response = self.with_headers(response, answer, Version::Http11);
        let ours = response.upgrade(request, protocol)?;
        write_all(&*theirs.stream, &ours.received)?;
        write_all(&*ours.stream, &theirs.received)?;
        relay::carry(&*ours.stream, &*theirs.stream, None);
        Ok(())
    }
}

/// Whether a trailer of the answer is passed back.
fn may_trail(name: &str, answer: &client::Response) -> bool {
    let named: Vec<&[u8]> = answer.headers().values("Connection").collect();
    !is_own(name, &named) && !name.eq_ignore_ascii_case("date") && !name.eq_ignore_ascii_case("via")
}

fn write_all(mut stream: &dyn Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}

/// Passes an interim answer back (RFC 9110, section 15.2). **May suspend.**
pub(super) fn pass_interim(head: &client::head::ResponseHead, response: &Response<'_>) {
    let named: Vec<&[u8]> = head.headers().values("Connection").collect();
    let lines = head
        .headers()
        .iter()
        .filter(|(name, _)| !is_own(name, &named) && !name.eq_ignore_ascii_case("date"));
    let lines: Vec<(&str, &str)> = lines
        .filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)))
        .collect();
    if let Err(error) = response.interim(head.status(), &lines) {
        // The answer itself will fail as well, if the stream is why.
        log::debug!("http: an interim answer could not be passed back: {error}");
    }
}

/// What the client is told when the server could not be asked.
pub(super) fn explain(error: client::Error) -> HandlerError {
    log::warn!("http: a request could not be passed on: {error}");
    let (status, text) = match error.kind() {
        ErrorKind::Timeout(..) => (
            Status::GATEWAY_TIMEOUT,
            "the server behind this one takes too long",
        ),
        // Our own client did not send what it promised: the server answers that.
        ErrorKind::Body(_) => return Error::Truncated.into(),
        _ => (
            Status::BAD_GATEWAY,
            "the server behind this one could not be asked",
        ),
    };
    Rejection::new(status, text).into()
}
