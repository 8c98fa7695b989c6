//! What is read of `resolv.conf`, `hosts` and a zone's master file: any text is read or refused, and a zone that was read
//! answers any query.
#![no_main]

use std::net::Ipv4Addr;

use grapeshot_dns::server::{Server, Zone};
use grapeshot_dns::{Config, Hosts};
use libfuzzer_sys::fuzz_target;

/// Asks for the name that this word is in the zone.
fn query(word: &str, record_type: u16) -> Vec<u8> {
    let mut wire = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let labels = word
        .trim_end_matches('.')
        .split('.')
        .filter(|label| (1..64).contains(&label.len()));
    for label in labels.take(3).chain(["example", "org", ""]) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend(record_type.to_be_bytes());
    wire.extend([0, 1]);
    wire
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (which, record_type, text) = input;
    let text = String::from_utf8_lossy(text);
    match which % 3 {
        0 => {
            let config = Config::parse_with(&text, |name| name.strip_prefix("eth")?.parse().ok());
            assert!(!config.servers.is_empty());
            assert!(!config.timeout.is_zero() && config.attempts > 0);
        }
        1 => {
            let hosts = Hosts::parse(&text);
            for word in text.split_whitespace() {
                for address in hosts.addresses(word) {
                    assert!(
                        !hosts.names(*address).is_empty(),
                        "{word}: {address} has no name"
                    );
                }
            }
        }
        _ => {
            let Ok(zone) = Zone::parse("example.org", &text) else {
                return;
            };
            assert_eq!(zone.origin().to_string(), "example.org.");
            let server = Server::new().zone(zone);
            for word in text
                .lines()
                .filter_map(|line| line.split_whitespace().next())
                .take(20)
            {
                let query = query(word, record_type);
                let answer = server
                    .answer(&query, Ipv4Addr::LOCALHOST.into())
                    .expect("it is a query");
                let answer =
                    grapeshot_dns::message::decode(&answer).expect("what we send is a message");
                assert_eq!(answer.metadata.id, 7);
            }
        }
    }
});
