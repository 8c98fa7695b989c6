//! Spans stay with their coroutines.

mod claims;
mod filters;
mod programs;
mod switches;
mod times;
mod workers;
