//! Spans stay with their coroutines.

mod claims;
mod programs;
mod switches;
mod times;
mod workers;
