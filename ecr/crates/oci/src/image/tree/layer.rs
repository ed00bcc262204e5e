//! One layer as a tree.

use std::collections::BTreeSet;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use tar::EntryType;
use thiserror::Error;

use super::bounded::bounded;
use super::{Attributes, Content, MAX_PATH, Node, Nodes, clean, parents, remove, resolve, split};

/// The entries of a layer, as containerd unpacks them into an empty folder, and what it hides of the layers below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerTree {
    pub(super) nodes: Nodes,
    /// The paths of whiteouts, without their prefix. They concern lower layers only, whatever their place in the archive (OCI
    /// image specification, "Whiteouts").
    pub(super) gone: BTreeSet<String>,
    /// The folders with an opaque whiteout, which hides what lower layers have below them. The root folder is the empty path.
    pub(super) emptied: BTreeSet<String>,
    /// About the number of bytes in memory.
    size: usize,
}

/// Why a layer cannot be unpacked. containerd and docker refuse it, too.
#[derive(Debug, Error)]
pub enum InvalidLayer {
    /// An entry lies below something that is neither a folder nor a link to one.
    #[error("entry `{path}` lies below `{file}`, which is not a folder")]
    NotFolder {
        /// The path of the entry.
        path: String,
        /// The path of what is no folder.
        file: String,
    },
    /// The path of an entry leads through a loop of links.
    #[error("entry `{0}`: {TooManyLinks}", TooManyLinks = super::TooManyLinks)]
    TooManyLinks(String),
    /// A hard link leads to nothing.
    #[error("entry `{path}` is a hard link to `{target}`, which does not exist")]
    NoTarget {
        /// The path of the link.
        path: String,
        /// The path to which it leads.
        target: String,
    },
    /// A whiteout names no file.
    #[error("entry `{0}` is a whiteout without a name")]
    Whiteout(String),
    /// The path of an entry, or that to which it leads, is longer than Linux allows.
    #[error("entry `{0}...`: the path is too long")]
    TooLong(String),
    /// There are more or longer paths than any image needs.
    #[error("its files need more than {} MB of memory", MAX_SIZE >> 20)]
    TooLarge,
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] io::Error),
}

/// The prefix of whiteouts (OCI image specification, "Whiteouts").
pub(in crate::image) const WHITEOUT: &str = ".wh.";
/// The prefix of what aufs keeps for itself, and of the opaque whiteout.
const META: &str = ".wh..wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// The number of links that containerd follows in the path of an entry (continuity, `fs.RootPath`).
const MAX_LINKS: usize = 255;
/// The size of the largest tree: a layer of two million files fits, and those of usual base images have a few thousand.
const MAX_SIZE: usize = 512 << 20;
/// The size of an entry without its texts.
const ENTRY_SIZE: usize = 128;

