//! The nonces of Digest: made, and checked for age and for use. Performs no I/O; the time is an argument.
//!
//! A nonce carries the second in which it was made and a code that only this server can make, so that nothing is kept of
//! nonces that nobody has used with the right password. Of those that were used, a table knows which counts were seen.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

use super::same;

/// Seconds for which a nonce is good.
const LIFETIME: u64 = 300;
/// Counts below the highest seen that may still come, out of order.
const WINDOW: u64 = 64;

/// A nonce's bytes: second, random, code.
const BYTES: usize = 8 + 8 + 16;

#[derive(Debug)]
pub(super) struct Nonces {
    key: [u8; 32],
    /// Nonces in the table at most.
    most: usize,
    used: HashMap<[u8; BYTES], Counts>,
    /// The same, in the order in which they were made.
    by_age: BTreeMap<(u64, u64), [u8; BYTES]>,
    /// Nonces made up to this second which are not in the table may have been in it: they are stale.
    forgotten: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The first use of this count.
    Fresh,
    /// Ours, but too old: the client is to take a new one, and need not ask its user.
    Stale,
    /// This count was used before.
    Replayed,
    /// Not ours.
    Foreign,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32], most: usize) -> Self {
        Self {
            key,
            most: most.max(1),
            used: HashMap::new(),
            by_age: BTreeMap::new(),
            forgotten: None,
        }
    }

    /// A nonce, made in the second `now` of the server's life.
    pub(super) fn make(&self, now: u64, random: [u8; 8]) -> String {
        let mut text = String::with_capacity(2 * BYTES);
        for byte in self.bytes(now, random) {
            use std::fmt::Write;
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    fn bytes(&self, now: u64, random: [u8; 8]) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&now.to_be_bytes());
        bytes[8..16].copy_from_slice(&random);
        let inner = Sha256::new()
            .chain_update(self.key)
            .chain_update(&bytes[..16])
            .finalize();
        let code = Sha256::new()
            .chain_update(self.key)
            .chain_update(inner)
            .finalize();
        bytes[16..].copy_from_slice(&code[..16]);
        bytes
    }

    /// Takes note of a use, by a client that has shown that it knows the password.
    pub(super) fn take(&mut self, nonce: &str, count: u64, now: u64) -> Use {
        let Some((bytes, made)) = self.parse(nonce) else {
            return Use::Foreign;
        };
        if now.saturating_sub(made) > LIFETIME {
            return Use::Stale;
        }
        if let Some(counts) = self.used.get_mut(&bytes) {
            return counts.take(count);
        }
        if self.forgotten.is_some_and(|second| made <= second) {
            return Use::Stale;
        }
        if self.used.len() >= self.most {
            self.forget_oldest();
        }
        let random = u64::from_be_bytes(bytes[8..16].try_into().unwrap_or_default());
        self.by_age.insert((made, random), bytes);
        let counts = Counts {
            highest: count,
            seen: 1,
        };
        self.used.insert(bytes, counts);
        Use::Fresh
    }

    fn parse(&self, nonce: &str) -> Option<([u8; BYTES], u64)> {
        if nonce.len() != 2 * BYTES || !nonce.is_ascii() {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&nonce[2 * at..2 * at + 2], 16).ok()?;
        }
        let made = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let ours = self.bytes(made, bytes[8..16].try_into().ok()?);
        same(&ours, &bytes).then_some((bytes, made))
    }

    fn forget_oldest(&mut self) {
        if let Some(((made, _), bytes)) = self.by_age.pop_first() {
            self.used.remove(&bytes);
            self.forgotten = Some(made);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.used.len(), self.by_age.len());
        self.used.len()
    }
}

impl Counts {
    fn take(&mut self, count: u64) -> Use {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = if ahead < WINDOW {
                self.seen << ahead
            } else {
                0
            } | 1;
            self.highest = count;
            return Use::Fresh;
        }
        let behind = self.highest - count;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return Use::Replayed;
        }
        self.seen |= 1 << behind;
        Use::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: u64) -> [u8; 8] {
        n.to_be_bytes()
    }

    #[test]
    fn each_count_of_a_nonce_is_good_once() {
        let mut nonces = Nonces::new([1; 32], 10);
        let nonce = nonces.make(5, random(1));
        for (count, use_) in [
            (1, Use::Fresh),
            (1, Use::Replayed),
            (3, Use::Fresh),
            (2, Use::Fresh),
            (2, Use::Replayed),
            (100, Use::Fresh),
            (36, Use::Replayed),
            (37, Use::Fresh),
            (37, Use::Replayed),
            (u64::from(u32::MAX), Use::Fresh),
            (100, Use::Replayed),
        ] {
            assert_eq!(nonces.take(&nonce, count, 6), use_, "{count}");
        }
    }

    #[test]
    fn what_is_old_or_not_ours_is_not_taken() {
        let mut nonces = Nonces::new([1; 32], 10);
        let nonce = nonces.make(5, random(1));
        assert_eq!(nonces.take(&nonce, 1, 5 + LIFETIME), Use::Fresh);
        assert_eq!(nonces.take(&nonce, 2, 6 + LIFETIME), Use::Stale);
        let foreign = Nonces::new([2; 32], 10).make(5, random(1));
        let mut forged = nonce.clone().into_bytes();
        forged[14] ^= 1;
        let forged = String::from_utf8(forged).unwrap();
        for nonce in [
            &*foreign,
            &forged,
            "",
            "x",
            &"g".repeat(64),
            &"\u{e9}".repeat(32),
        ] {
            assert_eq!(nonces.take(nonce, 1, 6), Use::Foreign, "{nonce}");
        }
        assert_eq!(nonces.len(), 1, "only one that was used properly is kept");
    }

    #[test]
    fn the_table_is_bounded_and_forgetting_allows_no_replay() {
        let mut nonces = Nonces::new([1; 32], 3);
        let made: Vec<_> = (0..5).map(|n| nonces.make(n, random(n))).collect();
        for nonce in &made {
            assert_eq!(nonces.take(nonce, 1, 5), Use::Fresh);
        }
        assert_eq!(nonces.len(), 3);
        assert_eq!(nonces.take(&made[0], 1, 5), Use::Stale);
        assert_eq!(nonces.take(&made[1], 2, 5), Use::Stale);
        assert_eq!(nonces.take(&made[4], 1, 5), Use::Replayed);
    }
}
