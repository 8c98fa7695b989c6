//! Hixie's frames: any bytes, cut in any way, are read the same as in one piece, and no text is longer than it may be.
#![no_main]

use grapeshot_websocket::draft::{HixieDecoder, Version};
use grapeshot_websocket::frame::{Event, Message};
use grapeshot_websocket::{Limits, Violation};
use libfuzzer_sys::fuzz_target;

const LONGEST: u64 = 3000;

fn read(version: Version, wire: &[u8], step: usize) -> (Vec<Event>, Option<Violation>, bool) {
    let mut limits = Limits::default();
    limits.frame = LONGEST;
    let mut decoder = HixieDecoder::new(version, &limits, Vec::new());
    let mut events = Vec::new();
    let mut at = 0;
    loop {
        match decoder.next_event() {
            Err(violation) => {
                assert_eq!(decoder.next_event(), Err(violation));
                return (events, Some(violation), false);
            }
            Ok(Some(event)) => {
                if let Event::Message(Message::Text(text)) = &event {
                    assert!(text.len() as u64 <= LONGEST);
                }
                events.push(event);
            }
            Ok(None) if at == wire.len() || decoder.is_closed() => {
                return (events, None, decoder.ends_in_order());
            }
            Ok(None) => {
                let space = decoder.space();
                let count = space.len().min(step).min(wire.len() - at);
                assert!(count > 0);
                space[..count].copy_from_slice(&wire[at..at + count]);
                decoder.filled(count);
                at += count;
            }
        }
    }
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (step, is_old, wire) = input;
    let version = if is_old {
        Version::Hixie75
    } else {
        Version::Hixie76
    };
    let step = usize::from(step) + 1;
    assert_eq!(read(version, wire, usize::MAX), read(version, wire, step));
});