impl LayerTree {
    /// Reads an uncompressed archive.
    ///
    /// # Errors
    /// The archive cannot be read, or cannot be unpacked.
    pub fn read(archive: impl Read) -> Result<Self, InvalidLayer> {
        let mut layer = Self::default();
        let (archive, bounds) = bounded(archive);
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            bounds.enter(stored_size(&entry)?);
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let link = entry.link_name_bytes().map(|it| String::from_utf8_lossy(&it).into_owned());
            let link = link.unwrap_or_default();
            let node = match entry.header().entry_type() {
                EntryType::XGlobalHeader => continue,
                EntryType::Directory => Node::Folder(Some(attributes(entry.header())?)),
                EntryType::Symlink => Node::Link(link),
                EntryType::Link => Node::HardLink(link),
                EntryType::Char | EntryType::Block | EntryType::Fifo => Node::Special,
                _ => Node::File(Content::read(&path, entry.size(), &mut entry)?),
            };
            layer.add(&path, node)?;
        }
        Ok(layer)
    }

    /// Adds an entry. A later entry replaces an earlier one of the same path, but a folder keeps what is in it.
    ///
    /// # Errors
    /// The entry cannot be unpacked.
    pub fn add(&mut self, path: &str, node: Node) -> Result<(), InvalidLayer> {
        let path = clean(path);
        let target = match &node {
            Node::Link(target) | Node::HardLink(target) => target.len(),
            _ => 0,
        };
        if path.len().max(target) > MAX_PATH {
            return Err(InvalidLayer::TooLong(path.chars().take(80).collect()));
        }
        let (folder, name) = split(&path);
        // The root folder keeps its attributes, and what aufs keeps for itself is no file.
        if name.is_empty() || name != OPAQUE && path.split('/').any(|it| it.starts_with(META)) {
            return Ok(());
        }
        let resolved = resolve(&self.nodes, folder, true, MAX_LINKS);
        let folder = resolved.map_err(|_| InvalidLayer::TooManyLinks(path.clone()))?;
        let at = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        if at.len() > MAX_PATH {
            return Err(InvalidLayer::TooLong(at.chars().take(80).collect()));
        }
        self.add_parents(&at)?;
        self.grow(at.len(), &node)?;
        match name.strip_prefix(WHITEOUT) {
            Some(_) if name == OPAQUE => drop(self.emptied.insert(folder)),
            Some("" | "." | "..") => return Err(InvalidLayer::Whiteout(path)),
            Some(gone) => drop(self.gone.insert(format!("{}{gone}", &at[..at.len() - name.len()]))),
            None => self.insert(at, node)?,
        }
        Ok(())
    }

    /// About the number of bytes in memory.
    pub fn size(&self) -> usize {
        self.size
    }

    fn grow(&mut self, path: usize, node: &Node) -> Result<(), InvalidLayer> {
        let texts = match node {
            Node::Link(target) | Node::HardLink(target) => target.len(),
            Node::File(content) => content.weight(),
            Node::Folder(_) | Node::Special => 0,
        };
        self.size += ENTRY_SIZE + path + texts;
        if self.size > MAX_SIZE { Err(InvalidLayer::TooLarge) } else { Ok(()) }
    }

    /// Sets what stands at a path that is clean, whose parents were set before, and through which no link leads.
    pub(in crate::image) fn set(&mut self, path: &str, node: Node) {
        self.nodes.insert(path.to_owned(), node);
    }

    /// The folders above an entry exist even if no entry names them.
    fn add_parents(&mut self, path: &str) -> Result<(), InvalidLayer> {
        for folder in parents(path) {
            match self.nodes.get(folder) {
                Some(Node::Folder(_)) => {}
                Some(_) => {
                    let (path, file) = (path.to_owned(), folder.to_owned());
                    return Err(InvalidLayer::NotFolder { path, file });
                }
                None => {
                    self.grow(folder.len(), &Node::Folder(None))?;
                    self.nodes.insert(folder.to_owned(), Node::Folder(None));
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, node: Node) -> Result<(), InvalidLayer> {
        let node = match node {
            Node::HardLink(target) => {
                let linked = self.linked(&path, &target)?;
                self.grow(0, &linked)?;
                linked
            }
            other => other,
        };
        match (self.nodes.get_mut(&path), &node) {
            (Some(Node::Folder(old)), Node::Folder(new)) => *old = *new,
            (old, _) => {
                // Below what is not there is nothing.
                if old.is_some() {
                    remove(&mut self.nodes, &path);
                }
                self.nodes.insert(path, node);
            }
        }
        Ok(())
    }

    /// The file to which a hard link leads. A link to a link is the same link again.
    fn linked(&self, path: &str, target: &str) -> Result<Node, InvalidLayer> {
        let cleaned = clean(target);
        let resolved = resolve(&self.nodes, &cleaned, false, MAX_LINKS);
        let resolved = resolved.map_err(|_| InvalidLayer::TooManyLinks(path.to_owned()))?;
        match self.nodes.get(&resolved) {
            Some(Node::Folder(_)) => {
                let (path, target) = (path.to_owned(), target.to_owned());
                Err(InvalidLayer::NoTarget { path, target })
            }
            Some(found) => Ok(found.clone()),
            None => Ok(Node::HardLink(cleaned)),
        }
    }
}

/// The number of bytes of an entry's content in the archive. That of a sparse file is larger in the file system.
fn stored_size<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<u64> {
    if entry.header().entry_type().is_gnu_sparse() { entry.header().entry_size() } else { Ok(entry.size()) }
}

fn attributes(header: &tar::Header) -> io::Result<Attributes> {
    Ok(Attributes { mode: header.mode()? & 0o7777, uid: header.uid()?, gid: header.gid()? })
}
