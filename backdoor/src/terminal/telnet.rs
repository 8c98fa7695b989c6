//! Telnet's side of a byte stream (RFC 854, 855). Performs no I/O.
//!
//! What a person types and what telnet says about the connection come mixed; here they are told apart, and its commands become
//! the control characters that other terminals send for them. Options are agreed upon as RFC 1143 says, without its queue:
//! what we want of the other side never changes.
//!
//! | option | whose | what for |
//! |---|---|---|
//! | 1 echo (RFC 857) | ours | we show what is typed, or do not: passwords |
//! | 3 suppress go ahead (RFC 858) | both | keys come one by one |
//! | 24 terminal type (RFC 1091) | theirs | whether it has colours |
//! | 31 window size (RFC 1073) | theirs | how wide tables may be |

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const ERASE_LINE: u8 = 248;
const ERASE_CHARACTER: u8 = 247;
const ARE_YOU_THERE: u8 = 246;
const INTERRUPT: u8 = 244;
const BREAK: u8 = 243;
const SE: u8 = 240;
const END_OF_FILE: u8 = 236;

const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const TERMINAL_TYPE: u8 = 24;
const WINDOW_SIZE: u8 = 31;

/// The longest content of a subnegotiation that is kept.
const LONGEST: usize = 64;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Was typed: text, and control characters as in a terminal. The end of a line is one carriage return.
    Typed(u8),
    /// The window's columns, never 0.
    Columns(u16),
    /// The name of the terminal, in lower case.
    Type(String),
}

/// How far an option has been agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agreed {
    /// We asked.
    Asked,
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    /// Behind a carriage return: a line feed or a NUL belongs to it.
    Return,
    Command,
    /// Behind one of these.
    Option(u8),
    /// In a subnegotiation.
    Inside,
    /// Behind an IAC in it.
    InsideCommand,
}

/// One connection's telnet.
#[derive(Debug)]
pub(crate) struct Telnet {
    state: State,
    /// The subnegotiation that comes in, as far as it is kept.
    content: Vec<u8>,
    echo: Agreed,
    ours: Agreed,
    theirs: Agreed,
    window: Agreed,
    terminal: Agreed,
    /// What is to be sent.
    answer: Vec<u8>,
}

impl Telnet {
    /// With the offers that open the connection waiting to be sent.
    pub(crate) fn new() -> Self {
        let answer = vec![
            IAC,
            WILL,
            ECHO, //
            IAC,
            WILL,
            SUPPRESS_GO_AHEAD, //
            IAC,
            DO,
            SUPPRESS_GO_AHEAD, //
            IAC,
            DO,
            WINDOW_SIZE, //
            IAC,
            DO,
            TERMINAL_TYPE,
        ];
        Self {
            state: State::Data,
            content: Vec::new(),
            echo: Agreed::Asked,
            ours: Agreed::Asked,
            theirs: Agreed::Asked,
            window: Agreed::Asked,
            terminal: Agreed::Asked,
            answer,
        }
    }

    /// Whether keys come one by one and it is us who show them. Before that is agreed upon, and for who speaks no telnet,
    /// whole lines come, and the other side shows them.
    pub(crate) fn is_ours_to_echo(&self) -> bool {
        (self.echo, self.ours) == (Agreed::Yes, Agreed::Yes)
    }

