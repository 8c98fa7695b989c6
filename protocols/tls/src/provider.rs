//! What rustls computes with, and where it takes time and chance from.

use std::sync::{Arc, OnceLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, ring};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::info::Version;
use crate::pem::ConfigError;

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

/// The versions between these, with their ends.
pub(crate) fn versions(
    oldest: Version,
    newest: Version,
) -> Result<Vec<&'static SupportedProtocolVersion>, ConfigError> {
    let all = [
        (Version::Tls13, &rustls::version::TLS13),
        (Version::Tls12, &rustls::version::TLS12),
    ];
    let versions: Vec<_> = all
        .into_iter()
        .filter(|(version, _)| (oldest..=newest).contains(version))
        .map(|(_, rustls)| rustls)
        .collect();
    if versions.is_empty() {
        return Err(ConfigError::Settings(format!(
            "no version is left: the oldest is {oldest}, the newest {newest}"
        )));
    }
    Ok(versions)
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
