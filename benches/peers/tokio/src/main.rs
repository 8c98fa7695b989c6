//! tokio's side of the rows. `peer-tokio ROW ct` is the current-thread scheduler, `mt` two workers.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use measure::{Row, Stopwatch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, broadcast, mpsc};
use tokio::task::yield_now;

fn main() {
    let (row, variant) = measure::arguments();
    let flavor = variant.first().map_or("ct", String::as_str);
    let runtime = runtime(flavor);
    match row {
        Row::Outside => return outside(&runtime, flavor),
        Row::Idle => return idle(runtime),
        Row::Wake if flavor == "ct" => return wake_from_a_thread(&runtime),
        _ => {}
    }
    // Everything runs in a spawned task: what `block_on` runs is no task of a worker's.
    runtime.block_on(async move {
        tokio::spawn(run(row))
            .await
            .expect("the row does not panic")
    });
}

fn runtime(flavor: &str) -> Runtime {
    let mut builder = match flavor {
        "ct" => Builder::new_current_thread(),
        "mt" => Builder::new_multi_thread(),
        other => panic!("no flavor is called {other:?}"),
    };
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn run(row: Row) {
    match row {
        Row::Yield => yields().await,
        Row::Spawn(batch) => spawns(batch).await,
        Row::Channel => channel().await,
        Row::Mutex => mutex().await,
        Row::Timeout => timeout().await,
        Row::Memory(count) => memory(count).await,
        Row::Sleepers => sleepers().await,
        Row::Select => selects().await,
        Row::Broadcast => broadcasts().await,
        Row::Udp => udp().await,
        Row::Wake => wake_from_a_worker().await,
        Row::Outside | Row::Idle => unreachable!("that is done by a thread"),
        Row::Million => million().await,
        Row::Echo => echo().await,
    }
}

async fn yields() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let pair = [(); 2].map(|()| {
            tokio::spawn(async {
                for _ in 0..measure::YIELDS {
                    yield_now().await;
                }
            })
        });
        for task in pair {
            task.await.expect("it yields");
        }
        watch.stop(2 * measure::YIELDS);
    }
    watch.report();
}

async fn spawns(batch: usize) {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let tasks: Vec<_> = (0..batch)
            .map(|i| tokio::spawn(async move { black_box(i) }))
            .collect();
        for task in tasks {
            task.await.expect("it ends");
        }
        watch.stop(batch as u64);
    }
    watch.report();
}

async fn channel() {
    let (there, mut arrives) = mpsc::channel::<u64>(1);
    let (back, mut returns) = mpsc::channel::<u64>(1);
    let echo = tokio::spawn(async move {
        while let Some(value) = arrives.recv().await {
            back.send(value).await.expect("the other side lives");
        }
    });
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        for i in 0..measure::ROUND_TRIPS {
            there.send(i).await.expect("the other side lives");
            assert_eq!(returns.recv().await, Some(i));
        }
        watch.stop(measure::ROUND_TRIPS);
    }
    drop(there);
    echo.await.expect("it ends");
    watch.report();
}

async fn mutex() {
    let shared = Arc::new(Mutex::new(0_u64));
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let pair = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                for _ in 0..measure::ACQUISITIONS {
                    let mut guard = shared.lock().await;
                    *guard += 1;
                    yield_now().await;
                    drop(guard);
                    yield_now().await;
                }
            })
        });
        for task in pair {
            task.await.expect("it ends");
        }
        watch.stop(2 * measure::ACQUISITIONS);
    }
    watch.report();
}

async fn timeout() {
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        for i in 0..measure::BOUNDED_CALLS {
            let value =
                tokio::time::timeout(Duration::from_secs(1), async move { black_box(i) }).await;
            assert_eq!(value, Ok(i));
        }
        watch.stop(measure::BOUNDED_CALLS);
    }
    watch.report();
}

async fn memory(count: usize) {
    let started = Arc::new(AtomicUsize::new(0));
    let never = Arc::new(Notify::new());
    let before = measure::MemoryBefore::take();
    for _ in 0..count {
        let (started, never) = (Arc::clone(&started), Arc::clone(&never));
        tokio::spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            never.notified().await;
        });
    }
    while started.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    before.report(count);
    std::process::exit(0);
}

async fn sleepers() {
    let processor = measure::processor_time();
    let tasks: Vec<_> = (0..measure::SLEEPERS)
        .map(|i| {
            tokio::spawn(async move {
                let (start, nap) = (Instant::now(), measure::sleep_of(i));
                tokio::time::sleep(nap).await;
                start.elapsed().saturating_sub(nap)
            })
        })
        .collect();
    let mut lateness = Vec::with_capacity(tasks.len());
    for task in tasks {
        lateness.push(task.await.expect("it wakes"));
    }
    measure::report_sleepers(lateness, measure::processor_time() - processor);
}

type Ends = (mpsc::Sender<u64>, mpsc::Receiver<u64>);

async fn first_of(from: &mut [mpsc::Receiver<u64>; 3]) -> Option<u64> {
    let [one, two, silent] = from;
    tokio::select! {
        value = one.recv() => value,
        value = two.recv() => value,
        value = silent.recv() => value,
    }
}

