//! hyper's client with its pool (`hyper-util`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use content::{Load, Usage};
use http_body_util::{BodyExt, Empty};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::LocalSet;

pub(crate) fn ask(load: &Load) {
    let uri: Uri = load.url.parse().expect("a URL");
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(load.connections)
        .build(connector);
    let [measuring, over] = [(); 2].map(|()| Rc::new(Cell::new(false)));
    let times = Rc::new(RefCell::new(Vec::new()));
    let local = LocalSet::new();
    let asking: Vec<_> = (0..load.connections)
        .map(|_| {
            let (client, uri) = (client.clone(), uri.clone());
            let (measuring, over) = (Rc::clone(&measuring), Rc::clone(&over));
            let times = Rc::clone(&times);
            local.spawn_local(async move {
                while !over.get() {
                    let began = Instant::now();
                    let answer = client.get(uri.clone()).await.expect("the server answers");
                    assert!(answer.status().is_success());
                    let content = answer.into_body().collect().await.expect("to the end");
                    std::hint::black_box(content.to_bytes());
                    if measuring.get() {
                        times.borrow_mut().push(began.elapsed().as_micros() as u64);
                    }
                }
            })
        })
        .collect();
    crate::tokio().block_on(local.run_until(async {
        tokio::time::sleep(load.warm).await;
        let before = Usage::of("self");
        measuring.set(true);
        let began = Instant::now();
        tokio::time::sleep(load.measured).await;
        measuring.set(false);
        let seconds = began.elapsed().as_secs_f64();
        let after = Usage::of("self");
        over.set(true);
        for one in asking {
            one.await.expect("every request is answered");
        }
        let mut times = times.take();
        content::report_load(
            &mut times,
            seconds,
            after.since(&before),
            after.resident_kib,
        );
    }));
}
