use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::run;
use crate::net::unix::SocketAddr;
use crate::net::{ListenOptions, UnixListener, UnixStream};
use crate::{spawn, testing};

/// A path for a socket, in a folder of its own that goes with it.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new() -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("grapeshot-net-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Place(folder)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_path_connects_both_ways_and_names_the_listener() {
    run(|| {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        assert_eq!(
            listener.local_addr().unwrap().as_pathname(),
            Some(&*place.socket())
        );
        let mut theirs = std::os::unix::net::UnixStream::connect(place.socket()).unwrap();
        let (mut ours, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed());
        assert_eq!(format!("{peer:?}"), "(unnamed)");
        theirs.write_all(b"hi").unwrap();
        let mut hi = [0; 2];
        ours.read_exact(&mut hi).unwrap();
        assert_eq!(&hi, b"hi");

        let mut client = UnixStream::connect(place.socket()).unwrap();
        assert_eq!(
            client.peer_addr().unwrap().as_pathname(),
            Some(&*place.socket())
        );
        assert!(client.local_addr().unwrap().is_unnamed());
        let server = listener.into_std().unwrap();
        let (mut server, _) = server.accept().unwrap();
        server.write_all(b"from std").unwrap();
        drop(server);
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "from std");
    });
}

#[test]
fn a_peer_with_a_name_is_named() {
    run(|| {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        let address = |path: &PathBuf| socket2::SockAddr::unix(path).unwrap();
        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let own = place.0.join("client");
        client.bind(&address(&own)).unwrap();
        client.connect(&address(&place.socket())).unwrap();
        let (_stream, peer) = listener.accept().unwrap();
        assert_eq!(peer.as_pathname(), Some(&*own));

        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let name = format!("grapeshot-client-{}", std::process::id());
        rustix::net::bind(
            &client,
            &rustix::net::SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap(),
        )
        .unwrap();
        client.connect(&address(&place.socket())).unwrap();
        let (_stream, peer) = listener.try_accept().unwrap();
        assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
    });
}

#[test]
fn abstract_names_work() {
    run(|| {
        let addr = SocketAddr::from_abstract_name(format!("grapeshot-test-{}", std::process::id()))
            .unwrap();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        assert_eq!(
            UnixListener::bind_addr(&addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let _client = UnixStream::connect_addr(&addr).unwrap();
        listener.accept().unwrap();
        let unnamed = UnixStream::pair().unwrap().0.local_addr().unwrap();
        assert_eq!(
            UnixStream::connect_addr(&unnamed).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn what_is_wrong_with_a_path_is_told_as_std_tells_it() {
    run(|| {
        let place = Place::new();
        let long = place.0.join("x".repeat(200));
        let nul = PathBuf::from("a\0b");
        for path in [place.socket(), long, nul, place.0.clone()] {
            let ours = UnixStream::connect(&path).unwrap_err();
            let theirs = std::os::unix::net::UnixStream::connect(&path).unwrap_err();
            assert_eq!(
                (ours.kind(), ours.to_string()),
                (theirs.kind(), theirs.to_string()),
                "{path:?}"
            );
        }
        let listener = UnixListener::bind(place.socket()).unwrap();
        assert_eq!(
            UnixListener::bind(place.socket()).unwrap_err().kind(),
            ErrorKind::AddrInUse,
            "a live one"
        );
        drop(listener);
        assert_eq!(
            UnixListener::bind(place.socket()).unwrap_err().kind(),
            ErrorKind::AddrInUse,
            "a stale one"
        );
        assert_eq!(
            UnixStream::connect(place.socket()).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_full_queue_makes_the_client_wait_its_turn() {
    testing::run(3, || {
        let place = Place::new();
        let listener = ListenOptions::new()
            .backlog(0)
            .bind_unix(place.socket())
            .unwrap();
        let first = UnixStream::connect(place.socket()).unwrap();
        let path = place.socket();
        let second =
            spawn(move || UnixStream::connect(path).map(|stream| stream.peer_addr().is_ok()));
        super::until_waits(second.id(), "sleep");
        drop(listener.accept().unwrap());
        assert!(second.join().unwrap().unwrap());
        drop(first);
    });
}

#[test]
fn the_peer_is_known() {
    run(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let cred = one.peer_cred().unwrap();
        assert_eq!(cred, other.peer_cred().unwrap());
        assert_eq!(cred.uid, rustix::process::geteuid().as_raw());
        assert_eq!(cred.gid, rustix::process::getegid().as_raw());
        assert_eq!(cred.pid, Some(std::process::id() as i32));
    });
}

/// The kernel ends a read where a message carried descriptors, so a short read does not mean that nothing is left.
#[test]
fn a_read_cut_short_by_a_descriptor_is_not_the_last() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;
    run(|| {
        let (mut stream, peer) = UnixStream::pair().unwrap();
        let mut heard = [0; 16];
        // A wait first, so that the poller has heard of the stream.
        let reader = spawn(move || {
            assert_eq!(stream.read(&mut heard).unwrap(), 1);
            (stream, heard)
        });
        super::until_waits(reader.id(), "read");
        (&peer).write_all(b"0").unwrap();
        let (mut stream, mut heard) = reader.join().unwrap();

        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [peer.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(
            &peer,
            &[std::io::IoSlice::new(b"with")],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
        (&peer).write_all(b"without").unwrap();
        let reader = spawn(move || {
            let first = stream.read(&mut heard).unwrap();
            let second = stream.read(&mut heard).unwrap();
            (first, second)
        });
        assert_eq!(reader.join().unwrap(), (4, 7));
    });
}

const ASK: &str = "GRAPESHOT_TEST_ASKS_FOR_ITS_PEER";

/// Runs in a process of its own, in another namespace: says who the peer is.
#[test]
fn asks_for_its_peer() {
    let Ok(path) = std::env::var(ASK) else { return };
    let stream = UnixStream::connect(path).unwrap();
    println!("{:?}", stream.peer_cred().unwrap().pid);
}

/// The kernel then gives 0 as its process id.
#[test]
fn a_peer_in_another_namespace_has_no_process_id() {
    use std::process::Command;
    let enter = ["--user", "--map-root-user", "--pid", "--fork"];
    let allowed = Command::new("unshare").args(enter).arg("true").output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("not tested: this system lets nobody make namespaces");
        return;
    }
    let place = Place::new();
    let _listener = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    let output = Command::new("unshare")
        .args(enter)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "net::tests::unix::asks_for_its_peer"])
        .arg("--nocapture")
        .env(ASK, place.socket())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("None"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
