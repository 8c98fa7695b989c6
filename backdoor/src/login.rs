//! How a console over a network proves that it knows a user's password without saying it, and the server that it knows it
//! too. Performs no I/O.
//!
//! ```text
//!  hello{version}             ──▶
//!                             ◀──  challenge{nonce, salt, rounds}
//!  login{user, nonce, proof}  ──▶
//!                             ◀──  welcome{proof}, hello{..}     or, after a while, refused{message}
//!
//!  key   = PBKDF2-HMAC-SHA256(password, salt ‖ length of user ‖ user, rounds)       RFC 8018
//!  proof = HMAC-SHA256(key, role ‖ server's nonce ‖ console's nonce ‖ user)         RFC 2104
//! ```
//!
//! Both nonces are drawn anew for each connection, so a proof that was overheard is of no use for another. The salt is drawn
//! at each start of the server, which keeps keys and no passwords. Who listens can still guess passwords at his leisure,
//! `rounds` hashes a guess, and sees all that follows: for anything but the loopback interface there is TLS.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::protocol::{ClientMessage, ServerMessage};

/// Bytes of a nonce.
pub const NONCE: usize = 32;

/// Bytes of a salt.
pub const SALT: usize = 16;

/// Hashes that a key takes: some milliseconds for whoever logs in, and as much for each guess.
pub const ROUNDS: u32 = 10_000;

/// What a console accepts as `rounds`: fewer would make guessing easy for whoever pretends to be the server, more would
/// keep it busy.
pub const ACCEPTED_ROUNDS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// The longest name of a user, in bytes.
pub const LONGEST_USER: usize = 64;

/// The longest password, in bytes.
pub const LONGEST_PASSWORD: usize = 1024;

/// Hashes between two breaths: well under a millisecond.
const BREATH: u32 = 500;

type HmacSha256 = Hmac<Sha256>;

/// What is derived from a password.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Derives it. `breathe` is called every few hundred rounds, for who has others to let run.
    pub fn derive(
        user: &str,
        password: &str,
        salt: &[u8],
        rounds: u32,
        mut breathe: impl FnMut(),
    ) -> Self {
        let keyed = keyed(password.as_bytes());
        let mut first = keyed.clone();
        first.update(salt);
        first.update(&(user.len() as u64).to_be_bytes());
        first.update(user.as_bytes());
        first.update(&1_u32.to_be_bytes());
        let mut last: [u8; 32] = first.finalize().into_bytes().into();
        let mut key = last;
        for round in 1..rounds {
            let mut next = keyed.clone();
            next.update(&last);
            last = next.finalize().into_bytes().into();
            for (byte, other) in key.iter_mut().zip(last) {
                *byte ^= other;
            }
            if round.is_multiple_of(BREATH) {
                breathe();
            }
        }
        Self(key)
    }

    /// Whether both are the same; takes as long whether or not they are.
    pub(crate) fn is(&self, other: &Self) -> bool {
        // What is compared are the codes of one text under both.
        let code = keyed(&other.0).chain_update(b"same").finalize();
        let ours = keyed(&self.0).chain_update(b"same");
        ours.verify(&code.into_bytes()).is_ok()
    }

    fn code(&self, role: Role, exchange: &Exchange<'_>) -> HmacSha256 {
        let role: &[u8] = match role {
            Role::Console => b"grapeshot console",
            Role::Server => b"grapeshot backdoor",
        };
        keyed(&self.0)
            .chain_update(role)
            .chain_update(exchange.servers)
            .chain_update(exchange.consoles)
            .chain_update(exchange.user)
    }

    fn proof(&self, role: Role, exchange: &Exchange<'_>) -> String {
        hex(&self.code(role, exchange).finalize().into_bytes())
    }

    /// Takes as long for a wrong proof as for the right one.
    fn is_proven(&self, role: Role, exchange: &Exchange<'_>, proof: &str) -> bool {
        let proof = bytes::<32>(proof).unwrap_or_default();
        self.code(role, exchange).verify_slice(&proof).is_ok()
    }
}

