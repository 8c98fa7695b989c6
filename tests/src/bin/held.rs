//! A server whose workers are all held, for `tests/console_held.rs`: `held SOCKET HOW`.
//!
//! On each of its two workers a coroutine waits (`victim-0`, `victim-1`) behind another one (`holder-0`, `holder-1`) that
//! holds the worker in one of several ways; with `free` nobody does.

use std::hint::black_box;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grapeshot::sync::Event;
use grapeshot::{Builder, Placement, Runtime, shield, sleep};
use grapeshot_backdoor::{Backdoor, Right};

const WORKERS: usize = 2;
const LONG: Duration = Duration::from_secs(3600);

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(how)) = (arguments.next(), arguments.next()) else {
        panic!("held SOCKET free|computing|locked|blocked|napping");
    };
    let runtime = Runtime::builder()
        .workers(WORKERS)
        .shutdown_timeout(Duration::from_secs(60));
    runtime.build()?.run(move || serve(&path, &how))
}

fn serve(path: &str, how: &str) -> std::io::Result<()> {
    let speed = Arc::new(AtomicU64::new(7));
    let purse = Arc::new(grapeshot::sync::Mutex::new(100_u64));
    let lock = Arc::new(Mutex::new(()));
    let (end, released) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (ends, releases) = (end.clone(), released.clone());
    let handle = Backdoor::new("held")
        .expose_setting("speed", "an atomic", Right::Observe, Right::Operate, &speed)
        .expose_setting(
            "purse",
            "behind a lock",
            Right::Observe,
            Right::Operate,
            &purse,
        )
        .expose("compute", "never ends", Right::Operate, compute)
        .expose("sprout", "a coroutine that waits", Right::Operate, || {
            let child = Builder::new().name("child");
            child.spawn(|| sleep(LONG)).id().0
        })
        .expose(
            "whereabouts",
            "where a spawned coroutine runs",
            Right::Operate,
            || {
                let name = || std::thread::current().name().map(str::to_owned);
                let spawned = grapeshot::spawn(name).join();
                [name(), spawned.unwrap_or_default()]
            },
        )
        .expose("end", "lets main return", Right::Operate, move || {
            ends.set()
        })
        .expose(
            "release",
            "lets the last coroutine end",
            Right::Operate,
            move || {
                releases.set();
            },
        )
        .serve_unix(path)?;
    // Served until the runtime has ended, not until this coroutine does.
    handle.detach();
    let rich = there(0, "rich").spawn(move || {
        let _guard = purse.lock();
        sleep(LONG);
    });
    let last = there(1, "last").spawn(move || shield(|| released.wait()));
    let ready: Vec<_> = (0..WORKERS)
        .map(|_| Arc::new(AtomicBool::new(false)))
        .collect();
    let account = lock.clone();
    let locked = ready[0].clone();
    drop(there(0, "account").spawn(move || keep(&account, &locked)));
    for worker in 0..WORKERS {
        drop(there(worker, &format!("victim-{worker}")).spawn(wait_in_vain));
    }
    while !ready[0].load(Ordering::Relaxed) {
        grapeshot::yield_now();
    }
    println!("listening at {path}");
    for worker in 0..WORKERS {
        let (how, lock) = (how.to_owned(), lock.clone());
        let holder = there(worker, &format!("holder-{worker}"));
        drop(holder.spawn(move || hold(&how, &lock)));
    }
    end.wait();
    drop((rich, last));
    println!("main has returned");
    Ok(())
}

fn there(worker: usize, name: &str) -> Builder {
    Builder::new()
        .name(name)
        .placement(Placement::Worker(worker))
}

fn wait_in_vain() {
    sleep(LONG);
}

/// Goes to sleep with a lock that does not know of coroutines.
fn keep(lock: &Mutex<()>, has_it: &AtomicBool) {
    let guard = lock.lock();
    has_it.store(true, Ordering::Relaxed);
    sleep(LONG);
    drop(guard);
}

fn hold(how: &str, lock: &Mutex<()>) {
    match how {
        "free" => sleep(LONG),
        "computing" => compute(),
        "locked" => drop(lock.lock()),
        "blocked" => read_for_ever(),
        "napping" => std::thread::sleep(LONG),
        other => panic!("{other} is no way to hold a worker"),
    }
}

#[inline(never)]
fn compute() {
    let mut number = 1_u64;
    loop {
        number = black_box(number.wrapping_mul(3));
    }
}

#[inline(never)]
fn read_for_ever() {
    let (mut reader, _writer) = UnixStream::pair().expect("a pair of sockets");
    let _ = reader.read(&mut [0]);
}
