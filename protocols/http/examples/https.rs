//! A page over HTTPS.
//!
//! ```sh
//! cargo xtask cert
//! cargo run -p grapeshot-http --example https -- target/cert/site.pem target/cert/site.key 127.0.0.1:8443
//! curl --cacert target/cert/ca.pem https://localhost:8443/
//! ```

use std::error::Error;

use grapeshot::net::TcpListener;
use grapeshot_http::{Request, Response, Server};
use grapeshot_tls::{Listener, server};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key, address] = <[String; 3]>::try_from(arguments)
        .map_err(|_| "usage: https CERTIFICATE.pem KEY.pem ADDRESS")?;
    grapeshot::run(move || {
        let config = server::Config::new(&chain, &key)?;
        let _reloading = config.reload_on_hangup()?;
        let listener = TcpListener::bind(address)?;
        println!("listening on {}", listener.local_addr()?);
        let server = Server::new(|_: &mut Request<'_>, response: Response<'_>| {
            // What a browser is to know of a site that is always under TLS, and of its pages.
            response
                .header("Strict-Transport-Security", "max-age=31536000")
                .header("Content-Security-Policy", "default-src 'self'")
                .header("X-Content-Type-Options", "nosniff")
                .send("Nobody between you and me has read this.\n")
        });
        server.serve(Listener::new(listener, &config))?;
        Ok(())
    })
}
