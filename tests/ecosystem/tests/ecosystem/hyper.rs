//! hyper's two protocols, and an axum router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;

use axum::extract::Path;
use axum::routing::get;
use grapeshot::block_on;
use grapeshot::futures::{self, Async, Executor, Timer};
use grapeshot::net::TcpStream;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use tower_service::Service;

use super::listen;

const MEGABYTE: usize = 1 << 20;

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("a whole body");
    Ok(Response::new(Full::new(body.to_bytes())))
}

fn request(body: Vec<u8>) -> Request<Full<Bytes>> {
    let request = Request::post("http://localhost/").header("host", "localhost");
    request
        .body(Full::new(body.into()))
        .expect("a good request")
}

/// Serves one connection.
fn serve_one(
    serve: impl AsyncFnOnce(Async<TcpStream>) -> hyper::Result<()> + Send + 'static,
) -> SocketAddr {
    let (listener, addr) = listen();
    grapeshot::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        block_on(serve(Async::new(stream))).expect("served to the end");
    });
    addr
}

pub(super) fn http1() {
    let addr = serve_one(async |stream| {
        let mut server = hyper::server::conn::http1::Builder::new();
        // Its header timeout is on by default, and wants a timer.
        server
            .timer(Timer)
            .serve_connection(stream, service_fn(echo))
            .await
    });
    let stream = Async::new(TcpStream::connect(addr).expect("it listens"));
    block_on(async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .expect("a handshake");
        let driver = futures::spawn(connection);
        for round in 0..3 {
            // The driver may be at the end of the answer before.
            sender.ready().await.expect("it takes one more");
            let answer = sender.send_request(request(vec![round; MEGABYTE])).await;
            let body = answer.expect("an answer").into_body().collect().await;
            assert_eq!(body.expect("a body").to_bytes(), vec![round; MEGABYTE]);
        }
        drop(sender);
        driver.join().expect("it ended").expect("in good order");
    });
}

pub(super) fn http2() {
    let addr = serve_one(async |stream| {
        let mut server = hyper::server::conn::http2::Builder::new(Executor);
        server
            .timer(Timer)
            .serve_connection(stream, service_fn(echo))
            .await
    });
    let stream = Async::new(TcpStream::connect(addr).expect("it listens"));
    let (sender, connection) =
        block_on(hyper::client::conn::http2::handshake(Executor, stream)).expect("a handshake");
    let driver = futures::spawn(connection);
    let asking: Vec<_> = (0..20_u8)
        .map(|number| {
            let mut sender = sender.clone();
            futures::spawn(async move {
                let answer = sender.send_request(request(vec![number; 100_000])).await;
                let body = answer.expect("an answer").into_body().collect().await;
                assert_eq!(body.expect("a body").to_bytes(), vec![number; 100_000]);
            })
        })
        .collect();
    asking
        .into_iter()
        .for_each(|one| one.join().expect("an echo"));
    drop(sender);
    driver.join().expect("it ended").expect("in good order");
}

pub(super) fn axum() {
    let router = axum::Router::new()
        .route("/", get(|| async { "ahoy" }))
        .route(
            "/ships/{name}",
            get(|Path(name): Path<String>| async move { format!("the {name}") }),
        );
    let (listener, addr) = listen();
    let server = grapeshot::spawn(move || {
        loop {
            let (stream, _) = listener.accept().expect("a connection");
            let router = router.clone();
            let service = service_fn(move |request| router.clone().call(request));
            let mut server = hyper::server::conn::http1::Builder::new();
            futures::spawn(
                server
                    .timer(Timer)
                    .serve_connection(Async::new(stream), service),
            );
        }
    });
    let ask = |path: &str| {
        let url = format!("http://{addr}{path}");
        let curl = move || {
            Command::new("curl")
                .args(["-sS", "--max-time", "50", &url])
                .output()
        };
        let output = grapeshot::unblock(curl)
            .expect("a thread")
            .expect("curl runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(ask("/"), "ahoy");
    assert_eq!(ask("/ships/Victory"), "the Victory");
    server.interrupt();
    assert!(server.join().is_err());
}
