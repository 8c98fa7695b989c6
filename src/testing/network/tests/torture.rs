//! Every call on the network fails once, with each of its errors: what comes through, and what is found.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::net::{TcpListener, TcpStream, UdpSocket};
use crate::sync::channel;
use crate::testing::{NetworkConfig, Simulation, Torture, explore, host};
use crate::{scope, sleep, spawn, with_timeout};

fn torture(f: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Torture {
    let network = NetworkConfig::new().chop(true);
    Simulation::new(5).network(network).torture(f)
}

/// What the torture says of a program with a bug.
fn complaint(f: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| torture(f))).expect_err("it has a bug");
    explore::message(&*payload)
}

/// Until the hosts that were just started listen.
fn settle() {
    sleep(Duration::from_millis(1));
}

type Orders = Arc<Mutex<BTreeSet<u8>>>;

/// Takes orders, each once, and says how many there are; whatever happens, it goes on.
fn serve(orders: &Orders) {
    let listener = loop {
        match TcpListener::bind("0.0.0.0:7") {
            Ok(listener) => break listener,
            Err(_) => sleep(Duration::from_millis(5)),
        }
    };
    for stream in listener.incoming().flatten() {
        let orders = orders.clone();
        spawn(move || -> io::Result<()> {
            stream.set_nodelay(true)?;
            stream.peer_addr()?;
            let mut writer = stream.try_clone()?;
            let mut number = [0];
            (&stream).read_exact(&mut number)?;
            let count = {
                let mut orders = orders.lock().unwrap();
                orders.insert(number[0]);
                orders.len() as u8
            };
            writer.write_all(&[number[0], count])?;
            writer.shutdown(Shutdown::Write)
        });
    }
}

fn order(number: u8) -> io::Result<u8> {
    let mut stream = TcpStream::connect("shop:7")?;
    stream.write_all(&[number])?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer[..] {
        [echo, count] if echo == number => Ok(count),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn order_until_answered(number: u8) -> u8 {
    loop {
        if let Ok(Ok(count)) = with_timeout(Duration::from_secs(5), || order(number)) {
            return count;
        }
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_tries_again_loses_nothing() {
    let shop = || {
        let orders = Orders::default();
        let theirs = orders.clone();
        host("shop", move || serve(&theirs));
        scope(|s| {
            for number in 1..=3 {
                s.spawn(move || assert!((1..=3).contains(&order_until_answered(number))));
            }
        });
        assert_eq!(order_until_answered(3), 3, "each once");
        assert_eq!(orders.lock().unwrap().len(), 3);
        Ok(())
    };
    let done = torture(shop);
    println!("tortured: {done}");
    assert_eq!(done.errors, 0);
    assert!(done.calls > 40 && done.runs > 2 * done.calls, "{done}");
    assert_eq!(torture(shop), done, "the seed decides");
}

#[test]
fn who_asks_again_by_datagrams_is_answered() {
    let done = torture(|| {
        host("shop", || {
            let socket = loop {
                match UdpSocket::bind("0.0.0.0:7") {
                    Ok(socket) => break socket,
                    Err(_) => sleep(Duration::from_millis(5)),
                }
            };
            loop {
                let mut number = [0];
                if let Ok((1, from)) = socket.recv_from(&mut number) {
                    // Whoever hears nothing asks again.
                    let _ = socket.send_to(&number, from);
                }
            }
        });
        let ask = || -> io::Result<u8> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect("shop:7")?;
            socket.send(&[7])?;
            let mut answer = [0];
            socket.recv(&mut answer)?;
            Ok(answer[0])
        };
        while !matches!(with_timeout(Duration::from_secs(1), ask), Ok(Ok(7))) {
            sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    println!("tortured: {done}");
    assert_eq!(done.errors, 0);
    assert!(done.runs > 10, "{done}");
}

#[test]
fn who_tries_once_is_told() {
    let done = torture(|| {
        let orders = Orders::default();
        let theirs = orders.clone();
        host("shop", move || serve(&theirs));
        settle();
        let count = order(1)?;
        assert_eq!((count, orders.lock().unwrap().len()), (1, 1));
        Ok(())
    });
    println!("tortured: {done}");
    assert!(done.errors > 10 && done.errors < done.runs, "{done}");
}

#[test]
fn a_peer_that_is_left_waiting_is_found() {
    let message = complaint(|| {
        host("shop", || {
            let Ok(listener) = TcpListener::bind("0.0.0.0:7") else {
                return;
            };
            let mut broken = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut number = [0];
                match stream.read_exact(&mut number) {
                    Ok(()) => drop(stream.write_all(&[number[0], 1])),
                    // Here is the bug: the client hears nothing.
                    Err(_) => broken.push(stream),
                }
            }
        });
        settle();
        order(1).map(drop)
    });
    assert!(message.contains("recv on the host \"shop\""), "{message}");
    assert!(message.contains("it hangs"), "{message}");
    assert!(message.contains("GRAPESHOT_RUN="), "{message}");
}

#[test]
fn a_handler_that_panics_is_found() {
    let message = complaint(|| {
        host("shop", || {
            let Ok(listener) = TcpListener::bind("0.0.0.0:7") else {
                return;
            };
            for mut stream in listener.incoming().flatten() {
                spawn(move || {
                    let mut number = [0];
                    stream.read_exact(&mut number).expect("here is the bug");
                    stream.write_all(&[number[0], 1])
                });
            }
        });
        settle();
        order(1).map(drop)
    });
    assert!(message.contains("a coroutine panicked"), "{message}");
}

#[test]
fn what_is_lost_without_a_word_is_found() {
    let message = complaint(|| {
        let orders = Orders::default();
        let theirs = orders.clone();
        host("shop", move || serve(&theirs));
        settle();
        let mut stream = TcpStream::connect("shop:7")?;
        // Here is the bug.
        let _ = stream.write_all(&[1]);
        sleep(Duration::from_secs(1));
        assert!(orders.lock().unwrap().contains(&1), "the order was lost");
        Ok(())
    });
    assert!(message.contains("the order was lost"), "{message}");
}

#[test]
fn what_is_left_behind_is_found() {
    let message = complaint(|| {
        host("shop", || serve(&Orders::default()));
        settle();
        let (sender, receiver) = channel::bounded::<u8>(1);
        let stream = TcpStream::connect("shop:7")?;
        let counting = spawn(move || receiver.iter().sum::<u8>());
        if order(1).is_err() {
            // Here is the bug: nobody ends the counting.
            std::mem::forget(sender);
            return Ok(());
        }
        drop((sender, stream));
        assert_eq!(counting.join().unwrap(), 0);
        Ok(())
    });
    assert!(message.contains("is still alive"), "{message}");
}

#[test]
#[should_panic(expected = "it fails with nothing done to it: ")]
fn a_program_that_fails_by_itself_is_refused() {
    torture(|| TcpStream::connect("10.0.0.1:7").map(drop));
}
