//! The files of a layer -> the same files where a container finds them, on top of lower layers.

use thiserror::Error;

use super::layer::{Content, Entry, Files};
use super::tree::{Attributes, Content as Kept, FileTree, LayerTree, Node, TooManyLinks, parents};

/// Why a file cannot be placed on the files of lower layers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misplaced {
    /// A file or a link would replace a folder, with everything in it.
    #[error("`/{0}` is a folder already")]
    IsFolder(String),
    /// A folder would replace a file.
    #[error("`/{0}` is a file already, which cannot become a folder")]
    IsFile(String),
    /// Links of lower layers lead two files to the same path.
    #[error("links lead two of the files to `/{0}`")]
    Twice(String),
    /// The path is taken by the binary of the image.
    #[error("`/{0}` is the path of the binary")]
    IsBinary(String),
    /// The path leads through a loop of links.
    #[error("`/{0}`: {TooManyLinks}")]
    TooManyLinks(String),
}

impl Files {
    /// The files as they must stand in a layer above `tree`, so that a container finds them under their paths and everything
    /// else where it was.
    ///
    /// A path below a link goes to where the link leads: a layer with a folder `bin/` would hide a link `bin`. Folders of
    /// `tree` keep their modes and owners. They have entries all the same: without one, docker's driver `overlay2` gives a
    /// folder to root, with the mode 0755.
    ///
    /// # Errors
    /// A file would replace a folder, or a folder a file.
    pub fn onto(self, tree: &FileTree) -> Result<Self, Misplaced> {
        let mut placed = Self::default();
        for (path, entry) in self.0 {
            if matches!(entry.content, Content::Parent) {
                continue;
            }
            let (path, entry) = at(tree, &path, entry)?;
            placed.restate_parents(tree, &path)?;
            placed.insert(path, entry)?;
        }
        Ok(placed)
    }

    /// The files without entries for the folders that contain them, for an engine that adds them to a base which is not known
    /// here. `ADD` of docker follows links where an archive has no entry for the folder, and keeps the attributes of folders.
    pub fn without_folders(mut self) -> Self {
        let used: Vec<String> = self.0.keys().flat_map(|it| parents(it).map(str::to_owned)).collect();
        used.iter().for_each(|it| drop(self.0.remove(it)));
        self
    }

    /// Adds all files of another layer. Later files replace earlier ones.
    pub fn extend(&mut self, other: Self) {
        for (path, entry) in other.0 {
            if !(matches!(entry.content, Content::Parent) && self.0.contains_key(&path)) {
                self.0.insert(path, entry);
            }
        }
    }

    /// Whether there is a file or a link at a path, which has no leading slash.
    pub fn has_file(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|it| !it.is_folder())
    }

    /// The files as a tree, to be laid over that of lower layers.
    pub fn tree(&self) -> LayerTree {
        let mut tree = LayerTree::default();
        for (path, entry) in &self.0 {
            let (uid, gid) = entry.owner;
            let node = match &entry.content {
                Content::Folder | Content::Parent => {
                    Node::Folder(Some(Attributes { mode: entry.mode, uid, gid }))
                }
                Content::Link(target) => Node::Link(target.clone()),
                Content::Stream { size, source, .. } if Kept::is_kept(path) => {
                    let known = source.elf().map(|it| Kept::Elf(Box::new(it.clone())));
                    // A file that cannot be read is an error when the layer is written.
                    let read =
                        || source.open().and_then(|it| Kept::read(path, *size, it)).unwrap_or_default();
                    Node::File(known.unwrap_or_else(read))
                }
                _ => Node::File(Kept::Other),
            };
            tree.set(path, node);
        }
        tree
    }

    fn insert(&mut self, path: String, entry: Entry) -> Result<(), Misplaced> {
        match self.0.get(&path) {
            // A link may lead to the root folder, which has no entry.
            _ if path.is_empty() => return Ok(()),
            Some(other) if !other.is_folder() => return Err(Misplaced::Twice(path)),
            Some(_) if !entry.is_folder() => return Err(Misplaced::IsFolder(path)),
            _ => drop(self.0.insert(path, entry)),
        }
        Ok(())
    }

    /// Adds entries for the folders above a path that has no links in it any more.
    fn restate_parents(&mut self, tree: &FileTree, path: &str) -> Result<(), Misplaced> {
        for folder in parents(path) {
            let attributes = match (tree.node(folder), self.0.get(folder)) {
                (_, Some(entry)) if entry.is_folder() => continue,
                (Some(Node::Folder(attributes)), None) => attributes.unwrap_or_default(),
                (None, None) if folder == "tmp" => Attributes { mode: 0o1777, ..Attributes::default() },
                (None, None) => Attributes::default(),
                _ => return Err(Misplaced::IsFile(folder.to_owned())),
            };
            self.0.insert(folder.to_owned(), attributes.entry(Content::Parent));
        }
        Ok(())
    }
}

