//! What a client chooses for all its requests, and a request for itself.

use super::limits::Timeouts;
use super::redirect::Redirects;
use super::retry::Retries;

/// The choices, each with its default.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices {
    pub(super) timeouts: Timeouts,
    pub(super) redirects: Redirects,
    pub(super) retries: Retries,
    pub(super) decompress: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            redirects: Redirects::default(),
            retries: Retries::default(),
            decompress: true,
        }
    }
}

/// The setters of a builder that has `choices`.
macro_rules! choosing {
    ($instead:literal) => {
        /// A time-out for one [`Phase`](crate::client::Phase), or `None` for no limit; instead of
        #[doc = $instead]
        pub fn timeout(
            mut self,
            phase: crate::client::Phase,
            limit: impl Into<Option<std::time::Duration>>,
        ) -> Self {
            self.choices.timeouts.set(phase, limit.into());
            self
        }

        /// Which redirects are followed, instead of
        #[doc = $instead]
        pub fn redirects(mut self, redirects: crate::client::Redirects) -> Self {
            self.choices.redirects = redirects;
            self
        }

        /// Which failures are tried again, instead of
        #[doc = $instead]
        pub fn retries(mut self, retries: crate::client::Retries) -> Self {
            self.choices.retries = retries;
            self
        }

        /// Whether servers are asked for compressed content, which is decompressed as it is read (yes, by default);
        /// instead of
        #[doc = $instead]
        pub fn decompress(mut self, yes: bool) -> Self {
            self.choices.decompress = yes;
            self
        }
    };
}
pub(super) use choosing;
