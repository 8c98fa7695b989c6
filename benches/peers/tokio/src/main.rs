//! tokio's side of the rows. `peer-tokio ROW ct` is the current-thread scheduler, `mt` two workers.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use measure::{Row, Stopwatch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::yield_now;

fn main() {
    let (row, variant) = measure::arguments();
    let runtime = runtime(variant.first().map_or("ct", String::as_str));
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
