//! What pages say, and what they may look at. Performs no I/O.

use serde::Deserialize;

use super::profiler;

/// The longest text of a search or a reason, in bytes.
pub(crate) const LONGEST_TEXT: usize = 200;
/// Rows of one page of a table.
pub(crate) const MOST_ROWS: u32 = 500;
/// Functions that are asked for one view.
pub(crate) const MOST_ANSWERS: usize = 32;
/// The last row that can be paged to: those up to it are kept in order while all are looked at.
pub(crate) const DEEPEST_ROW: u32 = 20_000;

/// A message of a page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Show this from now on.
    View(View),
    /// The snapshot of this number is on the screen.
    Seen { number: u64 },
    /// Ask this coroutine to end.
    Kill { id: u64, why: String },
    /// Search for coroutines that do not go on; those that wait for a channel, and odd ones, if they have for so long.
    Stuck { seconds: u32 },
    /// Take a profile for so many seconds, with so many samples a second; with allocations if they are wanted.
    Profile {
        seconds: u32,
        hertz: u32,
        #[serde(default)]
        allocations: bool,
    },
    /// End the one that is being taken.
    StopProfile { keep: bool },
}

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct View {
    #[serde(flatten)]
    pub(crate) panel: Panel,
    /// The coroutine that is open beside it.
    #[serde(default)]
    pub(crate) open: Option<u64>,
    /// What the page calls this wish; it is told which one a snapshot answers.
    #[serde(default)]
    pub(crate) wish: u64,
}

/// One of the page's tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "panel", rename_all = "snake_case")]
pub(crate) enum Panel {
    /// Nothing but the figures that every snapshot has.
    #[default]
    Figures,
    Coroutines(Search),
    Groups,
    Sites,
    /// Stalls, deadlocks and lints.
    Trouble,
    /// Lines of the log behind this one.
    Log {
        after: u64,
    },
    /// Profiles.
    Profiler,
    /// What these functions of the console answer.
    Answers {
        of: Vec<String>,
    },
}

/// Some of the coroutines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Search {
    /// In the name, the place of the spawn or what is waited for, upper case or lower; or the whole id.
    #[serde(default)]
    pub(crate) text: String,
    /// Only those of this group.
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// Only those in this state, by its name.
    #[serde(default)]
    pub(crate) state: Option<String>,
    pub(crate) sort: Column,
    pub(crate) descending: bool,
    /// Rows before the first that is wanted.
    pub(crate) from: u32,
    pub(crate) count: u32,
}

/// What coroutines can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Column {
    Id,
    Name,
    State,
    WaitsFor,
    /// How long it has waited or run.
    Since,
    Cpu,
    Switches,
    Worker,
    Age,
}

impl Ask {
    /// Reads a message and cuts what it asks for to what is allowed.
    pub(crate) fn read(message: &[u8]) -> Result<Self, serde_json::Error> {
        let mut ask = serde_json::from_slice(message)?;
        match &mut ask {
            Self::View(View {
                panel: Panel::Coroutines(search),
                ..
            }) => {
                search.count = search.count.min(MOST_ROWS);
                search.from = search.from.min(DEEPEST_ROW - search.count);
                cut(&mut search.text);
            }
            Self::View(View {
                panel: Panel::Answers { of },
                ..
            }) => of.truncate(MOST_ANSWERS),
            Self::Kill { why, .. } => cut(why),
            Self::Profile { seconds, hertz, .. } => {
                *seconds = (*seconds).clamp(1, profiler::LONGEST);
                *hertz = (*hertz).min(profiler::MOST_HERTZ);
            }
            Self::View(_) | Self::Seen { .. } | Self::Stuck { .. } | Self::StopProfile { .. } => {}
        }
        Ok(ask)
    }
}

fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(message: serde_json::Value) -> Ask {
        Ask::read(message.to_string().as_bytes()).expect("a message")
    }

    #[test]
    fn what_is_asked_for_has_bounds() {
        let asked = read(
            json!({"type": "view", "panel": "coroutines", "text": "é".repeat(1000), "sort": "cpu",
            "descending": true, "from": u32::MAX, "count": u32::MAX, "open": 7}),
        );
        let Ask::View(View {
            panel: Panel::Coroutines(search),
            open: Some(7),
            wish: 0,
        }) = asked
        else {
            panic!("{asked:?}");
        };
        assert_eq!(
            (search.from, search.count),
            (DEEPEST_ROW - MOST_ROWS, MOST_ROWS)
        );
        assert_eq!(search.text.len(), LONGEST_TEXT);
        let Ask::Kill { why, .. } = read(json!({"type": "kill", "id": 1, "why": "x".repeat(5000)}))
        else {
            panic!("no kill");
        };
        assert_eq!(why.len(), LONGEST_TEXT);
        assert_eq!(
            read(json!({"type": "profile", "seconds": 0, "hertz": u32::MAX})),
            Ask::Profile {
                seconds: 1,
                hertz: profiler::MOST_HERTZ,
                allocations: false,
            }
        );
    }

    #[test]
    fn views_are_told_apart() {
        assert_eq!(
            read(json!({"type": "view", "panel": "groups"})),
            Ask::View(View {
                panel: Panel::Groups,
                open: None,
                wish: 0,
            })
        );
        assert_eq!(
            read(json!({"type": "seen", "number": 3})),
            Ask::Seen { number: 3 }
        );
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"type":"view","panel":"secrets"}"#,
            r#"{"type":"kill","id":-1,"why":""}"#,
        ] {
            assert!(Ask::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
