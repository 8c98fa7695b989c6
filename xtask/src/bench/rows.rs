//! The rows of the tables. What each of the runtime's measures in detail: `benches/measure/src/lib.rs`.

/// How a row is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The program measures itself and prints its figures.
    Alone,
    /// The program serves; the load generator drives so many connections and measures.
    Echo { connections: u32 },
    /// The same with requests for `path`, `depth` at a time.
    Http {
        connections: u32,
        path: &'static str,
        depth: u32,
    },
    /// One message of 64 bytes at a time over as many WebSockets to `path`.
    WebSocket {
        connections: u32,
        path: &'static str,
    },
    /// Requests for `path` under TLS.
    Tls {
        connections: u32,
        path: &'static str,
        how: Handshakes,
    },
    /// The program passes requests for `path` on to a canned answer in C.
    Proxy {
        connections: u32,
        path: &'static str,
    },
    /// The program asks a canned answer in C for `path`.
    Client {
        connections: u32,
        path: &'static str,
    },
}

/// When there are handshakes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshakes {
    /// A whole one for each request.
    Full,
    /// One that resumes a session, for each request.
    Resumed,
    /// One for each connection, which is kept.
    Once,
}

impl Handshakes {
    /// What `tls-load` calls it.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Handshakes::Full => "full",
            Handshakes::Resumed => "resumed",
            Handshakes::Once => "kept",
        }
    }
}

/// A figure that a row gives.
pub(crate) struct Metric {
    /// Its key in the JSON.
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    /// Digits after the point in the table.
    pub(crate) digits: usize,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    /// The first is what is compared: less is better.
    pub(crate) metrics: &'static [Metric],
}

impl Row {
    /// The word on the command line of the program.
    pub(crate) fn argument(&self) -> &'static str {
        match self.kind {
            Kind::Alone => self.name,
            Kind::Echo { .. } => "echo",
            _ => "http",
        }
    }
}

const fn metric(key: &'static str, unit: &'static str, digits: usize) -> Metric {
    Metric { key, unit, digits }
}

const NANOSECONDS: &[Metric] = &[metric("ns", "ns", 1)];
const MEMORY: &[Metric] = &[
    metric("kib_each", "KiB each", 2),
    metric("mappings", "mappings", 0),
    metric("resident_kib", "KiB in all", 0),
];
const SLEEPERS: &[Metric] = &[
    metric("p99_ms", "ms p99", 2),
    metric("p50_ms", "ms p50", 2),
    metric("cpu_s", "s of processor", 3),
];
const ECHO: &[Metric] = &[
    metric("cpu_us", "µs a request", 2),
    metric("per_second", "requests/s", 0),
    metric("rss_kib", "KiB resident", 0),
    metric("kib_each", "KiB each", 2),
];
const HTTP: &[Metric] = &[
    metric("cpu_us", "µs a request", 2),
    metric("per_second", "requests/s", 0),
    metric("p50_us", "µs p50", 0),
    metric("p99_us", "µs p99", 0),
    metric("kib_each", "KiB each", 2),
];
const WAKE: &[Metric] = &[metric("p50_us", "µs p50", 2), metric("p99_us", "µs p99", 2)];
const IDLE: &[Metric] = &[metric("per_second", "wake-ups/s", 2)];
const MILLION: &[Metric] = &[
    metric("peak_gib", "GiB at most", 2),
    metric("left_gib", "GiB afterwards", 2),
    metric("took_s", "s", 2),
];

const fn alone(name: &'static str, title: &'static str, metrics: &'static [Metric]) -> Row {
    Row {
        name,
        title,
        kind: Kind::Alone,
        metrics,
    }
}

const fn echo(name: &'static str, title: &'static str, connections: u32) -> Row {
    Row {
        name,
        title,
        kind: Kind::Echo { connections },
        metrics: ECHO,
    }
}

const fn http(
    name: &'static str,
    title: &'static str,
    (connections, depth): (u32, u32),
    path: &'static str,
) -> Row {
    Row {
        name,
        title,
        kind: Kind::Http {
            connections,
            path,
            depth,
        },
        metrics: HTTP,
    }
}

