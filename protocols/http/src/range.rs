//! Ranges of bytes (RFC 9110, section 14). Performs no I/O.

use std::ops::Range;

/// Ranges that one answer gives at most; a request for more is answered with the whole.
pub const MOST_RANGES: usize = 16;

/// What a `Range` header comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// The whole is to be sent: the header is malformed, of another unit, or asks for more than is sensible.
    Whole,
    /// 416: none of it is there.
    Unsatisfiable,
    /// These, each not empty, in the order of the request; those that touched are one.
    Some(Vec<Range<u64>>),
}

/// Reads the value of a `Range` header, for something of `len` bytes.
#[must_use]
pub fn parse(value: &[u8], len: u64) -> Ranges {
    let Some(list) = std::str::from_utf8(value).ok().and_then(|text| {
        let (unit, list) = text.split_once('=')?;
        unit.trim().eq_ignore_ascii_case("bytes").then_some(list)
    }) else {
        return Ranges::Whole;
    };
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (number, spec) in list.split(',').enumerate() {
        if number == MOST_RANGES {
            return Ranges::Whole;
        }
        let Some(range) = parse_one(spec.trim(), len) else {
            return Ranges::Whole;
        };
        if range.is_empty() {
            continue;
        }
        let touches =
            |other: &&mut Range<u64>| range.start <= other.end && other.start <= range.end;
        match ranges.iter_mut().find(touches) {
            Some(other) => {
                *other = other.start.min(range.start)..other.end.max(range.end);
            }
            None => ranges.push(range),
        }
    }
    let sum: u64 = ranges
        .iter()
        .fold(0, |sum, range| sum.saturating_add(range.end - range.start));
    if ranges.is_empty() {
        Ranges::Unsatisfiable
    } else if sum > len {
        // Several that overlap after all: nobody needs that, but it is a way to make a server send much.
        Ranges::Whole
    } else {
        Ranges::Some(ranges)
    }
}

/// `first-last`, `first-` or `-suffix`; empty if nothing of it is there, `None` if it is malformed.
fn parse_one(spec: &str, len: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        return Some(len.saturating_sub(number(last)?)..len);
    }
    let first = number(first)?;
    let end = match last {
        "" => len,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(len)
        }
    };
    Some(first..end.max(first))
}

/// Digits, nothing else; more than fits is as good as the most.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read() {
        let some = |ranges: &[Range<u64>]| Ranges::Some(ranges.to_vec());
        for (text, ranges) in [
            ("bytes=0-0", some(&[0..1])),
            ("bytes=0-", some(&[0..100])),
            ("bytes=-1", some(&[99..100])),
            ("bytes=-1000", some(&[0..100])),
            ("bytes=90-1000", some(&[90..100])),
            ("bytes=1-2, 5-6", some(&[1..3, 5..7])),
            ("bytes=5-6,1-2", some(&[5..7, 1..3])),
            ("bytes=0-4,5-9,3-7", some(&[0..10])),
            ("bytes=200-, 0-1", some(&[0..2])),
            ("Bytes=0-99999999999999999999999", some(&[0..100])),
            ("bytes=100-", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=2-1", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=1-2,", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
            ("lines=1-2", Ranges::Whole),
            ("1-2", Ranges::Whole),
        ] {
            assert_eq!(parse(text.as_bytes(), 100), ranges, "{text}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Ranges::Unsatisfiable);
        let many = vec!["0-0"; MOST_RANGES + 1].join(",");
        assert_eq!(
            parse(format!("bytes={many}").as_bytes(), 100),
            Ranges::Whole
        );
    }

    proptest! {
        #[test]
        fn no_header_makes_us_send_more_than_there_is(
            text in "bytes=([0-9]{0,3}-[0-9]{0,3},?){1,20}",
            len in 0u64..1000,
        ) {
            if let Ranges::Some(ranges) = parse(text.as_bytes(), len) {
                prop_assert!(!ranges.is_empty() && ranges.len() <= MOST_RANGES);
                prop_assert!(ranges.iter().all(|range| !range.is_empty() && range.end <= len));
                prop_assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= len);
            }
        }
    }
}
