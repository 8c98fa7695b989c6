//! What rustls computes with, and where it takes time and chance from.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, ring};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The same for all configurations.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            secure_random: &Chance,
            ..ring::default_provider()
        })
    }))
}

/// The runtime's randomness, which a simulation makes from its seed.
#[derive(Debug)]
struct Chance;

impl SecureRandom for Chance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        grapeshot::random::fill(bytes).map_err(|_| GetRandomFailed)
    }
}

/// The runtime's date, which stands where a simulation's clock stands.
#[derive(Debug)]
pub(crate) struct Date;

impl TimeProvider for Date {
    fn current_time(&self) -> Option<UnixTime> {
        let now = grapeshot::time::system_now();
        let since = now.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}
