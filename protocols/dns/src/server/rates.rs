//! How many answers a network gets in a second. Performs no I/O and reads no clock.
//!
//! A datagram's sender can be made up: then our answer goes to a victim. So a network gets a limited number of answers; beyond
//! that, every second query is answered with "ask over TCP", which is no longer than the query and which a real client
//! follows, and the others with nothing.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

/// Networks that are counted at once. A newcomer takes the place of another: the table never grows.
const PLACES: usize = 1 << 14;

#[derive(Debug)]
pub(super) struct Rates {
    limit: u32,
    places: Vec<Place>,
    /// Who is where cannot be told from outside.
    hasher: RandomState,
    start: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    network: u64,
    second: u32,
    count: u32,
}

/// What a query is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Answer,
    AskOverTcp,
    Nothing,
}

impl Rates {
    /// `limit` answers a second to each network.
    pub(super) fn new(limit: u32, now: Instant) -> Self {
        Self {
            limit,
            places: vec![Place::default(); PLACES],
            hasher: RandomState::new(),
            start: now,
        }
    }

    pub(super) fn judge(&mut self, client: IpAddr, now: Instant) -> Verdict {
        let network = network(client);
        // From this host nothing is made up.
        let Some(network) = network else {
            return Verdict::Answer;
        };
        let second = now.saturating_duration_since(self.start).as_secs() as u32;
        let index = self.hasher.hash_one(network) as usize % PLACES;
        let place = &mut self.places[index];
        if (place.network, place.second) != (network, second) {
            *place = Place {
                network,
                second,
                count: 0,
            };
        }
        place.count = place.count.saturating_add(1);
        match place.count {
            count if count <= self.limit => Verdict::Answer,
            count if count % 2 == 0 => Verdict::AskOverTcp,
            _ => Verdict::Nothing,
        }
    }
}

/// The first 24 bits of an IPv4 address, or 56 of an IPv6 one: what one who owns an address may own besides. `None` for this
/// host's own.
fn network(client: IpAddr) -> Option<u64> {
    let client = client.to_canonical();
    if client.is_loopback() {
        return None;
    }
    Some(match client {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8) | 1 << 63,
        IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_network_gets_so_many_a_second() {
        let now = Instant::now();
        let mut rates = Rates::new(10, now);
        let mut given = |client: &str, count: usize, now| {
            let client = client.parse().unwrap();
            let verdicts: Vec<_> = (0..count).map(|_| rates.judge(client, now)).collect();
            let of = |wanted| {
                verdicts
                    .iter()
                    .filter(|&&verdict| verdict == wanted)
                    .count()
            };
            [
                of(Verdict::Answer),
                of(Verdict::AskOverTcp),
                of(Verdict::Nothing),
            ]
        };
        assert_eq!(given("192.0.2.1", 10, now), [10, 0, 0]);
        // A neighbour counts as the same.
        assert_eq!(given("192.0.2.200", 10, now), [0, 5, 5]);
        assert_eq!(given("::ffff:192.0.2.9", 2, now), [0, 1, 1]);
        assert_eq!(
            given("192.0.2.1", 4, now + Duration::from_secs(1)),
            [4, 0, 0]
        );
        assert_eq!(given("127.0.0.1", 1_000, now), [1_000, 0, 0]);
        assert_eq!(given("2001:db8::1", 12, now), [10, 1, 1]);
        assert_eq!(given("2001:db8:0:ff::1", 2, now)[0], 0);
    }
}
