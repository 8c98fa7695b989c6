//! What only a process of its own can show: what is printed, what is left behind. This program starts itself again with
//! the name of one of its parts.

mod runtime_support;

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use grapeshot::sync::Event;
use grapeshot::{Builder, sleep, spawn, testing};
use runtime_support::{HOUR, MS, PATIENCE, runtime};

const PART: &str = "GRAPESHOT_TEST_PART";

/// Runs `part` in a process of its own.
fn run(part: &str) -> Output {
    Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "the_parts", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

fn succeeds(part: &str) -> (String, String) {
    let output = run(part);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{part}: {}\n{out}\n{err}",
        output.status
    );
    (out, err)
}

/// In the parent this does nothing; in a child it is the part that was asked for.
#[test]
fn the_parts() {
    match std::env::var(PART).as_deref() {
        Ok("panic report") => {
            let worse = runtime(1).run(|| {
                let gunner = Builder::new()
                    .name("gunner")
                    .spawn(|| panic!("the powder is {}", "wet"));
                let id = gunner.id();
                let error = gunner.join().unwrap_err();
                println!("id {id}, message {:?}", error.message());
                // An interrupt is no panic, so nothing is said of it.
                let quiet = Builder::new().name("quiet").spawn(|| sleep(HOUR));
                quiet.interrupt();
                quiet.join().is_err() && grapeshot::with_timeout(MS, || sleep(HOUR)).is_err()
            });
            assert!(worse);
        }
        Ok("spawn without a runtime") => {
            let child = spawn(|| spawn(|| 6 * 7).join().unwrap());
            assert_eq!(child.join().unwrap(), 42);
            let other = thread::spawn(|| spawn(|| 7).join().unwrap());
            assert_eq!(other.join().unwrap(), 7);
            println!("workers {}", grapeshot::registry::stats().unwrap().workers);
        }
        Ok("yield without a runtime") => {
            grapeshot::yield_now();
            sleep(MS);
            println!("runtimes {}", grapeshot::registry::stats().is_some());
        }
        Ok("stuck simulation") => {
            let simulation = testing::Simulation::new(7).patience(Duration::from_millis(50));
            simulation.run(|| {
                let waiter = Builder::new()
                    .name("becalmed")
                    .spawn(|| Event::new().wait());
                let _ = waiter.join();
            });
        }
        Ok("nothing is left") => nothing_is_left(),
        Ok(part) => panic!("there is no part {part:?}"),
        Err(_) => {}
    }
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).expect("Linux").count()
}

/// Many runtimes, one after the other, with all that may go wrong in them.
fn nothing_is_left() {
    let round = |number: usize| {
        let runtime = runtime(1 + number % 4);
        let detached = runtime.spawn(move || {
            for child in 0..50 {
                drop(spawn(move || match child % 4 {
                    0 => sleep(HOUR),
                    1 => std::panic::resume_unwind(Box::new(1)),
                    2 => {
                        let (near, _far) = grapeshot::net::UnixStream::pair().unwrap();
                        let _ = grapeshot::with_timeout(MS, || {
                            std::io::Read::read(&mut &near, &mut [0])
                        });
                    }
                    _ => {}
                }));
            }
            sleep(MS);
        });
        detached.join().unwrap();
        runtime.shutdown(PATIENCE).unwrap();
    };
    round(3);
    let settled = |before: (usize, usize)| {
        let start = std::time::Instant::now();
        loop {
            let now = (count("/proc/self/task"), count("/proc/self/fd"));
            // A thread that was joined leaves /proc a moment later.
            if now <= before || start.elapsed() > PATIENCE {
                return now;
            }
            thread::yield_now();
        }
    };
    let before = (count("/proc/self/task"), count("/proc/self/fd"));
    for number in 0..100 {
        round(number);
    }
    let after = settled(before);
    assert!(
        after.0 <= before.0,
        "threads: {before:?} before, {after:?} after"
    );
    assert!(
        after.1 <= before.1,
        "descriptors: {before:?} before, {after:?} after"
    );
    assert!(
        grapeshot::registry::stats().is_none(),
        "a runtime is still listed"
    );
}

#[test]
fn a_panic_is_reported_with_name_and_number() {
    let (out, err) = succeeds("panic report");
    let id = out
        .split("id ")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .expect("its id");
    assert!(
        err.contains(&format!("coroutine 'gunner' (#{id}) panicked at ")),
        "{err}"
    );
    assert!(err.contains("runtime_processes.rs:"), "{err}");
    assert!(err.contains("the powder is wet"), "{err}");
    assert!(
        out.contains(r#"message Some("the powder is wet")"#),
        "{out}"
    );
    assert_eq!(
        err.matches("panicked at").count(),
        1,
        "interrupts are silent: {err}"
    );
}

#[test]
fn a_spawn_before_any_runtime_starts_one() {
    let (out, _) = succeeds("spawn without a runtime");
    let workers = thread::available_parallelism().unwrap();
    assert!(out.contains(&format!("workers {workers}")), "{out}");
}

#[test]
fn a_yield_on_a_plain_thread_returns() {
    let (out, _) = succeeds("yield without a runtime");
    assert!(out.contains("runtimes false"), "none is needed: {out}");
}

#[test]
fn a_stuck_simulation_says_who_waits_for_what_and_ends() {
    let output = run("stuck simulation");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(err.contains("the simulation is stuck"), "{err}");
    assert!(err.contains("'becalmed' waits for event"), "{err}");
    assert!(err.contains("'main' waits for join #"), "{err}");
}

#[test]
fn no_thread_descriptor_or_runtime_is_left_behind() {
    succeeds("nothing is left");
}
