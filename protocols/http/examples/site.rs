//! A site of a page, a clock, files, and the state of the process: `cargo run -p grapeshot-http --example site -- FOLDER ADDRESS`.

use std::time::Duration;

use grapeshot::net::TcpListener;
use grapeshot_http::{
    AccessLog, Compressed, Event, Html, LogFormat, Router, Server, StaticFiles, StatusPage, handler,
};

const PAGE: &str = "<!doctype html><title>A site</title><h1>A site</h1><p id=clock>…</p>\
    <p><a href=/files/>files</a> · <a href=/status>status</a></p>\
    <script>new EventSource('/clock').onmessage = e => clock.textContent = e.data + ' s'</script>";

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let address = std::env::args().nth(2);
    let address = address.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let status = StatusPage::new("A site");
    let site = Router::new()
        .get("/", |_| Html(PAGE))
        .on(
            "GET",
            "/clock",
            handler(|_request, response| {
                let mut events = response.events()?;
                for second in 0.. {
                    events.send(&Event::new(second.to_string()))?;
                    grapeshot::sleep(Duration::from_secs(1));
                }
                events.finish()
            }),
        )
        .any("/files/{path...}", StaticFiles::new(folder)?.listing(true))
        .any("/status", status.clone());
    let server = Server::builder()
        .access_log(AccessLog::to_writer(std::io::stdout(), LogFormat::Combined))
        .build(Compressed::new(site));
    status.add_server("web", &server);
    grapeshot::run(move || {
        let listener = TcpListener::bind(&*address)?;
        println!("http://{}", listener.local_addr()?);
        server.serve(listener)
    })
}
