//! Operating-system threads on the rows that they can do: what blocking-style code costs without coroutines.
//! No row has a million of them: the kernel's limits on mappings and threads end that at about 16,000.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use measure::{Row, Stopwatch};

const STACK: usize = 64 * 1024;
const MOST_THREADS: usize = 10_000;

fn main() {
    let (row, _) = measure::arguments();
    match row {
        Row::Yield => yields(),
        Row::Spawn(batch) if batch <= 1_000 => spawns(batch),
        Row::Channel => channel(),
        Row::Mutex => mutex(),
        Row::Memory(count) if count <= MOST_THREADS => memory(count),
        Row::Echo => echo(),
        Row::Timeout => measure::unsupported("a thread's call cannot be bounded from outside"),
        Row::Select | Row::Broadcast | Row::Udp | Row::Wake | Row::Outside | Row::Idle => {
            measure::unsupported("not measured");
        }
        Row::Spawn(_) | Row::Memory(_) | Row::Sleepers | Row::Million => {
            measure::unsupported("too many threads")
        }
    }
}

fn small<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(f)
        .expect("a thread")
}

fn yields() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let pair =
            [(); 2].map(|()| small(|| (0..measure::YIELDS).for_each(|_| thread::yield_now())));
        for thread in pair {
            thread.join().expect("it ends");
        }
        watch.stop(2 * measure::YIELDS);
    }
    watch.report();
}

fn spawns(batch: usize) {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let threads: Vec<_> = (0..batch).map(|i| small(move || black_box(i))).collect();
        for thread in threads {
            thread.join().expect("it ends");
        }
        watch.stop(batch as u64);
    }
    watch.report();
}

fn channel() {
    let (there, arrives) = sync_channel::<u64>(1);
    let (back, returns) = sync_channel::<u64>(1);
    let echo = small(move || {
        arrives
            .iter()
            .for_each(|value| back.send(value).expect("the other side lives"))
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
            small(move || {
                for _ in 0..measure::ACQUISITIONS {
                    let mut guard = shared.lock().expect("nobody panics");
                    *guard += 1;
                    thread::yield_now();
                    drop(guard);
                    thread::yield_now();
                }
            })
        });
        for thread in pair {
            thread.join().expect("it ends");
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
        small(move || {
            started.fetch_add(1, Ordering::Relaxed);
            loop {
                thread::park();
            }
        });
    }
    while started.load(Ordering::Relaxed) < count {
        thread::sleep(Duration::from_millis(10));
    }
    before.report(count);
    std::process::exit(0);
}

fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    measure::report_listening(listener.local_addr().expect("it is bound").port());
    for stream in listener.incoming() {
        let stream = stream.expect("it accepts");
        small(move || serve(&stream));
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
