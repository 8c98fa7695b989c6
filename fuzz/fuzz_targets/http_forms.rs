#![no_main]
//! Multipart content, ranges, and parameters of headers.

use grapeshot_http::MultipartLimits;
use grapeshot_http::auth::parameters;
use grapeshot_http::multipart::{Decoder, Event};
use grapeshot_http::range::{self, Ranges};
use libfuzzer_sys::fuzz_target;

/// What the decoder finds, fed `step` bytes at a time: the names of parts and their content.
fn parts(bytes: &[u8], step: usize) -> Option<Vec<(String, Vec<u8>)>> {
    let mut decoder = Decoder::new("b", MultipartLimits::default());
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for chunk in bytes.chunks(step) {
        decoder.feed(chunk);
        while let Some(event) = decoder.next_event().ok()? {
            match event {
                Event::Part(head) => found.push((head.name, Vec::new())),
                Event::Data(count) => {
                    let mut out = vec![0; count];
                    assert_eq!(decoder.take(&mut out), count);
                    found.last_mut()?.1.extend(out);
                }
                Event::PartEnd => {}
                Event::End => return Some(found),
            }
        }
    }
    Some(found)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = parts(bytes, bytes.len().max(1));
    assert_eq!(parts(bytes, 1), whole, "it does not matter how it is cut");

    if let Ranges::Some(ranges) = range::parse(bytes, 1000) {
        assert!(!ranges.is_empty() && ranges.len() <= range::MOST_RANGES);
        assert!(
            ranges
                .iter()
                .all(|range| range.start < range.end && range.end <= 1000)
        );
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        for separator in [',', ';'] {
            let _ = parameters::parse(text, separator);
        }
    }
});
