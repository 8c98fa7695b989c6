//! What a peer may cost us: sizes, counts and waits, each with its default.

use std::time::Duration;

/// Bytes of a name, on the wire (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;
/// Questions of a message. More than one has no meaning that servers agree on (RFC 9619).
pub const MAX_QUESTIONS: u16 = 1;
/// Records of a message, in all its sections.
pub const MAX_RECORDS: usize = 2_000;
/// Compression pointers that one name goes through; there are no more than 127 labels to share.
pub const MAX_POINTERS: usize = 127;

/// The caps of a [`Resolver`](crate::Resolver).
///
/// ```
/// let mut limits = grapeshot_dns::Limits::default();
/// limits.cache_entries = 1_000;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Questions whose answers are kept; what was not asked for longest goes first. Default 10,000.
    pub cache_entries: usize,
    /// An answer is kept at least so long, whatever its records say. Default 0, which follows the records.
    pub min_ttl: Duration,
    /// And at most so long. Default one day.
    pub max_ttl: Duration,
    /// That there is no such name, or no such record, is kept at most so long (RFC 2308, section 5). Default one hour.
    pub max_negative_ttl: Duration,
    /// Exchanges with name servers at once, each with a socket of its own; further ones queue. Default 256.
    pub in_flight: usize,
    /// Names that one look-up may be led through by CNAME records; above: [`Failure::TooManyAliases`](crate::Failure).
    /// Default 16.
    pub aliases: usize,
    /// Datagrams of others (wrong id, question or spelling) that are passed over in one exchange, before it is made over
    /// TCP: somebody is guessing. Default 16.
    pub strangers: usize,
    /// Messages that a recursive look-up may send to name servers, for everything that it leads to; above:
    /// [`Failure::Runaway`](crate::Failure). What was begun below it is brought to its end, which may take three more.
    /// Default 64.
    pub upstream_queries: usize,
    /// Name servers without an address that a recursive look-up resolves one inside the other. Default 3.
    pub glueless: usize,
    /// Delegations (zones with their servers) that a recursive resolver keeps. Default 10,000.
    pub delegations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_entries: 10_000,
            min_ttl: Duration::ZERO,
            max_ttl: Duration::from_secs(86_400),
            max_negative_ttl: Duration::from_secs(3_600),
            in_flight: 256,
            aliases: 16,
            strangers: 16,
            upstream_queries: 64,
            glueless: 3,
            delegations: 10_000,
        }
    }
}
