//! A profile as one HTML file, for people: tables, flame graphs, a timeline.
//!
//! ```text
//!   Profile ──▶ data (columns, a tree of stacks) ──▶ JSON in the page ──▶ assets/model.js ──▶ the views
//! ```
//!
//! The file opens without a network and asks for nothing: scripts and styles are in it, and its policy allows those alone, by
//! their hashes. Names come from the network too; they are in the JSON only, where nothing ends the element that holds it, and
//! the scripts put them into the page as text.

mod data;
mod page;

use crate::model::Profile;
use data::Data;

/// The flame graph alone, for other pages: a script with one global, `GrapeshotFlame`. Its head says how to use it.
pub const FLAME_JS: &str = include_str!("../../assets/flame.js");

/// The style sheet that belongs to [`FLAME_JS`].
pub const FLAME_CSS: &str = include_str!("../../assets/flame.css");

/// The report of a profile: a whole HTML file.
///
/// Takes a few times as much memory as the profile while it runs.
pub fn html(profile: &Profile) -> String {
    page::page(
        &format!("{}: profile", profile.application),
        &Data::of(&[profile]),
    )
}

/// What changed from one profile to another: a whole HTML file.
///
/// Functions, files and groups are the same if their names are. Times are given per second of each profile, so the two may
/// have different lengths.
pub fn difference(before: &Profile, after: &Profile) -> String {
    page::page(
        &format!("{}: two profiles", after.application),
        &Data::of(&[before, after]),
    )
}

#[cfg(test)]
mod tests;