    /// Takes what is to be sent of telnet's own.
    pub(crate) fn take_answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answer)
    }

    /// Takes one byte that was received.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Event> {
        match self.state {
            State::Return if byte == b'\n' || byte == 0 => {
                self.state = State::Data;
                None
            }
            State::Data | State::Return if byte == IAC => {
                self.state = State::Command;
                None
            }
            State::Data | State::Return => self.typed(byte),
            State::Command => self.command(byte),
            State::Option(verb) => {
                self.state = State::Data;
                self.negotiate(verb, byte);
                None
            }
            State::Inside if byte == IAC => {
                self.state = State::InsideCommand;
                None
            }
            State::Inside => {
                self.keep(byte);
                None
            }
            State::InsideCommand if byte == IAC => {
                self.state = State::Inside;
                self.keep(byte);
                None
            }
            State::InsideCommand if byte == SE => {
                self.state = State::Data;
                let content = std::mem::take(&mut self.content);
                self.subnegotiated(&content)
            }
            // It was left without its end.
            State::InsideCommand => {
                self.content.clear();
                self.command(byte)
            }
        }
    }

    fn typed(&mut self, byte: u8) -> Option<Event> {
        self.state = if byte == b'\r' {
            State::Return
        } else {
            State::Data
        };
        // A bare line feed is how netcat ends a line.
        Some(Event::Typed(if byte == b'\n' { b'\r' } else { byte }))
    }

    fn command(&mut self, byte: u8) -> Option<Event> {
        self.state = match byte {
            WILL | WONT | DO | DONT => State::Option(byte),
            SB => State::Inside,
            _ => State::Data,
        };
        match byte {
            IAC => Some(Event::Typed(IAC)),
            INTERRUPT | BREAK => Some(Event::Typed(0x03)),
            END_OF_FILE => Some(Event::Typed(0x04)),
            ERASE_CHARACTER => Some(Event::Typed(0x7f)),
            ERASE_LINE => Some(Event::Typed(0x15)),
            ARE_YOU_THERE => {
                self.answer.extend_from_slice(b"\r\n[yes]\r\n");
                None
            }
            _ => None,
        }
    }

    fn keep(&mut self, byte: u8) {
        // One more than the longest shows that it was longer.
        if self.content.len() <= LONGEST {
            self.content.push(byte);
        }
    }

    fn negotiate(&mut self, verb: u8, option: u8) {
        let (agreed, refusal) = match (verb, option) {
            (DO | DONT, ECHO) => (Some(&mut self.echo), WONT),
            (DO | DONT, SUPPRESS_GO_AHEAD) => (Some(&mut self.ours), WONT),
            (WILL | WONT, SUPPRESS_GO_AHEAD) => (Some(&mut self.theirs), DONT),
            (WILL | WONT, WINDOW_SIZE) => (Some(&mut self.window), DONT),
            (WILL | WONT, TERMINAL_TYPE) => (Some(&mut self.terminal), DONT),
            (DO | DONT, _) => (None, WONT),
            _ => (None, DONT),
        };
        let is_wanted = verb == DO || verb == WILL;
        let refuse = match agreed {
            // What we do not know is not done already, so only who wants it needs an answer.
            None => is_wanted,
            Some(agreed) => {
                let before = *agreed;
                *agreed = match (before, is_wanted) {
                    // Refused once is refused for good.
                    (Agreed::No, _) | (_, false) => Agreed::No,
                    (_, true) => Agreed::Yes,
                };
                (before, is_wanted) == (Agreed::Yes, false)
                    || (before, is_wanted) == (Agreed::No, true)
            }
        };
        if refuse {
            self.answer.extend_from_slice(&[IAC, refusal, option]);
        } else if (verb, option) == (WILL, TERMINAL_TYPE) {
            // SEND
            self.answer
                .extend_from_slice(&[IAC, SB, TERMINAL_TYPE, 1, IAC, SE]);
        }
    }

    fn subnegotiated(&self, content: &[u8]) -> Option<Event> {
        match *content {
            [WINDOW_SIZE, high, low, _, _] => {
                let columns = u16::from_be_bytes([high, low]);
                (columns > 0).then_some(Event::Columns(columns))
            }
            // IS
            [TERMINAL_TYPE, 0, ref name @ ..] if content.len() <= LONGEST => Some(Event::Type(
                String::from_utf8_lossy(name).to_ascii_lowercase(),
            )),
            _ => None,
        }
    }
}

