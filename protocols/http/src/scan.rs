//! Finding the end of a request's head. Performs no I/O.

use std::ops::Range;

use crate::{Limits, Refusal};

/// Looks for the empty line that ends a head.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the line begins which is not complete yet; everything before it has been looked at.
    line: usize,
    /// Within that line, bytes that are known to hold no LF.
    scanned: usize,
    /// Where the request line begins: 0, or 2 after an empty line in front of it (RFC 9112, section 2.2).
    start: usize,
    /// Where the header lines begin; 0 until the request line is complete.
    headers: usize,
    count: usize,
}

impl Scanner {
    /// Takes the bytes received so far, which begin where those of the last call began; `None` means "call again with
    /// more". The range is the head, from its request line up to and including the empty line.
    ///
    /// # Errors
    /// A limit that is exceeded already, a line that does not end with CR LF, or a first byte that begins no request.
    pub fn find(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Range<usize>>, Refusal> {
        self.check_first(bytes)?;
        loop {
            let from = self.line + self.scanned;
            let Some(lf) = line_feed(&bytes[from..]).map(|at| from + at) else {
                self.scanned = bytes.len() - self.line;
                self.check(bytes.len(), limits)?;
                return Ok(None);
            };
            self.check(lf, limits)?;
            if lf == self.line || bytes[lf - 1] != b'\r' {
                return Err(Refusal::LineEnd);
            }
            let empty = lf - self.line == 1;
            self.line = lf + 1;
            self.scanned = 0;
            match (empty, self.headers) {
                (true, 0) if self.start == 0 => {
                    self.start = self.line;
                    self.check_first(bytes)?;
                }
                (true, 0) => return Err(Refusal::RequestLine),
                (true, _) => return Ok(Some(self.start..self.line)),
                (false, 0) => self.headers = self.line,
                (false, _) => self.count += 1,
            }
            if self.count > limits.header_count.min(Limits::MAX_HEADER_COUNT) {
                return Err(Refusal::TooManyHeaders);
            }
        }
    }

    /// Refuses a first byte that begins no request line: a TLS handshake, or any binary protocol, shows in it.
    fn check_first(&self, bytes: &[u8]) -> Result<(), Refusal> {
        match bytes.get(self.start) {
            None | Some(b'\r' | b'!'..=b'~') => Ok(()),
            Some(b'\n') => Err(Refusal::LineEnd),
            Some(_) => Err(Refusal::RequestLine),
        }
    }

    /// Checks the sizes, given that the line being looked at reaches to `end` at least.
    fn check(&self, end: usize, limits: &Limits) -> Result<(), Refusal> {
        if self.headers == 0 {
            // The CR belongs to the line's end, not to its length.
            if end.saturating_sub(self.start) > limits.most_of_request_line() + 1 {
                return Err(Refusal::RequestLineTooLong);
            }
        } else if end - self.headers > limits.most_of_headers() {
            return Err(Refusal::HeadersTooLong);
        }
        Ok(())
    }
}

/// Where the first LF is. Most lines of a head are so short that a call of `memchr` would take longer than the search.
#[inline]
fn line_feed(bytes: &[u8]) -> Option<usize> {
    const LF: u64 = u64::from_ne_bytes([b'\n'; 8]);
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const SHORT: usize = 48;
    let mut at = 0;
    while at < SHORT
        && let Some(eight) = bytes[at..].first_chunk()
    {
        let word = u64::from_le_bytes(*eight) ^ LF;
        // The lowest bit that is set is the highest of the first byte that is zero.
        let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr::memchr(b'\n', &bytes[at..]).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head is cut into pieces whose offsets are 32 bits long.
    #[test]
    fn without_limits_a_head_is_still_bounded() {
        let limits = Limits {
            request_line: usize::MAX,
            headers: usize::MAX,
            ..Limits::default()
        };
        let most = Limits::MAX_LENGTH;
        let line = Scanner::default();
        assert_eq!(line.check(most + 1, &limits), Ok(()));
        let refused = line.check(most + 2, &limits);
        assert_eq!(refused, Err(Refusal::RequestLineTooLong));
        let headers = Scanner {
            headers: most,
            ..Scanner::default()
        };
        assert_eq!(headers.check(2 * most, &limits), Ok(()));
        let refused = headers.check(2 * most + 1, &limits);
        assert_eq!(refused, Err(Refusal::HeadersTooLong));
    }

    #[test]
    fn a_line_feed_is_found_wherever_it_is() {
        for length in 0..100 {
            let mut bytes = vec![b'\n' ^ 0x80; length];
            assert_eq!(line_feed(&bytes), None);
            for at in (0..length).rev() {
                bytes[at] = b'\n';
                assert_eq!(line_feed(&bytes), Some(at));
            }
        }
    }
}
