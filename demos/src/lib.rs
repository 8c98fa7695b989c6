//! Grapeshot's demos. `mmo` is the first: a field full of wandering coroutines, watched from browsers. `crawler` walks the
//! web, politely.
#![forbid(unsafe_code)]

pub mod crawler;
pub mod inside;
pub mod mmo;
pub mod quadtree;
pub mod users;
