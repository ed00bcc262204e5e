//! The file system that a container gets from the layers of an image.
//!
//! Each layer is a tree of its own ([`LayerTree`]), in which links lead to other entries of the same layer. Layers are laid
//! over one another as overlayfs does it, with which containerd and docker run containers: a folder over a folder has the
//! entries of both, and anything else hides what is below it. umoci and docker's driver `vfs` unpack all layers into one
//! folder instead. There an entry below a link of a lower layer goes where that link leads; here it replaces the link.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod bounded;
mod content;
mod layer;

pub use content::Content;
pub use layer::{InvalidLayer, LayerTree};

/// The files of an image, by path. Paths have no leading slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileTree(Nodes);

/// Nodes by path. The root folder has no node.
type Nodes = BTreeMap<String, Node>;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A folder. One that no entry names has no attributes: engines create it as root's, with the mode 0755.
    Folder(Option<Attributes>),
    /// A file. Names that are hard links of one another have a node each.
    File(Content),
    /// A symbolic link with its target.
    Link(String),
    /// A device or a FIFO.
    Special,
    /// A hard link to a file of a lower layer. No [`FileTree`] contains one.
    HardLink(String),
}

/// The owner and the mode of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The permission bits, those for set-user-ID, set-group-ID and sticky included.
    pub mode: u32,
    /// The user ID.
    pub uid: u64,
    /// The group ID.
    pub gid: u64,
}

/// A path leads through more links than allowed: it is most likely a loop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("too many levels of symbolic links")]
pub struct TooManyLinks;

/// The number of bytes of the longest path of Linux (limits.h, PATH_MAX).
const MAX_PATH: usize = 4096;
/// Linux follows at most 40 links (path_resolution(7)).
const MAX_LINKS: usize = 40;

impl Default for Attributes {
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0 }
    }
}

impl FileTree {
    /// Lays a layer over the tree (OCI image specification, "Applying Changesets").
    ///
    /// # Errors
    /// A hard link has no target.
    pub fn apply(&mut self, layer: &LayerTree) -> Result<(), InvalidLayer> {
        let linked = self.hard_links(layer)?;
        layer.emptied.iter().for_each(|it| remove_below(&mut self.0, it));
        layer.gone.iter().for_each(|it| remove(&mut self.0, it));
        for (path, node) in &layer.nodes {
            match (self.0.get_mut(path), node) {
                (Some(Node::Folder(old)), Node::Folder(new)) => *old = new.or(*old),
                (old, _) => {
                    // Below what is not there is nothing.
                    if old.is_some() {
                        remove(&mut self.0, path);
                    }
                    self.0.insert(path.clone(), linked.get(path).unwrap_or(node).clone());
                }
            }
        }
        Ok(())
    }

    /// The files of lower layers to which hard links of a layer lead. containerd and overlayfs refuse such a layer; umoci and
    /// docker's driver `vfs` accept it.
    fn hard_links(&self, layer: &LayerTree) -> Result<Nodes, InvalidLayer> {
        let links = layer.nodes.iter().filter_map(|(path, node)| match node {
            Node::HardLink(target) => Some((path, target)),
            _ => None,
        });
        links
            .map(|(path, target)| {
                let found = self.resolve_parent(target).ok().and_then(|it| self.0.get(&it));
                let file = found.filter(|it| !matches!(it, Node::Folder(_)));
                let missing = || InvalidLayer::NoTarget { path: path.clone(), target: target.clone() };
                Ok((path.clone(), file.ok_or_else(missing)?.clone()))
            })
            .collect()
    }

    /// What stands at a path after all symbolic links are resolved, with its own path. `None` if there is nothing, and for
    /// the root folder.
    pub fn find(&self, path: &str) -> Option<(String, &Node)> {
        let path = self.resolve(path).ok()?;
        let node = self.0.get(&path)?;
        Some((path, node))
    }

    /// What stands at a path itself: symbolic links are not followed.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// Whether a path leads to a folder.
    pub fn is_folder(&self, path: &str) -> bool {
        self.resolve(path).is_ok_and(|it| it.is_empty() || matches!(self.0.get(&it), Some(Node::Folder(_))))
    }

    /// The path to which `path` leads after all symbolic links are resolved, whether or not it exists. `..` does not lead
    /// above the root folder.
    ///
    /// # Errors
    /// The path leads through more than 40 links.
    pub fn resolve(&self, path: &str) -> Result<String, TooManyLinks> {
        resolve(&self.0, path, true, MAX_LINKS)
    }

    /// The same, but the last part of the path is not resolved if it is a link.
    ///
    /// # Errors
    /// The path leads through more than 40 links.
    pub fn resolve_parent(&self, path: &str) -> Result<String, TooManyLinks> {
        resolve(&self.0, path, false, MAX_LINKS)
    }

    /// All paths with their nodes, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }
}

/// The parts of a path that name something.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|it| !it.is_empty() && *it != ".")
}

/// The path without `.`, `..` and superfluous slashes, as Go's `filepath.Clean` has it for an absolute path.
pub(in crate::image) fn clean(path: &str) -> String {
    let mut cleaned: Vec<&str> = Vec::new();
    for part in parts(path) {
        match part {
            ".." => drop(cleaned.pop()),
            _ => cleaned.push(part),
        }
    }
    cleaned.join("/")
}

/// The folder of a path, and its last part. The folder is empty for an entry of the root folder.
pub(in crate::image) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The folders above a path, from the highest to the lowest, without the root folder.
pub(in crate::image) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn resolve(nodes: &Nodes, path: &str, follows_last: bool, limit: usize) -> Result<String, TooManyLinks> {
    let mut open: Vec<&str> = parts(path).rev().collect();
    let mut at = String::with_capacity(path.len());
    let mut links = 0;
    while let Some(part) = open.pop() {
        if part == ".." {
            at.truncate(split(&at).0.len());
            continue;
        }
        let parent = at.len();
        at.extend(["/", part].into_iter().skip(usize::from(parent == 0)));
        let is_followed = follows_last || !open.is_empty();
        let node = if is_followed { nodes.get(&at) } else { None };
        let Some(Node::Link(target)) = node else { continue };
        links += 1;
        // Links to long paths of links would make a path that takes hours.
        if links > limit || at.len() + open.len() > MAX_PATH {
            return Err(TooManyLinks);
        }
        at.truncate(if target.starts_with('/') { 0 } else { parent });
        open.extend(parts(target).rev());
    }
    Ok(at)
}

/// Removes a path and everything below it.
fn remove(nodes: &mut Nodes, path: &str) {
    nodes.remove(path);
    remove_below(nodes, path);
}

/// Removes everything below a folder; the root folder is the empty path.
fn remove_below(nodes: &mut Nodes, folder: &str) {
    if folder.is_empty() {
        return nodes.clear();
    }
    // `0` is the character after `/`.
    let below = nodes.range(format!("{folder}/")..format!("{folder}0"));
    let below: Vec<String> = below.map(|(path, _)| path.clone()).collect();
    below.iter().for_each(|it| drop(nodes.remove(it)));
}
