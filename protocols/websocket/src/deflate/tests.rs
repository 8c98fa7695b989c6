//! The examples of RFC 7692, bombs, what is left in the middle, and how far references go.

use super::farthest::farthest_reference;
use super::*;

const WHOLE: Direction = Direction {
    window_bits: 15,
    takeover: false,
};

fn inflated(wire: &[u8], longest: u64) -> Result<Vec<u8>, Violation> {
    let mut inflater = Inflater::new(WHOLE);
    let mut message = Vec::new();
    inflater.inflate(wire, &mut message, longest)?;
    inflater.finish(&mut message, longest)?;
    Ok(message)
}

#[test]
fn the_examples_of_the_rfc() {
    // Section 7.2.3: one block, no compression, two blocks, BFINAL.
    for wire in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    ] {
        assert_eq!(inflated(wire, 100).unwrap(), b"Hello", "{wire:x?}");
    }
    let mut inflater = Inflater::new(Direction {
        takeover: true,
        ..WHOLE
    });
    for wire in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\xf2\x00\x11\x00\x00",
    ] {
        let mut message = Vec::new();
        inflater.inflate(wire, &mut message, 100).unwrap();
        inflater.finish(&mut message, 100).unwrap();
        assert_eq!(message, b"Hello");
    }
    assert_eq!(inflated(b"\x00", 100).unwrap(), b"", "the empty message");
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let mut deflater = Deflater::new(WHOLE, &Compression::new());
    let wire = deflater.deflate(&vec![0; 8 << 20], || {}).unwrap().to_vec();
    assert!(wire.len() < 50_000);
    let mut inflater = Inflater::new(WHOLE);
    let mut message = Vec::new();
    assert_eq!(
        inflater.inflate(&wire, &mut message, 1 << 20),
        Err(Violation::MessageTooLong)
    );
    assert!(message.capacity() <= 3 << 20, "{}", message.capacity());
    let exact = deflater.deflate(&[7; 1000], || {}).unwrap().to_vec();
    assert_eq!(inflated(&exact, 1000).unwrap(), [7; 1000]);
    assert_eq!(inflated(&exact, 999), Err(Violation::MessageTooLong));
}

#[test]
fn what_is_not_compressed_is_refused() {
    for wire in [
        &b"\x07"[..],
        b"\xff\xff\xff\xff",
        b"\x00\x05\x00\x00\x00",
        // Refers to what was never sent.
        b"\xf2\x00\x11\x00\x00",
    ] {
        assert_eq!(inflated(wire, 100), Err(Violation::Deflate), "{wire:x?}");
    }
    let mut ends = Vec::new();
    for _ in 0..=MAX_STREAMS {
        ends.extend_from_slice(b"\x03\x00");
    }
    assert_eq!(
        inflated(&ends, 100),
        Err(Violation::Deflate),
        "streams without end"
    );
}

#[test]
fn short_and_dense_messages_are_sent_as_they_are() {
    let mut deflater = Deflater::new(WHOLE, &Compression::new());
    assert_eq!(deflater.deflate(&[7; 255], || {}), None);
    assert!(deflater.deflate(&[7; 256], || {}).is_some());
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(1000)
    .collect();
    assert_eq!(deflater.deflate(&noise, || {}), None);
    let everything = Compression::new().threshold(0);
    let direction = Direction {
        takeover: true,
        ..WHOLE
    };
    let mut deflater = Deflater::new(direction, &everything);
    assert_eq!(deflater.deflate(b"", || {}), None);
    assert!(
        deflater.deflate(&noise, || {}).is_some(),
        "the peer has to see it"
    );
}

#[test]
fn nothing_is_kept_between_messages_without_takeover() {
    let mut deflater = Deflater::new(WHOLE, &Compression::new());
    assert!(deflater.deflate(&[7; 256], || {}).is_some());
    deflater.done();
    assert!(deflater.stream.is_none());
    let wire = deflater.deflate(&[7; 256], || {}).unwrap().to_vec();
    let mut inflater = Inflater::new(WHOLE);
    let mut message = Vec::new();
    inflater.inflate(&wire, &mut message, 1000).unwrap();
    assert!(inflater.decompress.is_some());
    inflater.finish(&mut message, 1000).unwrap();
    assert!(inflater.decompress.is_none());
}

#[test]
fn a_compression_that_is_left_loses_nothing() {
    let direction = Direction {
        takeover: true,
        ..WHOLE
    };
    let mut deflater = Deflater::new(direction, &Compression::new());
    let mut inflater = Inflater::new(direction);
    let mut sent = |deflater: &mut Deflater, message: &[u8]| {
        let wire = deflater.deflate(message, || {}).unwrap();
        let mut got = Vec::new();
        inflater.inflate(wire, &mut got, 1 << 20).unwrap();
        inflater.finish(&mut got, 1 << 20).unwrap();
        assert_eq!(got, message);
        wire.len()
    };
    let text = "grapeshot ".repeat(100).into_bytes();
    let first = sent(&mut deflater, &text);
    assert!(sent(&mut deflater, &text) < first, "it refers to the first");
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        deflater.deflate(&vec![8; 3 * SLICE], || {
            std::panic::resume_unwind(Box::new(()))
        });
    }));
    assert!(left.is_err());
    sent(&mut deflater, &text);
}

#[test]
fn no_reference_is_longer_than_the_window() {
    // Bytes that come again after all distances; a receiver that hands out one byte at a time has its window and
    // nothing else to refer to.
    let mut message = Vec::new();
    for distance in (3..1200).step_by(41) {
        let fill = (0..distance).map(|n| (n * 31 % 251) as u8 ^ distance as u8);
        let again: Vec<u8> = fill.collect();
        message.extend_from_slice(&again);
        message.extend_from_slice(&again);
    }
    for bits in 8..=15u8 {
        for level in [1, 3, 6, 9] {
            let direction = Direction {
                window_bits: bits,
                takeover: true,
            };
            let wish = Compression::new().level(level);
            let mut deflater = Deflater::new(direction, &wish);
            let wire = deflater.deflate(&message, || {}).unwrap();
            let farthest = farthest_reference(wire);
            assert!(
                farthest <= 1 << bits,
                "{farthest} with {bits} bits, level {level}"
            );
            assert!(farthest > 100, "there are references at all");
        }
    }
}
