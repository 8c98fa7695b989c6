//! A server on the simulated network that sends back what it hears.

use crate::net::{TcpListener, TcpStream};
use crate::{JoinError, JoinHandle, spawn};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::panic::resume_unwind;

pub(super) struct Harbour {
    pub(super) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Harbour {
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(move || {
            for stream in listener.incoming().flatten() {
                spawn(move || echo(&stream));
            }
        });
        Self { address, server }
    }

    /// Takes no more ships. Those that are in may finish.
    pub(super) fn close(self) {
        self.server.interrupt();
        match self.server.join() {
            Err(JoinError::Interrupted) => {}
            Err(JoinError::Panicked(payload)) => resume_unwind(payload),
            ended => panic!("{ended:?}"),
        }
    }
}

/// Until nobody listens.
fn echo(mut stream: &TcpStream) {
    let mut chunk = [0; 50];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        if stream.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
}
