use std::io::ErrorKind;
use std::sync::{Arc, Mutex, mpsc};

use super::{run, until, until_waits};
use crate::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, ToSocketAddrs,
    UdpSocket, lookup,
};
use crate::{spawn, testing, yield_now};

/// What both traits make of the same thing; an error as its kind and text.
macro_rules! assert_same {
    ($what:expr) => {
        let what = $what;
        let ours = ToSocketAddrs::to_socket_addrs(&what).map(|addrs| addrs.collect::<Vec<_>>());
        let theirs =
            std::net::ToSocketAddrs::to_socket_addrs(&what).map(|addrs| addrs.collect::<Vec<_>>());
        let comparable = |result: std::io::Result<Vec<SocketAddr>>| {
            result.map_err(|e| (e.kind(), e.to_string()))
        };
        assert_eq!(comparable(ours), comparable(theirs), "{what:?}");
    };
}

#[test]
fn what_std_takes_we_take() {
    let v4 = Ipv4Addr::new(192, 0, 2, 7);
    let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
    assert_same!(SocketAddr::from((v4, 1)));
    assert_same!(SocketAddrV4::new(v4, 2));
    assert_same!(SocketAddrV6::new(v6, 3, 4, 5));
    assert_same!((v4, 6));
    assert_same!((v6, 7));
    assert_same!((IpAddr::V6(v6), 8));
    assert_same!(("192.0.2.7", 9));
    assert_same!(("2001:db8::7".to_owned(), 10));
    assert_same!(&[SocketAddr::from((v4, 1)), SocketAddr::from((v6, 2))][..]);
    for text in [
        "192.0.2.7:80",
        "[2001:db8::7]:80",
        "[::1]:80",
        "[fe80::1%3]:80",
        "localhost:80",
    ] {
        assert_same!(text);
        assert_same!(text.to_owned());
    }
    for wrong in [
        "",
        "192.0.2.7",
        "192.0.2.7:",
        "192.0.2.7:65536",
        "localhost",
        "localhost:http",
        "no such name:1",
    ] {
        assert_same!(wrong);
    }
}

#[test]
fn a_foreign_address_and_the_wrong_family_are_refused() {
    run(|| {
        // An address for documentation: nobody has it.
        let error = TcpListener::bind("192.0.2.7:0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        let error = UdpSocket::bind("192.0.2.7:0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);

        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
        let refused = ours.send_to(b"x", v6).unwrap_err().raw_os_error();
        assert!(refused.is_some());
        assert_eq!(
            refused,
            theirs.send_to(b"x", v6).unwrap_err().raw_os_error()
        );
        // The socket is as it was.
        let v4 = theirs.local_addr().unwrap();
        assert_eq!(ours.send_to(b"x", v4).unwrap(), 1);
    });
}

#[test]
fn a_look_up_leaves_the_worker_free() {
    // One worker: if the look-up held it, the other coroutine would never let the look-up end.
    testing::run(5, || {
        let (release, released) = mpsc::channel();
        let asker = spawn(move || lookup::with_thread(move || Ok(released.recv().unwrap())));
        until_waits(asker.id(), "unblock");
        release.send(SocketAddr::from(([127, 0, 0, 1], 1))).unwrap();
        assert_eq!(asker.join().unwrap().unwrap().port(), 1);
    });
}

#[test]
fn look_ups_are_bounded_and_outlive_who_asked() {
    run(|| {
        let (begun, count) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let ask = || {
            let (begun, released) = (begun.clone(), released.clone());
            spawn(move || {
                lookup::with_thread(move || {
                    begun.send(()).unwrap();
                    // Until `release` is dropped.
                    let _ = released.lock().unwrap().recv();
                    Ok(())
                })
            })
        };
        let askers: Vec<_> = (0..lookup::MAX_LOOKUPS).map(|_| ask()).collect();
        let mut under_way = 0;
        // Other tests look up names as well and may hold permits for a moment, but not for long.
        until(|| {
            under_way += count.try_iter().count();
            under_way == lookup::MAX_LOOKUPS
        });
        // Who asked goes away; the look-ups, and with them the permits, do not.
        askers.iter().for_each(crate::JoinHandle::interrupt);
        assert!(askers.into_iter().all(|asker| asker.join().is_err()));
        let late = ask();
        until_waits(late.id(), "channel send");
        for _ in 0..100 {
            yield_now();
        }
        assert_eq!(count.try_iter().count(), 0, "one too many is under way");
        drop(release);
        late.join().unwrap().unwrap();
    });
}
