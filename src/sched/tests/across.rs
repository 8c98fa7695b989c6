//! What is bound to its thread, borrowed or exclusive lives across every blocking call, in safe code: that it compiles is
//! half of the test. The other half is that each call does suspend, and that all is as it was afterwards.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{HOUR, MS};
use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use crate::sync::{
    Barrier, Condvar, Event, Fifo, InvertedSemaphore, LruCache, Mutex, Once, OnceLock, RateLimiter,
    RwLock, Semaphore, broadcast, channel, watch,
};
use crate::testing::{NetworkConfig, Simulation};
use crate::time::{self, IdleTimer, interval};
use crate::{
    block_on, catch_panic, fs, futures, in_parallel, join_all, process, registry, scope, select,
    shield, sleep, sleep_until, spawn, spawn_local, unblock, with_timeout, yield_now,
};

/// Makes the call while an `Rc`, the guard of a `RefCell` and a `&mut` of this frame are alive.
#[track_caller]
fn across<T>(call: impl FnOnce() -> T) -> T {
    let switches = || {
        let me = registry::current().expect("a coroutine");
        registry::coroutine(me).expect("it lives").switches
    };
    let (home, before) = (thread::current().id(), switches());
    let shared = Rc::new(RefCell::new(vec![1]));
    let mut local = 1;
    let exclusive = &mut local;
    let other = Rc::clone(&shared);
    let mut guard = other.borrow_mut();
    let value = call();
    guard.push(2);
    *exclusive += 1;
    drop(guard);
    assert_eq!((&shared.borrow()[..], local), (&[1, 2][..], 2));
    assert_eq!(thread::current().id(), home);
    assert!(switches() > before, "it did not suspend");
    value
}

/// Does it when the one that calls waits.
fn later(act: impl FnOnce() + Send + 'static) {
    drop(spawn(|| {
        sleep(MS);
        act();
    }));
}

fn simulate(program: fn()) {
    for seed in 0..20 {
        let simulation = Simulation::new(seed).network(NetworkConfig::new());
        simulation.run(program);
    }
}

#[test]
fn what_belongs_to_a_thread_lives_across_sleeps_and_joins() {
    simulate(|| {
        across(|| sleep(MS));
        across(|| sleep_until(time::now() + MS));
        across(yield_now);
        across(|| interval(MS).tick());
        across(|| IdleTimer::new(MS).wait());
        across(|| shield(|| sleep(MS)));
        across(|| catch_panic(|| sleep(MS))).unwrap();
        across(|| with_timeout(MS, || sleep(HOUR))).unwrap_err();
        across(|| spawn(|| sleep(MS)).join()).unwrap();
        across(|| spawn_local(|| across(|| sleep(MS))).join()).unwrap();
        across(|| scope(|s| drop(s.spawn(|| sleep(MS)))));
        across(|| join_all([|| sleep(MS)]));
        across(|| in_parallel([|| sleep(MS)])).unwrap();
        across(|| select! { after(MS) => {} });
        across(|| block_on(futures::sleep(MS)));
        across(|| unblock(thread::yield_now)).unwrap();
    });
}

