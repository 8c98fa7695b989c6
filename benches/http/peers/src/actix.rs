//! actix-web, with actix-files.

use std::path::PathBuf;

use actix_web::{App, HttpResponse, HttpServer, web};

pub(crate) fn serve(folder: PathBuf) {
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .route("/plaintext", web::get().to(async || content::PLAINTEXT))
                .route("/json", web::get().to(json))
                .service(actix_files::Files::new("/", &folder))
        });
        let server = server.workers(1).bind("127.0.0.1:0").expect("a free port");
        content::report_listening(server.addrs()[0].port());
        server.run().await.expect("it serves");
    });
}

async fn json() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(crate::json())
}
