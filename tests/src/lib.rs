//! What the whole-system tests share.
#![forbid(unsafe_code)]

pub use grapeshot_browser as browser;

/// The programs of the pages that people meet first.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/tutorial.md")]
pub struct Pages;
