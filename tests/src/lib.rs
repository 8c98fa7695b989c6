//! What the whole-system tests share.
#![forbid(unsafe_code)]

pub mod programs;
pub mod serving;

pub use grapeshot_browser as browser;

pub mod nginx;

/// The programs of the README and of the book's chapters, each an item of its own so that a failure names its page.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/book/src/first-steps.md")]
    struct FirstSteps;
    #[doc = include_str!("../../docs/book/src/timeouts.md")]
    struct Timeouts;
    #[doc = include_str!("../../docs/book/src/several.md")]
    struct Several;
    #[doc = include_str!("../../docs/book/src/scopes.md")]
    struct Scopes;
    #[doc = include_str!("../../docs/book/src/testing.md")]
    struct Testing;
    #[doc = include_str!("../../docs/book/src/console.md")]
    struct Console;
    #[doc = include_str!("../../docs/book/src/selfish.md")]
    struct Selfish;
    #[doc = include_str!("../../docs/book/src/hung.md")]
    struct Hung;
    #[doc = include_str!("../../docs/book/src/profiler.md")]
    struct Profiler;
    #[doc = include_str!("../../docs/book/src/outside.md")]
    struct Outside;
    #[doc = include_str!("../../docs/book/src/names.md")]
    struct Names;
    #[doc = include_str!("../../docs/book/src/web-server.md")]
    struct WebServer;
    #[doc = include_str!("../../docs/book/src/websocket.md")]
    struct WebSocket;
    #[doc = include_str!("../../docs/book/src/client.md")]
    struct Client;
    #[doc = include_str!("../../docs/book/src/futures.md")]
    struct Futures;
    #[doc = include_str!("../../docs/book/src/tls.md")]
    struct Tls;
    #[doc = include_str!("../../docs/book/src/sound.md")]
    struct Sound;
    #[doc = include_str!("../../docs/book/src/coming-from/tokio.md")]
    struct FromTokio;
    #[doc = include_str!("../../docs/book/src/coming-from/go.md")]
    struct FromGo;
    #[doc = include_str!("../../docs/book/src/coming-from/may.md")]
    struct FromMay;
    #[doc = include_str!("../../docs/book/src/coming-from/gevent.md")]
    struct FromGevent;
    #[doc = include_str!("../../docs/book/src/coming-from/shrapnel.md")]
    struct FromShrapnel;
}
