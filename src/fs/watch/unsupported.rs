//! Where no system call tells of names.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::Event;
use crate::io::ReadinessArm;

/// There is none.
pub(super) enum Queue {}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "files are watched on Linux alone",
        ))
    }

    pub(super) fn add(&self, _: &Path, _: bool) -> io::Result<(Vec<(i32, PathBuf)>, Vec<PathBuf>)> {
        match *self {}
    }

    pub(super) fn remove(&self, _: i32) {
        match *self {}
    }

    pub(super) fn take(&self) -> io::Result<Vec<Event>> {
        match *self {}
    }

    pub(super) fn try_take(&self) -> io::Result<Vec<Event>> {
        match *self {}
    }

    pub(super) fn readiness(&self) -> ReadinessArm<'_, OwnedFd> {
        match *self {}
    }
}
