//! nginx as a peer. It panics with what went wrong, as the browser does.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than it takes to start on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running nginx. It is killed when this is dropped.
#[derive(Debug)]
pub struct Nginx(Child, u16);

impl Nginx {
    /// Starts one with this server block, on a port that was free a moment ago; its files are in `folder`. Another process may
    /// be faster to the port; then another one is tried.
    ///
    /// # Panics
    /// If nginx is missing, or takes no connections.
    pub fn start(folder: &Path, server: &str) -> Self {
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("it is bound").port();
            drop(listener);
            let config = folder.join("nginx.conf");
            fs::write(&config, config_of(folder, port, server)).expect("a folder to write to");
            let mut child = Command::new("/usr/sbin/nginx")
                .arg("-c")
                .arg(&config)
                .arg("-p")
                .arg(folder)
                .stderr(Stdio::null())
                .spawn()
                .expect("nginx is installed");
            let began = Instant::now();
            while began.elapsed() < PATIENCE && child.try_wait().expect("a child").is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self(child, port);
                }
                thread::yield_now();
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("nginx does not take connections");
    }

    /// Where it serves this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.1)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config_of(folder: &Path, port: u16, server: &str) -> String {
    let root = folder.display();
    format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr; worker_processes 1;
         events {{ worker_connections 256; }}
         http {{ access_log off; client_max_body_size 10m; client_body_temp_path {root}/body;
           proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fcgi; uwsgi_temp_path {root}/uwsgi;
           scgi_temp_path {root}/scgi;
           server {{ listen 127.0.0.1:{port}; {server} }} }}"
    )
}
