//! A ring of `io_uring` for the coroutines of one worker: each hands its request to the kernel and waits, and one of them,
//! the reaper, waits for the ring's descriptor and tells the others. This is how the runtime would do it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;

use grapeshot::io::Descriptor;
use grapeshot::sync::Event;
use grapeshot::{LocalJoinHandle, spawn_local};
use io_uring::squeue::Entry;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode};

/// Requests that a ring holds.
const ENTRIES: u32 = 256;

pub(crate) struct Ring {
    shared: Rc<Shared>,
    reaper: Option<LocalJoinHandle<()>>,
}

struct Shared {
    ring: RefCell<IoUring>,
    waiting: RefCell<HashMap<u64, Rc<Request>>>,
    next: Cell<u64>,
}

/// One that the kernel has.
#[derive(Default)]
struct Request {
    done: Event,
    result: Cell<i32>,
}

/// The ring's own descriptor, which is readable while there are results.
struct Results(Rc<Shared>);

impl AsFd for Results {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring has this descriptor for as long as it lives, which is as long as this.
        unsafe { BorrowedFd::borrow_raw(self.0.ring.borrow().as_raw_fd()) }
    }
}

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        let shared = Rc::new(Shared {
            ring: RefCell::new(IoUring::new(ENTRIES)?),
            waiting: RefCell::default(),
            next: Cell::new(0),
        });
        let results = Descriptor::new(Results(shared.clone()))?;
        let reaper = spawn_local(move || {
            loop {
                results.get_ref().0.reap();
                results.wait_readable().expect("a ring can be waited for");
            }
        });
        let reaper = Some(reaper);
        Ok(Self { shared, reaper })
    }

    pub(crate) fn read_at(&self, file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let len = buf.len() as u32;
        let read = opcode::Read::new(Fd(file.as_raw_fd()), buf.as_mut_ptr(), len).offset(at);
        // SAFETY: the buffer and the file are borrowed until the result is there.
        unsafe { self.shared.run(read.build()) }
    }

    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        let len = bytes.len() as u32;
        let write = opcode::Write::new(Fd(file.as_raw_fd()), bytes.as_ptr(), len).offset(at);
        // SAFETY: as above.
        unsafe { self.shared.run(write.build()) }
    }

    pub(crate) fn sync_data(&self, file: &File) -> io::Result<()> {
        let sync = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC);
        // SAFETY: the file is borrowed until the result is there.
        unsafe { self.shared.run(sync.build()).map(drop) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(reaper) = self.reaper.take() {
            reaper.interrupt();
            let _ = reaper.join();
        }
    }
}

impl Shared {
    /// Has the kernel do one thing, and waits until it is done. The caller is never interrupted: this is no more than a
    /// measurement.
    ///
    /// # Safety
    /// What the request points to lives until this returns.
    unsafe fn run(&self, entry: Entry) -> io::Result<usize> {
        let number = self.next.replace(self.next.get() + 1);
        let request = Rc::new(Request::default());
        self.waiting.borrow_mut().insert(number, request.clone());
        {
            let mut ring = self.ring.borrow_mut();
            // SAFETY: see above.
            unsafe { ring.submission().push(&entry.user_data(number)) }
                .expect("fewer requests than entries");
            ring.submit()?;
        }
        // What needs no disk is done already.
        self.reap();
        request.done.wait();
        match request.result.get() {
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            count => Ok(count as usize),
        }
    }

    fn reap(&self) {
        let mut ring = self.ring.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        for result in ring.completion() {
            if let Some(request) = waiting.remove(&result.user_data()) {
                request.result.set(result.result());
                request.done.set();
            }
        }
    }
}
