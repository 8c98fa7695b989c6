//! What the server and the page say to each other: the bytes of the WebSocket's binary messages.
//!
//! Performs no I/O and reads no clock. `assets/mmo.js` holds the page's half; [`Picture`] decodes the server's side
//! for the tests and the load client.
//!
//! Numbers are *varints* (LEB128: seven bits a byte, least significant first, at most five bytes); *signed* ones are
//! zigzag-coded varints (0, −1, 1, −2 … become 0, 1, 2, 3 …). Positions count quarters of a unit ([`QUANTA`]).
//! Text is a varint, the number of bytes, and UTF-8.
//!
//! A message from the server is one or more sections, each a tag byte and a body that tells its own end:
//!
//! ```text
//! 01 WELCOME   version(1 byte) me field step_ms radius quanta text:my name
//! 02 UPDATE    see below
//! 03 HUD       npcs players seen_by late_p50_us late_p99_us cpu_permille coroutines steps/s bytes/s speed_permille
//! 04 MINIMAP   side(1 byte), side²/2 bytes: two cells a byte, low half first, 0 empty … 15 fullest;
//!              then players: count, each: id x y      (x, y: 0–65535 of the field)
//! 05 ROSTER    count, each: id text:name              (every player; replaces the one before)
//! 06 PONG      token                                  (the page's PING, given back)
//! ```
//!
//! UPDATE is the difference between what the page was told so far and what its viewport shows now. Both sides keep the
//! movers in view in a list sorted by id, so a mover that stays is named by its distance from the one before it in the
//! list, mostly one byte, and a step costs three bytes:
//!
//! ```text
//! +----+----------+---------------+---------------------------------------------+
//! | 02 | view seq | x y (signed)  |  the viewport's middle, which VIEW asked it |
//! +----+----------+---------------+---------------------------------------------+
//! | movers that left:    count, each: gap                                       |
//! | movers that moved:   count, each: gap dx dy (signed)                        |
//! | movers that entered: count, each: id gap, x y (signed, from the middle)     |
//! | names of players:    count, each: id text                                   |
//! | panels that left:    count, each: gap                                       |
//! | panels that entered: count, each: id gap, colour(1 byte), x y w h (units)   |
//! +-----------------------------------------------------------------------------+
//!   gap: places skipped in the list since the one named before; those that left are
//!   gone from the list when the moves are counted, those that enter come last.
//!   id gap: the id, less the id named before, less 1 (the first: the id itself).
//! ```
//!
//! The page says:
//!
//! ```text
//! 81 VIEW      seq x y (signed, the middle) w h (units)
//! 82 NAME      the rest of the message is UTF-8
//! 83 PING      token
//! ```

mod picture;
mod update;

pub use picture::{Hud, Picture};
pub use update::{Difference, Update};

/// The version that WELCOME tells; the page reloads itself when it does not know it.
pub const VERSION: u8 = 1;
/// Steps of a position in a unit.
pub const QUANTA: f32 = 4.0;
/// The longest message a browser may send, in bytes.
pub const LONGEST_FROM_BROWSER: usize = 256;

pub(super) const WELCOME: u8 = 0x01;
pub(super) const UPDATE: u8 = 0x02;
pub(super) const HUD: u8 = 0x03;
pub(super) const MINIMAP: u8 = 0x04;
pub(super) const ROSTER: u8 = 0x05;
pub(super) const PONG: u8 = 0x06;
const VIEW: u8 = 0x81;
const NAME: u8 = 0x82;
const PING: u8 = 0x83;

/// Names a mover for as long as it lives; never used again. The lowest bit tells players from NPCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoverId(pub u32);

impl MoverId {
    /// The `n`th mover, as an NPC.
    pub fn npc(n: u32) -> Self {
        Self(n << 1)
    }
    /// The `n`th mover, as a player.
    pub fn player(n: u32) -> Self {
        Self(n << 1 | 1)
    }
    /// Whether a browser is behind it.
    pub fn is_player(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A mover where it is seen, in quanta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// Who.
    pub id: MoverId,
    /// From the field's left border.
    pub x: i32,
    /// From the field's upper border.
    pub y: i32,
}

/// One rectangle of the background, in whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// Its place in the order of drawing.
    pub id: u32,
    /// 0–6.
    pub colour: u8,
    /// Left border.
    pub x: u32,
    /// Upper border.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// From units to quanta.
pub fn quantise(v: f32) -> i32 {
    (v * QUANTA).round() as i32
}

/// What is wrong with bytes from the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A number takes more than 32 bits.
    #[error("a number is longer than 32 bits")]
    TooLong,
    /// No message begins with this byte.
    #[error("no message begins with {0:#04x}")]
    UnknownTag(u8),
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Bytes behind the end of a message.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// A delta that does not fit the list it is to change.
    #[error("a delta names entry {0} of a list that has {1}")]
    NoSuchEntry(usize, usize),
}

