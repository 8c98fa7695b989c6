//! Streams that futures poll: every wake arrives, each direction has its own, and nothing is left behind.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use crate::futures::{self, Async};
use crate::net::{TcpListener, TcpStream, UnixStream};
use crate::{block_on, sleep, spawn, spawn_local, testing, with_timeout};

const SECOND: Duration = Duration::from_secs(1);
/// More than any socket holds.
const MUCH: usize = 4 << 20;

async fn read<S: AsyncRead + Unpin>(stream: &mut S, buf: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| Pin::new(&mut *stream).poll_read(context, buf)).await
}

async fn read_all<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    let (mut total, mut chunk) = (0, [0; 4096]);
    loop {
        match read(stream, &mut chunk).await? {
            0 => return Ok(total),
            count => total += count,
        }
    }
}

async fn write_all<S: AsyncWrite + Unpin>(stream: &mut S, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}

async fn close<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut *stream).poll_close(context)).await
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Counts how often it is called.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes and reads `MUCH` in both directions, in one future, with a peer that echoes.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> usize {
    let bytes = vec![7; MUCH];
    let (mut sent, mut got, mut chunk) = (0, 0, [0; 8192]);
    let mut ended = false;
    poll_fn(move |context| {
        // As hyper does it: both directions in each poll, until both would wait.
        loop {
            let before = (sent, got, ended);
            if sent < MUCH {
                match Pin::new(&mut stream).poll_write(context, &bytes[sent..]) {
                    Poll::Ready(count) => sent += count.unwrap(),
                    Poll::Pending => {}
                }
                if sent == MUCH {
                    assert!(Pin::new(&mut stream).poll_close(context).is_ready());
                }
            }
            if let Poll::Ready(count) = Pin::new(&mut stream).poll_read(context, &mut chunk) {
                let count = count.unwrap();
                got += count;
                ended = count == 0;
            }
            if ended {
                return Poll::Ready(got);
            }
            if before == (sent, got, ended) {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn echo(stream: impl Read + Write) {
    let (mut stream, mut chunk) = (stream, [0; 5000]);
    loop {
        match stream.read(&mut chunk).unwrap() {
            0 => return,
            count => stream.write_all(&chunk[..count]).unwrap(),
        }
    }
}

#[test]
fn both_directions_wait_in_one_future() {
    crate::run(|| {
        for _ in 0..3 {
            let (near, far) = tcp_pair();
            let peer = spawn(move || echo(far));
            let got = with_timeout(60 * SECOND, || block_on(talk(Async::new(near))));
            assert_eq!(got.unwrap(), MUCH);
            peer.join().unwrap();
            let (near, far) = UnixStream::pair().unwrap();
            let peer = spawn(move || echo(far));
            let got = with_timeout(60 * SECOND, || block_on(talk(Async::new(near))));
            assert_eq!(got.unwrap(), MUCH);
            peer.join().unwrap();
        }
    });
}

#[test]
fn a_plain_thread_may_poll_too() {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let peer = std::thread::spawn(move || echo(far));
    let near = Async::new(UnixStream::from_std(near).unwrap());
    let got = with_timeout(60 * SECOND, || block_on(talk(near)));
    assert_eq!(got.unwrap(), MUCH);
    peer.join().unwrap();
}

#[test]
fn many_streams_in_one_future_in_every_order() {
    for seed in 0..50 {
        testing::run(seed, || {
            let mut readers = Vec::new();
            for number in 0..8 {
                let (near, mut far) = UnixStream::pair().unwrap();
                spawn(move || {
                    for _ in 0..number {
                        sleep(SECOND);
                        far.write_all(b"abc").unwrap();
                    }
                });
                readers.push((
                    number,
                    Box::pin(async move { read_all(&mut Async::new(near)).await.unwrap() }),
                ));
            }
            block_on(poll_fn(|context| {
                readers.retain_mut(|(number, reader)| match reader.as_mut().poll(context) {
                    Poll::Ready(count) => {
                        assert_eq!(count, 3 * *number);
                        false
                    }
                    Poll::Pending => true,
                });
                if readers.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }));
        });
    }
}

#[test]
fn the_latest_waker_is_called_once_and_dropping_withdraws_it() {
    testing::run(1, || {
        let (near, far) = UnixStream::pair().unwrap();
        let mut near = Async::new(near);
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut chunk = [0; 16];
        for count in [&first, &second] {
            let waker = Waker::from(Arc::clone(count));
            let mut context = Context::from_waker(&waker);
            let poll = Pin::new(&mut near).poll_read(&mut context, &mut chunk);
            assert!(poll.is_pending());
        }
        (&far).write_all(b"x").unwrap();
        sleep(SECOND);
        (&far).write_all(b"y").unwrap();
        sleep(SECOND);
        assert_eq!(first.0.load(Ordering::Relaxed), 0);
        assert_eq!(second.0.load(Ordering::Relaxed), 1);
        let count = block_on(read(&mut near, &mut chunk)).unwrap();
        assert_eq!(&chunk[..count], b"xy");

        let waker = Waker::from(Arc::clone(&first));
        let mut context = Context::from_waker(&waker);
        assert!(
            Pin::new(&mut near)
                .poll_read(&mut context, &mut chunk)
                .is_pending()
        );
        drop(waker);
        // The stream lives on, the waker does not.
        let near = near.into_inner();
        assert_eq!(Arc::strong_count(&first), 1);
        (&far).write_all(b"z").unwrap();
        sleep(SECOND);
        assert_eq!(first.0.load(Ordering::Relaxed), 0);
        assert_eq!(
            (&near).read(&mut chunk).unwrap(),
            1,
            "a blocking call again"
        );
    });
}

#[test]
fn close_wakes_and_says_so() {
    for seed in 0..50 {
        testing::run(seed, || {
            let (near, _far) = UnixStream::pair().unwrap();
            let near = Rc::new(RefCell::new(Async::new(near)));
            let closer = spawn_local({
                let near = Rc::clone(&near);
                move || {
                    sleep(SECOND);
                    near.borrow().get_ref().close().unwrap();
                }
            });
            let mut poll = |context: &mut Context<'_>| {
                Pin::new(&mut *near.borrow_mut()).poll_read(context, &mut [0; 4])
            };
            for _ in 0..2 {
                let error = block_on(poll_fn(&mut poll)).unwrap_err();
                assert!(error.get_ref().unwrap().is::<crate::io::Closed>());
            }
            closer.join().unwrap();
        });
    }
}

#[test]
fn a_blocking_call_queues_behind_a_poll() {
    testing::run(5, || {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut near = Async::new(near);
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            Pin::new(&mut near)
                .poll_read(&mut context, &mut [0; 4])
                .is_pending()
        );
        far.write_all(b"abc").unwrap();
        let queued = with_timeout(SECOND, || near.get_ref().read(&mut [0; 4]));
        assert!(queued.is_err(), "the future comes first");
        let poll = Pin::new(&mut near).poll_read(&mut context, &mut [0; 4]);
        assert!(matches!(poll, Poll::Ready(Ok(3))));
        far.write_all(b"de").unwrap();
        assert_eq!(near.get_ref().read(&mut [0; 4]).unwrap(), 2);
    });
}

#[test]
fn pipes_and_their_end() {
    testing::run(6, || {
        let (reader, writer) = crate::io::pipe().unwrap();
        let child = futures::spawn(async move {
            let mut writer = Async::new(writer);
            write_all(&mut writer, &vec![1; 200_000]).await.unwrap();
            close(&mut writer).await.unwrap();
            write_all(&mut writer, b"more")
                .await
                .unwrap_err()
                .to_string()
        });
        let got = block_on(read_all(&mut Async::new(reader))).unwrap();
        assert_eq!(got, 200_000);
        assert!(child.join().unwrap().contains("closed"));
    });
}

#[test]
fn streams_that_never_wait_starve_nobody() {
    testing::run(7, || {
        let (near, mut far) = UnixStream::pair().unwrap();
        let selfish = spawn(move || {
            with_timeout(SECOND, || {
                block_on(async {
                    let mut near = Async::new(near);
                    let mut byte = [0];
                    loop {
                        // The echo of the same coroutine: there is always something.
                        far.write_all(b"x").unwrap();
                        read(&mut near, &mut byte).await.unwrap();
                    }
                })
            })
            .is_err()
        });
        sleep(SECOND / 2);
        assert!(selfish.join().unwrap());
    });
}
