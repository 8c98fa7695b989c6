//! A web server and its clients, with each call on the network failing once.

use std::io::{self, Read, Write};
use std::time::Duration;

use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::sleep;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot_http::{HandlerError, Server};

/// What the handler of `/large` sends, in pieces.
const LARGE: usize = 100_000;

fn serve() -> io::Result<()> {
    let server = Server::new(|request, response| -> Result<(), HandlerError> {
        if request.path() == "/large" {
            return Ok(response.send(vec![b'x'; LARGE])?);
        }
        let mut body = Vec::new();
        request.read_to_end(&mut body)?;
        Ok(response.send(body)?)
    });
    server.serve(TcpListener::bind("0.0.0.0:80")?)
}

/// Sends two requests on one connection, and gives all that came until it was closed.
fn ask() -> io::Result<String> {
    let mut stream = TcpStream::connect("server:80")?;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 5\r\n\r\nhello")?;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    Ok(answers)
}

#[test]
fn tortured_a_client_gets_its_answer_or_learns_that_it_does_not() {
    let torture = Simulation::new(3)
        .network(NetworkConfig::new())
        .torture(|| -> io::Result<()> {
            host("server", || drop(serve()));
            sleep(Duration::from_millis(1));
            let answers = ask()?;
            // Whoever closes before the last byte has not sent what it promised: a client can tell.
            if answers.len() < LARGE {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (first, second) = answers.split_once("\r\n\r\n").expect("a head has an end");
            assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
            assert!(second.starts_with("helloHTTP/1.1 200 "), "{second:.100}");
            assert!(answers.ends_with(&"x".repeat(LARGE)));
            Ok(())
        });
    println!("tortured: {torture}");
    assert!(
        torture.errors > 0 && torture.errors < torture.runs,
        "{torture}"
    );
}

#[test]
fn tortured_a_server_goes_on() {
    let torture = Simulation::new(3)
        .network(NetworkConfig::new())
        .torture(|| -> io::Result<()> {
            host("server", || {
                while serve().is_err() {
                    sleep(Duration::from_millis(10));
                }
            });
            sleep(Duration::from_millis(50));
            let first = ask();
            let second = ask();
            let whole =
                |answer: &io::Result<String>| answer.as_ref().is_ok_and(|text| text.len() > LARGE);
            assert!(whole(&first) || whole(&second), "{second:?}");
            Ok(())
        });
    println!("tortured: {torture}");
    assert_eq!(torture.errors, 0, "{torture}");
}
