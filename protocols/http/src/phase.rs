//! The phases of a connection, each with its time.

use std::fmt;

macro_rules! phases {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal,)*) => {
        /// What can take too long. Each has its limit in [`Limits`](crate::Limits); [`Statistics::expired`] counts how often
        /// each ended a connection, and the log names it.
        ///
        /// [`Statistics::expired`]: crate::Statistics::expired
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Phase {
            $($(#[doc = $doc])* $name,)*
        }

        impl Phase {
            /// All of them.
            pub const ALL: &[Phase] = &[$(Phase::$name),*];
        }

        impl fmt::Display for Phase {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Phase::$name => $text,)* })
            }
        }
    };
}

phases! {
    /// What comes before the first byte of HTTP: [`handshake`](crate::Limits::handshake).
    Handshake "handshake",
    /// Up to the first byte of the first request: [`first_byte`](crate::Limits::first_byte).
    FirstByte "first byte",
    /// From the first byte of a request to the end of its head: [`head_wait`](crate::Limits::head_wait).
    Head "head",
    /// For the next bytes of the content: [`body_wait`](crate::Limits::body_wait).
    Body "body",
    /// The content as a whole, which came too slowly: [`body_rate`](crate::Limits::body_rate).
    BodyRate "body rate",
    /// For the peer to take any byte: [`write_wait`](crate::Limits::write_wait).
    Write "write",
    /// The answer as a whole, which was taken too slowly: [`write_rate`](crate::Limits::write_rate).
    WriteRate "write rate",
    /// Between two requests: [`idle`](crate::Limits::idle).
    Idle "idle",
}
