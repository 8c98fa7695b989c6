//! Dates as cookies have them: every spelling that servers ever used (RFC 6265, section 5.1.1). Performs no I/O.

use std::time::{Duration, SystemTime};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// The date that `text` says; `None` if it says none, or one before 1970.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':' || !c.is_ascii());
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2..=4)
        {
            year = Some(match found {
                0..=69 => found + 2000,
                70..=99 => found + 1900,
                whole => whole,
            });
        }
    }
    let (seconds, day, month, year) = (time?, day?, month?, year?);
    if !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    let days = days_since_1970(year, month, day);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + seconds))
}

/// The number at the token's start, if it has so many digits.
fn number(token: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let count = token.bytes().take_while(u8::is_ascii_digit).count();
    digits
        .contains(&count)
        .then(|| token[..count].parse().ok())?
}

fn month_of(token: &str) -> Option<u64> {
    let start = token.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| *month == start)?;
    Some(at as u64 + 1)
}

/// `hh:mm:ss`, as seconds.
fn time_of(token: &str) -> Option<u64> {
    let mut parts = token.split(':');
    let mut part = |most| number(parts.next()?, 1..=2).filter(|&value| value <= most);
    Some(part(23)? * 3600 + part(59)? * 60 + part(59)?)
}

/// The days from 1970 to a date of the Gregorian calendar.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let wanted = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "06 november 1994 8:49:37",
        ] {
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "soon",
            "06 Nov 1994",
            "06 Nov 1994 25:00:00",
            "40 Nov 1994 08:49:37",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_calendar_is_right() {
        for (text, seconds) in [
            ("1 Jan 1970 00:00:00", 0),
            ("29 Feb 2000 00:00:00", 951_782_400),
            ("1 Mar 2000 00:00:00", 951_868_800),
            ("31 Dec 2099 23:59:59", 4_102_444_799),
        ] {
            let wanted = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
    }
}
