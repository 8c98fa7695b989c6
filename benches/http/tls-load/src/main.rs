//! The load of the rows with TLS: `tls-load PORT CONNECTIONS PID WARM_MS MS FOLDER PATH full|resumed|kept`.
//!
//! As many threads ask for the path over and over: with a connection and a whole handshake for each request (`full`), with one
//! that resumes the session before (`resumed`), or all on one connection (`kept`). The answer is read to its end. The server's
//! certificate is for `localhost`, from `ca.pem` in the folder. Prints one JSON line.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use content::Usage;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Full,
    Resumed,
    Kept,
}

struct Plan {
    port: u16,
    request: String,
    how: How,
    authorities: Arc<RootCertStore>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, server, warm, measured, folder, path, how] = &words[..] else {
        eprintln!("usage: tls-load PORT CONNECTIONS PID WARM_MS MS FOLDER PATH full|resumed|kept");
        std::process::exit(2);
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let how = match how.as_str() {
        "full" => How::Full,
        "resumed" => How::Resumed,
        _ => How::Kept,
    };
    let ends = if how == How::Kept {
        "keep-alive"
    } else {
        "close"
    };
    let mut authorities = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(format!("{folder}/ca.pem"));
    authorities
        .add(authority.expect("an authority"))
        .expect("it is one");
    let plan = Arc::new(Plan {
        port: number(port) as u16,
        request: format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {ends}\r\n\r\n"),
        how,
        authorities: Arc::new(authorities),
    });
    let connections = number(connections) as usize;
    let [measuring, over] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let begun = Arc::new(Barrier::new(connections + 1));
    let asking: Vec<_> = (0..connections)
        .map(|_| {
            let (plan, begun) = (Arc::clone(&plan), Arc::clone(&begun));
            let (measuring, over) = (Arc::clone(&measuring), Arc::clone(&over));
            thread::spawn(move || ask(&plan, &begun, &measuring, &over))
        })
        .collect();
    begun.wait();
    thread::sleep(Duration::from_millis(number(warm)));
    let before = Usage::of(server);
    measuring.store(true, Ordering::SeqCst);
    let began = Instant::now();
    thread::sleep(Duration::from_millis(number(measured)));
    measuring.store(false, Ordering::SeqCst);
    let seconds = began.elapsed().as_secs_f64();
    let after = Usage::of(server);
    over.store(true, Ordering::SeqCst);
    let mut times = Vec::new();
    for one in asking {
        times.extend(one.join().expect("every request is answered"));
    }
    content::report_load(
        &mut times,
        seconds,
        after.since(&before),
        after.resident_kib,
    );
}

/// Asks until it is over; gives how many microseconds each request took that ended while it was measured.
fn ask(plan: &Plan, begun: &Barrier, measuring: &AtomicBool, over: &AtomicBool) -> Vec<u64> {
    let mut config = ClientConfig::builder()
        .with_root_certificates(Arc::clone(&plan.authorities))
        .with_no_client_auth();
    if plan.how == How::Full {
        config.resumption = Resumption::disabled();
    }
    let config = Arc::new(config);
    let mut times = Vec::new();
    let mut kept = None;
    let mut buffer = vec![0; 64 << 10];
    begun.wait();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(plan, &config).expect("a connection"),
        };
        stream
            .write_all(plan.request.as_bytes())
            .expect("it is sent");
        read_answer(&mut stream, &mut buffer, plan.how != How::Kept).expect("an answer");
        if plan.how == How::Kept {
            kept = Some(stream);
        }
        if measuring.load(Ordering::Relaxed) {
            times.push(began.elapsed().as_micros() as u64);
        }
    }
    times
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(plan: &Plan, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let stream = TcpStream::connect(("127.0.0.1", plan.port))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}

/// Reads an answer that says its length; to the connection's end, if it is the last.
fn read_answer(stream: &mut Stream, buffer: &mut [u8], last: bool) -> io::Result<()> {
    let mut filled = 0;
    let (head, length) = loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += count;
        let head = buffer[..filled]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            break (head + 4, content::content_length(&buffer[..head])?);
        }
    };
    let mut left = (head + length).saturating_sub(filled);
    while left > 0 {
        let most = left.min(buffer.len());
        match stream.read(&mut buffer[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count,
        }
    }
    if last {
        // A server that ends without close_notify has answered all the same.
        let _ = stream.read(buffer);
    }
    Ok(())
}
