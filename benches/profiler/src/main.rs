//! What a profile costs while it is taken: on a switch, on HTTP plaintext, and on the steps of a world of NPCs.
//!
//! It prints a table: nanoseconds of the worker's processor time an operation without a profile, and how many times that it is
//! with exact times, with the stacks of waits too, and with 1,000 samples a second besides. Each round takes all of them in
//! turn, so that what else the machine does meanwhile strikes each alike. Figures are medians of [`ROUNDS`].
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
    use grapeshot::{Runtime, sleep, spawn, yield_now};
    use grapeshot_http::Server;
    use grapeshot_profiler::{Options, start, stop};
    use rustix::time::{ClockId, clock_gettime};

    const ROUNDS: usize = 9;
    const SWITCHES: u64 = 1_000_000;
    const CONNECTIONS: usize = 16;
    const REQUESTS: usize = 2_000;
    const NPCS: usize = 2_000;
    const STEPS: usize = 20;

    #[derive(Clone, Copy)]
    enum How {
        Off,
        Exact,
        Waits,
        Sampled,
    }

    const ALL: [How; 4] = [How::Off, How::Exact, How::Waits, How::Sampled];

    impl How {
        fn options(self) -> Option<Options> {
            let exact = Options::new().hertz(0).waits(false).timeline(0);
            match self {
                Self::Off => None,
                Self::Exact => Some(exact),
                Self::Waits => Some(exact.waits(true)),
                Self::Sampled => Some(Options::new().hertz(1_000)),
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
        let options = how.options();
        let profiled = options.is_some();
        if let Some(options) = options {
            start(options).expect("a profile");
        }
        let before = used();
        body();
        let nanos = used() - before;
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

    fn row(name: &str, measure: impl Fn(How) -> f64) {
        let mut figures = ALL.map(|_| Vec::new());
        // The first fills caches and pools.
        measure(How::Off);
        for _ in 0..ROUNDS {
            for (how, figures) in ALL.into_iter().zip(&mut figures) {
                figures.push(measure(how));
            }
        }
        let off = figures[0].clone();
        let [exact, waits, sampled] = [1, 2, 3].map(|at| {
            // Against the one of the same round.
            let pairs = figures[at].iter().zip(&off);
            median(pairs.map(|(with, without)| with / without).collect())
        });
        let off = median(off);
        println!("{name:<28} {off:>10.1} {exact:>10.3} {waits:>10.3} {sampled:>12.3}");
    }

    pub(super) fn main() {
        println!(
            "{:<28} {:>10} {:>10} {:>10} {:>12}",
            "", "off, ns", "exact", "+ waits", "+ 1,000 Hz"
        );
        let runtime = Runtime::builder().workers(1).build().expect("a runtime");
        runtime.run(|| {
            row("switch", switches);
            row("step of an NPC", world);
            let server = Server::new(|_, response| response.send_text("Hello, World!"));
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("its address");
            spawn(move || server.serve(listener));
            row("HTTP plaintext, request", |how| http(how, address));
        });
    }
}