/// Says nothing of what it is.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Whose proof: neither side's can be sent back to it.
#[derive(Clone, Copy)]
enum Role {
    Console,
    Server,
}

/// What both proofs are about.
struct Exchange<'a> {
    servers: [u8; NONCE],
    consoles: [u8; NONCE],
    user: &'a str,
}

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Drawn for this connection.
    pub nonce: [u8; NONCE],
    /// Of the server's keys.
    pub salt: [u8; SALT],
    /// Of the server's keys.
    pub rounds: u32,
}

impl Challenge {
    /// As it is sent.
    pub fn to_message(&self) -> ServerMessage {
        ServerMessage::Challenge {
            nonce: hex(&self.nonce),
            salt: hex(&self.salt),
            rounds: self.rounds,
        }
    }

    /// A challenge as it came; `None` if no honest server asks so.
    pub fn of(nonce: &str, salt: &str, rounds: u32) -> Option<Self> {
        let found = Self {
            nonce: bytes(nonce)?,
            salt: bytes(salt)?,
            rounds,
        };
        ACCEPTED_ROUNDS.contains(&rounds).then_some(found)
    }

    /// The console's answer, and what the server must prove then. `nonce` was drawn for this. Takes [`ROUNDS`] hashes.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        nonce: [u8; NONCE],
    ) -> (ClientMessage, Expected) {
        let key = Key::derive(user, password, &self.salt, self.rounds, || {});
        let exchange = self.exchange(nonce, user);
        let login = ClientMessage::Login {
            user: user.to_owned(),
            nonce: hex(&nonce),
            proof: key.proof(Role::Console, &exchange),
        };
        let expected = Expected {
            challenge: self.clone(),
            key,
            nonce,
            user: user.to_owned(),
        };
        (login, expected)
    }

    /// The server's answer to a login that proves the key; `None` if it does not.
    pub(crate) fn welcome(
        &self,
        key: &Key,
        user: &str,
        nonce: &str,
        proof: &str,
    ) -> Option<ServerMessage> {
        let exchange = self.exchange(bytes(nonce)?, user);
        let welcome = ServerMessage::Welcome {
            proof: key.proof(Role::Server, &exchange),
        };
        key.is_proven(Role::Console, &exchange, proof)
            .then_some(welcome)
    }

    fn exchange<'a>(&self, consoles: [u8; NONCE], user: &'a str) -> Exchange<'a> {
        Exchange {
            servers: self.nonce,
            consoles,
            user,
        }
    }
}

/// What a server has to prove that was logged in to.
#[derive(Debug)]
pub struct Expected {
    challenge: Challenge,
    key: Key,
    nonce: [u8; NONCE],
    user: String,
}

impl Expected {
    /// Whether it knows the user's key: not somebody else who listens at its address.
    pub fn is_met(&self, proof: &str) -> bool {
        let exchange = self.challenge.exchange(self.nonce, &self.user);
        self.key.is_proven(Role::Server, &exchange, proof)
    }
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes in hex; `None` for anything else.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(nonce: u8) -> Challenge {
        Challenge {
            nonce: [nonce; NONCE],
            salt: [7; SALT],
            rounds: *ACCEPTED_ROUNDS.start(),
        }
    }

    fn key(user: &str, password: &str) -> Key {
        let Challenge { salt, rounds, .. } = challenge(0);
        Key::derive(user, password, &salt, rounds, || {})
    }

