//! Grapeshot's demos. `mmo` is the first: a field full of wandering coroutines, watched from browsers.
#![forbid(unsafe_code)]

pub mod mmo;
pub mod quadtree;
