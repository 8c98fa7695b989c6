//! A field of wandering coroutines, watched from browsers.
pub mod lateness;
pub mod names;
pub mod wire;
