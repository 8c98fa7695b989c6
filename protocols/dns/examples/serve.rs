//! Serves a zone, with a socket for each worker: `cargo run --release -p grapeshot-dns --example serve -- ADDR ORIGIN FILE`.
//!
//! `printf 'www.example.org A\n' > names; dnsperf -s 127.0.0.1 -p 5353 -d names -l 5` measures it. Without FILE it serves
//! `www` at 192.0.2.80.

use std::error::Error;

use grapeshot::net::{ListenOptions, TcpListener};
use grapeshot::{Builder, Placement};
use grapeshot_dns::server::{Server, Zone, ZoneBuilder};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:5353".to_owned());
    let origin = arguments.next().unwrap_or_else(|| "example.org".to_owned());
    let zone = match arguments.next() {
        Some(file) => Zone::parse(&origin, &std::fs::read_to_string(file)?)?,
        None => ZoneBuilder::new(&origin)?
            .address("www", 300, [192, 0, 2, 80])?
            .build()?,
    };
    grapeshot::run(move || {
        let server = Server::new().zone(zone);
        let options = ListenOptions::new().reuse_port(true);
        for worker in 0..grapeshot::registry::workers().len() {
            let (server, socket) = (server.clone(), options.bind_udp(addr.as_str())?);
            Builder::new()
                .placement(Placement::Worker(worker))
                .spawn(move || server.serve_udp(&socket));
        }
        let listener = TcpListener::bind(addr.as_str())?;
        println!("serving {origin} at {addr}");
        Ok(server.serve_streams(&listener)?)
    })
}
