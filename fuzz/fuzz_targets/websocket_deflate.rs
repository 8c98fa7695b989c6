//! permessage-deflate: any bytes are read the same in one piece and in many, and never become more than they may; what
//! was compressed comes back, whatever the settings.
#![no_main]

use grapeshot_websocket::deflate::{Compression, Deflater, Direction, Inflater};
use grapeshot_websocket::frame::{Decoder, Event, Message, Role};
use grapeshot_websocket::{Limits, Violation};
use libfuzzer_sys::fuzz_target;

const LONGEST: u64 = 100_000;

fn inflate(direction: Direction, wire: &[u8], step: usize) -> Result<Vec<u8>, Violation> {
    let mut inflater = Inflater::new(direction);
    let mut message = Vec::new();
    for part in wire.chunks(step) {
        inflater.inflate(part, &mut message, LONGEST)?;
        assert!(message.len() as u64 <= LONGEST);
    }
    inflater.finish(&mut message, LONGEST)?;
    Ok(message)
}

/// The events of a server's frames.
fn decode(direction: Direction, wire: &[u8], step: usize) -> (Vec<Event>, Option<Violation>) {
    let mut limits = Limits::default();
    (limits.frame, limits.message) = (20_000, LONGEST);
    let mut decoder = Decoder::new(Role::Client, &limits).compressed(direction);
    let mut events = Vec::new();
    let mut at = 0;
    loop {
        match decoder.next_event() {
            Err(violation) => return (events, Some(violation)),
            Ok(Some(event)) => {
                if let Event::Message(message) = &event {
                    assert!(message.as_bytes().len() as u64 <= LONGEST);
                }
                events.push(event);
            }
            Ok(None) if at == wire.len() || decoder.is_closed() => return (events, None),
            Ok(None) => at += decoder.feed(&wire[at..wire.len().min(at.saturating_add(step))]),
        }
    }
}

fuzz_target!(|input: (u8, u8, bool, u8, &[u8])| {
    let (bits, level, takeover, step, bytes) = input;
    let direction = Direction {
        window_bits: 8 + bits % 8,
        takeover,
    };
    let step = usize::from(step) + 1;
    // Nonsense.
    assert_eq!(
        inflate(direction, bytes, usize::MAX),
        inflate(direction, bytes, step)
    );
    assert_eq!(
        decode(direction, bytes, usize::MAX),
        decode(direction, bytes, step)
    );
    // Sense: the bytes as messages of a length each.
    let wish = Compression::new().level(level % 12).threshold(0);
    let mut deflater = Deflater::new(direction, &wish);
    let mut wire = Vec::new();
    let mut want = Vec::new();
    for message in bytes.chunks(step * 16).take(20) {
        let short = deflater.deflate(message, || {});
        let (first, payload) = match short {
            Some(short) => (0xc2, short),
            None => (0x82, message),
        };
        wire.push(first);
        wire.push(126);
        wire.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        if payload.len() < 126 {
            wire.truncate(wire.len() - 3);
            wire.push(payload.len() as u8);
        }
        wire.extend_from_slice(payload);
        deflater.done();
        want.push(Event::Message(Message::Binary(message.to_vec())));
    }
    assert_eq!(decode(direction, &wire, step), (want, None));
});
