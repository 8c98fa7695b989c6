//! The peers' side of the HTTP rows, in one program: `peer-http hyper|axum|actix|may FOLDER …`; see `content::arguments`. Each uses
//! one thread.

mod actix;
mod axum;
mod hyper;
mod hyper_client;
mod may;

use std::sync::atomic::{AtomicU32, Ordering};

use content::{Job, Ship};

fn main() {
    let (which, folder, job) = content::arguments();
    match (which.as_str(), &job) {
        ("hyper", Job::Ask(load)) => return hyper_client::ask(load),
        (_, Job::Serve) => {}
        _ => panic!("{which:?} does not do that"),
    }
    match which.as_str() {
        "hyper" => hyper::serve(),
        "axum" => axum::serve(folder),
        "actix" => actix::serve(folder),
        "may" => may::serve(),
        _ => panic!("there is no server {which:?}"),
    }
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The next answer to `/json`.
fn json() -> Vec<u8> {
    static SERVED: AtomicU32 = AtomicU32::new(0);
    serde_json::to_vec(&Ship::new(SERVED.fetch_add(1, Ordering::Relaxed))).expect("it serialises")
}
