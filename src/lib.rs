//! STUB over std threads, replaced within the hour by the real runtime; the signatures stay.
#![allow(missing_docs)]
use std::any::Any;
use std::time::{Duration, Instant};

pub fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T { f() }
#[track_caller]
pub fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> { JoinHandle(std::thread::spawn(f)) }
pub struct JoinHandle<T>(std::thread::JoinHandle<T>);
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError { Panicked(Box<dyn Any + Send>), Interrupted }
impl std::fmt::Display for JoinError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("join") } }
impl std::error::Error for JoinError {}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoroutineId(pub u64);
impl<T> JoinHandle<T> {
    pub fn join(self) -> Result<T, JoinError> { self.0.join().map_err(JoinError::Panicked) }
    pub fn interrupt(&self) {}
    pub fn is_finished(&self) -> bool { self.0.is_finished() }
    pub fn id(&self) -> CoroutineId { CoroutineId(0) }
}
#[derive(Default)]
pub struct Builder { name: Option<String> }
impl Builder {
    pub fn new() -> Self { Self::default() }
    pub fn name(mut self, n: impl Into<String>) -> Self { self.name = Some(n.into()); self }
    pub fn stack_size(self, _bytes: usize) -> Self { self }
    #[track_caller]
    pub fn spawn<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> { let _ = self.name; spawn(f) }
}
pub struct Runtime;
pub struct RuntimeBuilder;
impl Runtime {
    pub fn builder() -> RuntimeBuilder { RuntimeBuilder }
    pub fn run<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> T { f() }
}
impl RuntimeBuilder {
    pub fn workers(self, _n: usize) -> Self { self }
    pub fn stack_size(self, _n: usize) -> Self { self }
    pub fn shutdown_timeout(self, _d: Duration) -> Self { self }
    pub fn build(self) -> std::io::Result<Runtime> { Ok(Runtime) }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time allowed has elapsed")]
pub struct Elapsed;
pub fn with_timeout<T>(_d: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> { Ok(f()) }
pub fn with_deadline<T>(_d: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> { Ok(f()) }
pub fn shield<T>(f: impl FnOnce() -> T) -> T { f() }
pub fn catch_panic<T>(f: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> { std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) }
pub fn sleep(d: Duration) { std::thread::sleep(d) }
pub fn sleep_until(t: Instant) { std::thread::sleep(t.saturating_duration_since(Instant::now())) }
pub fn yield_now() { std::thread::yield_now() }
pub mod time { pub fn now() -> std::time::Instant { std::time::Instant::now() } pub use crate::{sleep, sleep_until, with_timeout, with_deadline, Elapsed}; }
pub mod net {
    pub use std::net::{TcpListener, TcpStream, Shutdown, SocketAddr, ToSocketAddrs};
    pub use std::os::unix::net::{UnixListener, UnixStream};
}
pub mod signal {
    //! `let mut s = Signals::new(&[SIGTERM, SIGINT])?; let which: i32 = s.wait()?;`
    pub use libc::{SIGHUP, SIGINT, SIGTERM};
    pub struct Signals;
    impl Signals { pub fn new(_s: &[i32]) -> std::io::Result<Self> { Ok(Self) } pub fn wait(&mut self) -> std::io::Result<i32> { loop { std::thread::park() } } }
}
pub mod sync {
    pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    // Also there in the real runtime: Condvar, Semaphore, Event.
    pub mod channel {
        use std::sync::mpsc;
        pub use mpsc::{RecvError, SendError, TryRecvError, TrySendError};
        #[derive(Clone)] pub struct Sender<T>(mpsc::SyncSender<T>);
        pub struct Receiver<T>(mpsc::Receiver<T>);
        pub fn bounded<T>(n: usize) -> (Sender<T>, Receiver<T>) { let (s, r) = mpsc::sync_channel(n); (Sender(s), Receiver(r)) }
        pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) { bounded(1 << 20) }
        impl<T> Sender<T> { pub fn send(&self, v: T) -> Result<(), SendError<T>> { self.0.send(v) } pub fn try_send(&self, v: T) -> Result<(), TrySendError<T>> { self.0.try_send(v) } }
        impl<T> Receiver<T> { pub fn recv(&self) -> Result<T, RecvError> { self.0.recv() } pub fn try_recv(&self) -> Result<T, TryRecvError> { self.0.try_recv() } }
    }
    #[derive(Default)] pub struct Event(std::sync::Mutex<bool>, std::sync::Condvar);
    impl Event {
        pub fn new() -> Self { Self::default() }
        pub fn set(&self) { *self.0.lock().unwrap() = true; self.1.notify_all(); }
        pub fn clear(&self) { *self.0.lock().unwrap() = false; }
        pub fn is_set(&self) -> bool { *self.0.lock().unwrap() }
        pub fn wait(&self) { let mut g = self.0.lock().unwrap(); while !*g { g = self.1.wait(g).unwrap(); } }
    }
}
/// What the console reads. Reading it never stops the world.
pub mod registry {
    use crate::CoroutineId;
    use std::time::Duration;
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum State { Unstarted, Ready, Running, Waiting, Ended }
    /// What a suspended coroutine waits for. `Display` gives e.g. "sleep", "read fd 17", "lock 0x7f…".
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WaitFor { pub operation: &'static str, pub object: u64, pub since: Duration }
    #[derive(Debug, Clone)]
    #[non_exhaustive]
    pub struct CoroutineInfo {
        pub id: CoroutineId, pub name: String, pub parent: Option<CoroutineId>, pub worker: Option<usize>,
        pub state: State, pub waits_for: Option<WaitFor>, pub age: Duration,
        pub cpu: Duration, pub switches: u64, pub stack_size: usize, pub stack_used: Option<usize>, pub interrupted: bool,
    }
    /// All live coroutines of this runtime, ordered by id.
    pub fn coroutines() -> Vec<CoroutineInfo> { vec![] }
    pub fn coroutine(_id: CoroutineId) -> Option<CoroutineInfo> { None }
    /// One resolved frame, innermost first.
    #[derive(Debug, Clone)]
    pub struct Frame { pub address: usize, pub function: Option<String>, pub file: Option<String>, pub line: Option<u32> }
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
    pub enum BacktraceError {
        #[error("no coroutine has the id {0}")] NotFound(u64),
        #[error("has not started yet")] Unstarted,
        #[error("is running on worker {0} and cannot be walked until it suspends")] Running(usize),
        #[error("worker {0} did not answer within {1:?}")] Stuck(usize, Duration),
    }
    /// May suspend.
    pub fn backtrace(id: CoroutineId) -> Result<Vec<Frame>, BacktraceError> { Err(BacktraceError::NotFound(id.0)) }
    /// Asks it to end; false if there is no such coroutine.
    pub fn interrupt(_id: CoroutineId) -> bool { false }
    pub fn current() -> Option<CoroutineId> { None }
    #[derive(Debug, Clone)]
    #[non_exhaustive]
    pub struct WorkerInfo { pub index: usize, pub running: Option<CoroutineId>, pub sleeping: bool, pub coroutines: usize, pub ready: usize, pub timers: usize, pub resumes: u64, pub polls: u64, pub stolen: u64, pub busy: Duration, pub idle: Duration, pub stacks_pooled: usize }
    pub fn workers() -> Vec<WorkerInfo> { vec![] }
    #[derive(Debug, Clone)]
    #[non_exhaustive]
    pub struct RuntimeStats { pub uptime: Duration, pub workers: usize, pub live: usize, pub spawned: u64, pub ended: u64, pub panicked: u64, pub interrupted: u64, pub timeouts: u64, pub resident_bytes: Option<u64> }
    pub fn stats() -> Option<RuntimeStats> { None }
}
