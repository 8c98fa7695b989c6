//! Grapeshot's side of the rows. `bench-ours ROW [WORKERS] [bare]`: one worker unless told otherwise; `bare` turns the
//! accounting off.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::sync::channel::bounded;
use grapeshot::sync::{Event, Mutex};
use grapeshot::{Runtime, sleep, spawn, with_timeout, yield_now};
use measure::{Row, Stopwatch};

fn main() {
    let (row, variant) = measure::arguments();
    let workers = variant
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(1);
    let accounting = !variant.iter().any(|word| word == "bare");
    let runtime = Runtime::builder()
        .workers(workers)
        .accounting(accounting)
        .build();
    runtime.expect("a runtime").run(move || run(row));
}

fn run(row: Row) {
    match row {
        Row::Yield => yields(),
        Row::Spawn(batch) => spawns(batch),
        Row::Channel => channel(),
        Row::Mutex => mutex(),
        Row::Timeout => timeout(),
        Row::Memory(count) => memory(count),
        Row::Sleepers => sleepers(),
        Row::Echo => echo(),
    }
}

fn yields() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let pair = [(); 2].map(|()| spawn(|| (0..measure::YIELDS).for_each(|_| yield_now())));
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
        let coroutines: Vec<_> = (0..batch).map(|i| spawn(move || black_box(i))).collect();
        for coroutine in coroutines {
            coroutine.join().expect("it ends");
        }
        watch.stop(batch as u64);
    }
    watch.report();
}

fn channel() {
    let (there, arrives) = bounded::<u64>(1);
    let (back, returns) = bounded::<u64>(1);
    let echo = spawn(move || {
        while let Ok(value) = arrives.recv() {
            back.send(value).expect("the other side lives");
        }
    });
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
            spawn(move || {
                for _ in 0..measure::ACQUISITIONS {
                    let mut guard = shared.lock();
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

fn timeout() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        for i in 0..measure::BOUNDED_CALLS {
            assert_eq!(with_timeout(Duration::from_secs(1), || black_box(i)), Ok(i));
        }
        watch.stop(measure::BOUNDED_CALLS);
    }
    watch.report();
}

fn memory(count: usize) {
    let started = Arc::new(AtomicUsize::new(0));
    let never = Arc::new(Event::new());
    let before = measure::MemoryBefore::take();
    for _ in 0..count {
        let (started, never) = (Arc::clone(&started), Arc::clone(&never));
        spawn(move || {
            started.fetch_add(1, Ordering::Relaxed);
            never.wait();
        });
    }
    while started.load(Ordering::Relaxed) < count {
        sleep(Duration::from_millis(10));
    }
    before.report(count);
    std::process::exit(0);
}

fn sleepers() {
    let processor = measure::processor_time();
    let coroutines: Vec<_> = (0..measure::SLEEPERS)
        .map(|i| {
            spawn(move || {
                let (start, nap) = (Instant::now(), measure::sleep_of(i));
                sleep(nap);
                start.elapsed().saturating_sub(nap)
            })
        })
        .collect();
    let lateness = coroutines
        .into_iter()
        .map(|c| c.join().expect("it wakes"))
        .collect();
    measure::report_sleepers(lateness, measure::processor_time() - processor);
}

fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    measure::report_listening(listener.local_addr().expect("it is bound").port());
    for stream in listener.incoming() {
        let stream = stream.expect("it accepts");
        spawn(move || serve(&stream));
    }
}

fn serve(mut stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}
