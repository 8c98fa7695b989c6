//! The backdoor's socket of a process that is known by its number.
//!
//! The kernel knows a listening socket by the name that it was bound to. A backdoor binds in a folder of its own, which is
//! gone, and moves the socket to the folder around that: so it is one of the sockets there, and the one whose other end
//! says that it is this process.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_peercred;

use crate::connection::Lost;

/// Processes that are looked at below one that serves no backdoor.
const MOST: usize = 64;

/// Where the backdoor of this process is.
pub(crate) fn backdoor_of(process: u32) -> Result<PathBuf, Lost> {
    let explain = |error: io::Error| {
        Lost::new(match error.kind() {
            io::ErrorKind::NotFound => format!("there is no process {process}"),
            io::ErrorKind::PermissionDenied => {
                format!("you may not look at process {process}; attach as its user or as root")
            }
            _ => format!("cannot look at process {process}: {error}"),
        })
    };
    if let Some(path) = find(process).map_err(explain)? {
        return Ok(path);
    }
    // `cargo run`, a shell or a supervisor: what it has started was meant.
    let serves = |child: &u32| matches!(find(*child), Ok(Some(_)));
    Err(Lost::new(
        match started_by(process).into_iter().find(serves) {
            Some(child) => format!(
                "process {process} serves no backdoor itself, but what it has started does: `console --pid {child}`"
            ),
            None => format!(
                "process {process} serves no backdoor on a Unix socket that can be found from here; give the socket's path"
            ),
        },
    ))
}

/// The socket of its backdoor, if it has one.
fn find(process: u32) -> io::Result<Option<PathBuf>> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let owned = sockets_of(&folder)?;
    let listening = fs::read_to_string(folder.join("net/unix"))?;
    let here = fs::read_link(folder.join("cwd"))?;
    let mut candidates = BTreeSet::new();
    for name in listening.lines().filter_map(|line| bound_to(line, &owned)) {
        let name = here.join(name);
        // Its own name, and the sockets around the folder that it was made in.
        let around = name.parent().and_then(Path::parent);
        candidates.extend(around.into_iter().flat_map(sockets_in));
        candidates.insert(name);
    }
    Ok(candidates.into_iter().find(|path| is_of(path, process)))
}

/// Its children, theirs, and so on.
fn started_by(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let mut at = 0;
    while let Some(parent) = all.get(at).filter(|_| all.len() < MOST) {
        let threads = fs::read_dir(format!("/proc/{parent}/task"));
        let children = threads.into_iter().flatten().flatten().map(|thread| {
            let children = fs::read_to_string(thread.path().join("children"));
            children.unwrap_or_default()
        });
        let children: Vec<String> = children.collect();
        let numbers = children.iter().flat_map(|it| it.split_whitespace());
        all.extend(numbers.filter_map(|number| number.parse::<u32>().ok()));
        at += 1;
    }
    all.split_off(1)
}

/// The inodes of its sockets.
fn sockets_of(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(folder.join("fd"))? {
        // One that has been closed meanwhile is none of the listening ones.
        let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path())) else {
            continue;
        };
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|it| it.strip_suffix(']'));
        inodes.extend(inode.map(str::to_owned));
    }
    Ok(inodes)
}

/// The name in a line of `/proc/net/unix`, if it is of a listening socket that is one of these.
///
/// `Num RefCount Protocol Flags Type St Inode Path`
fn bound_to<'a>(line: &'a str, owned: &BTreeSet<String>) -> Option<&'a str> {
    /// `__SO_ACCEPTCON`
    const LISTENS: &str = "00010000";
    let mut rest = line;
    let mut fields = [""; 7];
    for field in &mut fields {
        rest = rest.trim_start();
        let end = rest.find(' ')?;
        (*field, rest) = rest.split_at(end);
    }
    let name = rest.trim_start();
    let [_, _, _, flags, _, _, inode] = fields;
    // What begins with an @ has no place in the file system.
    (flags == LISTENS && owned.contains(inode) && !name.is_empty() && !name.starts_with('@'))
        .then_some(name)
}

fn sockets_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
        .map(|entry| entry.path())
        .collect()
}

/// Who made this socket listen, by the system's word.
fn is_of(path: &Path, process: u32) -> bool {
    let connected = UnixStream::connect(path);
    let peer = connected.and_then(|stream| Ok(socket_peercred(&stream)?));
    peer.is_ok_and(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()) == Ok(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_process_count() {
        let owned = BTreeSet::from(["7".to_owned(), "8".to_owned()]);
        let line = |flags: &str, inode: &str, name: &str| {
            format!("0000000000000000: 00000002 00000000 {flags} 0001 01   {inode} {name}")
        };
        let name = |line: &str| bound_to(line, &owned).map(str::to_owned);
        let two_words = Some("/run/the ship/.c1/s".to_owned());
        assert_eq!(
            name(&line("00010000", "7", "/run/the ship/.c1/s")),
            two_words
        );
        assert_eq!(name(&line("00000000", "7", "/run/s")), None);
        assert_eq!(name(&line("00010000", "9", "/run/s")), None);
        assert_eq!(name(&line("00010000", "8", "@abstract")), None);
        assert_eq!(
            name("Num       RefCount Protocol Flags    Type St Inode Path"),
            None
        );
    }
}
