//! What a TLS library does for a stream: bytes in, bytes out. Performs no I/O.

use std::io::IoSlice;

use crate::Error;
use crate::info::Info;

/// One end of a TLS connection, sans I/O. Every method returns at once.
pub(crate) trait Session: Send {
    fn is_handshaking(&self) -> bool;

    /// Takes in what the peer sent, as much as it says; takes nothing more once there is plaintext to read. In the
    /// handshake it goes on with that. After an error there may be a last word to [`take_wire`](Session::take_wire).
    fn feed(&mut self, wire: &[u8]) -> Result<usize, Error>;

    /// Gives plaintext, if there is some.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Plain, Error>;

    /// Encrypts, as many bytes as it says, of which there is at least one.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error>;

    /// Says close_notify.
    fn close(&mut self);

    /// Moves what is to be sent to the end of `wire`.
    fn take_wire(&mut self, wire: &mut Vec<u8>);

    /// What was agreed on.
    fn info(&self) -> Info;
}

/// What [`Session::read`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// So many bytes.
    Bytes(usize),
    /// The peer has said close_notify.
    Ended,
    /// More must be fed first.
    Nothing,
}
