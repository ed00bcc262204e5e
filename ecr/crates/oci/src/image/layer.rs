//! Files -> one layer: a compressed tar archive whose bytes depend on paths, modes and contents only (OCI image
//! specification, "Image Layer Filesystem Changeset").

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZero;

use ecr_types::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::compression::{self, Compression, Compressor};
use super::elf::Elf;

/// The files, folders and links of a layer. Parent folders are added with the mode 0755, and `/tmp` with 1777.
#[derive(Debug, Default)]
pub struct Files(
    /// By path, without a leading slash.
    pub(super) BTreeMap<String, Entry>,
);

/// A file, a folder or a link.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) mode: u32,
    /// The IDs of user and group. They are not root's for a folder that a lower layer has.
    pub(super) owner: (u64, u64),
    pub(super) content: Content,
}

pub(super) enum Content {
    Folder,
    /// A folder above another entry, which was not added itself.
    Parent,
    Link(String),
    Bytes(Vec<u8>),
    Stream {
        size: u64,
        digest: Digest,
        source: Box<dyn Source>,
    },
    Derived {
        key: Digest,
        make: fn() -> Vec<u8>,
    },
}

/// Where the content of a file comes from. A function that opens it is one.
pub trait Source: Send + Sync {
    /// Opens the file for reading. It is called once for each time that the layer is written.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn open(&self) -> io::Result<Box<dyn Read>>;

    /// Is told that what was read since [`Source::open`] has the digest that was expected.
    fn verified(&self) {}

    /// The ELF headers of the file, if they are known already. The dynamic loader needs those of libraries.
    fn elf(&self) -> Option<&Elf> {
        None
    }
}

impl<F: Fn() -> io::Result<Box<dyn Read>> + Send + Sync> Source for F {
    fn open(&self) -> io::Result<Box<dyn Read>> {
        self()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("Folder"),
            Self::Parent => f.write_str("Parent"),
            Self::Link(target) => write!(f, "Link({target})"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { size, digest, .. } => write!(f, "Stream({size}, {digest})"),
            Self::Derived { key, .. } => write!(f, "Derived({key})"),
        }
    }
}

impl Files {
    /// Adds a file with content in memory. `path` is absolute in the image, and `mode` are the permission bits.
    pub fn bytes(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.add(path, Entry::new(mode, Content::Bytes(bytes.into())));
    }

    /// Adds a file of `size` bytes with a known digest. It is opened and read when the layer is written.
    pub fn stream(
        &mut self,
        path: &str,
        mode: u32,
        (digest, size): (Digest, u64),
        source: impl Source + 'static,
    ) {
        let source = Box::new(source);
        self.add(path, Entry::new(mode, Content::Stream { size, digest, source }));
    }

    /// Adds a file whose content is computed when the layer is written. `key` identifies the content in the fingerprint: equal
    /// keys must give equal content.
    pub fn derived(&mut self, path: &str, mode: u32, key: Digest, make: fn() -> Vec<u8>) {
        self.add(path, Entry::new(mode, Content::Derived { key, make }));
    }

