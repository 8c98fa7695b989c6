//! Real sockets and files: on plain threads too, and for the whole process.

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{a, aaaa, one};
use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::{sleep, testing};
use grapeshot_dns::message::{Message, decode};
use grapeshot_dns::{Config, Hosts, Limits, RecordType, Resolver, ResponseCode};

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "grapeshot-dns-{what}-{}-{number}",
            std::process::id()
        ));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers on a thread of its own until it is asked for `stop.example`: `last` is the last byte of its answers.
fn threaded_server(last: u8) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // So that nothing hangs, whatever goes wrong.
    socket
        .set_read_timeout(Some(Duration::from_secs(50)))
        .unwrap();
    let addr = socket.local_addr().unwrap();
    let serve = move || {
        let mut buf = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut buf) {
            let query: Message = decode(&buf[..count]).unwrap();
            let (name, record_type) = (
                query.queries[0].name.to_string(),
                query.queries[0].query_type,
            );
            let mut reply = query.into_response();
            reply.edns = None;
            reply.metadata.recursion_available = true;
            match (name.as_str(), record_type) {
                ("web.example.", RecordType::A) => {
                    let mut local = a(&name, 60, last);
                    local.data =
                        grapeshot_dns::RData::A(grapeshot_dns::rdata::A::new(127, 0, 0, last));
                    reply.add_answer(local);
                }
                ("here.example.", RecordType::A) => drop(reply.add_answer(a(&name, 60, last))),
                ("here.example.", RecordType::AAAA) => drop(reply.add_answer(aaaa(&name, 60, 1))),
                _ => reply.metadata.response_code = ResponseCode::NXDomain,
            }
            socket.send_to(&one(&reply)[0], from).unwrap();
            if name == "stop.example." {
                return;
            }
        }
    };
    (addr, std::thread::spawn(serve))
}

fn resolver(server: SocketAddr) -> Resolver {
    Resolver::new(
        Config::with_servers([server]),
        Hosts::default(),
        Limits::default(),
    )
}

#[test]
fn a_plain_thread_looks_up_too() {
    let (addr, server) = threaded_server(1);
    let resolver = resolver(addr);
    let addresses = resolver.addresses("here.example").unwrap();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.contains(&IpAddr::from([192, 0, 2, 1])));
    // And several threads at once, for the same name.
    resolver.clear_cache();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| assert_eq!(resolver.addresses("here.example").unwrap().len(), 2));
        }
    });
    assert!(resolver.addresses("stop.example").is_err());
    server.join().unwrap();
}

#[test]
fn installed_for_the_process() {
    let (addr, server) = threaded_server(1);
    let resolver = resolver(addr);
    resolver.install();
    grapeshot::run(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("web.example", port)).unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        TcpStream::connect(format!("web.example:{port}")).unwrap();
        TcpStream::connect(("localhost", port)).unwrap();
        assert!(TcpStream::connect(("none.example", port)).is_err());
    });
    // On a plain thread as well; and the simulated network of another test does not notice.
    let std::net::IpAddr::V4(_) = resolver.addresses("web.example").unwrap()[0] else {
        panic!()
    };
    testing::Simulation::new(1)
        .network(testing::NetworkConfig::new())
        .run(|| {
            assert!(TcpStream::connect("web.example:80").is_err());
        });
    assert!(resolver.addresses("stop.example").is_err());
    server.join().unwrap();
    grapeshot::net::set_resolver(None);
}

#[test]
fn files_are_read_again_when_they_change() {
    let folder = Folder::new("files");
    let (resolv_conf, hosts) = (
        folder.path().join("resolv.conf"),
        folder.path().join("hosts"),
    );
    let files = (resolv_conf.clone(), hosts.clone());
    testing::run(7, move || {
        let resolver = Resolver::with_files(resolv_conf, hosts, Limits::default());
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        std::fs::write(&files.1, "192.0.2.1 printer").unwrap();
        assert_eq!(resolver.addresses("printer").unwrap(), [address(1)]);

        std::fs::write(&files.1, "192.0.2.22 printer").unwrap();
        // Within a second nobody looks.
        assert_eq!(resolver.addresses("printer").unwrap(), [address(1)]);
        sleep(Duration::from_secs(1));
        assert_eq!(resolver.addresses("printer").unwrap(), [address(22)]);

        // Renamed over it, as editors do, and then gone.
        let new = files.1.with_extension("new");
        std::fs::write(&new, "192.0.2.33 printer").unwrap();
        std::fs::rename(&new, &files.1).unwrap();
        sleep(Duration::from_secs(1));
        assert_eq!(resolver.addresses("printer").unwrap(), [address(33)]);
        std::fs::remove_file(&files.1).unwrap();
        std::fs::write(
            &files.0,
            "nameserver 127.0.0.1\noptions attempts:1 timeout:1",
        )
        .unwrap();
        sleep(Duration::from_secs(1));
        // Nobody listens on that port, or nobody who knows it; either way it is not in the file any more.
        assert!(resolver.addresses("printer").is_err());
    });
}

#[test]
fn what_cannot_be_read_is_an_error_at_first_and_a_warning_later() {
    let folder = Folder::new("unreadable");
    let (resolv_conf, hosts) = (
        folder.path().join("resolv.conf"),
        folder.path().join("hosts"),
    );
    testing::run(7, move || {
        // A folder is no file.
        std::fs::create_dir(&hosts).unwrap();
        let resolver = Resolver::with_files(&resolv_conf, &hosts, Limits::default());
        let error = resolver.addresses("printer").unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("cannot read the resolver's files: ") && said.contains("hosts"),
            "{said}"
        );

        std::fs::remove_dir(&hosts).unwrap();
        std::fs::write(&hosts, "192.0.2.1 printer").unwrap();
        let there = [IpAddr::from([192, 0, 2, 1])];
        assert_eq!(resolver.addresses("printer").unwrap(), there);
        std::fs::remove_file(&hosts).unwrap();
        std::fs::create_dir(&hosts).unwrap();
        sleep(Duration::from_secs(1));
        assert_eq!(resolver.addresses("printer").unwrap(), there);
    });
}
