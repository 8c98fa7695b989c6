//! Heads of answers, as bytes. Performs no I/O.

use crate::{Status, date};

/// The status line and the date.
pub(crate) fn encode_start(out: &mut Vec<u8>, status: Status, now: u64) {
    if status == Status::OK {
        return date::append_ok(out, now);
    }
    encode_status(out, status);
    date::append(out, now);
}

/// The status line alone.
pub(crate) fn encode_status(out: &mut Vec<u8>, status: Status) {
    out.extend_from_slice(b"HTTP/1.1 ");
    encode_decimal(out, status.code().into());
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn encode_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    encode_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

fn encode_decimal(out: &mut Vec<u8>, mut number: u64) {
    // Short ones go straight to their place: what is put together elsewhere costs a stall when it is copied.
    if number < 10 {
        return out.push(b'0' + number as u8);
    }
    if number < 100 {
        let (tens, ones) = (number / 10, number % 10);
        return out.extend_from_slice(&[b'0' + tens as u8, b'0' + ones as u8]);
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
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