const fn websocket(name: &'static str, title: &'static str, connections: u32) -> Row {
    Row {
        name,
        title,
        kind: Kind::WebSocket {
            connections,
            path: SOCKET,
        },
        metrics: HTTP,
    }
}

const fn tls(
    name: &'static str,
    title: &'static str,
    (connections, how): (u32, Handshakes),
    path: &'static str,
) -> Row {
    Row {
        name,
        title,
        kind: Kind::Tls {
            connections,
            path,
            how,
        },
        metrics: HTTP,
    }
}

pub(crate) const WEB: &[Row] = &[
    http(
        "plaintext-64",
        "plaintext, 64 connections",
        (64, 1),
        PLAINTEXT,
    ),
    http(
        "plaintext-512",
        "plaintext, 512 connections",
        (512, 1),
        PLAINTEXT,
    ),
    http(
        "pipelined",
        "plaintext, 64 connections, 16 requests at a time",
        (64, 16),
        PLAINTEXT,
    ),
    http("json", "1 KiB of JSON, 64 connections", (64, 1), JSON),
    http("file", "a file of 1 MiB, 16 connections", (16, 1), FILE),
    websocket("ws-100", "WebSocket echo 64 B, 100 connections", 100),
    websocket(
        "ws-10000",
        "WebSocket echo 64 B, 10,000 connections",
        10_000,
    ),
    tls(
        "tls-full",
        "TLS 1.3, a whole handshake for each request, 8 at a time",
        (8, Handshakes::Full),
        PLAINTEXT,
    ),
    tls(
        "tls-resumed",
        "TLS 1.3, a resumed session for each request, 8 at a time",
        (8, Handshakes::Resumed),
        PLAINTEXT,
    ),
    tls(
        "tls-plaintext",
        "plaintext under TLS 1.3, 64 connections",
        (64, Handshakes::Once),
        PLAINTEXT,
    ),
    tls(
        "tls-file",
        "a file of 1 MiB under TLS 1.3, 8 connections",
        (8, Handshakes::Once),
        FILE,
    ),
    Row {
        name: "proxy",
        title: "reverse proxy, 64 connections",
        kind: Kind::Proxy {
            connections: 64,
            path: PLAINTEXT,
        },
        metrics: HTTP,
    },
    Row {
        name: "client",
        title: "client, 64 connections",
        kind: Kind::Client {
            connections: 64,
            path: PLAINTEXT,
        },
        metrics: HTTP,
    },
];

pub(crate) const PLAINTEXT: &str = "/plaintext";
pub(crate) const JSON: &str = "/json";
pub(crate) const FILE: &str = "/mebibyte.bin";
pub(crate) const SOCKET: &str = "/echo";

pub(crate) const RUNTIME: &[Row] = &[
    alone("yield", "resume + suspend", NANOSECONDS),
    alone("spawn-1000", "spawn + join, batches of 1,000", NANOSECONDS),
    alone(
        "spawn-10000",
        "spawn + join, batches of 10,000",
        NANOSECONDS,
    ),
    alone("channel", "channel round trip", NANOSECONDS),
    alone("mutex", "mutex hand-off", NANOSECONDS),
    alone("timeout", "time limit around a ready call", NANOSECONDS),
    alone("memory-10000", "10,000 suspended", MEMORY),
    alone("memory-100000", "100,000 suspended", MEMORY),
    alone("memory-1000000", "1,000,000 suspended", MEMORY),
    alone("sleepers", "100,000 sleepers of 0–1 s, lateness", SLEEPERS),
    alone("select", "round trip by `select!` of three", NANOSECONDS),
    alone("broadcast", "broadcast to 100, each message", NANOSECONDS),
    alone("udp", "UDP round trip, 64 B", NANOSECONDS),
    alone("wake", "wake from another thread", WAKE),
    alone("idle", "idle, one waits for connections", IDLE),
    alone("outside", "spawn + join from outside", NANOSECONDS),
    alone("million", "1,000,000 that sleep, wake and end", MILLION),
    echo("echo-100", "TCP echo 64 B, 100 connections", 100),
    echo("echo-1000", "TCP echo 64 B, 1,000 connections", 1_000),
    echo("echo-10000", "TCP echo 64 B, 10,000 connections", 10_000),
    echo("echo-19000", "TCP echo 64 B, 19,000 connections", 19_000),
];