    /// Adds a folder. This is needed only for an empty one, or for another mode than 0755.
    pub fn folder(&mut self, path: &str, mode: u32) {
        self.add(path, Entry::new(mode, Content::Folder));
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, Entry::new(0o777, Content::Link(target.to_owned())));
    }

    /// Whether there are neither files nor folders.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let path = path.split('/').filter(|it| !it.is_empty()).collect::<Vec<_>>().join("/");
        for (at, _) in path.match_indices('/') {
            // A layer with a file below `/tmp` must not change the mode of that folder.
            let mode = if &path[..at] == "tmp" { 0o1777 } else { 0o755 };
            let folder = || Entry::new(mode, Content::Parent);
            self.0.entry(path[..at].to_owned()).or_insert_with(folder);
        }
        // The root folder has no entry.
        if !path.is_empty() {
            self.0.insert(path, entry);
        }
    }

    /// The size of all files in bytes. What is computed when the layer is written is not counted.
    pub fn size(&self) -> u64 {
        let size = |it: &Entry| match &it.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Stream { size, .. } => *size,
            Content::Folder | Content::Parent | Content::Link(_) | Content::Derived { .. } => 0,
        };
        self.0.values().map(size).sum()
    }

    /// A digest of everything on which the layer's bytes depend: equal fingerprints mean equal layers.
    pub fn fingerprint(&self, compressor: impl Into<Compressor>) -> Digest {
        let mut hash = Sha256::new();
        hash.update(format!("layer 2, {}\n", compressor.into().description()));
        for (path, entry) in &self.0 {
            let content = match &entry.content {
                Content::Folder | Content::Parent => String::new(),
                Content::Link(target) => format!("to {target}"),
                Content::Bytes(bytes) => Digest::of(bytes).to_string(),
                Content::Stream { digest, .. } => digest.to_string(),
                Content::Derived { key, .. } => format!("from {key}"),
            };
            let (uid, gid) = entry.owner;
            hash.update(format!("{path}\0{:o}\0{uid}\0{gid}\0{content}\n", entry.mode));
        }
        Digest::from_hash(&hash.finalize())
    }

    /// Writes the compressed layer to `output`. Its bytes do not depend on the number of threads.
    ///
    /// # Errors
    /// A file cannot be read or does not have its digest and size any more, or the output cannot be written. Zstandard needs the
    /// feature `zstd`.
    pub fn write(
        &self,
        output: impl Write,
        compressor: impl Into<Compressor>,
        threads: NonZero<usize>,
    ) -> io::Result<Layer> {
        self.write_observed(output, compressor, threads, &|_| ())
    }

    /// Writes the layer as [`Files::write`] does. `on_bytes` is called with the number of bytes of each part of the uncompressed
    /// archive.
    ///
    /// # Errors
    /// Those of [`Files::write`].
    pub fn write_observed(
        &self,
        output: impl Write,
        compressor: impl Into<Compressor>,
        threads: NonZero<usize>,
        on_bytes: &dyn Fn(u64),
    ) -> io::Result<Layer> {
        let compressor = compressor.into();
        let output = Counting { output, hash: Sha256::new(), size: 0 };
        let output = compression::Writer::new(output, compressor, threads);
        let mut archive = tar::Builder::new(Observed { output, on_bytes });
        for (path, entry) in &self.0 {
            entry.append(&mut archive, path)?;
        }
        let (mut counting, diff_id) = archive.into_inner()?.output.finish()?;
        counting.flush()?;
        let (digest, size) = (Digest::from_hash(&counting.hash.finalize()), counting.size);
        Ok(Layer { digest, diff_id, size, compression: compressor.compression })
    }
}

/// Calls a function with the number of bytes that are written.
struct Observed<'a, W> {
    output: W,
    on_bytes: &'a dyn Fn(u64),
}

impl<W: Write> Write for Observed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        (self.on_bytes)(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The description of a written layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// The digest of the uncompressed archive (OCI image specification, "Layer DiffID").
    pub diff_id: Digest,
    /// The number of compressed bytes.
    pub size: u64,
    /// The compression of the layer.
    pub compression: Compression,
}

impl Entry {
    pub(super) fn new(mode: u32, content: Content) -> Self {
        Self { mode, owner: (0, 0), content }
    }

    fn append(&self, archive: &mut tar::Builder<impl Write>, path: &str) -> io::Result<()> {
        // No times and no user names, and root as the owner of what is new: the layer does not depend on the build machine.
        let mut header = tar::Header::new_ustar();
        header.set_mode(self.mode);
        header.set_size(0);
        header.set_mtime(0);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        match &self.content {
            Content::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, path, target)
            }
            Content::Folder | Content::Parent => {
                header.set_entry_type(tar::EntryType::Directory);
                archive.append_data(&mut header, format!("{path}/"), io::empty())
            }
            Content::Bytes(bytes) => append_bytes(archive, header, path, bytes),
            Content::Derived { make, .. } => append_bytes(archive, header, path, &make()),
            Content::Stream { size, digest, source } => {
                header.set_size(*size);
                // `tar` would copy the content in pieces of 8 KiB.
                archive.append_data(&mut header, path, io::empty())?;
                // A file that has grown since must not overwrite the next entry.
                let found = copy(source.open()?.take(*size), archive.get_mut())?;
                let padding = size.next_multiple_of(BLOCK as u64) - size;
                archive.get_mut().write_all(&[0; BLOCK][..padding as usize])?;
                match found == *digest {
                    true => {
                        source.verified();
                        Ok(())
                    }
                    false => Err(io::Error::other(format!("`/{path}` changed while it was read"))),
                }
            }
        }
    }
}

