//! axum, with tower-http's files.

use std::path::PathBuf;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use tower_http::services::ServeDir;

pub(crate) fn serve(folder: PathBuf) {
    let router = Router::new()
        .route("/plaintext", get(async || content::PLAINTEXT))
        .route("/json", get(json))
        .route("/echo", get(echo))
        .fallback_service(ServeDir::new(folder));
    crate::tokio().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        content::report_listening(listener.local_addr().expect("it is bound").port());
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router).await.expect("it serves");
    });
}

async fn json() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], crate::json())
}

async fn echo(upgrade: WebSocketUpgrade) -> impl IntoResponse {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_) | Message::Binary(_))
                && socket.send(message).await.is_err()
            {
                return;
            }
        }
    })
}
