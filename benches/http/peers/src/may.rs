//! may_minihttp.

use std::io;
use std::net::TcpListener;

use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Service;

impl HttpService for Service {
    fn call(
        &mut self,
        request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        match request.path() {
            "/plaintext" => {
                response
                    .header("Content-Type: text/plain; charset=utf-8")
                    .body(content::PLAINTEXT);
            }
            "/json" => {
                response.header("Content-Type: application/json");
                response.body_vec(crate::json());
            }
            _ => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}

pub(crate) fn serve() {
    may::config().set_workers(1);
    // It takes an address only.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let address = address.expect("a free port");
    let server = HttpServer(Service).start(address).expect("it starts");
    content::report_listening(address.port());
    let _ = server.join();
}
