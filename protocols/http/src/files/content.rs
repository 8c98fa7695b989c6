//! A file's content as an answer: whole, in part, or in several parts.

use std::io::Write;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use grapeshot_vfs::{Metadata, OpenFile};

use crate::conditions::{self, Validators, Verdict};
use crate::range::{self, Ranges};
use crate::writer::BodyWriter;
use crate::{Error, Request, Response, Status};

/// Read into the answer's own memory up to this size, to leave with its head in one write; above, the kernel sends it.
const COPY_UP_TO: u64 = 32 << 10;
/// Read at a time, if the kernel cannot send it.
const CHUNK: u64 = 64 << 10;
/// A change within this time after another may not show in the time of the change.
const SETTLED: Duration = Duration::from_secs(2);

/// The entity tag of what is there now, and whether it is a strong one (RFC 9110, section 8.8.1).
pub(super) fn validators(metadata: &Metadata) -> Validators<'_> {
    let settled = metadata.modified.is_none_or(|modified| {
        grapeshot::time::system_now()
            .duration_since(modified)
            .is_ok_and(|age| age >= SETTLED)
    });
    Validators {
        tag: &metadata.tag,
        strong: settled,
        modified: metadata.modified,
    }
}

pub(super) fn entity_tag(validators: &Validators<'_>) -> String {
    let weak = if validators.strong { "" } else { "W/" };
    format!("{weak}\"{}\"", validators.tag)
}

/// Sends what the conditions and ranges of the request leave of the file. **May suspend.**
pub(super) fn send(
    request: &Request<'_>,
    mut response: Response<'_>,
    file: &dyn OpenFile,
    media_type: &str,
) -> Result<(), Error> {
    let metadata = file.metadata();
    let validators = validators(metadata);
    response = response.header("ETag", entity_tag(&validators));
    // A date before 1970 or after 9999 cannot be said.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    if let Some(modified) = metadata.modified.filter(|time| *time <= last) {
        response = response.header("Last-Modified", httpdate::fmt_http_date(modified));
    }
    match conditions::judge(**request, Some(&validators)) {
        Verdict::Proceed => {}
        Verdict::NotModified => return response.status(Status::NOT_MODIFIED).send(""),
        Verdict::Failed => {
            return response
                .status(Status::PRECONDITION_FAILED)
                .send_text("it has changed\n");
        }
    }
    response = response
        .header("Accept-Ranges", "bytes")
        .header("X-Content-Type-Options", "nosniff");
    let len = metadata.len;
    let wanted = request
        .values("Range")
        .next()
        .filter(|_| request.method() == "GET" && conditions::range_counts(**request, &validators))
        .map_or(Ranges::Whole, |value| range::parse(value, len));
    match wanted {
        Ranges::Whole => {
            let response = response.header("Content-Type", media_type);
            send_part(response, file, 0..len)
        }
        Ranges::Unsatisfiable => response
            .status(Status::RANGE_NOT_SATISFIABLE)
            .header("Content-Range", format!("bytes */{len}"))
            .send_text("there is no such part\n"),
        Ranges::Some(parts) => match &*parts {
            [part] => {
                let response = response
                    .status(Status::PARTIAL_CONTENT)
                    .header("Content-Type", media_type)
                    .header("Content-Range", content_range(part, len));
                send_part(response, file, part.clone())
            }
            parts => send_parts(response, file, media_type, parts),
        },
    }
}

fn content_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end - 1)
}

fn send_part(response: Response<'_>, file: &dyn OpenFile, part: Range<u64>) -> Result<(), Error> {
    let response = response.content_length(part.end - part.start);
    if response.is_head() {
        return response.send("");
    }
    let mut writer = response.start()?;
    copy(&mut writer, file, part)?;
    writer.finish()
}

/// `multipart/byteranges` (RFC 9110, section 14.6).
fn send_parts(
    response: Response<'_>,
    file: &dyn OpenFile,
    media_type: &str,
    parts: &[Range<u64>],
) -> Result<(), Error> {
    let mut random = [0; 16];
    grapeshot::random::fill(&mut random).map_err(std::io::Error::other)?;
    let boundary = format!("{:032x}", u128::from_ne_bytes(random));
    let head = |part: &Range<u64>| {
        let range = content_range(part, file.metadata().len);
        format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n")
    };
    let end = format!("\r\n--{boundary}--\r\n");
    let sum: u64 = parts
        .iter()
        .map(|part| head(part).len() as u64 + (part.end - part.start))
        .sum();
    let response = response
        .status(Status::PARTIAL_CONTENT)
        .header(
            "Content-Type",
            format!("multipart/byteranges; boundary={boundary}"),
        )
        .content_length(sum + end.len() as u64);
    let mut writer = response.start()?;
    for part in parts {
        writer.write_all(head(part).as_bytes())?;
        copy(&mut writer, file, part.clone())?;
    }
    writer.write_all(end.as_bytes())?;
    writer.finish()
}

/// Writes a part of the file. If it has become shorter, that is an error, and the connection ends for want of what was
/// declared. **May suspend.**
fn copy(
    writer: &mut BodyWriter<'_>,
    file: &dyn OpenFile,
    mut part: Range<u64>,
) -> Result<(), Error> {
    if part.end - part.start > COPY_UP_TO
        && let Some(descriptor) = file.as_file()
    {
        return writer.send_file(descriptor, part);
    }
    let mut chunk = vec![0; (part.end - part.start).min(CHUNK) as usize];
    while !part.is_empty() {
        let room = chunk.len().min((part.end - part.start) as usize);
        match file.read_at(&mut chunk[..room], part.start)? {
            0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            count => {
                writer.write_all(&chunk[..count])?;
                part.start += count as u64;
            }
        }
    }
    Ok(())
}
