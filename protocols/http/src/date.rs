//! The `Date` header, formatted once a second a thread, with the status line that is nearly always before it.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const NAME: &[u8] = b"Date: ";
/// `Sun, 06 Nov 1994 08:49:37 GMT`
const VALUE: usize = 29;
const VALUE_AT: usize = OK.len() + NAME.len();
const LEN: usize = VALUE_AT + VALUE + 2;

thread_local! {
    static CACHE: RefCell<(u64, [u8; LEN])> = const { RefCell::new((u64::MAX, template())) };
}

/// The two lines without the date.
const fn template() -> [u8; LEN] {
    let mut lines = [0; LEN];
    let (ok, rest) = lines.split_at_mut(OK.len());
    ok.copy_from_slice(OK);
    let (name, rest) = rest.split_at_mut(NAME.len());
    name.copy_from_slice(NAME);
    rest.split_at_mut(VALUE).1.copy_from_slice(b"\r\n");
    lines
}

/// Appends the status line of `200 OK` and the `Date` line for the second `now`, in seconds since 1970.
pub(crate) fn append_ok(out: &mut Vec<u8>, now: u64) {
    with_lines(now, |lines| out.extend_from_slice(lines));
}

/// Appends the `Date` line alone.
pub(crate) fn append(out: &mut Vec<u8>, now: u64) {
    with_lines(now, |lines| out.extend_from_slice(&lines[OK.len()..]));
}

fn with_lines(now: u64, call: impl FnOnce(&[u8; LEN])) {
    CACHE.with_borrow_mut(|(second, lines)| {
        if *second != now {
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            lines[VALUE_AT..][..VALUE].copy_from_slice(date.as_bytes());
            *second = now;
        }
        call(lines);
    });
}

/// The wall clock's second.
pub(crate) fn now() -> u64 {
    let since = grapeshot::time::system_now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_the_second() {
        let mut out = Vec::new();
        append(&mut out, 784_111_777);
        append_ok(&mut out, 784_111_777);
        append(&mut out, 784_111_778);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
        );
        assert!(now() > 1_700_000_000);
    }
}
