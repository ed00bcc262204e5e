//! The bounds of an archive that somebody else has written.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// The number of bytes of the headers of one entry. Go's `archive/tar`, which docker and containerd use, reads a long name,
/// the target of a link or PAX records of at most 1 MiB each (`maxSpecialFileSize`).
const MAX_HEADERS: u64 = 4 << 20;
/// The number of bytes of the largest archive. Zeros are compressed to a thousandth.
const MAX_ARCHIVE: u64 = 64 << 30;

/// Where the archive has been read to, and how far it may be read before the next entry.
#[derive(Debug, Default)]
pub struct Bounds {
    position: Cell<u64>,
    limit: Cell<u64>,
}

/// A reader of an archive within bounds. The `tar` crate holds headers in memory, whatever their size.
pub struct Bounded<R> {
    archive: R,
    bounds: Rc<Bounds>,
}

/// Sets bounds to `archive`.
pub fn bounded<R: Read>(archive: R) -> (Bounded<R>, Rc<Bounds>) {
    let bounds = Rc::new(Bounds::default());
    bounds.enter(0);
    (Bounded { archive, bounds: bounds.clone() }, bounds)
}

impl Bounds {
    /// Allows the content of an entry whose headers were read, and the headers of the next one.
    pub fn enter(&self, content: u64) {
        self.limit.set(self.position.get().saturating_add(content).saturating_add(MAX_HEADERS));
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.bounds.position.get();
        if position >= MAX_ARCHIVE {
            return Err(io::Error::other("it has more than 64 GiB when it is uncompressed"));
        }
        let left = self.bounds.limit.get().saturating_sub(position);
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the name or the attributes of an entry have more than 4 MiB"));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.archive.read(&mut buffer[..length])?;
        self.bounds.position.set(position + n as u64);
        Ok(n)
    }
}
