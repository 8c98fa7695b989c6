//! What `robots.txt` allows (RFC 9309). Performs no I/O.

use std::time::Duration;

/// Bytes of a file that are read; the RFC wants 500 KiB at least.
pub const MOST: u64 = 512 << 10;
/// Rules that are kept.
const RULES: usize = 10_000;
/// The longest pause between two requests that a host may wish for.
const LONGEST: Duration = Duration::from_secs(60);

/// The rules of one host for us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Robots {
    /// Whether it allows, and the pattern of paths it is about.
    rules: Vec<(bool, String)>,
    delay: Option<Duration>,
}

impl Robots {
    /// Nothing is allowed: what a host means whose server fails when it is asked.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            rules: vec![(false, "/".to_owned())],
            delay: None,
        }
    }

    /// Reads a file. The groups for `agent` count, or else those for `*`.
    #[must_use]
    pub fn parse(text: &str, agent: &str) -> Self {
        let (mut ours, mut all) = (Self::default(), Self::default());
        let mut named = false;
        let (mut for_us, mut for_all, mut in_rules) = (false, false, true);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                if std::mem::replace(&mut in_rules, false) {
                    (for_us, for_all) = (false, false);
                }
                for_us |= value.eq_ignore_ascii_case(agent);
                for_all |= value == "*";
                named |= for_us;
                continue;
            }
            in_rules = true;
            for (robots, applies) in [(&mut ours, for_us), (&mut all, for_all)] {
                if applies {
                    robots.add(&key, value);
                }
            }
        }
        if named { ours } else { all }
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            // An empty Disallow says that nothing is.
            "allow" | "disallow" if !value.is_empty() && self.rules.len() < RULES => {
                self.rules.push((key == "allow", value.to_owned()));
            }
            "crawl-delay" => {
                let seconds = value.parse().ok().filter(|&seconds: &f64| seconds >= 0.0);
                self.delay = seconds.map(|seconds| {
                    Duration::try_from_secs_f64(seconds).map_or(LONGEST, |delay| delay.min(LONGEST))
                });
            }
            _ => {}
        }
    }

    /// Whether a path (with its query) may be asked for: the longest pattern that fits decides, and of two the kinder.
    #[must_use]
    pub fn allow(&self, path: &str) -> bool {
        self.rules
            .iter()
            .filter(|(_, pattern)| fits(pattern, path))
            .map(|(allow, pattern)| (pattern.len(), *allow))
            .max()
            .is_none_or(|(_, allow)| allow)
    }

    /// How long to wait between two requests, if the host has a wish.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }
}

/// Whether `path` begins as `pattern` says: `*` stands for anything, `$` at its end for the end.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, to_end) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return !to_end || rest.is_empty();
    };
    // The first place for each part leaves most for those behind it.
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    if to_end {
        rest.ends_with(last)
    } else {
        rest.contains(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_decides() {
        let robots = Robots::parse(
            "User-agent: *\nDisallow: /private # ours\nAllow: /private/open\nDisallow: /*.gif$\nDisallow: /a*b*c\n",
            "grapeshot",
        );
        for (path, allowed) in [
            ("/", true),
            ("/private", false),
            ("/private/x", false),
            ("/private/open/x", true),
            ("/x.gif", false),
            ("/x.gif?y", true),
            ("/a1b2c3", false),
            ("/acb", true),
        ] {
            assert_eq!(robots.allow(path), allowed, "{path}");
        }
        assert!(!Robots::nothing().allow("/x"));
        assert!(Robots::default().allow("/x"));
    }

    #[test]
    fn a_group_of_ours_replaces_that_for_all() {
        let text = "user-agent: other\nuser-agent: Grapeshot\nCrawl-delay: 1.5\nDisallow: /x\n\nUser-agent: *\nDisallow: /\n";
        let ours = Robots::parse(text, "grapeshot");
        assert!(ours.allow("/y") && !ours.allow("/x"));
        assert_eq!(ours.delay(), Some(Duration::from_millis(1500)));
        let all = Robots::parse(text, "somebody");
        assert!(!all.allow("/y"));
        assert_eq!(all.delay(), None);
        let open = Robots::parse("User-agent: *\nDisallow:\nCrawl-delay: 1e300\n", "x");
        assert!(open.allow("/"));
        assert_eq!(open.delay(), Some(LONGEST));
    }
}
