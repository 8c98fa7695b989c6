//! Profiles for other tools.

mod firefox;
mod form;
mod text;

pub use form::{Form, UnknownForm};

use crate::model::{Profile, Stack};

/// One half of a profile's time; or what was allocated meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// On the processor, sampled.
    On,
    /// Waiting, measured.
    Off,
    /// Allocated, sampled: bytes in place of nanoseconds.
    Allocated,
}

impl Profile {
    /// The stacks of one half.
    pub fn half(&self, half: Half) -> &[Stack] {
        match half {
            Half::On => &self.on,
            Half::Off => &self.off,
            Half::Allocated => &self.allocated.stacks,
        }
    }
}