/// Appends a varint.
pub fn put_number(out: &mut Vec<u8>, mut v: u32) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends a zigzag-coded varint.
pub fn put_signed(out: &mut Vec<u8>, v: i32) {
    put_number(out, ((v << 1) ^ (v >> 31)) as u32);
}

/// Appends a text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}

/// What a browser said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// Its viewport is now here.
    View(View),
    /// It would like to be called this; to be sanitised.
    Name(&'a str),
    /// To be given back.
    Ping(u32),
}

/// Where a browser looks: the middle in quanta, the size in units. The server clips both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Counts the page's VIEW messages; an UPDATE tells the last that it took into account.
    pub seq: u32,
    /// The middle.
    pub x: i32,
    /// The middle.
    pub y: i32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// Reads one message of a browser.
///
/// # Errors
/// The browser's fault, in each case: anything that is not exactly one of the three messages.
pub fn hear(message: &[u8]) -> Result<Said<'_>, WireError> {
    let mut from = Cursor(message);
    let said = match from.byte()? {
        VIEW => Said::View(View {
            seq: from.number()?,
            x: from.signed()?,
            y: from.signed()?,
            w: from.number()?,
            h: from.number()?,
        }),
        NAME => {
            let rest = std::mem::take(&mut from.0);
            Said::Name(std::str::from_utf8(rest).map_err(|_| WireError::NotUtf8)?)
        }
        PING => Said::Ping(from.number()?),
        other => return Err(WireError::UnknownTag(other)),
    };
    from.end()?;
    Ok(said)
}

/// Writes one message of a browser, for the load client and the tests.
pub fn say(said: &Said<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    match *said {
        Said::View(view) => {
            out.push(VIEW);
            put_number(&mut out, view.seq);
            put_signed(&mut out, view.x);
            put_signed(&mut out, view.y);
            put_number(&mut out, view.w);
            put_number(&mut out, view.h);
        }
        Said::Name(name) => {
            out.push(NAME);
            out.extend_from_slice(name.as_bytes());
        }
        Said::Ping(token) => {
            out.push(PING);
            put_number(&mut out, token);
        }
    }
    out
}

/// Reads fields off the front of a message.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Result<u8, WireError> {
        let (&byte, rest) = self.0.split_first().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    fn bytes(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, WireError> {
        let mut value = 0u64;
        for place in 0..5 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| WireError::TooLong);
            }
        }
        Err(WireError::TooLong)
    }

    fn signed(&mut self) -> Result<i32, WireError> {
        let v = self.number()?;
        Ok((v >> 1) as i32 ^ -((v & 1) as i32))
    }

    fn text(&mut self) -> Result<&'a str, WireError> {
        let length = self.number()? as usize;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| WireError::NotUtf8)
    }

    fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing(self.0.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(a in any::<u32>(), b in any::<i32>(), text in ".*") {
            let mut out = Vec::new();
            put_number(&mut out, a);
            put_signed(&mut out, b);
            put_text(&mut out, &text);
            let mut from = Cursor(&out);
            prop_assert_eq!((from.number(), from.signed(), from.text()), (Ok(a), Ok(b), Ok(text.as_str())));
            prop_assert_eq!(from.end(), Ok(()));
        }

        #[test]
        fn any_bytes_of_a_browser_are_heard_or_refused(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut message = message;
            if let Some(first) = message.first_mut() {
                *first = 0x80 | (*first & 3);
            }
            if let Ok(Said::Name(name)) = hear(&message) {
                prop_assert_eq!(say(&Said::Name(name)), message);
            }
        }
    }

    #[test]
    fn what_is_said_is_heard_and_every_cut_is_refused() {
        let view = View {
            seq: 300,
            x: -5,
            y: 81_920,
            w: 1024,
            h: 768,
        };
        for said in [Said::View(view), Said::Name("Ada"), Said::Ping(u32::MAX)] {
            let message = say(&said);
            assert_eq!(hear(&message), Ok(said));
            assert!(message.len() <= LONGEST_FROM_BROWSER);
            if matches!(said, Said::Name(_)) {
                continue;
            }
            for cut in 0..message.len() {
                assert_eq!(
                    hear(&message[..cut]),
                    Err(WireError::Truncated),
                    "{said:?} cut at {cut}"
                );
            }
            let mut longer = message.clone();
            longer.push(0);
            assert_eq!(hear(&longer), Err(WireError::Trailing(1)));
        }
    }

    #[test]
    fn malformed_messages_are_named() {
        assert_eq!(hear(&[0x7f]), Err(WireError::UnknownTag(0x7f)));
        assert_eq!(
            hear(&[PING, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Err(WireError::TooLong)
        );
        assert_eq!(
            hear(&[PING, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Err(WireError::TooLong)
        );
        assert_eq!(hear(&[NAME, 0xff]), Err(WireError::NotUtf8));
    }

    #[test]
    fn ids_tell_players_from_npcs() {
        assert!(MoverId::player(7).is_player() && !MoverId::npc(7).is_player());
        assert!(MoverId::npc(7) < MoverId::player(7) && MoverId::player(7) < MoverId::npc(8));
    }
}
