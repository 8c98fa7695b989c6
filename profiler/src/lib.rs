//! Which coroutine and which function used the processor, and what everyone waited for.
#![forbid(unsafe_code)]

#[cfg(test)]
mod example;
mod fold;
mod model;
pub mod report;

pub use fold::{Function, Node, Weight};
pub use model::{
    Cost, Frame, Group, LoadError, Lost, Profile, Slice, Stack, VERSION, Wake, WorkerTime,
};
