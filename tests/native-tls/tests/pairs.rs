//! The tests of `grapeshot-tls` with all pairs of libraries.

#[path = "../../../protocols/tls/tests/pairs.rs"]
mod pairs;
