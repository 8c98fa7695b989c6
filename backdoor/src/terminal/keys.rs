//! Keys out of what a terminal sends for them: UTF-8, control characters, escape sequences. Performs no I/O.

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Text.
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    Home,
    End,
    /// With Ctrl; the letter in lower case.
    Ctrl(char),
}

/// Parameters of an escape sequence that are kept; of a longer one only the end is found.
const PARAMETERS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    /// Behind `ESC [`.
    Sequence,
    /// Behind `ESC O`.
    Single,
}

/// Turns bytes, cut anywhere, into keys.
#[derive(Debug)]
pub(crate) struct Keys {
    state: State,
    parameters: Vec<u8>,
    /// The bytes of a character that has begun, and how many are missing.
    character: Vec<u8>,
    missing: usize,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Text,
            parameters: Vec::new(),
            character: Vec::new(),
            missing: 0,
        }
    }

    /// Takes one byte.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Key> {
        match self.state {
            State::Text if self.missing > 0 => self.continued(byte),
            State::Text => self.text(byte),
            State::Escape => {
                self.state = State::Text;
                match byte {
                    b'[' => {
                        self.parameters.clear();
                        self.state = State::Sequence;
                        None
                    }
                    b'O' => {
                        self.state = State::Single;
                        None
                    }
                    0x1b => {
                        self.state = State::Escape;
                        None
                    }
                    b'b' => Some(Key::WordLeft),
                    b'f' => Some(Key::WordRight),
                    0x7f | 0x08 => Some(Key::Ctrl('w')),
                    control if control < b' ' => self.text(control),
                    _ => None,
                }
            }
            State::Single => {
                self.state = State::Text;
                named(byte, &[])
            }
            State::Sequence => match byte {
                // The final byte (ECMA-48, section 5.4).
                0x40..=0x7e => {
                    self.state = State::Text;
                    named(byte, &self.parameters)
                }
                0x20..=0x3f => {
                    if self.parameters.len() <= PARAMETERS {
                        self.parameters.push(byte);
                    }
                    None
                }
                // No part of a sequence: it has broken off.
                other => {
                    self.state = State::Text;
                    self.text(other)
                }
            },
        }
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        let missing = match byte {
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            b'\r' | b'\n' => return Some(Key::Enter),
            b'\t' => return Some(Key::Tab),
            0x08 | 0x7f => return Some(Key::Backspace),
            0x01..=0x1a => return Some(Key::Ctrl(char::from(byte - 1 + b'a'))),
            0x00..0x20 => return None,
            0x20..0x7f => return Some(Key::Char(char::from(byte))),
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            // No character begins so.
            _ => return Some(Key::Char(char::REPLACEMENT_CHARACTER)),
        };
        self.missing = missing;
        self.character.clear();
        self.character.push(byte);
        None
    }

    fn continued(&mut self, byte: u8) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            // It has broken off, and something else begins.
            self.missing = 0;
            return self.text(byte);
        }
        self.character.push(byte);
        self.missing -= 1;
        if self.missing > 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&self.character);
        let character = text.chars().next()?;
        (!character.is_control()).then_some(Key::Char(character))
    }
}

/// The key of a sequence with this final byte. A modifier is its second parameter: 5 is Ctrl.
fn named(last: u8, parameters: &[u8]) -> Option<Key> {
    let with_control = parameters.ends_with(b";5");
    match (last, parameters) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'C', _) if with_control => Some(Key::WordRight),
        (b'D', _) if with_control => Some(Key::WordLeft),
        (b'C', _) => Some(Key::Right),
        (b'D', _) => Some(Key::Left),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"3") => Some(Key::Delete),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::new();
        bytes.iter().filter_map(|byte| keys.feed(*byte)).collect()
    }

    #[test]
    fn text_of_any_language_comes_whole() {
        let text = "aß漢🚀";
        let want: Vec<Key> = text.chars().map(Key::Char).collect();
        assert_eq!(keys(text.as_bytes()), want);
    }

    #[test]
    fn keys_with_names() {
        use Key::{Ctrl, Delete, Down, End, Home, Left, Right, Up, WordLeft, WordRight};
        let cases: &[(&str, Key)] = &[
            ("\x1b[A", Up),
            ("\x1bOB", Down),
            ("\x1b[C", Right),
            ("\x1bOD", Left),
            ("\x1b[1;5C", WordRight),
            ("\x1bb", WordLeft),
            ("\x1b[H", Home),
            ("\x1b[4~", End),
            ("\x1b[3~", Delete),
            ("\x01", Ctrl('a')),
            ("\x1a", Ctrl('z')),
            ("\r", Key::Enter),
            ("\x7f", Key::Backspace),
            ("\t", Key::Tab),
        ];
        for (bytes, key) in cases {
            assert_eq!(keys(bytes.as_bytes()), [*key], "{bytes:?}");
        }
    }

    #[test]
    fn what_breaks_off_takes_nothing_with_it() {
        let a = Key::Char('a');
        assert_eq!(keys(b"\xe6\xbca"), [a]);
        assert_eq!(keys(b"\x1b[12\ra"), [Key::Enter, a]);
        assert_eq!(keys(b"\x1b[99999999999999999~a"), [a]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Up]);
        assert_eq!(keys(b"\xffa"), [Key::Char('\u{fffd}'), a]);
        // A control character of eight bits, in UTF-8.
        assert_eq!(keys("\u{9b}a".as_bytes()), [a]);
        // Overlong and surrogates.
        assert_eq!(keys(b"\xe0\x80\x80"), [Key::Char('\u{fffd}')]);
    }

    proptest! {
        #[test]
        fn garbage_is_taken_and_takes_no_memory(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut keys = Keys::new();
            for byte in bytes {
                if let Some(Key::Char(character)) = keys.feed(byte) {
                    prop_assert!(!character.is_control());
                }
                prop_assert!(keys.parameters.len() <= PARAMETERS + 1 && keys.character.len() <= 4);
            }
        }
    }
}
