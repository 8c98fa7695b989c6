//! Files in memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::{Entry, FilePath, FileSystem, Kind, Metadata, NewFile, OpenFile};

/// A file system in memory, for tests and for what need not last. A clone is the same one. Never suspends.
#[derive(Debug, Clone)]
pub struct MemoryFiles {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug)]
struct Tree {
    /// Every file and folder but the root.
    nodes: BTreeMap<FilePath, Node>,
    /// Bytes that are left, those of files that are being written taken off.
    room: u64,
    changes: u64,
}

#[derive(Debug, Clone)]
struct Node {
    /// `None` for a folder.
    content: Option<Arc<Vec<u8>>>,
    modified: SystemTime,
    version: u64,
}

impl Node {
    fn metadata(&self) -> Metadata {
        let kind = if self.content.is_some() {
            Kind::File
        } else {
            Kind::Folder
        };
        let len = self.content.as_ref().map_or(0, |content| content.len());
        let tag = format!("{:x}", self.version);
        Metadata::new(kind, len as u64, Some(self.modified), tag)
    }
}

impl MemoryFiles {
    /// An empty one, whose files may have so many bytes together.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let tree = Tree {
            nodes: BTreeMap::new(),
            room: capacity,
            changes: 0,
        };
        Self {
            tree: Arc::new(Mutex::new(tree)),
        }
    }

    /// Bytes that it has room for.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.tree().room
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    fn find(&self, path: &FilePath) -> io::Result<Node> {
        if path.is_root() {
            return Ok(Node {
                content: None,
                modified: SystemTime::UNIX_EPOCH,
                version: 0,
            });
        }
        self.nodes
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Sees to it that the folder of `path` is one.
    fn check_parent(&self, path: &FilePath) -> io::Result<()> {
        let parent = path.parent().ok_or(io::ErrorKind::IsADirectory)?;
        match self.find(&parent)?.content {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn put(&mut self, path: &FilePath, content: Option<Arc<Vec<u8>>>) {
        self.changes += 1;
        let node = Node {
            content,
            modified: grapeshot::time::system_now(),
            version: self.changes,
        };
        if let Some(old) = self.nodes.insert(path.clone(), node) {
            self.room += old.content.map_or(0, |content| content.len() as u64);
        }
    }

    fn below(&self, folder: &FilePath) -> impl Iterator<Item = (&FilePath, &Node)> {
        self.nodes
            .iter()
            .filter(move |(path, _)| path.parent().as_ref() == Some(folder))
    }

    fn check_no_folder(&self, path: &FilePath) -> io::Result<()> {
        match self.find(path) {
            Ok(Node { content: None, .. }) => Err(io::ErrorKind::IsADirectory.into()),
            _ => Ok(()),
        }
    }
}

impl FileSystem for MemoryFiles {
    fn metadata(&self, path: &FilePath) -> io::Result<Metadata> {
        Ok(self.tree().find(path)?.metadata())
    }

    fn open(&self, path: &FilePath) -> io::Result<Box<dyn OpenFile>> {
        let node = self.tree().find(path)?;
        Ok(Box::new(Reading {
            metadata: node.metadata(),
            content: node.content.unwrap_or_default(),
        }))
    }

    fn list(&self, path: &FilePath, most: usize) -> io::Result<Vec<Entry>> {
        let tree = self.tree();
        if tree.find(path)?.content.is_some() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let entry = |(path, node): (&FilePath, &Node)| Entry {
            name: path.name().to_owned(),
            metadata: node.metadata(),
        };
        Ok(tree.below(path).take(most).map(entry).collect())
    }

    fn create(&self, path: &FilePath) -> io::Result<Box<dyn NewFile>> {
        let tree = self.tree();
        tree.check_parent(path)?;
        tree.check_no_folder(path)?;
        Ok(Box::new(Writing {
            files: self.clone(),
            path: path.clone(),
            content: Vec::new(),
        }))
    }

    fn create_folder(&self, path: &FilePath) -> io::Result<()> {
        let mut tree = self.tree();
        if tree.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.check_parent(path)?;
        tree.put(path, None);
        Ok(())
    }

    fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        let mut tree = self.tree();
        let node = tree.find(from)?;
        tree.check_parent(to)?;
        if from == to {
            return Ok(());
        }
        tree.check_no_folder(to)?;
        if node.content.is_some() {
            tree.nodes.remove(from);
            tree.put(to, node.content);
            return Ok(());
        }
        let prefix = format!("{from}/");
        if from.is_root() || to.as_str().starts_with(&prefix) || tree.find(to).is_ok() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let moved: Vec<_> = tree
            .nodes
            .keys()
            .filter(|path| *path == from || path.as_str().starts_with(&prefix))
            .cloned()
            .collect();
        for path in moved {
            let node = tree.nodes.remove(&path);
            let rest = &path.as_str()[from.as_str().len()..];
            let path = FilePath::new(&format!("{to}{rest}"));
            if let (Some(node), Ok(path)) = (node, path) {
                tree.nodes.insert(path, node);
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &FilePath) -> io::Result<()> {
        let mut tree = self.tree();
        let Some(content) = tree.find(path)?.content else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        tree.nodes.remove(path);
        tree.room += content.len() as u64;
        Ok(())
    }

    fn remove_folder(&self, path: &FilePath) -> io::Result<()> {
        let mut tree = self.tree();
        if tree.find(path)?.content.is_some() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if tree.below(path).next().is_some() || path.is_root() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        tree.nodes.remove(path);
        Ok(())
    }
}

struct Reading {
    metadata: Metadata,
    content: Arc<Vec<u8>>,
}

impl OpenFile for Reading {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let rest = self.content.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

struct Writing {
    files: MemoryFiles,
    path: FilePath,
    content: Vec<u8>,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut tree = self.files.tree();
        tree.room = tree
            .room
            .checked_sub(bytes.len() as u64)
            .ok_or(io::ErrorKind::StorageFull)?;
        self.content.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for Writing {
    fn commit(mut self: Box<Self>) -> io::Result<()> {
        let files = self.files.clone();
        let mut tree = files.tree();
        tree.check_parent(&self.path)?;
        tree.check_no_folder(&self.path)?;
        let content = std::mem::take(&mut self.content);
        tree.put(&self.path, Some(Arc::new(content)));
        Ok(())
    }
}

impl Drop for Writing {
    /// What was not committed gives its room back.
    fn drop(&mut self) {
        if !self.content.is_empty() {
            self.files.tree().room += self.content.len() as u64;
        }
    }
}
