//! Who has logged in with a name and a password. Performs no I/O and reads no clock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::rights::Rights;

/// Logins that are known at once; the oldest goes for the next.
const MOST: usize = 256;
/// A login is good for so long: a working day.
const LASTS: Duration = Duration::from_secs(12 * 3600);

/// Those who logged in, each known by a secret that their browser has as a cookie.
#[derive(Default)]
pub(crate) struct Logins(Mutex<VecDeque<Login>>);

struct Login {
    /// Of the secret: whoever reads our memory later finds none to use.
    hash: [u8; 32],
    who: Who,
    ends: Instant,
}

/// Somebody who is known, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) rights: Rights,
}

impl Logins {
    /// From now on `secret` means `who`.
    pub(crate) fn add(&self, secret: &str, who: Who, now: Instant) {
        self.with(|all| {
            all.retain(|login| login.ends > now);
            if all.len() == MOST {
                all.pop_front();
            }
            all.push_back(Login {
                hash: hash(secret),
                who,
                ends: now + LASTS,
            });
        });
    }

    pub(crate) fn find(&self, secret: &str, now: Instant) -> Option<Who> {
        let wanted = hash(secret);
        self.with(|all| {
            let login = all
                .iter()
                .find(|login| login.hash.ct_eq(&wanted).into())
                .filter(|login| login.ends > now);
            login.map(|login| login.who.clone())
        })
    }

    pub(crate) fn remove(&self, secret: &str) {
        let gone = hash(secret);
        self.with(|all| all.retain(|login| !bool::from(login.hash.ct_eq(&gone))));
    }

    fn with<T>(&self, f: impl FnOnce(&mut VecDeque<Login>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Who {
        Who {
            name: name.into(),
            rights: Rights::observe(),
        }
    }

    #[test]
    fn one_is_known_until_one_leaves_or_the_day_is_over() {
        let (logins, start) = (Logins::default(), Instant::now());
        assert_eq!(logins.find("a", start), None);
        logins.add("a", who("ann"), start);
        logins.add("b", who("bob"), start + LASTS / 2);
        assert_eq!(logins.find("a", start), Some(who("ann")));
        assert_eq!(logins.find("a", start + LASTS), None);
        assert_eq!(logins.find("b", start + LASTS), Some(who("bob")));
        logins.remove("b");
        assert_eq!(logins.find("b", start), None);
    }

    #[test]
    fn many_logins_cost_the_oldest_theirs() {
        let (logins, start) = (Logins::default(), Instant::now());
        for number in 0..=MOST {
            logins.add(&number.to_string(), who("ann"), start);
        }
        assert_eq!(logins.find("0", start), None);
        assert!(logins.find("1", start).is_some());
        assert!(logins.find(&MOST.to_string(), start).is_some());
        assert_eq!(logins.with(|all| all.len()), MOST);
    }
}
