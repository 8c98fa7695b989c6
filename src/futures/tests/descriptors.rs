//! Any descriptor that futures poll.

use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use rustix::event::{EventfdFlags, eventfd};

use crate::futures::{self, Async};
use crate::io::{Closed, Descriptor};
use crate::{block_on, spawn, testing, with_timeout, yield_now};

const MINUTE: Duration = Duration::from_secs(60);

fn counter() -> Async<Descriptor<OwnedFd>> {
    Async::new(Descriptor::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap())
}

fn take(fd: &OwnedFd) -> io::Result<u64> {
    let mut count = [0; 8];
    rustix::io::read(fd, &mut count)?;
    Ok(u64::from_ne_bytes(count))
}

fn add(fd: &OwnedFd) -> io::Result<()> {
    rustix::io::write(fd, &1_u64.to_ne_bytes())?;
    Ok(())
}

#[test]
fn what_one_adds_another_takes() {
    for seed in 0..50 {
        testing::run(seed, || {
            let mut counter = counter();
            let adder = Descriptor::new(counter.get_ref().get_ref().try_clone().unwrap()).unwrap();
            let taker = futures::spawn(async move {
                let mut taken = 0;
                while taken < 20 {
                    taken += counter.read_with(take).await.unwrap();
                }
                taken
            });
            // One by a future, the rest by blocking calls.
            block_on(async {
                let mut adder =
                    Async::new(Descriptor::new(adder.get_ref().try_clone().unwrap()).unwrap());
                adder.write_with(add).await.unwrap();
            });
            for _ in 1..20 {
                adder.write_with(add).unwrap();
                yield_now();
            }
            assert_eq!(taker.join().unwrap(), 20);
        });
    }
}

/// More than the system holds goes through, by the traits.
#[test]
fn a_stream_of_std_goes_both_ways() {
    crate::run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let [mut near, mut far] = [near, far].map(|it| Async::new(Descriptor::new(it).unwrap()));
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|it| it as u8).collect();
        let echo = futures::spawn(async move {
            let mut chunk = [0; 4096];
            loop {
                let read =
                    |context: &mut Context<'_>| Pin::new(&mut far).poll_read(context, &mut chunk);
                let count = std::future::poll_fn(read).await.unwrap();
                if count == 0 {
                    return;
                }
                let mut rest = &chunk[..count];
                while !rest.is_empty() {
                    let write =
                        |context: &mut Context<'_>| Pin::new(&mut far).poll_write(context, rest);
                    let count = std::future::poll_fn(write).await.unwrap();
                    rest = &rest[count..];
                }
            }
        });
        let other = Descriptor::new(near.get_ref().get_ref().try_clone().unwrap()).unwrap();
        let sender = spawn({
            let bytes = bytes.clone();
            move || {
                (&other).write_all(&bytes).unwrap();
                other.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
            }
        });
        let mut heard = Vec::new();
        let mut chunk = [0; 5000];
        let all = with_timeout(MINUTE, || {
            block_on(async {
                loop {
                    let read = |context: &mut Context<'_>| {
                        Pin::new(&mut near).poll_read(context, &mut chunk)
                    };
                    match std::future::poll_fn(read).await.unwrap() {
                        0 => return,
                        count => heard.extend_from_slice(&chunk[..count]),
                    }
                }
            });
        });
        drop(near);
        assert!(all.is_ok());
        assert_eq!(heard, bytes);
        sender.join().unwrap();
        echo.join().unwrap();
    });
}

#[test]
fn a_future_that_is_dropped_takes_nothing() {
    testing::run(3, || {
        let mut counter = counter();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut waiting = Box::pin(counter.read_with(take));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        block_on(counter.write_with(add)).unwrap();
        assert_eq!(block_on(counter.read_with(take)).unwrap(), 1);
        assert!(counter.poll_read_with(&mut context, take).is_pending());
        counter.get_ref().close().unwrap();
        let Poll::Ready(Err(error)) = counter.poll_read_with(&mut context, take) else {
            panic!("it is closed");
        };
        assert!(Closed::is(&error));
    });
}

/// What was held back on this side is flushed before the end.
#[test]
fn closing_flushes() {
    struct Buffered(UnixStream, std::cell::RefCell<Vec<u8>>);
    impl std::os::fd::AsFd for Buffered {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Write for &Buffered {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1.borrow_mut().extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            let bytes = self.1.take();
            (&self.0).write_all(&bytes)
        }
    }
    testing::run(4, || {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut near = Async::new(Descriptor::new(Buffered(near, Vec::new().into())).unwrap());
        let mut context = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut near).poll_write(&mut context, b"ahoy");
        assert!(matches!(written, Poll::Ready(Ok(4))));
        far.set_nonblocking(true).unwrap();
        assert!(far.read(&mut [0; 9]).is_err());
        assert!(Pin::new(&mut near).poll_close(&mut context).is_ready());
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 4);
    });
}

#[test]
fn datagrams_on_a_plain_thread() {
    let [near, far] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let addr = near.local_addr().unwrap();
    let mut near = Async::new(Descriptor::new(near).unwrap());
    let sender = std::thread::spawn(move || far.send_to(b"ahoy", addr).unwrap());
    let mut buf = [0; 9];
    let received = with_timeout(MINUTE, || {
        block_on(near.read_with(|socket| socket.recv_from(&mut buf)))
    });
    assert_eq!(received.unwrap().unwrap().0, 4);
    sender.join().unwrap();
}
