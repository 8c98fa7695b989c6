//! Users that are known by heart.

use std::collections::HashMap;
use std::fmt;

use super::{Algorithm, Authoriser, same};

/// Users and their passwords, in memory.
///
/// ```
/// use grapeshot_http::auth::{Basic, Users};
/// use grapeshot_http::Router;
///
/// let users = Users::new().user("alice", "open sesame");
/// let site = Basic::new("the cave", users, Router::new().get("/", |_| "gold"));
/// ```
#[derive(Clone, Default)]
pub struct Users(HashMap<String, String>);

impl Users {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user; one of that name is replaced.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.0.insert(name.into(), password.into());
        self
    }
}

impl Authoriser for Users {
    fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.0.get(user);
        // Hashes are as long for a wrong password as for the right one, and for nobody's.
        let right = Algorithm::Sha256.hash(known.map_or("", String::as_str));
        let given = Algorithm::Sha256.hash(password);
        same(right.as_bytes(), given.as_bytes()) & known.is_some()
    }

    fn digest_hash(&self, user: &str, realm: &str, algorithm: Algorithm) -> Option<String> {
        let password = self.0.get(user)?;
        Some(algorithm.hash(&format!("{user}:{realm}:{password}")))
    }
}

impl fmt::Debug for Users {
    /// Without the passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
