//! hyper itself, with the options that its benchmarks use.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(crate) fn serve() {
    crate::tokio().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        content::report_listening(listener.local_addr().expect("it is bound").port());
        loop {
            let (stream, _) = listener.accept().await.expect("it accepts");
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let connection = http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                let _ = connection.await;
            });
        }
    });
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (kind, body) = match request.uri().path() {
        "/plaintext" => ("text/plain; charset=utf-8", content::PLAINTEXT.into()),
        "/json" => ("application/json", crate::json().into()),
        _ => {
            let mut missing = Response::new(Full::default());
            *missing.status_mut() = StatusCode::NOT_FOUND;
            return Ok(missing);
        }
    };
    let response = Response::builder().header(CONTENT_TYPE, kind);
    Ok(response.body(Full::new(body)).expect("it is valid"))
}
