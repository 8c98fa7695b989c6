//! Grapeshot's side of the rows. `bench-ours ROW [WORKERS] [bare|traced]`: one worker unless told otherwise; `bare` turns the
//! accounting off, `traced` records all events.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use grapeshot::net::{TcpListener, TcpStream, UdpSocket};
use grapeshot::sync::channel::{bounded, unbounded};
use grapeshot::sync::{Event, Mutex, broadcast};
use grapeshot::{Builder, Placement, Runtime, select, sleep, spawn, with_timeout, yield_now};
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
    let runtime = runtime.expect("a runtime");
    let traced = variant.iter().any(|word| word == "traced");
    let _tracing = traced.then(|| runtime.handle().trace(1 << 16).expect("memory"));
    match row {
        Row::Outside => outside(&runtime),
        Row::Idle => idle(&runtime),
        Row::Wake if workers == 1 => wake_from_a_thread(&runtime),
        _ => runtime.run(move || run(row)),
    }
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
        Row::Select => selects(),
        Row::Broadcast => broadcasts(),
        Row::Udp => udp(),
        Row::Wake => wake_from_a_worker(),
        Row::Outside | Row::Idle => unreachable!("that is done by a thread"),
        Row::Million => million(),
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

fn selects() {
    let (there, arrives): (Vec<_>, Vec<_>) = (0..3).map(|_| bounded::<u64>(1)).unzip();
    let (back, returns): (Vec<_>, Vec<_>) = (0..3).map(|_| bounded::<u64>(1)).unzip();
    let echo = spawn(move || {
        loop {
            let value = select! {
                recv(arrives[0]) -> value => value,
                recv(arrives[1]) -> value => value,
                recv(arrives[2]) -> value => value,
            };
            let Ok(value) = value else { return };
            let back = &back[(value % 2) as usize];
            back.send(value).expect("the other side lives");
        }
    });
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        for i in 0..measure::ROUND_TRIPS {
            let there = &there[(i % 2) as usize];
            there.send(i).expect("the other side lives");
            let value = select! {
                recv(returns[0]) -> value => value,
                recv(returns[1]) -> value => value,
                recv(returns[2]) -> value => value,
            };
            assert_eq!(value, Ok(i));
        }
        watch.stop(measure::ROUND_TRIPS);
    }
    drop(there);
    echo.join().expect("it ends");
    watch.report();
}

fn broadcasts() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        let sender = broadcast::channel(2 * measure::ANNOUNCEMENTS as usize).0;
        let listeners: Vec<_> = (0..measure::LISTENERS)
            .map(|_| sender.subscribe())
            .collect();
        watch.start();
        let listeners: Vec<_> = listeners
            .into_iter()
            .map(|mut listener| {
                spawn(move || (0..measure::ANNOUNCEMENTS).all(|i| listener.recv() == Ok(i)))
            })
            .collect();
        for i in 0..measure::ANNOUNCEMENTS {
            sender.send(i).expect("they listen");
            yield_now();
        }
        for listener in listeners {
            assert!(listener.join().expect("it ends"));
        }
        watch.stop(measure::ANNOUNCEMENTS * measure::LISTENERS as u64);
    }
    watch.report();
}

fn udp() {
    let pair = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let addresses = [0, 1].map(|i| pair[i].local_addr().expect("it is bound"));
    let [there, back] = pair;
    there.connect(addresses[1]).expect("loopback");
    back.connect(addresses[0]).expect("loopback");
    spawn(move || {
        let mut buffer = [0; measure::DATAGRAM];
        while let Ok(count) = back.recv(&mut buffer) {
            back.send(&buffer[..count]).expect("loopback");
        }
    });
    let mut watch = Stopwatch::new();
    let mut buffer = [0; measure::DATAGRAM];
    while watch.wants_more() {
        watch.start();
        for _ in 0..measure::ROUND_TRIPS {
            there.send(&buffer).expect("loopback");
            assert_eq!(there.recv(&mut buffer).expect("loopback"), buffer.len());
        }
        watch.stop(measure::ROUND_TRIPS);
    }
    watch.report();
}

fn wake_from_a_thread(runtime: &Runtime) {
    let (sender, receiver) = unbounded::<Instant>();
    let woken = runtime.spawn(move || receiver.iter().map(|sent| sent.elapsed()).collect());
    for _ in 0..measure::WAKES {
        measure::compute();
        sender.send(Instant::now()).expect("it listens");
    }
    drop(sender);
    measure::report_wakes(woken.join().expect("it ends"));
}

fn wake_from_a_worker() {
    let (sender, receiver) = unbounded::<Instant>();
    let woken = Builder::new()
        .placement(Placement::Worker(1))
        .spawn(move || receiver.iter().map(|sent| sent.elapsed()).collect());
    // This one is on the first.
    for _ in 0..measure::WAKES {
        measure::compute();
        sender.send(Instant::now()).expect("it listens");
    }
    drop(sender);
    measure::report_wakes(woken.join().expect("it ends"));
}

fn outside(runtime: &Runtime) {
    const BATCH: usize = 1_000;
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let coroutines: Vec<_> = (0..BATCH)
            .map(|i| runtime.spawn(move || black_box(i)))
            .collect();
        for coroutine in coroutines {
            coroutine.join().expect("it ends");
        }
        watch.stop(BATCH as u64);
    }
    watch.report();
}

fn idle(runtime: &Runtime) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let waits = runtime.spawn(move || listener.accept().map(drop));
    measure::report_idle();
    waits.interrupt();
}

fn million() {
    let before = measure::MemoryBefore::take();
    let start = Instant::now();
    let ended = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(AtomicUsize::new(0));
    let all_there = Arc::new(AtomicBool::new(false));
    for _ in 0..measure::MILLION {
        let (started, ended) = (Arc::clone(&started), Arc::clone(&ended));
        let all_there = Arc::clone(&all_there);
        spawn(move || {
            started.fetch_add(1, Ordering::Relaxed);
            while !all_there.load(Ordering::Relaxed) {
                sleep(measure::NAP);
            }
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    while started.load(Ordering::Relaxed) < measure::MILLION {
        sleep(Duration::from_millis(10));
    }
    sleep(measure::NAP);
    all_there.store(true, Ordering::Relaxed);
    while ended.load(Ordering::Relaxed) < measure::MILLION {
        sleep(Duration::from_millis(10));
    }
    let took = start.elapsed();
    sleep(measure::SETTLE);
    measure::report_million(before, took);
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
