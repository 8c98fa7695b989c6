//! Who asks: Basic (RFC 7617) and Digest (RFC 7616) authentication around a handler.

mod basic;
mod digest;
mod nonces;
pub mod parameters;
mod users;

pub use basic::Basic;
pub use digest::{Algorithm, Digest};
pub use users::Users;

use subtle::ConstantTimeEq;

/// Says who may come in. It may ask a database: its calls may suspend.
pub trait Authoriser: Send + Sync + 'static {
    /// Whether this is the user's password: what Basic asks. Compare secrets in a time that does not tell where they
    /// differ, and take as long for a user that does not exist.
    fn verify(&self, user: &str, password: &str) -> bool;

    /// The hash of `user:realm:password` that Digest needs, in lower-case hexadecimal ([`Algorithm::hash`] makes it);
    /// `None` if there is no such user, or for who keeps no such hashes.
    fn digest_hash(&self, user: &str, realm: &str, algorithm: Algorithm) -> Option<String> {
        let _ = (user, realm, algorithm);
        None
    }
}

/// Who asked, in the [extensions](crate::Request::get) of a request that [`Basic`] or [`Digest`] let pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User(pub String);

/// Compares without telling by the time where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A realm, as a quoted string.
fn quoted(realm: &str) -> String {
    format!("\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\""))
}
