//! A child's arm in a [`select!`](crate::select!).

use std::io;
use std::os::fd::OwnedFd;

use super::exit::Exit;
use super::{Child, ExitStatus};
use crate::io::{Operation, OperationArm, Way};

/// Its end.
pub struct End<'a> {
    process: &'a mut std::process::Child,
    status: &'a mut Option<ExitStatus>,
}

impl Child {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_wait(&mut self) -> OperationArm<'_, OwnedFd, End<'_>> {
        let (process, status) = (&mut self.process, &mut self.status);
        let readiness = match &self.exit {
            Exit::Told(source) => Some(source.readiness(Way::Read)),
            Exit::Looked => None,
        };
        OperationArm::new(End { process, status }, readiness)
    }
}

impl Operation for End<'_> {
    type Output = ExitStatus;

    fn attempt(&mut self) -> io::Result<()> {
        if self.status.is_none() {
            *self.status = self.process.try_wait()?;
        }
        match self.status {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn finish(self) -> io::Result<ExitStatus> {
        Ok(self.status.expect("the attempt has succeeded"))
    }
}
