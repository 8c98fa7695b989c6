//! A whole server on a network in memory.

use std::io::{Read, Write};
use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::sleep;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot_http::{HandlerError, Server};

fn answer(seed: u64) -> String {
    let network = NetworkConfig::new().chop(true);
    Simulation::new(seed).network(network).run(|| {
        host("server", || {
            let server = Server::new(|_request, response| -> Result<(), HandlerError> {
                Ok(response.send("hello")?)
            });
            server
                .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                .unwrap();
        });
        sleep(Duration::from_secs(86_400));
        let mut stream = TcpStream::connect("server:80").unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
}

#[test]
fn the_date_is_that_of_the_virtual_clock() {
    for seed in 0..20 {
        let answer = answer(seed);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        let date = "\r\nDate: Sun, 02 Jan 2000 00:00:00 GMT\r\n";
        assert!(answer.contains(date), "{answer}");
    }
}
