//! What is kept of the content of a file: as much as the search for shared libraries needs.

use std::io::{self, Cursor, Read};

use serde::{Deserialize, Serialize};

use crate::image::elf::Elf;
use crate::image::loader::cache;

/// The content of a file, as far as it matters for the dynamic loader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Anything else.
    #[default]
    Other,
    /// A shared library.
    Elf(Box<Elf>),
    /// The libraries of `/etc/ld.so.cache`: names and paths.
    LoaderCache(Vec<(String, String)>),
    /// The text of a file that configures the loader of musl.
    Text(String),
}

/// The number of bytes of the largest library that is read. Larger ones are rare, and their headers need the whole file.
const MAX_LIBRARY: u64 = 1 << 30;
/// The number of bytes of the largest configuration of a loader that is read.
const MAX_CONFIGURATION: u64 = 16 << 20;

/// What the name of a file promises.
enum Kind {
    Library,
    LoaderCache,
    MuslPath,
}

impl Content {
    /// Whether anything of a file with this path is kept.
    pub fn is_kept(path: &str) -> bool {
        kind(path).is_some()
    }

    /// The number of bytes of the texts that are kept.
    pub(super) fn weight(&self) -> usize {
        let texts = |it: &[String]| it.iter().map(String::len).sum::<usize>();
        match self {
            Self::Other => 0,
            Self::Elf(it) => texts(&it.needed) + texts(&it.search),
            Self::LoaderCache(it) => it.iter().map(|(name, path)| name.len() + path.len()).sum(),
            Self::Text(it) => it.len(),
        }
    }

    /// The content of the file `path` of `size` bytes.
    ///
    /// # Errors
    /// The file cannot be read. A library whose headers are damaged is no error, as the loader refuses it only when it is
    /// needed.
    pub fn read(path: &str, size: u64, file: impl Read) -> io::Result<Self> {
        match kind(path) {
            Some(Kind::Library) if size <= MAX_LIBRARY => library(file),
            Some(Kind::LoaderCache) if size <= MAX_CONFIGURATION => {
                Ok(Self::LoaderCache(cache::read(&bytes(file)?)))
            }
            Some(Kind::MuslPath) if size <= MAX_CONFIGURATION => {
                Ok(Self::Text(String::from_utf8_lossy(&bytes(file)?).into_owned()))
            }
            _ => Ok(Self::Other),
        }
    }
}

fn kind(path: &str) -> Option<Kind> {
    match path.rsplit('/').next().unwrap_or_default() {
        cache::NAME => Some(Kind::LoaderCache),
        name if name.starts_with("ld-musl-") && name.ends_with(".path") => Some(Kind::MuslPath),
        name if name.contains(".so") => Some(Kind::Library),
        _ => None,
    }
}

/// Many files with such names are texts for the linker, or data of debuggers: only those with the magic bytes are read.
fn library(mut file: impl Read) -> io::Result<Content> {
    let mut bytes = Vec::new();
    file.by_ref().take(4).read_to_end(&mut bytes)?;
    if bytes != b"\x7fELF" {
        return Ok(Content::Other);
    }
    file.read_to_end(&mut bytes)?;
    Ok(Elf::read(Cursor::new(&bytes)).map_or(Content::Other, |it| Content::Elf(Box::new(it))))
}

fn bytes(mut file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
