//! Atomic writing of files: a file appears under its name only when it is complete.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use ecr_types::{Digest, lock};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// A file under a temporary name in its destination folder. It is removed when it is dropped, unless it was persisted.
#[derive(Debug)]
pub struct Temporary {
    file: NamedTempFile,
    _open: Open,
}

/// An entry of [`OPEN`].
#[derive(Debug)]
struct Open(PathBuf);

impl Drop for Open {
    fn drop(&mut self) {
        open().remove(&self.0);
    }
}

/// The prefix of the names of temporary files.
pub const PREFIX: &str = ".tmp-";

/// The paths of all temporary files of this process.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn open() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    lock(&OPEN)
}

/// Removes all temporary files of this process, also those that other threads are writing. To be called before the process
/// exits after Ctrl-C or an error, as destructors do not run then.
pub fn remove_temporary_files() {
    for path in std::mem::take(&mut *open()) {
        let _ = fs::remove_file(path);
    }
}

impl Temporary {
    /// A new file in the folder of `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// The folder or the file cannot be created.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Locked until the file is registered, so that `remove_temporary_files` does not miss it.
        let mut open = open();
        let mut builder = tempfile::Builder::new();
        let file = with_default_mode(builder.prefix(PREFIX)).tempfile_in(folder)?;
        open.insert(file.path().to_owned());
        let _open = Open(file.path().to_owned());
        Ok(Self { file, _open })
    }

    /// The open file, for reading and writing.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Renames the file to `path`, which must be in the same file system. An existing file is replaced.
    ///
    /// # Errors
    /// The file cannot be renamed.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        self.file.persist(path)?;
        Ok(())
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Applies the default mode of new files (0666 without the umask), so that other users can read them, too.
#[cfg(unix)]
fn with_default_mode<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn with_default_mode<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    builder
}

/// Writes a file atomically: readers see the old content or the new one. Its folder is created if it does not exist.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = Temporary::beside(path)?;
    temporary.write_all(bytes)?;
    temporary.persist(path)
}

/// Copies a file atomically. The folder of the copy is created if it does not exist.
///
/// # Errors
/// The file cannot be read, or the copy cannot be written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut temporary = Temporary::beside(to)?;
    io::copy(&mut File::open(from)?, &mut temporary)?;
    temporary.persist(to)
}

/// The digest and the size in bytes of a file, read from its beginning in chunks.
///
/// # Errors
/// The file cannot be read.
pub fn digest_of(file: File) -> io::Result<(Digest, u64)> {
    digest_of_observed(file, &|_| ())
}

/// The same. `on_bytes` gets the number of bytes of each chunk.
///
/// # Errors
/// The file cannot be read.
pub fn digest_of_observed(mut file: File, on_bytes: &dyn Fn(u64)) -> io::Result<(Digest, u64)> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((Digest::from_hash(&hash.finalize()), size)),
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
                on_bytes(n as u64);
            }
        }
    }
}
