//! A logger in front of the application's, whose levels the console can change while the program runs.

use std::fmt;
use std::str::FromStr;
use std::sync::{OnceLock, PoisonError, RwLock};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Passes on to another logger what the levels of the moment let through; the console's `log_level("info,my_app::net=debug")`
/// changes them.
///
/// ```
/// use grapeshot_backdoor::LogFilter;
/// # struct Quiet;
/// # impl log::Log for Quiet {
/// #     fn enabled(&self, _: &log::Metadata) -> bool { true }
/// #     fn log(&self, _: &log::Record) {}
/// #     fn flush(&self) {}
/// # }
/// # let my_logger = Quiet;
///
/// LogFilter::install(Box::new(my_logger), "info")?;
/// # Ok::<(), grapeshot_backdoor::LogFilterError>(())
/// ```
pub struct LogFilter {
    logger: Box<dyn Log>,
}

/// There once a filter is installed.
static LEVELS: OnceLock<RwLock<Levels>> = OnceLock::new();

impl LogFilter {
    /// Makes `logger` the logger of this process, behind levels such as `info`, or `warn,my_app=info,my_app::net=trace`: one
    /// for everything, and others for modules and what is below them.
    ///
    /// # Errors
    /// The levels cannot be read, or the process has a logger already.
    pub fn install(logger: Box<dyn Log>, levels: &str) -> Result<(), LogFilterError> {
        let levels: Levels = levels.parse()?;
        let most = levels.most();
        // No line is logged until the maximal level is set below.
        log::set_boxed_logger(Box::new(Self { logger })).map_err(|_| LogFilterError::Taken)?;
        // There is one logger, so this is the first.
        let _ = LEVELS.set(RwLock::new(levels));
        log::set_max_level(most);
        Ok(())
    }
}

impl Log for LogFilter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let allowed = LEVELS.get().is_none_or(|levels| {
            let levels = levels.read().unwrap_or_else(PoisonError::into_inner);
            metadata.level() <= levels.of(metadata.target())
        });
        allowed && self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogFilter({})", levels())
    }
}

/// Why levels were not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFilterError {
    /// A word where a level should be.
    #[error(
        "{0:?} is no level: there are off, error, warn, info, debug and trace, alone or as my_app::net=debug"
    )]
    NoLevel(String),
    /// The process has a logger.
    #[error("the process has a logger already")]
    Taken,
    /// A level for a part, and nobody who could tell the parts.
    #[error(
        "a level for {0:?} alone needs grapeshot_backdoor::LogFilter, which this program has not installed; a level for everything \
         does not"
    )]
    NotInstalled(String),
}

/// The levels of the moment.
pub(crate) fn levels() -> String {
    match LEVELS.get() {
        Some(levels) => {
            let levels = levels.read().unwrap_or_else(PoisonError::into_inner);
            levels.to_string()
        }
        None => log::max_level().as_str().to_lowercase(),
    }
}

/// Changes them.
pub(crate) fn set_levels(text: &str) -> Result<(), LogFilterError> {
    let levels: Levels = text.parse()?;
    let most = levels.most();
    match (LEVELS.get(), levels.parts.first()) {
        (Some(current), _) => {
            *current.write().unwrap_or_else(PoisonError::into_inner) = levels;
        }
        (None, Some((part, _))) => return Err(LogFilterError::NotInstalled(part.clone())),
        (None, None) => {}
    }
    log::set_max_level(most);
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Levels {
    everything: LevelFilter,
    /// The longest path comes first.
    parts: Vec<(String, LevelFilter)>,
}

impl Levels {
    fn of(&self, target: &str) -> LevelFilter {
        let is_in = |part: &str| {
            let rest = target.strip_prefix(part);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let part = self.parts.iter().find(|(part, _)| is_in(part));
        part.map_or(self.everything, |(_, level)| *level)
    }

    fn most(&self) -> LevelFilter {
        let parts = self.parts.iter().map(|(_, level)| *level);
        parts.fold(self.everything, Ord::max)
    }
}

impl FromStr for Levels {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, LogFilterError> {
        let level = |word: &str| {
            let shown = || LogFilterError::NoLevel(word.chars().take(40).collect());
            word.parse::<LevelFilter>().map_err(|_| shown())
        };
        let mut levels = Self {
            everything: Level::Error.to_level_filter(),
            parts: Vec::new(),
        };
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                Some((part, word)) => levels
                    .parts
                    .push((part.trim().to_owned(), level(word.trim())?)),
                None => levels.everything = level(directive)?,
            }
        }
        levels
            .parts
            .sort_by_key(|(part, _)| std::cmp::Reverse(part.len()));
        Ok(levels)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.everything.as_str().to_lowercase())?;
        for (part, level) in self.parts.iter().rev() {
            write!(f, ",{part}={}", level.as_str().to_lowercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_decides() {
        let levels: Levels = "warn, app=info,app::net=trace,app::net::tcp=off"
            .parse()
            .unwrap();
        for (target, level) in [
            ("other", LevelFilter::Warn),
            ("app", LevelFilter::Info),
            ("application", LevelFilter::Warn),
            ("app::files", LevelFilter::Info),
            ("app::net", LevelFilter::Trace),
            ("app::net::udp", LevelFilter::Trace),
            ("app::net::tcp::listener", LevelFilter::Off),
        ] {
            assert_eq!(levels.of(target), level, "{target}");
        }
        assert_eq!(levels.most(), LevelFilter::Trace);
        assert_eq!(levels.to_string().parse(), Ok(levels));
    }

    #[test]
    fn nonsense_is_told_from_levels() {
        for text in ["", "loud", "app=", "app=loud", "info,", "=,"] {
            let error = text.parse::<Levels>().unwrap_err();
            assert!(
                matches!(error, LogFilterError::NoLevel(_)),
                "{text}: {error}"
            );
        }
        assert_eq!(
            "app=debug".parse::<Levels>().unwrap().everything,
            LevelFilter::Error
        );
    }
}
