//! A backdoor that is served over the network.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use grapeshot_backdoor::{Backdoor, Rights};

use super::Folder;

/// A backdoor on a thread of the test's process: ann's password is sesame.
pub struct Ship {
    addresses: Vec<(String, SocketAddr)>,
    pub folder: Folder,
    end: Option<grapeshot::sync::channel::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ship {
    pub fn sail(doors: impl FnOnce(Backdoor, &Folder) -> Backdoor) -> Self {
        let folder = Folder::new();
        let backdoor = Backdoor::new("ship").user("ann", "sesame", Rights::all());
        let backdoor = doors(backdoor, &folder);
        let path = folder.file("socket");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ended) = grapeshot::sync::channel::bounded::<()>(1);
        let thread = thread::spawn(move || {
            grapeshot::run(move || {
                let handle = backdoor.serve_unix(&path).unwrap();
                let network = handle.network();
                let network = network.map(|(scheme, address)| (scheme.to_owned(), address));
                ready.send(network.collect()).unwrap();
                // Ends when the test drops its sender.
                let _ = ended.recv();
            });
        });
        Self {
            addresses: is_ready.recv().unwrap(),
            folder,
            end: Some(end),
            thread: Some(thread),
        }
    }

    pub fn with_tcp() -> Self {
        Self::sail(|backdoor, _| backdoor.tcp("127.0.0.1:0"))
    }

    /// `tcp://127.0.0.1:40112`
    pub fn at(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port(scheme))
    }

    pub fn port(&self, scheme: &str) -> u16 {
        let mut addresses = self.addresses.iter();
        addresses.find(|it| it.0 == scheme).unwrap().1.port()
    }
}

impl Drop for Ship {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().unwrap().join();
        assert!(thread::panicking() || ended.is_ok());
    }
}
