//! What it costs to know: accounting, the event stream, and a profile while it is taken; on a switch, on HTTP plaintext, and on
//! the steps of a world of NPCs.
//!
//! It prints nanoseconds of the worker's processor time an operation: without accounting, what accounting adds to that, and what
//! each of the others adds to a runtime with accounting. There is one runtime, and what is on changes from one short
//! measurement to the next, so that what else the machine does strikes each alike. A figure is the median over many rounds of
//! what was added in the same round; behind it stand the bounds between which the true median lies in 95 of 100 cases.
//!
//! A timer that only interrupts the worker costs something too, on virtual machines most of what samples cost: there is a row
//! with such a timer and no samples, and the last line says what samples cost beyond it.

#[cfg(target_os = "linux")]
mod bare;

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
    use std::sync::{Arc, Mutex, mpsc};
    use std::thread;
    use std::time::Duration;

    use grapeshot::net::TcpListener;
    use grapeshot::{Runtime, sleep, spawn, trace, yield_now};
    use grapeshot_http::Server;
    use grapeshot_profiler::{Options, discard, start};
    use rustix::time::{ClockId, clock_gettime};

    use crate::bare::BareTimer;

    const ROUNDS: usize = 60;
    /// Of HTTP, where the kernel does most of the work and what is added is small beside what that varies by.
    const HTTP_ROUNDS: usize = 240;
    const SWITCHES: u64 = 500_000;
    const CONNECTIONS: usize = 16;
    /// Of each connection.
    const BATCHES: usize = 500;
    /// Requests in a batch where the worker is to be busy without a pause: the clients have less to do then than the server.
    const DEPTH: usize = 16;
    const NPCS: usize = 2_000;
    const STEPS: usize = 4;
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
        /// Exact times, and a timer that interrupts the worker 1,000 times a second, of which nobody makes anything.
        Timer,
        /// Exact times, and 1,000 samples a second.
        Samples,
        /// A profile as it is by default.
        Profile,
    }

    const ALL: [How; 8] = [
        How::Bare,
        How::Accounting,
        How::Stream,
        How::Exact,
        How::Waits,
        How::Timer,
        How::Samples,
        How::Profile,
    ];

    impl How {
        fn name(self) -> &'static str {
            match self {
                Self::Bare => "nothing",
                Self::Accounting => "accounting",
                Self::Stream => "accounting, the event stream",
                Self::Exact => "accounting, a profile: exact times",
                Self::Waits => "… stacks of waits and timeline",
                Self::Timer => "… exact times, 1,000 bare signals a second",
                Self::Samples => "… exact times, 1,000 samples a second",
                Self::Profile => "… all of it, as by default",
            }
        }

        fn options(self) -> Option<Options> {
            let exact = Options::new().hertz(0).waits(false).timeline(0);
            match self {
                Self::Bare | Self::Accounting | Self::Stream => None,
                Self::Exact | Self::Timer => Some(exact),
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
        let timer = matches!(how, How::Timer).then(|| BareTimer::start().expect("a timer"));
        let before = used();
        body();
        let nanos = used() - before;
        assert!(timer.is_none_or(|timer| timer.ticks() > 0), "it ticks");
        drop(stream);
        if profiled {
            // What it says is not asked: reading symbols would take longer than all else.
            discard();
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

    /// The server's clients, on a thread of their own. They wait for a word before each measurement, and say when they are done.
    struct Clients {
        begin: mpsc::Sender<()>,
        ended: mpsc::Receiver<()>,
        /// Requests that each connection has on its way.
        depth: usize,
    }

    impl Clients {
        fn new(server: SocketAddr, depth: usize) -> Self {
            let (begin, begun) = mpsc::channel();
            let (end, ended) = mpsc::channel();
            thread::spawn(move || {
                let connect = |_| TcpStream::connect(server).expect("a connection");
                let mut streams: Vec<_> = (0..CONNECTIONS).map(connect).collect();
                while begun.recv().is_ok() {
                    ask(&mut streams, depth);
                    end.send(()).expect("somebody measures");
                }
            });
            Self {
                begin,
                ended,
                depth,
            }
        }
    }

    /// While one connection is looked after, the others' requests are on their way.
    fn ask(streams: &mut [TcpStream], depth: usize) {
        let requests = b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n".repeat(depth);
        let mut chunk = [0; 16 << 10];
        for turn in 0..=BATCHES {
            for stream in &mut *streams {
                let mut answers = if turn == 0 { depth } else { 0 };
                while answers < depth {
                    let count = stream.read(&mut chunk).expect("an answer");
                    assert!(count > 0, "the server closed");
                    // An answer ends so, and nothing else in it has the byte. It may come in pieces.
                    answers += chunk[..count].iter().filter(|byte| **byte == b'!').count();
                }
                if turn < BATCHES {
                    stream.write_all(&requests).expect("it is sent");
                }
            }
        }
    }

    fn http(how: How, clients: &Clients) -> f64 {
        measured(how, (CONNECTIONS * BATCHES * clients.depth) as u64, || {
            clients.begin.send(()).expect("the clients are there");
            // The worker serves meanwhile.
            while clients.ended.try_recv().is_err() {
                sleep(Duration::from_millis(1));
            }
        })
    }

    /// The median, and bounds between which the true one lies in 95 of 100 cases: those of the binomial distribution.
    fn median(mut figures: Vec<f64>) -> [f64; 3] {
        figures.sort_by(f64::total_cmp);
        let count = figures.len();
        let off = 0.98 * (count as f64).sqrt();
        let at = |place: f64| figures[(place.max(0.0) as usize).min(count - 1)];
        let middle = count as f64 / 2.0;
        [middle, middle - off, middle + off].map(at)
    }

    /// What is measured beside it, from one measurement to the next.
    type Measure = Arc<dyn Fn(How) -> f64 + Send + Sync>;

    fn row(name: &str, runtime: &Runtime, rounds: usize, measure: Measure) {
        let measure = |how: How| {
            runtime.handle().set_accounting(!matches!(how, How::Bare));
            let body = Arc::clone(&measure);
            runtime.spawn(move || body(how)).join().expect("a figure")
        };
        let mut figures = ALL.map(|_| Vec::new());
        // The first fill caches and pools.
        ALL.into_iter().for_each(|how| _ = measure(how));
        for round in 0..rounds {
            // Forwards and backwards: none is always the one behind the dearest.
            let order = |at: usize| {
                if round % 2 == 0 {
                    at
                } else {
                    ALL.len() - 1 - at
                }
            };
            for at in (0..ALL.len()).map(order) {
                figures[at].push(measure(ALL[at]));
            }
        }
        let [bare, accounting, _, exact, _, timer, samples, _] = &figures;
        let [nanos, ..] = median(bare.clone());
        println!("{name}: {nanos:.1} ns without accounting");
        for (how, with) in ALL.into_iter().zip(&figures).skip(1) {
            let without = if matches!(how, How::Accounting) {
                bare
            } else {
                accounting
            };
            tell(how.name(), with, without);
        }
        tell("the bare signals alone, beside exact times", timer, exact);
        tell("the samples alone, beside exact times", samples, exact);
        tell("the samples, beside the bare signals", samples, timer);
        println!();
    }

    /// What was added, each time against the one of the same round.
    fn tell(name: &str, with: &[f64], without: &[f64]) {
        let pairs = || with.iter().zip(without);
        let [nanos, ..] = median(pairs().map(|(with, without)| with - without).collect());
        let percent = median(pairs().map(|(with, without)| with / without).collect());
        let [percent, low, high] = percent.map(|ratio| (ratio - 1.0) * 100.0);
        println!("  {name:<44} {nanos:>+8.1} ns {percent:>+8.1} %   ({low:+.1} … {high:+.1})");
    }

    /// A server in the runtime that is measured.
    fn serve(runtime: &Runtime) -> SocketAddr {
        let server = Server::new(|_, response| response.send_text("Hello, World!"));
        let bound = runtime.spawn(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            (listener.local_addr().expect("its address"), listener)
        });
        let (address, listener) = bound.join().expect("it listens");
        drop(runtime.spawn(move || server.serve(listener)));
        address
    }

    pub(super) fn main() {
        let runtime = Runtime::builder().workers(1).build().expect("a runtime");
        row("switch", &runtime, ROUNDS, Arc::new(switches));
        row("step of an NPC", &runtime, ROUNDS, Arc::new(world));
        let server = serve(&runtime);
        let rows = [
            ("HTTP plaintext, request", 1, HTTP_ROUNDS),
            ("HTTP plaintext, 16 deep, request", DEPTH, ROUNDS),
        ];
        for (name, depth, rounds) in rows {
            let clients = Mutex::new(Clients::new(server, depth));
            let http = move |how| http(how, &clients.lock().expect("one at a time"));
            row(name, &runtime, rounds, Arc::new(http));
        }
    }
}