/// Text as telnet carries it: a carriage return that ends no line has a NUL behind it.
pub(crate) fn encode(text: &str, wire: &mut Vec<u8>) {
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        wire.push(byte);
        // UTF-8 has no byte that telnet would take for its own.
        if byte == b'\r' && bytes.peek() != Some(&b'\n') {
            wire.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that comes of these bytes, fed in two pieces: what was typed, the other events, what is answered.
    fn all(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Event>, Vec<u8>) {
        let mut telnet = Telnet::new();
        telnet.take_answer();
        let (mut typed, mut others) = (Vec::new(), Vec::new());
        for byte in pieces.concat() {
            match telnet.feed(byte) {
                Some(Event::Typed(byte)) => typed.push(byte),
                Some(other) => others.push(other),
                None => {}
            }
        }
        (typed, others, telnet.take_answer())
    }

    /// As a real client begins, with a window of 132 columns, some text, and a size with a doubled 255.
    const WIRE: &[u8] = b"\xff\xfd\x01\xff\xfd\x03\xff\xfb\x03\xff\xfb\x1f\xff\xfa\x1f\x00\x84\x00\x2b\xff\xf0\
        \xff\xfb\x18\xff\xfa\x18\x00XTERM\xff\xf0ps()\r\x00a\r\nb\nc\xff\xf4\xff\xff\xff\xfa\x1f\x00\xff\xff\x00\x18\xff\xf0d";

    #[test]
    fn what_is_typed_is_told_from_what_is_said() {
        let want = (
            b"ps()\ra\rb\rc\x03\xffd".to_vec(),
            vec![
                Event::Columns(132),
                Event::Type("xterm".into()),
                Event::Columns(255),
            ],
            b"\xff\xfa\x18\x01\xff\xf0".to_vec(),
        );
        for cut in 0..=WIRE.len() {
            assert_eq!(all(&[&WIRE[..cut], &WIRE[cut..]]), want, "cut at {cut}");
        }
    }

    #[test]
    fn keys_are_ours_to_echo_once_that_is_agreed_upon() {
        let mut telnet = Telnet::new();
        assert!(!telnet.is_ours_to_echo());
        for byte in b"\xff\xfd\x01\xff\xfd\x03" {
            assert_eq!(telnet.feed(*byte), None);
        }
        assert!(telnet.is_ours_to_echo());
        for byte in b"\xff\xfe\x01" {
            telnet.feed(*byte);
        }
        assert!(!telnet.is_ours_to_echo());
    }

    #[test]
    fn agreement_ends_the_talk_and_what_we_do_not_know_is_refused_once() {
        // What we asked for needs no answer, however often it is granted.
        assert_eq!(
            all(&[b"\xff\xfd\x01\xff\xfd\x01\xff\xfb\x1f\xff\xfb\x1f"]).2,
            b""
        );
        // Taken back, that is acknowledged; asked for again, it stays refused.
        assert_eq!(
            all(&[b"\xff\xfd\x01\xff\xfe\x01\xff\xfe\x01\xff\xfd\x01"]).2,
            b"\xff\xfc\x01\xff\xfc\x01"
        );
        // DO and WILL of what we do not know; DONT and WONT of it need no answer.
        assert_eq!(
            all(&[b"\xff\xfd\x22\xff\xfb\x22\xff\xfe\x22\xff\xfc\x22"]).2,
            b"\xff\xfc\x22\xff\xfe\x22"
        );
    }

    #[test]
    fn commands_are_the_keys_that_they_stand_for() {
        assert_eq!(
            all(&[b"\xff\xf4\xff\xf3\xff\xf7\xff\xf8\xff\xec\xff\xf1\xff\xf9"]).0,
            b"\x03\x03\x7f\x15\x04"
        );
        assert_eq!(all(&[b"\xff\xf6"]).2, b"\r\n[yes]\r\n");
    }

    #[test]
    fn what_has_no_end_takes_no_memory() {
        let mut telnet = Telnet::new();
        for byte in [IAC, SB]
            .into_iter()
            .chain(std::iter::repeat_n(b'x', 1 << 20))
        {
            telnet.feed(byte);
        }
        assert!(telnet.content.capacity() <= 4 * LONGEST);
        assert_eq!(telnet.feed(IAC), None);
        assert_eq!(telnet.feed(SE), None);
        assert_eq!(telnet.feed(b'a'), Some(Event::Typed(b'a')));
        let long = [b"\xff\xfa\x18\x00".as_slice(), &[b'x'; 100], b"\xff\xf0"].concat();
        assert_eq!(all(&[&long]).1, []);
    }

    #[test]
    fn text_goes_out_as_telnet_wants_it() {
        let mut wire = Vec::new();
        encode("a\r\nb\rc\r", &mut wire);
        assert_eq!(wire, b"a\r\nb\r\0c\r\0");
    }

    proptest! {
        #[test]
        fn garbage_is_taken(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 240_u8..=255, 0_u8..4], 0..400)) {
            let (_, _, answer) = all(&[&bytes]);
            // Nothing makes us say much more than we are told.
            prop_assert!(answer.len() <= 4 * bytes.len());
        }
    }
}
