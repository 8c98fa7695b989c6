//! What coroutines wait for, by name.

/// What a wait is for, as the registry shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitKind {
    Sleep,
    Join,
    Select,
    Mutex,
    RwLockRead,
    RwLockWrite,
    Condvar,
    Semaphore,
    Event,
    ChannelSend,
    ChannelRecv,
    Read,
    Write,
    Accept,
    Connect,
    /// Queued behind another caller of the same descriptor and direction.
    Turn,
    Backtrace,
    Barrier,
    Once,
    InvertedSemaphore,
    Broadcast,
    Watch,
    Fifo,
    Cache,
    RateLimiter,
    IdleTimer,
    Unblock,
    Child,
    Future,
    Scope,
}

impl WaitKind {
    const ALL: [Self; 30] = [
        Self::Sleep,
        Self::Join,
        Self::Select,
        Self::Mutex,
        Self::RwLockRead,
        Self::RwLockWrite,
        Self::Condvar,
        Self::Semaphore,
        Self::Event,
        Self::ChannelSend,
        Self::ChannelRecv,
        Self::Read,
        Self::Write,
        Self::Accept,
        Self::Connect,
        Self::Turn,
        Self::Backtrace,
        Self::Barrier,
        Self::Once,
        Self::InvertedSemaphore,
        Self::Broadcast,
        Self::Watch,
        Self::Fifo,
        Self::Cache,
        Self::RateLimiter,
        Self::IdleTimer,
        Self::Unblock,
        Self::Child,
        Self::Future,
        Self::Scope,
    ];

    pub(crate) fn from_u8(kind: u8) -> Self {
        Self::ALL
            .get(usize::from(kind))
            .copied()
            .unwrap_or(Self::Sleep)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Join => "join",
            Self::Select => "select",
            Self::Mutex => "mutex",
            Self::RwLockRead => "rwlock read",
            Self::RwLockWrite => "rwlock write",
            Self::Condvar => "condvar",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::ChannelSend => "channel send",
            Self::ChannelRecv => "channel recv",
            Self::Read => "read",
            Self::Write => "write",
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Turn => "turn",
            Self::Backtrace => "backtrace",
            Self::Barrier => "barrier",
            Self::Once => "once",
            Self::InvertedSemaphore => "inverted semaphore",
            Self::Broadcast => "broadcast",
            Self::Watch => "watch",
            Self::Fifo => "fifo",
            Self::Cache => "cache",
            Self::RateLimiter => "rate limiter",
            Self::IdleTimer => "idle timer",
            Self::Unblock => "unblock",
            Self::Child => "child (pidfd)",
            Self::Future => "future",
            Self::Scope => "scope",
        }
    }

    /// Is it for other coroutines to end it, which can be told?
    pub(crate) fn has_holders(self) -> bool {
        matches!(
            self,
            Self::Join | Self::Mutex | Self::RwLockRead | Self::RwLockWrite | Self::Scope
        )
    }

    /// A lock, which somebody has?
    pub(crate) fn is_lock(self) -> bool {
        matches!(self, Self::Mutex | Self::RwLockRead | Self::RwLockWrite)
    }

    /// Is it for something outside of the program to end it, such as a peer or a disk?
    pub(crate) fn is_outside(self) -> bool {
        matches!(
            self,
            Self::Read
                | Self::Write
                | Self::Accept
                | Self::Connect
                | Self::Turn
                | Self::Unblock
                | Self::Child
        )
    }

    /// Is the object a descriptor's number, or an id, rather than an address?
    pub(crate) fn object_is_number(self) -> bool {
        matches!(
            self,
            Self::Read
                | Self::Write
                | Self::Accept
                | Self::Connect
                | Self::Turn
                | Self::Join
                | Self::Select
                | Self::Child
        )
    }
}
