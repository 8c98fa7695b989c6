//! The WebSocket framer: any bytes, cut in any way, are read the same as in one piece; what is accepted comes back
//! when it is encoded again.
#![no_main]

use grapeshot_websocket::frame::{Decoder, Event, Role, encode_message};
use grapeshot_websocket::{Limits, Violation};
use libfuzzer_sys::fuzz_target;

fn read(wire: &[u8], step: usize, role: Role, limits: &Limits) -> (Vec<Event>, Option<Violation>) {
    let mut decoder = Decoder::new(role, limits);
    let mut events = Vec::new();
    let mut at = 0;
    loop {
        match decoder.next_event() {
            Err(violation) => {
                assert_eq!(decoder.next_event(), Err(violation));
                return (events, Some(violation));
            }
            Ok(Some(event)) => events.push(event),
            Ok(None) if at == wire.len() || decoder.is_closed() => return (events, None),
            Ok(None) => {
                // A read that was given up changes nothing.
                decoder.space().fill(0xee);
                let count = decoder.feed(&wire[at..wire.len().min(at.saturating_add(step))]);
                assert!(count > 0);
                at += count;
            }
        }
    }
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (step, client, wire) = input;
    let role = if client { Role::Client } else { Role::Server };
    let mut limits = Limits::default();
    limits.frame = 20_000;
    limits.message = 30_000;
    let whole = read(wire, usize::MAX, role, &limits);
    assert_eq!(whole, read(wire, usize::from(step) + 1, role, &limits));
    let mut again = Vec::new();
    let mut want = Vec::new();
    for event in whole.0 {
        if let Event::Message(message) = &event {
            assert!(message.as_bytes().len() as u64 <= limits.message);
            encode_message(
                &mut again,
                message,
                if client { None } else { Some([1, 2, 3, 4]) },
            );
            want.push(event);
        }
    }
    limits.frame = limits.message;
    assert_eq!(read(&again, usize::MAX, role, &limits), (want, None));
});
