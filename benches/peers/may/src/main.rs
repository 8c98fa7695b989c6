//! The crate `may` on the rows that it can do, with one worker as ours has. `docs/book/src/why-not-may.md` tells why we do not
//! stand on it; here it is a peer. Its `go!` hides an `unsafe`: its coroutines change threads, ours do not.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use may::coroutine::{self, yield_now};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::{Mutex, mpsc};
use measure::{Row, Stopwatch};

fn main() {
    let (row, _) = measure::arguments();
    may::config().set_workers(1);
    go!(move || run(row))
        .join()
        .expect("the row does not panic");
}

fn run(row: Row) {
    match row {
        Row::Yield => yields(),
        Row::Spawn(batch) => spawns(batch),
        Row::Channel => channel(),
        Row::Mutex => mutex(),
        Row::Timeout => measure::unsupported("may has no limit around an arbitrary call"),
        // Two mappings a stack: it panics at 32,741 of them.
        Row::Memory(count) if count <= 10_000 => memory(count),
        Row::Memory(_) | Row::Sleepers => {
            measure::unsupported("may panics beyond 32,741 coroutines")
        }
        Row::Million => measure::unsupported("may panics beyond 32,741 coroutines"),
        Row::Select | Row::Broadcast | Row::Udp | Row::Wake | Row::Outside | Row::Idle => {
            measure::unsupported("not measured")
        }
        Row::Echo => echo(),
    }
}

fn yields() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let pair = [(); 2].map(|()| go!(|| (0..measure::YIELDS).for_each(|_| yield_now())));
        for coroutine in pair {
            coroutine.join().expect("it yields");
        }
        watch.stop(2 * measure::YIELDS);
    }
    watch.report();
}

fn spawns(batch: usize) {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let coroutines: Vec<_> = (0..batch).map(|i| go!(move || black_box(i))).collect();
        for coroutine in coroutines {
            coroutine.join().expect("it ends");
        }
        watch.stop(batch as u64);
    }
    watch.report();
}

/// Its channel has no bounded kind; with one value under way that makes no difference.
fn channel() {
    let (there, arrives) = mpsc::channel::<u64>();
    let (back, returns) = mpsc::channel::<u64>();
    let echo = go!(move || arrives
        .iter()
        .for_each(|value| back.send(value).expect("the other side lives")));
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        for i in 0..measure::ROUND_TRIPS {
            there.send(i).expect("the other side lives");
            assert_eq!(returns.recv(), Ok(i));
        }
        watch.stop(measure::ROUND_TRIPS);
    }
    drop(there);
    echo.join().expect("it ends");
    watch.report();
}

fn mutex() {
    let shared = Arc::new(Mutex::new(0_u64));
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let pair = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            go!(move || {
                for _ in 0..measure::ACQUISITIONS {
                    let mut guard = shared.lock().expect("nobody panics");
                    *guard += 1;
                    yield_now();
                    drop(guard);
                    yield_now();
                }
            })
        });
        for coroutine in pair {
            coroutine.join().expect("it ends");
        }
        watch.stop(2 * measure::ACQUISITIONS);
    }
    watch.report();
}

fn memory(count: usize) {
    let started = Arc::new(AtomicUsize::new(0));
    let before = measure::MemoryBefore::take();
    for _ in 0..count {
        let started = Arc::clone(&started);
        go!(move || {
            started.fetch_add(1, Ordering::Relaxed);
            coroutine::park();
        });
    }
    let give_up = Instant::now() + Duration::from_secs(30);
    while started.load(Ordering::Relaxed) < count {
        assert!(
            Instant::now() < give_up,
            "not all of them have started after 30 s"
        );
        coroutine::sleep(Duration::from_millis(10));
    }
    before.report(count);
    std::process::exit(0);
}

fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    measure::report_listening(listener.local_addr().expect("it is bound").port());
    for stream in listener.incoming() {
        let stream = stream.expect("it accepts");
        go!(move || serve(stream));
    }
}

fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}
