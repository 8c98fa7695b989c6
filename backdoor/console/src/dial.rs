//! Connecting to a backdoor, whatever it is served on, and why that fails, in words for the person.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::{Stream, TcpStream, UnixStream};
use grapeshot::with_timeout;
use grapeshot_tls::{CertificateFault, Connector, Error as TlsError, Pem, client};

use crate::connection::Lost;
use crate::target::{Address, Target};

/// How long a connection may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects; nothing is said yet.
pub(crate) fn dial(target: &Target, authorities: Option<&Path>) -> Result<Arc<dyn Stream>, Lost> {
    match target {
        Target::Path(path) => match UnixStream::connect(path) {
            Ok(stream) => Ok(Arc::new(stream)),
            Err(error) => Err(no_socket(path, &error)),
        },
        Target::Network(address) => {
            let connected = with_timeout(PATIENCE, || {
                TcpStream::connect_any((address.host.as_str(), address.port))
            });
            let stream = match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(no_connection(address, &error)),
                Err(_elapsed) => {
                    return Err(Lost::new(format!(
                        "{address} does not answer: is it the right address, and does a firewall let you through?"
                    )));
                }
            };
            // A statement goes out in one write; nothing is gained by holding it back.
            let _ = stream.set_nodelay(true);
            let _ = stream.set_keepalive(Some(Duration::from_secs(30)));
            if address.tls {
                encrypt(stream, address, authorities)
            } else {
                Ok(Arc::new(stream))
            }
        }
    }
}

fn encrypt(
    stream: TcpStream,
    address: &Address,
    authorities: Option<&Path>,
) -> Result<Arc<dyn Stream>, Lost> {
    let mut config = client::Config::builder();
    if let Some(file) = authorities {
        config = config.authorities(Pem::file(file));
    }
    let config = config
        .build()
        .map_err(|error| Lost::new(format!("cannot speak TLS: {error}")))?;
    match with_timeout(PATIENCE, || {
        Connector::new(config).connect(stream, &address.host)
    }) {
        Ok(Ok(stream)) => Ok(Arc::new(stream)),
        Ok(Err(error)) => Err(no_handshake(address, &error)),
        Err(_elapsed) => Err(Lost::new(format!(
            "{address} took the connection but does not speak TLS: is it the right port?"
        ))),
    }
}

fn no_handshake(address: &Address, error: &io::Error) -> Lost {
    let hint = match TlsError::of(error) {
        Some(TlsError::Certificate(CertificateFault::UnknownIssuer)) => {
            ": give the authority that has signed it with --ca FILE"
        }
        Some(TlsError::NotTls(_) | TlsError::HandshakeTruncated) => {
            ": is it the right port? A backdoor without TLS is at tcp://"
        }
        _ => "",
    };
    Lost::new(format!("no TLS with {address}: {error}{hint}"))
}

fn no_connection(address: &Address, error: &io::Error) -> Lost {
    Lost::new(match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nobody listens at {address}; is the server running, and serving its backdoor there (Backdoor::tcp, Backdoor::tls)?"
        ),
        _ => format!("cannot connect to {address}: {error}"),
    })
}

fn no_socket(path: &Path, error: &io::Error) -> Lost {
    let shown = path.display();
    let text = match error.kind() {
        io::ErrorKind::NotFound => {
            let others = sockets_beside(path);
            let hint = if others.is_empty() {
                String::new()
            } else {
                format!("\nsockets there: {}", others.join(", "))
            };
            format!(
                "there is no socket at {shown}; is the server running, and serving its backdoor there?{hint}"
            )
        }
        io::ErrorKind::ConnectionRefused => match fs::metadata(path) {
            Ok(found) if !found.file_type().is_socket() => format!("{shown} is not a socket"),
            _ => format!(
                "nobody listens at {shown}: the server that made it is gone; start it again"
            ),
        },
        io::ErrorKind::PermissionDenied => match fs::metadata(path) {
            Ok(found) => {
                format!(
                    "you may not open {shown}: it belongs to uid {}; attach as that user or as root",
                    found.uid()
                )
            }
            Err(_) => format!("you may not open {shown}; attach as the server's user or as root"),
        },
        _ => format!("cannot connect to {shown}: {error}"),
    };
    Lost::new(text)
}

/// Other sockets in the same folder: one of them may have been meant.
fn sockets_beside(path: &Path) -> Vec<String> {
    const MOST: usize = 8;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(is_socket)
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.truncate(MOST);
    found
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
