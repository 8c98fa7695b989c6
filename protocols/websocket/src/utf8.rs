//! UTF-8 checked as it arrives: a message is refused at its first wrong byte, not at its end. Performs no I/O.

/// Where a check stands: the bytes of a character that is not complete yet, if any.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Check {
    partial: [u8; 4],
    length: usize,
}

/// The text is not UTF-8, whatever follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Check {
    /// Checks the next bytes of the text.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Invalid> {
        while self.length > 0 {
            let Some((&first, rest)) = bytes.split_first() else {
                return Ok(());
            };
            self.partial[self.length] = first;
            self.length += 1;
            bytes = rest;
            match std::str::from_utf8(&self.partial[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return Err(Invalid),
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            if error.error_len().is_some() {
                return Err(Invalid);
            }
            // At most three bytes: a whole character would have been taken.
            let tail = &bytes[error.valid_up_to()..];
            self.partial[..tail.len()].copy_from_slice(tail);
            self.length = tail.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_good_text_is_good() {
        let text = "aé€😀\u{10ffff}\0z".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut check = Check::default();
                for part in [&text[..first], &text[first..second], &text[second..]] {
                    assert_eq!(check.feed(part), Ok(()), "cut at {first} and {second}");
                }
                assert_eq!(check.length, 0);
            }
        }
    }

    #[test]
    fn wrong_bytes_are_refused_as_soon_as_they_are_wrong() {
        // Overlong, a surrogate, beyond the last character, a lone continuation, a character cut short.
        for wrong in [
            &b"\xc0\x80"[..],
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\x80",
            b"\xe2\x82x",
            b"\xff",
        ] {
            let mut check = Check::default();
            let refused_at = wrong.iter().position(|byte| check.feed(&[*byte]).is_err());
            assert!(refused_at.is_some(), "{wrong:x?}");
            assert_eq!(Check::default().feed(wrong), Err(Invalid), "{wrong:x?}");
        }
        let mut check = Check::default();
        assert_eq!(check.feed(b"\xf4"), Ok(()));
        assert_eq!(
            check.feed(b"\x90"),
            Err(Invalid),
            "before the character could be complete"
        );
    }
}
