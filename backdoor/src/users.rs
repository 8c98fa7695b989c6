//! Who may log in over a network, and what they may do.

use std::io;
use std::sync::{Mutex, PoisonError};

use grapeshot::sync::OnceLock;

use crate::login::{Challenge, Key, LONGEST_PASSWORD, LONGEST_USER, NONCE, ROUNDS, SALT};
use crate::protocol::ServerMessage;
use crate::rights::Rights;

/// A user as the application names one.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) rights: Rights,
}

struct User {
    name: String,
    rights: Rights,
}

/// All users of a backdoor. Holds no passwords once it has the keys that are derived from them.
pub(crate) struct Users {
    salt: [u8; SALT],
    all: Vec<User>,
    /// One of each user, in their order.
    keys: OnceLock<Vec<Key>>,
    /// What they are derived from; empty afterwards.
    passwords: Mutex<Vec<String>>,
    /// Compared with where there is no such user, so that both take as long.
    nobody: Key,
}

impl Users {
    /// Derives no keys yet: that takes some milliseconds for each user. Never suspends.
    ///
    /// # Errors
    /// `InvalidInput` for a name or a password that nobody could log in with, and for two users of one name; those of the
    /// system, if it has no randomness.
    pub(crate) fn new(named: Vec<Named>) -> io::Result<Self> {
        let mut salt = [0; SALT];
        grapeshot::random::fill(&mut salt)?;
        let (mut all, mut passwords): (Vec<User>, Vec<String>) = Default::default();
        for Named {
            name,
            password,
            rights,
        } in named
        {
            check(&name, &password)?;
            if all.iter().any(|other| other.name == name) {
                return Err(invalid(format!(
                    "the backdoor has two users called {name:?}"
                )));
            }
            all.push(User { name, rights });
            passwords.push(password);
        }
        let nobody = Key::derive("", "", &salt, 1, || {});
        Ok(Self {
            salt,
            all,
            keys: OnceLock::new(),
            passwords: Mutex::new(passwords),
            nobody,
        })
    }

    /// Derives the keys and forgets the passwords. **May suspend**, and lets others run every few hundred rounds.
    pub(crate) fn prepare(&self) {
        self.keys.get_or_init(|| {
            // If this one is interrupted, the next needs them.
            let passwords = self.passwords().clone();
            let users = self.all.iter().zip(&passwords);
            let derive = |(user, password): (&User, &String)| {
                Key::derive(
                    &user.name,
                    password,
                    &self.salt,
                    ROUNDS,
                    grapeshot::yield_now,
                )
            };
            users.map(derive).collect()
        });
        self.passwords().clear();
    }

    fn passwords(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.passwords
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A challenge for one connection.
    ///
    /// # Errors
    /// Those of the system, if it has no randomness.
    pub(crate) fn challenge(&self) -> io::Result<Challenge> {
        let mut nonce = [0; NONCE];
        grapeshot::random::fill(&mut nonce)?;
        Ok(Challenge {
            nonce,
            salt: self.salt,
            rounds: ROUNDS,
        })
    }

    /// Whether this is the answer to our challenge of one of them: what that one may do, and what to say. May suspend, until
    /// there are keys.
    pub(crate) fn answered(
        &self,
        challenge: &Challenge,
        user: &str,
        nonce: &str,
        proof: &str,
    ) -> Option<(Rights, ServerMessage)> {
        let found = self.find(user);
        let key = found.map_or(&self.nobody, |(_, key)| key);
        let welcome = challenge.welcome(key, user, nonce, proof)?;
        Some((found?.0, welcome))
    }

    /// Whether this is the password of one of them, for transports where it is said: what that one may do. May suspend.
    pub(crate) fn said(&self, user: &str, password: &str) -> Option<Rights> {
        if user.len() > LONGEST_USER || password.len() > LONGEST_PASSWORD {
            return None;
        }
        let found = self.find(user);
        let key = found.map_or(&self.nobody, |(_, key)| key);
        let said = Key::derive(user, password, &self.salt, ROUNDS, grapeshot::yield_now);
        let is_right = key.is(&said);
        is_right.then_some(found?.0)
    }

    /// Waits for the keys, for whichever name: who there is cannot be told by the time that it takes.
    fn find(&self, name: &str) -> Option<(Rights, &Key)> {
        self.prepare();
        let mut users = self.all.iter().zip(self.keys.get()?);
        let (user, key) = users.find(|(user, _)| user.name == name)?;
        Some((user.rights, key))
    }
}

fn check(name: &str, password: &str) -> io::Result<()> {
    if name.is_empty() || name.len() > LONGEST_USER || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{name:?} cannot be the name of a user: 1 to {LONGEST_USER} bytes of text are wanted"
        )));
    }
    if password.is_empty() || password.len() > LONGEST_PASSWORD {
        return Err(invalid(format!(
            "the password of {name:?} is empty or too long: 1 to {LONGEST_PASSWORD} bytes are wanted"
        )));
    }
    Ok(())
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, password: &str) -> Named {
        Named {
            name: name.to_owned(),
            password: password.to_owned(),
            rights: Rights::observe(),
        }
    }

    #[test]
    fn keys_are_derived_later_while_others_run_and_passwords_forgotten() {
        grapeshot::testing::run(1, || {
            let users = Users::new(vec![named("ann", "sesame"), named("bob", "hatch")]).unwrap();
            assert!(users.keys.get().is_none());
            grapeshot::scope(|s| {
                let users = &users;
                // Whoever is interrupted leaves it to the next.
                let interrupted = s.spawn(|| users.prepare());
                grapeshot::yield_now();
                interrupted.interrupt();
                assert!(interrupted.join().is_err());
                assert!(users.keys.get().is_none());
                let deriving = s.spawn(|| users.prepare());
                grapeshot::yield_now();
                assert!(!deriving.is_finished());
                assert_eq!(users.said("bob", "hatch"), Some(Rights::observe()));
            });
            assert!(users.passwords().is_empty());
        });
    }

    #[test]
    fn only_the_right_password_of_the_right_user_is_right() {
        grapeshot::testing::run(1, || {
            let users = Users::new(vec![named("ann", "sesame"), named("bob", "hatch")]).unwrap();
            assert_eq!(users.said("ann", "sesame"), Some(Rights::observe()));
            assert_eq!(users.said("ann", "hatch"), None);
            assert_eq!(users.said("carl", "sesame"), None);
            assert_eq!(users.said("", ""), None);
            assert_eq!(users.said("ann", &"x".repeat(LONGEST_PASSWORD + 1)), None);
        });
    }

    #[test]
    fn users_that_nobody_could_be_are_refused() {
        let refused = |users| Users::new(users).map(|_| ()).unwrap_err().to_string();
        assert!(refused(vec![named("", "x")]).contains("name of a user"));
        assert!(refused(vec![named("a\nb", "x")]).contains("name of a user"));
        assert!(refused(vec![named("ann", "")]).contains("empty"));
        assert!(refused(vec![named("ann", "x"), named("ann", "y")]).contains("two users"));
        assert!(Users::new(Vec::new()).unwrap().is_empty());
    }
}
