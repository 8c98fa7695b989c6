//! The `Date` header's value, formatted once a second a thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub(crate) const LEN: usize = 29;

thread_local! {
    static CACHE: RefCell<(u64, [u8; LEN])> = const { RefCell::new((u64::MAX, [0; LEN])) };
}

/// Appends the value for the second `now`, in seconds since 1970.
pub(crate) fn append(out: &mut Vec<u8>, now: u64) {
    CACHE.with_borrow_mut(|(second, text)| {
        if *second != now {
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            text.copy_from_slice(&date.as_bytes()[..LEN]);
            *second = now;
        }
        out.extend_from_slice(text);
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
        append(&mut out, 784_111_777);
        append(&mut out, 784_111_778);
        assert_eq!(
            out,
            b"Sun, 06 Nov 1994 08:49:37 GMTSun, 06 Nov 1994 08:49:37 GMTSun, 06 Nov 1994 08:49:38 GMT"
        );
        assert!(now() > 1_700_000_000);
    }
}
