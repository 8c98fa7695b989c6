//! Foreign clients and servers, on this host: dig, kdig, unbound, dnsmasq.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, UdpSocket as StdSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use grapeshot::net::{TcpListener, UdpSocket};
use grapeshot::process;
use grapeshot::{sleep, with_timeout};
use grapeshot_dns::server::{Server, Zone, ZoneBuilder};
use grapeshot_dns::{Config, Error, Hosts, Kind, Limits, RecordType, Resolver};

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "grapeshot-dns-peers-{}-{number}",
            std::process::id()
        ));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A peer that is ended with the test.
struct Peer(Child);

impl Peer {
    fn start(program: &'static str, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(
            child.unwrap_or_else(|error| {
                panic!("{program}: {error}; `cargo xtask peers` installs it")
            }),
        )
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A loopback address of this test's own, and a port that is free on it for UDP and TCP. Nobody else in the tests is at that
/// address, so the port stays free.
fn own_addr() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1_000 {
        let number = std::process::id()
            .wrapping_mul(64)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let [_, high, mid, low] = number.to_be_bytes();
        let ip = Ipv4Addr::new(127, 1 | high & 0x7e, mid, low.clamp(1, 254));
        let Ok(socket) = StdSocket::bind((ip, 0)) else {
            continue;
        };
        let addr = socket.local_addr().unwrap();
        if StdListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no free port")
}

const ZONE: &str = "$TTL 300
@     IN SOA ns hostmaster 1 3600 600 86400 60
@     IN NS  ns
@     IN MX  10 mail
@     IN TXT \"v=spf1 -all\"
ns    IN A   192.0.2.53
mail  IN A   192.0.2.25
www   IN A   192.0.2.80
www   IN AAAA 2001:db8::80
alias IN CNAME www
_sip._tcp IN SRV 1 2 5060 www
sub   IN NS  ns.sub
ns.sub IN A  192.0.2.54
";

fn zones() -> [Zone; 2] {
    let mut crowd = ZoneBuilder::new("crowd.test").unwrap();
    for last in 1..=200 {
        crowd = crowd.address("@", 60, [192, 0, 2, last]).unwrap();
    }
    [
        Zone::parse("example.org", ZONE).unwrap(),
        crowd.build().unwrap(),
    ]
}

fn run(program: &'static str, arguments: &[&str]) -> Output {
    let mut command = process::Command::new(program);
    command.args(arguments);
    let limit = Duration::from_secs(50);
    with_timeout(limit, || command.output())
        .unwrap_or_else(|_| panic!("{program} hangs"))
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask peers` installs it"))
}

/// Sockets of one port: another process may have that of UDP for TCP.
fn both() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

#[test]
fn dig_and_kdig_understand_our_server() {
    grapeshot::run(|| {
        let (socket, listener) = both();
        let addr = socket.local_addr().unwrap();
        let [zone, crowd] = zones();
        let server = Server::new().zone(zone).zone(crowd);
        let serving = grapeshot::spawn(move || server.serve_on(&socket, &listener));
        let port = addr.port().to_string();
        let dig = |arguments: &[&str]| {
            let mut all = vec!["@127.0.0.1", "-p", &port, "+tries=5", "+time=8"];
            all.extend_from_slice(arguments);
            let output = run("dig", &all);
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(dig(&["+short", "www.example.org", "A"]), "192.0.2.80\n");
        assert_eq!(
            dig(&["+short", "alias.example.org", "AAAA"]),
            "www.example.org.\n2001:db8::80\n"
        );
        assert_eq!(
            dig(&["+short", "example.org", "MX"]),
            "10 mail.example.org.\n"
        );
        assert_eq!(dig(&["+short", "example.org", "TXT"]), "\"v=spf1 -all\"\n");
        assert_eq!(
            dig(&["+short", "_sip._tcp.example.org", "SRV"]),
            "1 2 5060 www.example.org.\n"
        );
        let said = dig(&["none.example.org"]);
        assert!(
            said.contains("status: NXDOMAIN") && said.contains(" aa ") && said.contains("SOA"),
            "{said}"
        );
        let said = dig(&["+norecurse", "deep.sub.example.org"]);
        assert!(
            said.contains("status: NOERROR") && said.contains("192.0.2.54"),
            "{said}"
        );
        let said = dig(&["www.elsewhere.test"]);
        assert!(said.contains("status: REFUSED"), "{said}");
        // Too long for UDP: dig comes again over TCP by itself, unless it is told not to.
        let said = dig(&["crowd.test"]);
        assert!(
            said.contains("ANSWER: 200") && said.contains("(TCP)"),
            "{said}"
        );
        let said = dig(&["+ignore", "crowd.test"]);
        assert!(said.contains(" tc") && said.contains("ANSWER: 0"), "{said}");
        let said = dig(&["+tcp", "+keepopen", "www.example.org", "mail.example.org"]);
        assert!(
            said.contains("192.0.2.80") && said.contains("192.0.2.25"),
            "{said}"
        );
        let said = dig(&["+edns=1", "+noednsneg", "www.example.org"]);
        assert!(said.contains("BADVERS"), "{said}");
        let said = dig(&["version.bind", "TXT", "CH"]);
        assert!(said.contains("REFUSED"), "{said}");

        let kdig = run(
            "kdig",
            &[
                "@127.0.0.1",
                "-p",
                &port,
                "+short",
                "+retry=5",
                "WWW.example.ORG",
            ],
        );
        assert_eq!(String::from_utf8(kdig.stdout).unwrap(), "192.0.2.80\n");
        let kdig = run(
            "kdig",
            &[
                "@127.0.0.1",
                "-p",
                &port,
                "+tcp",
                "+bufsize=4096",
                "crowd.test",
            ],
        );
        let said = String::from_utf8(kdig.stdout).unwrap();
        assert!(said.contains("ANSWER: 200"), "{said}");
        serving.interrupt();
        let _ = serving.join();
    });
}

/// Asks for what each of them knows, until it is there: a peer takes a while to start.
fn resolver_of(addr: SocketAddr) -> Resolver {
    let mut config = Config::with_servers([addr]);
    config.timeout = Duration::from_secs(8);
    config.random_case = true;
    let resolver = Resolver::new(config, Hosts::default(), Limits::default());
    let ready = with_timeout(Duration::from_secs(50), || {
        while resolver.lookup("www.example.org", RecordType::A).is_err() {
            sleep(Duration::from_millis(20));
        }
    });
    ready.expect("the peer does not answer");
    resolver
}

fn look_around(resolver: &Resolver) {
    assert_eq!(resolver.addresses("www.example.org").unwrap().len(), 2);
    let error = resolver.addresses("none.example.org").unwrap_err();
    assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
    // 200 addresses: too long for UDP.
    let answer = resolver.lookup("crowd.example.org", RecordType::A).unwrap();
    assert_eq!(answer.addresses().count(), 200);
    assert!(resolver.statistics().turned_to_tcp > 0);
}

#[test]
fn unbound_as_upstream() {
    let (folder, addr) = (Folder::new(), own_addr());
    let mut config = format!(
        "server:\n interface: {}\n port: {}\n access-control: 127.0.0.0/8 allow\n do-daemonize: no\n username: \"\"\n \
         chroot: \"\"\n directory: \"{}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"log\"\n module-config: \"iterator\"\n \
         local-zone: \"example.org.\" static\n local-data: \"example.org. 300 SOA ns.example.org. h.example.org. 1 2 3 4 60\"\n \
         local-data: \"www.example.org. 300 A 192.0.2.80\"\n local-data: \"www.example.org. 300 AAAA 2001:db8::80\"\n \
         local-data: \"empty.example.org. 300 TXT x\"\n",
        addr.ip(),
        addr.port(),
        folder.0.display()
    );
    for last in 1..=200 {
        config.push_str(&format!(
            " local-data: \"crowd.example.org. 300 A 192.0.2.{last}\"\n"
        ));
    }
    config.push_str("remote-control:\n control-enable: no\n");
    let path = folder.file("unbound.conf", &config);
    let _peer = Peer::start(
        "unbound",
        Command::new("/usr/sbin/unbound")
            .arg("-d")
            .arg("-c")
            .arg(&path),
    );
    grapeshot::run(move || {
        let resolver = resolver_of(addr);
        look_around(&resolver);
        let answer = resolver.lookup("empty.example.org", RecordType::A).unwrap();
        assert_eq!(answer.kind, Kind::NoData);
        let before = resolver.statistics().sent_udp;
        resolver.lookup("empty.example.org", RecordType::A).unwrap();
        assert_eq!(
            resolver.statistics().sent_udp,
            before,
            "kept by the zone's SOA record"
        );
    });
}

#[test]
fn dnsmasq_as_upstream() {
    let (folder, addr) = (Folder::new(), own_addr());
    let mut hosts = "192.0.2.80 www.example.org\n2001:db8::80 www.example.org\n".to_owned();
    for last in 1..=200 {
        hosts.push_str(&format!("192.0.2.{last} crowd.example.org\n"));
    }
    let hosts = folder.file("hosts", &hosts);
    let mut command = Command::new("/usr/sbin/dnsmasq");
    command
        .args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--pid-file",
            "--conf-file=/dev/null",
        ])
        .arg("--local=/example.org/")
        .arg("--edns-packet-max=1232")
        .arg(format!("--user={}", user()))
        .arg(format!("--listen-address={}", addr.ip()))
        .arg(format!("--port={}", addr.port()))
        .arg(format!("--addn-hosts={}", hosts.display()));
    let _peer = Peer::start("dnsmasq", &mut command);
    grapeshot::run(move || look_around(&resolver_of(addr)));
}

/// Who runs this: dnsmasq would change to another user otherwise, who cannot read our files.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
