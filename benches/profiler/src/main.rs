//! What it costs to know: accounting, the event stream, and a profile while it is taken; on a switch, on HTTP plaintext, and on
//! the steps of a world of NPCs.
//!
//! It prints a table: nanoseconds of the worker's processor time an operation without accounting, what accounting adds to that,
//! and what each of the others adds to a runtime with accounting. Each round takes all of them in turn, so that what else the
//! machine does meanwhile strikes each alike. Figures are medians of [`ROUNDS`].
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
fn main() {
    measure::unsupported("there is no sampling here");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::thread;
    use std::time::Duration;

    use grapeshot::net::TcpListener;
    use grapeshot::{Runtime, sleep, spawn, trace, yield_now};
    use grapeshot_http::Server;
    use grapeshot_profiler::{Options, start, stop};
    use rustix::time::{ClockId, clock_gettime};

    const ROUNDS: usize = 9;
    const SWITCHES: u64 = 1_000_000;
    const CONNECTIONS: usize = 16;
    const REQUESTS: usize = 2_000;
    const NPCS: usize = 2_000;
    const STEPS: usize = 20;
    /// Of the event stream's ring.
    const EVENTS: usize = 1 << 14;

    /// What is on while it is measured.
    #[derive(Clone, Copy)]
    enum How {
        /// Not even accounting.
        Bare,
        Accounting,
        /// The event stream.
        Stream,
        /// A profile's exact times.
        Exact,
        /// The stacks of waits and a timeline besides.
        Waits,
        /// Exact times, and 1,000 samples a second.
        Samples,
        /// A profile as it is by default.
        Profile,
    }

    const ALL: [How; 7] = [
        How::Bare,
        How::Accounting,
        How::Stream,
        How::Exact,
        How::Waits,
        How::Samples,
        How::Profile,
    ];

    impl How {
        fn options(self) -> Option<Options> {
            let exact = Options::new().hertz(0).waits(false).timeline(0);
            match self {
                Self::Bare | Self::Accounting | Self::Stream => None,
                Self::Exact => Some(exact),
                Self::Waits => Some(Options::new().hertz(0)),
                Self::Samples => Some(exact.hertz(1_000)),
                Self::Profile => Some(Options::new()),
            }
        }
    }

    /// Processor time of this thread: that of the one worker, if a coroutine asks.
    fn used() -> u64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    /// Nanoseconds of the worker for each of `count` operations that `body` has done.
    fn measured(how: How, count: u64, body: impl FnOnce()) -> f64 {
        let stream = matches!(how, How::Stream).then(|| trace::start(EVENTS).expect("a stream"));
        let options = how.options();
        let profiled = options.is_some();
        if let Some(options) = options {
            start(options).expect("a profile");
        }
        let before = used();
        body();
        let nanos = used() - before;
        drop(stream);
        if profiled {
            stop().expect("it runs");
        }
        nanos as f64 / count as f64
    }

    fn switches(how: How) -> f64 {
        measured(how, SWITCHES, || {
            let other = spawn(|| (0..SWITCHES / 2).for_each(|_| yield_now()));
            (0..SWITCHES / 2).for_each(|_| yield_now());
            other.join().expect("it yields");
        })
    }

    fn world(how: How) -> f64 {
        measured(how, (NPCS * STEPS) as u64, || {
            let npc = |number: usize| {
                spawn(move || {
                    let mut place = number as u64;
                    for step in 0..STEPS {
                        for _ in 0..200 {
                            place = std::hint::black_box(place.wrapping_mul(31) ^ 7);
                        }
                        sleep(Duration::from_millis(5 + (number + step) as u64 % 10));
                    }
                    place
                })
            };
            let npcs: Vec<_> = (0..NPCS).map(npc).collect();
            npcs.into_iter().for_each(|npc| _ = npc.join());
        })
    }

    fn http(how: How, server: SocketAddr) -> f64 {
        let count = (CONNECTIONS * REQUESTS) as u64;
        measured(how, count, || {
            let clients: Vec<_> = (0..4)
                .map(|_| thread::spawn(move || client(server)))
                .collect();
            // The worker serves meanwhile.
            while clients.iter().any(|client| !client.is_finished()) {
                sleep(Duration::from_millis(1));
            }
            clients
                .into_iter()
                .for_each(|client| client.join().expect("a client"));
        })
    }

    /// A quarter of the connections, each with one request on its way.
    fn client(server: SocketAddr) {
        let connect = |_| TcpStream::connect(server).expect("a connection");
        let mut streams: Vec<_> = (0..CONNECTIONS / 4).map(connect).collect();
        let mut chunk = [0; 4096];
        for _ in 0..REQUESTS {
            for stream in &mut streams {
                stream
                    .write_all(b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n")
                    .expect("it is sent");
            }
            for stream in &mut streams {
                // An answer fits into a packet.
                assert!(stream.read(&mut chunk).expect("an answer") > 0);
            }
        }
    }

    fn median(mut figures: Vec<f64>) -> f64 {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    /// A runtime of one worker, with a server.
    struct Station {
        runtime: Runtime,
        server: SocketAddr,
    }

    impl Station {
        fn new(accounting: bool) -> Self {
            let builder = Runtime::builder().workers(1).accounting(accounting);
            let runtime = builder.build().expect("a runtime");
            let server = Server::new(|_, response| response.send_text("Hello, World!"));
            let bound = runtime.spawn(|| {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                (listener.local_addr().expect("its address"), listener)
            });
            let (address, listener) = bound.join().expect("it listens");
            drop(runtime.spawn(move || server.serve(listener)));
            Self {
                runtime,
                server: address,
            }
        }
    }

    fn row(name: &str, stations: &[Station; 2], measure: fn(How, SocketAddr) -> f64) {
        let measure = |how: How| {
            let station = &stations[usize::from(!matches!(how, How::Bare))];
            let server = station.server;
            let measured = station.runtime.spawn(move || measure(how, server));
            measured.join().expect("a figure")
        };
        let mut figures = ALL.map(|_| Vec::new());
        // The first fills caches and pools.
        measure(How::Bare);
        measure(How::Accounting);
        for _ in 0..ROUNDS {
            for (how, figures) in ALL.into_iter().zip(&mut figures) {
                figures.push(measure(how));
            }
        }
        let [bare, accounting, others @ ..] = &figures;
        print!("{name:<24} {:>10.1}", median(bare.clone()));
        // Against the one of the same round.
        let added = |with: &[f64], without: &[f64]| {
            let pairs = || with.iter().zip(without);
            let nanos = median(pairs().map(|(with, without)| with - without).collect());
            let percent = median(pairs().map(|(with, without)| with / without).collect());
            format!("{nanos:+.1} ({:+.1} %)", (percent - 1.0) * 100.0)
        };
        print!(" {:>17}", added(accounting, bare));
        for other in others {
            print!(" {:>17}", added(other, accounting));
        }
        println!();
    }

    pub(super) fn main() {
        print!("{:<24} {:>10}", "ns an operation", "bare");
        for what in [
            "accounting",
            "events",
            "exact",
            "+ waits",
            "+ 1,000 Hz",
            "all",
        ] {
            print!(" {what:>17}");
        }
        println!();
        let stations = [false, true].map(Station::new);
        row("switch", &stations, |how, _| switches(how));
        row("step of an NPC", &stations, |how, _| world(how));
        row("HTTP plaintext, request", &stations, http);
    }
}
