//! Heads of answers, as bytes. Performs no I/O.

use crate::{Status, date};

/// The status line and the date.
pub(crate) fn encode_start(out: &mut Vec<u8>, status: Status, now: u64) {
    if status == Status::OK {
        return date::append_ok(out, now);
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    encode_decimal(out, status.code().into());
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
    date::append(out, now);
}

pub(crate) fn encode_length(out: &mut Vec<u8>, length: u64) {
    const NAME: &[u8] = b"Content-Length: ";
    const END: &[u8] = b"\r\n";
    // Put together from behind, so that it is appended at once.
    let mut line = [0; NAME.len() + 20 + END.len()];
    let end = line.len() - END.len();
    line[end..].copy_from_slice(END);
    let digits = put_decimal(&mut line[..end], length);
    let start = digits - NAME.len();
    line[start..digits].copy_from_slice(NAME);
    out.extend_from_slice(&line[start..]);
}

fn encode_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let start = put_decimal(&mut digits, number);
    out.extend_from_slice(&digits[start..]);
}

/// Writes the number to the end of `room`, and says where it begins there.
fn put_decimal(room: &mut [u8], mut number: u64) -> usize {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return at;
        }
    }
}

/// A whole answer of the server's own, after which the connection closes.
pub(crate) fn encode_failure(
    out: &mut Vec<u8>,
    status: Status,
    text: &str,
    now: u64,
    with_content: bool,
) {
    encode_start(out, status, now);
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    encode_length(out, text.len() as u64 + 1);
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    if with_content {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}