    fn login(message: &ClientMessage) -> (&str, &str, &str) {
        match message {
            ClientMessage::Login { user, nonce, proof } => (user, nonce, proof),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_sides_prove_the_same_password() {
        let challenge = challenge(1);
        let (message, expected) = challenge.answer("ann", "sesame", [2; NONCE]);
        let (user, nonce, proof) = login(&message);
        let welcome = challenge.welcome(&key("ann", "sesame"), user, nonce, proof);
        let Some(ServerMessage::Welcome { proof: servers }) = welcome else {
            panic!("not welcome")
        };
        assert!(expected.is_met(&servers));
        assert!(!expected.is_met(proof), "its own proof, sent back");
        assert!(!expected.is_met(""));
    }

    #[test]
    fn who_does_not_know_it_proves_nothing() {
        let asked = challenge(1);
        let (message, expected) = asked.answer("ann", "sesame", [2; NONCE]);
        let (user, nonce, proof) = login(&message);
        let is_welcome = |asked: &Challenge, key: &Key, user: &str, nonce: &str, proof: &str| {
            asked.welcome(key, user, nonce, proof).is_some()
        };
        let right = key("ann", "sesame");
        assert!(is_welcome(&asked, &right, user, nonce, proof));
        assert!(!is_welcome(
            &asked,
            &key("ann", "Sesame"),
            user,
            nonce,
            proof
        ));
        // The same password of another user is another key.
        assert!(!is_welcome(
            &asked,
            &key("bob", "sesame"),
            "bob",
            nonce,
            proof
        ));
        // Replayed on another connection, whose nonce is another.
        assert!(!is_welcome(&challenge(3), &right, user, nonce, proof));
        for bad in ["", "00", &proof[2..], &proof.replace(|_| true, "z")] {
            assert!(!is_welcome(&asked, &right, user, nonce, bad), "{bad}");
            assert!(!is_welcome(&asked, &right, user, bad, proof), "{bad}");
        }
        // A server that does not know the password cannot make the console believe it.
        let other = key("ann", "guess");
        let exchange = asked.exchange([2; NONCE], "ann");
        assert!(!expected.is_met(&other.proof(Role::Server, &exchange)));
    }

    #[test]
    fn a_challenge_survives_its_message_and_an_easy_one_is_refused() {
        let asked = challenge(9);
        let ServerMessage::Challenge {
            nonce,
            salt,
            rounds,
        } = asked.to_message()
        else {
            unreachable!()
        };
        assert_eq!(Challenge::of(&nonce, &salt, rounds), Some(asked));
        assert_eq!(Challenge::of(&nonce, &salt, 1), None);
        assert_eq!(Challenge::of(&nonce, &salt, u32::MAX), None);
        assert_eq!(Challenge::of(&nonce[2..], &salt, rounds), None);
        assert_eq!(Challenge::of(&nonce, "ü", rounds), None);
    }

    /// The key of RFC 7914, section 11, by way of our salt: PBKDF2 is what the RFC says.
    #[test]
    fn the_key_is_that_of_the_rfc() {
        // P = "passwd", S = "salt", c = 1, of which the first block is as long as our key. Our salt ends with the user.
        let keyed = keyed(b"passwd");
        let block = keyed
            .chain_update(b"salt")
            .chain_update(1_u32.to_be_bytes());
        assert_eq!(
            hex(&block.finalize().into_bytes()),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
        let ours = Key::derive("", "passwd", b"salt", 1, || {});
        let by_hand = super::keyed(b"passwd")
            .chain_update(b"salt")
            .chain_update([0; 8])
            .chain_update(1_u32.to_be_bytes());
        assert_eq!(ours.0, <[u8; 32]>::from(by_hand.finalize().into_bytes()));
    }

    #[test]
    fn keys_are_compared() {
        assert!(key("a", "b").is(&key("a", "b")));
        assert!(!key("a", "b").is(&key("a", "c")));
        assert_eq!(format!("{:?}", key("a", "b")), "Key");
    }

    #[test]
    fn whoever_derives_a_key_can_let_others_run() {
        let mut breaths = 0;
        Key::derive("a", "b", &[0; SALT], 5001, || breaths += 1);
        assert_eq!(breaths, 10);
    }
}
