//! A whole client: whatever its servers say, it gives an answer or an error, and no more content than it may. Behind it are
//! redirects, cookies, decompression, proxies that speak HTTP or SOCKS, and the pool.
#![no_main]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use grapeshot::net::Stream;
use grapeshot_fuzz::Wire;
use grapeshot_http::client::{Client, Connector, CookieJar, Limits, Proxies, Proxy};
use libfuzzer_sys::fuzz_target;

/// The next connection says what follows this.
const NEXT: &[u8] = b"~~~~";
const MOST: u64 = 20_000;

/// Each connection is the next of these.
struct Net(Mutex<VecDeque<Wire>>);

impl Connector for Net {
    fn resolve(&self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    }

    fn connect(&self, _addresses: &[SocketAddr]) -> io::Result<Arc<dyn Stream>> {
        let next = self.0.lock().unwrap().pop_front();
        next.map(|wire| Arc::new(wire) as _)
            .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    /// In the clear.
    fn secure(&self, stream: Arc<dyn Stream>, _host: &str) -> io::Result<Arc<dyn Stream>> {
        Ok(stream)
    }
}

fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let at = bytes.windows(NEXT.len()).position(|window| window == NEXT);
        rest = at.map(|at| &bytes[at + NEXT.len()..]);
        Some(&bytes[..at.unwrap_or(bytes.len())])
    })
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (step, kind, bytes) = input;
    let wires = parts(bytes)
        .take(20)
        .map(|part| Wire::new(part, step))
        .collect();
    let proxies = match kind % 4 {
        1 => Proxies::all(Proxy::new("http://proxy.example:3128").unwrap()),
        2 => Proxies::all(Proxy::new("socks5h://alice:sesame@proxy.example").unwrap()),
        _ => Proxies::none(),
    };
    let mut limits = Limits::default();
    limits.content = MOST;
    let client = Client::builder()
        .connector(Net(Mutex::new(wires)))
        .proxies(proxies)
        .limits(limits)
        .cookies(CookieJar::new())
        .build();
    for (method, url) in [
        ("GET", "http://example.org/a/b?c"),
        ("HEAD", "http://example.org/"),
        ("GET", "https://www.example.org/"),
        ("POST", "http://example.org/a"),
    ] {
        let request = client.request(method, url);
        let request = if method == "POST" {
            request.body("content")
        } else {
            request
        };
        if let Ok(answer) = request.send()
            && let Ok(content) = answer.bytes()
        {
            assert!(content.len() as u64 <= MOST);
            assert!(method != "HEAD" || content.is_empty());
        }
    }
});