fn three_channels() -> ([mpsc::Sender<u64>; 3], [mpsc::Receiver<u64>; 3]) {
    let [one, two, three]: [Ends; 3] = [(); 3].map(|()| mpsc::channel(1));
    ([one.0, two.0, three.0], [one.1, two.1, three.1])
}

async fn selects() {
    let (there, mut arrives) = three_channels();
    let (back, mut returns) = three_channels();
    let echo = tokio::spawn(async move {
        while let Some(value) = first_of(&mut arrives).await {
            let back = &back[(value % 2) as usize];
            back.send(value).await.expect("the other side lives");
        }
    });
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        for i in 0..measure::ROUND_TRIPS {
            let there = &there[(i % 2) as usize];
            there.send(i).await.expect("the other side lives");
            assert_eq!(first_of(&mut returns).await, Some(i));
        }
        watch.stop(measure::ROUND_TRIPS);
    }
    drop(there);
    echo.await.expect("it ends");
    watch.report();
}

async fn broadcasts() {
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
                tokio::spawn(async move {
                    for i in 0..measure::ANNOUNCEMENTS {
                        assert_eq!(listener.recv().await, Ok(i));
                    }
                })
            })
            .collect();
        for i in 0..measure::ANNOUNCEMENTS {
            sender.send(i).expect("they listen");
            yield_now().await;
        }
        for listener in listeners {
            listener.await.expect("it ends");
        }
        watch.stop(measure::ANNOUNCEMENTS * measure::LISTENERS as u64);
    }
    watch.report();
}

async fn udp() {
    let there = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let back = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let (from, to) = (there.local_addr(), back.local_addr());
    there.connect(to.expect("bound")).await.expect("loopback");
    back.connect(from.expect("bound")).await.expect("loopback");
    tokio::spawn(async move {
        let mut buffer = [0; measure::DATAGRAM];
        while let Ok(count) = back.recv(&mut buffer).await {
            back.send(&buffer[..count]).await.expect("loopback");
        }
    });
    let mut watch = Stopwatch::new();
    let mut buffer = [0; measure::DATAGRAM];
    while watch.wants_more() {
        watch.start();
        for _ in 0..measure::ROUND_TRIPS {
            there.send(&buffer).await.expect("loopback");
            let count = there.recv(&mut buffer).await.expect("loopback");
            assert_eq!(count, buffer.len());
        }
        watch.stop(measure::ROUND_TRIPS);
    }
    watch.report();
}

async fn delays(mut receiver: mpsc::UnboundedReceiver<Instant>) -> Vec<Duration> {
    let mut delays = Vec::with_capacity(measure::WAKES);
    while let Some(sent) = receiver.recv().await {
        delays.push(sent.elapsed());
    }
    delays
}

/// The runtime has a thread to itself, as it would in a program.
fn wake_from_a_thread(runtime: &Runtime) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let delays = std::thread::scope(|threads| {
        let woken = threads.spawn(|| {
            runtime.block_on(async {
                let woken = tokio::spawn(delays(receiver));
                woken.await.expect("it ends")
            })
        });
        for _ in 0..measure::WAKES {
            measure::compute();
            sender.send(Instant::now()).expect("it listens");
        }
        drop(sender);
        woken.join().expect("it ends")
    });
    measure::report_wakes(delays);
}

/// The waker keeps its worker busy, so it is the other that runs the woken.
async fn wake_from_a_worker() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let woken = tokio::spawn(delays(receiver));
    for _ in 0..measure::WAKES {
        measure::compute();
        sender.send(Instant::now()).expect("it listens");
    }
    drop(sender);
    measure::report_wakes(woken.await.expect("it ends"));
}

fn outside(runtime: &Runtime, flavor: &str) {
    const BATCH: usize = 1_000;
    if flavor == "ct" {
        measure::unsupported("a current-thread runtime runs only while a thread is in it");
    }
    let mut watch = Stopwatch::new();
    while watch.wants_more() {
        watch.start();
        let tasks: Vec<_> = (0..BATCH)
            .map(|i| runtime.spawn(async move { black_box(i) }))
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.expect("it ends");
            }
        });
        watch.stop(BATCH as u64);
    }
    watch.report();
}

fn idle(runtime: Runtime) {
    // Detached: it ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let waits = tokio::spawn(async move { listener.accept().await.map(drop) });
            waits.await.expect("it ends").expect("it accepts");
        });
    });
    measure::report_idle();
}

async fn million() {
    let before = measure::MemoryBefore::take();
    let start = Instant::now();
    let ended = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(AtomicUsize::new(0));
    let all_there = Arc::new(AtomicBool::new(false));
    for _ in 0..measure::MILLION {
        let (started, ended) = (Arc::clone(&started), Arc::clone(&ended));
        let all_there = Arc::clone(&all_there);
        tokio::spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            while !all_there.load(Ordering::Relaxed) {
                tokio::time::sleep(measure::NAP).await;
            }
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    while started.load(Ordering::Relaxed) < measure::MILLION {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(measure::NAP).await;
    all_there.store(true, Ordering::Relaxed);
    while ended.load(Ordering::Relaxed) < measure::MILLION {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = start.elapsed();
    tokio::time::sleep(measure::SETTLE).await;
    measure::report_million(before, took);
}

async fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    measure::report_listening(listener.local_addr().expect("it is bound").port());
    loop {
        let (stream, _) = listener.accept().await.expect("it accepts");
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
