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
use grapeshot_dns::{Config, Error, Hosts, Kind, Limits, RecordType, Recursion, Resolver};

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

/// Loopback addresses of this test's own, and a port that is free on all of them for UDP and TCP. Nobody else in the tests is
/// at those addresses, so the port stays free.
fn own_addrs<const COUNT: usize>() -> [SocketAddr; COUNT] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free =
        |addr: &SocketAddr| StdSocket::bind(addr).is_ok() && StdListener::bind(addr).is_ok();
    for _ in 0..1_000 {
        let number = std::process::id()
            .wrapping_mul(64)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        // 127.16 to 127.143, with eight addresses for each number, of which six are used.
        let [_, high, mid, low] = number.wrapping_mul(8).to_be_bytes();
        let ips: [Ipv4Addr; COUNT] = std::array::from_fn(|index| {
            Ipv4Addr::new(127, 16 + (high & 0x7f), mid, low + 1 + index as u8)
        });
        let Ok(socket) = StdSocket::bind((ips[0], 0)) else {
            continue;
        };
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        let addrs = ips.map(|ip| SocketAddr::from((ip, port)));
        if addrs.iter().all(is_free) {
            return addrs;
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
    let (folder, [addr]) = (Folder::new(), own_addrs());
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
    let (folder, [addr]) = (Folder::new(), own_addrs());
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

/// An NSD that serves these zones at `addr`.
fn nsd(folder: &Folder, name: &str, addr: SocketAddr, zones: &[(&str, String)]) -> Peer {
    let mut config = format!(
        "server:\n ip-address: {}@{}\n do-ip6: no\n username: \"\"\n chroot: \"\"\n zonesdir: \"{2}\"\n database: \"\"\n \
         pidfile: \"\"\n xfrdfile: \"{2}/{name}.xfrd\"\n xfrdir: \"{2}\"\n zonelistfile: \"{2}/{name}.list\"\n \
         logfile: \"{2}/{name}.log\"\n server-count: 1\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n",
        addr.ip(),
        addr.port(),
        folder.0.display()
    );
    for (index, (origin, records)) in zones.iter().enumerate() {
        let text = format!(
            "$ORIGIN {origin}\n$TTL 300\n@ IN SOA ns. hostmaster. 1 3600 600 86400 60\n{records}"
        );
        let file = format!("{name}-{index}.zone");
        folder.file(&file, &text);
        config.push_str(&format!(
            "zone:\n name: \"{origin}\"\n zonefile: \"{file}\"\n"
        ));
    }
    let path = folder.file(&format!("{name}.conf"), &config);
    Peer::start(
        "nsd",
        Command::new("/usr/sbin/nsd").arg("-d").arg("-c").arg(path),
    )
}

#[test]
fn nsd_as_root_and_leaves() {
    let folder = Folder::new();
    let [root, test, leaf] = own_addrs();
    let _root = nsd(
        &folder,
        "root",
        root,
        &[(
            ".",
            format!(
                "@ IN NS a.root.\na.root. IN A {}\ntest. IN NS ns.test.\nns.test. IN A {}\n",
                root.ip(),
                test.ip()
            ),
        )],
    );
    let _test = nsd(
        &folder,
        "test",
        test,
        &[(
            "test.",
            format!(
                "@ IN NS ns\nns IN A {}\nexample IN NS ns.example\nns.example IN A {}\nother IN NS ns.example\n\
                 away IN NS ns.other\n",
                test.ip(),
                leaf.ip()
            ),
        )],
    );
    let mut crowd = String::new();
    for last in 1..=200 {
        crowd.push_str(&format!("crowd IN A 192.0.2.{last}\n"));
    }
    let ns = format!("@ IN NS ns.example.test.\nns IN A {}\n", leaf.ip());
    let _leaf = nsd(
        &folder,
        "leaf",
        leaf,
        &[
            (
                "example.test.",
                format!(
                    "{ns}www IN A 192.0.2.80\nwww IN AAAA 2001:db8::80\nfar IN CNAME www.other.test.\n*.wild IN TXT any\n{crowd}"
                ),
            ),
            ("other.test.", format!("{ns}www IN A 192.0.2.81\n")),
            ("away.test.", format!("{ns}www IN A 192.0.2.82\n")),
        ],
    );
    grapeshot::run(move || {
        let mut recursion = Recursion::default();
        recursion.roots = vec![root.ip()];
        recursion.port = root.port();
        recursion.loopback = true;
        recursion.timeouts = [Duration::from_secs(8); 2];
        let resolver = Resolver::recursive(recursion, Limits::default());
        let ready = with_timeout(Duration::from_secs(50), || {
            while resolver.lookup("www.example.test", RecordType::A).is_err() {
                sleep(Duration::from_millis(20));
            }
        });
        ready.expect("the servers do not answer");
        assert_eq!(resolver.addresses("www.example.test").unwrap().len(), 2);
        let address = |name: &str| {
            let answer = resolver.lookup(name, RecordType::A).unwrap();
            let mut addresses = answer.addresses();
            let first = addresses.next().unwrap().to_string();
            (first, addresses.count())
        };
        assert_eq!(address("far.example.test"), ("192.0.2.81".to_owned(), 0));
        // Its server is in another zone, and so without address.
        assert_eq!(address("www.away.test"), ("192.0.2.82".to_owned(), 0));
        assert_eq!(address("crowd.example.test").1, 199);
        assert!(resolver.statistics().turned_to_tcp > 0);
        assert_eq!(
            resolver
                .lookup("x.wild.example.test", RecordType::TXT)
                .unwrap()
                .data()
                .count(),
            1
        );
        let error = resolver.addresses("none.example.test").unwrap_err();
        assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
        let nothing = resolver.lookup("www.example.test", RecordType::MX).unwrap();
        assert_eq!(nothing.kind, Kind::NoData);
    });
}
