//! Masking of payloads (RFC 6455, section 5.3). Performs no I/O.

/// A mask, and how far into it we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask {
    key: [u8; 4],
    offset: usize,
}

impl Mask {
    pub(crate) fn new(key: [u8; 4]) -> Self {
        Self { key, offset: 0 }
    }

    /// Masks or unmasks the next bytes of the payload in place, eight at a time.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        let mut key = self.key;
        key.rotate_left(self.offset % 4);
        let [a, b, c, d] = key;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d].into_iter().cycle()) {
            *byte ^= key;
        }
        self.offset = (self.offset + bytes.len()) % 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_cuts_mask_as_bytes_do() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let want: Vec<u8> = plain
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ key[i % 4])
                .collect();
            for cut in 0..=plain.len() {
                let mut got = plain.clone();
                let mut mask = Mask::new(key);
                mask.apply(&mut got[..cut]);
                mask.apply(&mut got[cut..]);
                assert_eq!(got, want, "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_example_of_the_rfc() {
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        Mask::new([0x37, 0xfa, 0x21, 0x3d]).apply(&mut bytes);
        assert_eq!(&bytes, b"Hello");
    }
}
