//! DNS messages: whatever bytes come, they are read or refused. What is read can be sent on, in as little room as a client
//! has, and is then read again.
#![no_main]

use grapeshot_dns::message::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|wire: &[u8]| {
    let Ok(message) = decode(wire) else { return };
    for limit in [512, 1_232, 65_535] {
        let sent = encode(&message, limit);
        assert!(sent.len() <= limit);
        if !sent.is_empty() {
            let again = decode(&sent).expect("what we send is a message");
            assert_eq!(again.metadata.id, message.metadata.id);
            assert!(again.answers.len() <= message.answers.len());
        }
    }
});
