//! nginx as a peer: one process, no log, files by `sendfile`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::place;

/// Where its configuration is written.
pub(super) fn configuration() -> PathBuf {
    place::target().join("bench/nginx.conf")
}

/// What it is to do.
pub(super) enum Job {
    Serve,
    /// Serve under TLS, with what is in this folder.
    Tls(PathBuf),
    /// Pass requests on to this port.
    Proxy(u16),
}

/// Writes the configuration of a server of `folder`, and gives the port that it will listen on.
pub(super) fn configure(folder: &Path, job: &Job) -> Result<u16> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.context("finding a free port")?.port();
    let folder = folder.display();
    let temporary = place::target().join("bench/nginx");
    fs::create_dir_all(&temporary).context("making target/bench/nginx")?;
    let temporary = temporary.display();
    let (before, listen, within) = match job {
        Job::Serve => (String::new(), "", String::new()),
        Job::Tls(keys) => {
            let keys = keys.display();
            let within = format!(
                "ssl_certificate {keys}/site.pem; ssl_certificate_key {keys}/site.key; ssl_protocols TLSv1.3;"
            );
            (String::new(), "ssl ", within)
        }
        Job::Proxy(port) => {
            let before = format!(
                "upstream back {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000000; }}"
            );
            let pass =
                "proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection '';";
            (before, "", format!("location = /plaintext {{ {pass} }}"))
        }
    };
    let plaintext = "location = /plaintext { default_type 'text/plain; charset=utf-8'; return 200 'Hello, World!'; }";
    let plaintext = if matches!(job, Job::Proxy(_)) {
        ""
    } else {
        plaintext
    };
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {temporary}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; open_file_cache max=16;
  keepalive_requests 1000000000;
  client_body_temp_path {temporary}; proxy_temp_path {temporary}; fastcgi_temp_path {temporary};
  uwsgi_temp_path {temporary}; scgi_temp_path {temporary};
  {before}
  server {{
    listen 127.0.0.1:{port} {listen}backlog=4096; root {folder};
    {within}
    {plaintext}
  }}
}}
"
    );
    fs::write(configuration(), text).context("writing nginx.conf")?;
    Ok(port)
}