#[test]
fn what_belongs_to_a_thread_lives_across_locks() {
    simulate(|| {
        let mutex = Arc::new(Mutex::new(()));
        let theirs = mutex.clone();
        let holder = spawn(move || {
            let _held = theirs.lock();
            sleep(MS);
        });
        while !mutex.is_locked() {
            yield_now();
        }
        drop(across(|| mutex.lock()));
        holder.join().unwrap();

        let rwlock = Arc::new(RwLock::new(()));
        for write in [true, false] {
            let theirs = rwlock.clone();
            let holder = spawn(move || {
                let _held = theirs.write();
                sleep(MS);
            });
            while rwlock.try_read().is_some() {
                yield_now();
            }
            match write {
                true => drop(across(|| rwlock.write())),
                false => drop(across(|| rwlock.read())),
            }
            holder.join().unwrap();
        }

        let condvar = Arc::new(Condvar::new());
        let theirs = condvar.clone();
        later(move || _ = theirs.notify_one());
        drop(across(|| condvar.wait(mutex.lock())));

        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = semaphore.clone();
        later(move || theirs.release(1));
        drop(across(|| semaphore.acquire()));

        let inverted = Arc::new(InvertedSemaphore::new(0));
        let hold = inverted.acquire_owned();
        later(move || drop(hold));
        across(|| inverted.wait_zero());

        let event = Arc::new(Event::new());
        let theirs = event.clone();
        later(move || theirs.set());
        across(|| event.wait());

        let barrier = Arc::new(Barrier::new(2));
        let theirs = barrier.clone();
        later(move || _ = theirs.wait());
        across(|| barrier.wait());

        across(|| Once::new().call_once(|| sleep(MS)));
        across(|| *OnceLock::new().get_or_init(|| sleep(MS)));
        across(|| LruCache::new(1).get_or_insert_with(1, |_| sleep(MS)));
        let limiter = RateLimiter::new(1, MS).with_burst(1);
        limiter.acquire();
        across(|| limiter.acquire());
    });
}

#[test]
fn what_belongs_to_a_thread_lives_across_messages() {
    simulate(|| {
        let (to, from) = channel::bounded(0);
        let theirs = to.clone();
        later(move || theirs.send(1).unwrap());
        assert_eq!(across(|| from.recv()), Ok(1));
        later(move || assert_eq!(from.recv(), Ok(2)));
        across(|| to.send(2)).unwrap();

        let fifo = Arc::new(Fifo::new());
        let theirs = fifo.clone();
        later(move || theirs.push(3));
        assert_eq!(across(|| fifo.pop()), 3);

        let (to, mut from) = broadcast::channel(1);
        later(move || assert_eq!(to.send(4).ok(), Some(1)));
        assert_eq!(across(|| from.recv()), Ok(4));

        let (to, mut from) = watch::channel(0);
        later(move || drop(to.send(5)));
        assert_eq!(*across(|| from.changed()).unwrap(), 5);
    });
}

#[test]
fn what_belongs_to_a_thread_lives_across_sockets() {
    fn talk(mut near: impl Read, mut far: impl Write + Send + 'static) {
        later(move || far.write_all(b"x").unwrap());
        across(|| near.read_exact(&mut [0])).unwrap();
    }
    simulate(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let address = listener.local_addr().unwrap();
        let caller = spawn(move || across(|| TcpStream::connect(address)).unwrap());
        let (server, _) = across(|| listener.accept()).unwrap();
        talk(server, caller.join().unwrap());

        let (near, far) = UnixStream::pair().unwrap();
        talk(near, far);
        let (near, far) = UnixDatagram::pair().unwrap();
        later(move || _ = far.send(b"x").unwrap());
        across(|| near.recv(&mut [0])).unwrap();
        let [near, far] = ["127.0.0.1:0"; 2].map(|it| UdpSocket::bind(it).unwrap());
        let address = near.local_addr().unwrap();
        later(move || _ = far.send_to(b"x", address).unwrap());
        across(|| near.recv_from(&mut [0])).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        later(move || (&far).write_all(b"x").unwrap());
        across(|| select! { readable(near) -> ready => ready }).unwrap();
    });
}

#[test]
fn what_belongs_to_a_thread_lives_across_files_and_processes() {
    let simulation = Simulation::new(0).patience(Duration::from_secs(60));
    simulation.run(|| {
        across(|| fs::metadata(".")).unwrap();
        // It ends when it has read all, so not before it is waited for.
        let mut cat = process::Command::new("cat");
        let mut child = cat.stdin(process::Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        later(move || drop(input));
        assert!(across(|| child.wait()).unwrap().success());
    });
}