/// An entry and its path without links.
fn at(tree: &FileTree, path: &str, entry: Entry) -> Result<(String, Entry), Misplaced> {
    let looped = |_| Misplaced::TooManyLinks(path.to_owned());
    if entry.is_folder() {
        let path = tree.resolve(path).map_err(looped)?;
        return match tree.node(&path) {
            Some(Node::Folder(attributes)) => {
                Ok((path, attributes.unwrap_or_default().entry(Content::Folder)))
            }
            Some(_) => Err(Misplaced::IsFile(path)),
            None => Ok((path, entry)),
        };
    }
    let at = tree.resolve_parent(path).map_err(looped)?;
    let is_same =
        matches!((&entry.content, tree.node(&at)), (Content::Link(new), Some(Node::Link(old))) if new == old);
    if tree.is_folder(&at) && !is_same {
        return Err(Misplaced::IsFolder(path.to_owned()));
    }
    Ok((at, entry))
}

impl Entry {
    fn is_folder(&self) -> bool {
        matches!(self.content, Content::Folder | Content::Parent)
    }
}

impl Attributes {
    fn entry(self, content: Content) -> Entry {
        Entry { mode: self.mode, owner: (self.uid, self.gid), content }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use ecr_types::Digest;

    use super::*;
    use crate::image::elf::Elf;
    use crate::image::layer::Source;

    /// Lower layers with a link `bin` to `usr/bin` and a link `l` to `new`.
    fn tree() -> FileTree {
        let mut layer = LayerTree::default();
        layer.set("bin", Node::Link("usr/bin".to_owned()));
        layer.set("l", Node::Link("new".to_owned()));
        layer.set("usr", Node::Folder(None));
        layer.set("usr/bin", Node::Folder(Some(Attributes { mode: 0o711, uid: 1, gid: 2 })));
        let mut tree = FileTree::default();
        tree.apply(&layer).unwrap();
        tree
    }

    fn placed(add: impl Fn(&mut Files)) -> Result<Vec<String>, String> {
        let mut files = Files::default();
        add(&mut files);
        let placed = files.onto(&tree()).map_err(|it| it.to_string())?;
        let shown = |(path, entry): (&String, &Entry)| format!("{path} {:o} {:?}", entry.mode, entry.owner);
        Ok(placed.0.iter().map(shown).collect())
    }

    #[test]
    fn files_are_placed_where_links_lead() {
        let wanted =
            ["usr 755 (0, 0)", "usr/bin 711 (1, 2)", "usr/bin/x 644 (0, 0)"].map(str::to_owned).to_vec();
        assert_eq!(placed(|it| it.bytes("/bin/x", 0o644, "")), Ok(wanted.clone()));
        assert_eq!(placed(|it| it.bytes("/usr/bin/x", 0o644, "")), Ok(wanted));
        assert_eq!(placed(|it| it.link("/bin", "usr/bin")), Ok(vec!["bin 777 (0, 0)".to_owned()]));
        let wanted = ["new 755 (0, 0)", "new/x 644 (0, 0)"].map(str::to_owned).to_vec();
        assert_eq!(placed(|it| it.bytes("/l/x", 0o644, "")), Ok(wanted));
    }

    /// A library whose headers are known, and which is not to be read for them.
    struct Known(Elf);

    impl Source for Known {
        fn open(&self) -> io::Result<Box<dyn Read>> {
            Err(io::Error::other("opened"))
        }

        fn elf(&self) -> Option<&Elf> {
            Some(&self.0)
        }
    }

    #[test]
    fn library_with_known_headers_is_not_read() {
        let elf = Elf { machine: 62, needed: vec!["libc.so.6".to_owned()], ..Elf::default() };
        let mut files = Files::default();
        files.stream("/lib/libx.so", 0o755, (Digest::of(b""), 0), Known(elf.clone()));
        let mut tree = FileTree::default();
        tree.apply(&files.tree()).unwrap();
        assert_eq!(tree.node("lib/libx.so"), Some(&Node::File(Kept::Elf(Box::new(elf)))));
    }

    #[test]
    fn files_that_would_replace_one_another_are_refused() {
        let error = |add: fn(&mut Files)| placed(add).unwrap_err();
        let twice = error(|it| {
            it.bytes("/bin/x", 0o644, "");
            it.bytes("/usr/bin/x", 0o644, "");
        });
        assert_eq!(twice, "links lead two of the files to `/usr/bin/x`");
        let folder = error(|it| {
            it.bytes("/l/x", 0o644, "");
            it.bytes("/new", 0o644, "");
        });
        assert_eq!(folder, "`/new` is a folder already");
        assert_eq!(error(|it| it.bytes("/bin", 0o644, "")), "`/bin` is a folder already");
        assert_eq!(error(|it| it.link("/usr", "x")), "`/usr` is a folder already");
    }
}