fn append_bytes(
    archive: &mut tar::Builder<impl Write>,
    mut header: tar::Header,
    path: &str,
    bytes: &[u8],
) -> io::Result<()> {
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes)
}

/// The unit of a tar archive in bytes (POSIX.1-2017, pax, "ustar Interchange Format").
const BLOCK: usize = 512;

/// Copies everything, and returns its digest.
fn copy(mut input: impl Read, output: &mut impl Write) -> io::Result<Digest> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_hash(&hash.finalize())),
            Ok(n) => {
                hash.update(&buffer[..n]);
                output.write_all(&buffer[..n])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

struct Counting<W> {
    output: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.output.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Files {
        let mut files = Files::default();
        files.bytes("/usr/local/bin/app", 0o755, "binary");
        files.folder("/tmp", 0o1777);
        files.stream("/srv/a.txt", 0o644, (Digest::of(b"text"), 4), || Ok(Box::new(&b"text"[..]) as _));
        files
    }

    #[test]
    fn layer_has_sorted_files_without_times_and_owners() {
        let mut bytes = Vec::new();
        let layer = sample().write(&mut bytes, Compression::Gzip, NonZero::<usize>::MIN).unwrap();
        assert_eq!(layer.digest, Digest::of(&bytes));
        assert_eq!(layer.size, bytes.len() as u64);
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
        let mut lines = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            lines.push(format!("{:o} {} {text}", header.mode().unwrap(), entry.path().unwrap().display()));
        }
        assert_eq!(
            lines,
            [
                "755 srv/ ",
                "644 srv/a.txt text",
                "1777 tmp/ ",
                "755 usr/ ",
                "755 usr/local/ ",
                "755 usr/local/bin/ ",
                "755 usr/local/bin/app binary",
            ]
        );
    }

    #[test]
    fn layer_of_equal_files_is_equal() {
        let write =
            |files: &Files| files.write(io::sink(), Compression::Gzip, NonZero::<usize>::MIN).unwrap();
        assert_eq!(write(&sample()), write(&sample()));
        let fingerprint = |files: &Files| files.fingerprint(Compression::Gzip);
        assert_eq!(fingerprint(&sample()), fingerprint(&sample()));
        assert_ne!(fingerprint(&sample()), sample().fingerprint(Compression::Zstd));
        let mut other = sample();
        other.bytes("/usr/local/bin/app", 0o755, "another");
        assert_ne!(write(&other).digest, write(&sample()).digest);
        assert_ne!(fingerprint(&other), fingerprint(&sample()));
    }

    #[test]
    fn layer_has_long_paths() {
        let path = format!("{}/file", "folder/".repeat(40));
        let mut files = Files::default();
        files.bytes(&path, 0o644, "x");
        let mut bytes = Vec::new();
        files.write(&mut bytes, Compression::Gzip, NonZero::<usize>::MIN).unwrap();
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
        let last = archive.entries().unwrap().last().unwrap().unwrap();
        assert_eq!(last.path().unwrap().to_string_lossy().replace("//", "/"), path.replace("//", "/"));
    }

    #[test]
    fn layer_paths_are_normalized() {
        let mut files = Files::default();
        files.folder("/", 0o755);
        files.bytes("//srv//a.txt/", 0o644, "x");
        files.bytes("/tmp/x", 0o644, "x");
        let paths: Vec<_> = files.0.iter().map(|(path, entry)| format!("{path} {:o}", entry.mode)).collect();
        assert_eq!(paths, ["srv 755", "srv/a.txt 644", "tmp 1777", "tmp/x 644"]);
    }

    #[test]
    fn layer_with_a_changed_file_is_an_error() {
        let mut files = Files::default();
        let source = || Ok(Box::new(&b"longer than before"[..]) as _);
        files.stream("/a", 0o644, (Digest::of(b"text"), 4), source);
        let error = files.write(io::sink(), Compression::Gzip, NonZero::<usize>::MIN).unwrap_err();
        assert_eq!(error.to_string(), "`/a` changed while it was read");
    }
}
