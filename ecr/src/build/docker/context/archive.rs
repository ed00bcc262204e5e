//! A build context as a tar archive, as docker's client makes it (`archive.TarWithOptions` in moby).
//!
//! Owners are root, times are in whole seconds, and modes are those of the files. cargo in a container takes sources
//! with older times for unchanged (<https://doc.rust-lang.org/cargo/reference/build-cache.html>), so that a time of
//! zero would give an image with the old program.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tar::{EntryType, Header};

use super::entries::{Entry, EntryKind, unless_vanished};

/// The files of an archive.
#[derive(Debug, Default)]
pub struct Archive {
    /// The folder of `entries`.
    pub(super) root: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// Other files, by their paths in the archive.
    pub(super) files: Vec<(String, PathBuf)>,
    /// Generated files.
    pub(super) texts: Vec<GeneratedFile>,
}

/// A file of an archive that is not on disk.
#[derive(Debug)]
pub(super) struct GeneratedFile {
    pub path: String,
    pub text: Vec<u8>,
    /// The file that it stands for, whose time it gets.
    pub original: Option<Metadata>,
}

impl Archive {
    /// Writes the archive.
    ///
    /// # Errors
    /// A file cannot be read, or has become shorter; the error names it. Then the archive has no end, so that nothing
    /// takes it for a whole one. An error of `output` is passed on.
    pub fn write(&self, output: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(Gate { output, is_closed: false });
        match self.append_to(&mut archive) {
            Ok(()) => archive.into_inner()?.flush(),
            Err(error) => {
                // The builder writes the end of the archive when it is dropped.
                archive.get_mut().is_closed = true;
                Err(error)
            }
        }
    }

    fn append_to(&self, archive: &mut tar::Builder<impl Write>) -> io::Result<()> {
        for entry in &self.entries {
            append(archive, &self.root, entry)?;
        }
        for (name, path) in &self.files {
            append_file(archive, path, Path::new(name), |it| it.set_mtime(0))?;
        }
        self.texts.iter().try_for_each(|it| append_text(archive, it))
    }

    /// Unpacks the archive into a new folder. Pipes are left out.
    ///
    /// # Errors
    /// As for [`Archive::write`], or a file cannot be written.
    pub fn unpack(&self, to: &Path) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || self.write(BufWriter::new(writer)));
            let mut archive = tar::Archive::new(BufReader::new(reader));
            archive.set_preserve_permissions(true);
            let unpacked = unpack_entries(archive, to);
            let written = writing.join().unwrap_or_else(|_| Err(io::Error::other("interrupted")));
            match written {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
                _ => unpacked,
            }
        })?;
        // Files that are written into a folder change its time.
        let folders = self.entries.iter().rev().filter(|it| it.kind == EntryKind::Folder);
        for folder in folders {
            let time = folder.metadata.modified()?;
            File::open(to.join(&folder.path))?.set_modified(time)?;
        }
        Ok(())
    }
}

/// Unpacks folders last, because of folders that may not be written to.
fn unpack_entries(mut archive: tar::Archive<impl Read>, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::Directory => folders.push(entry),
            EntryType::Fifo => {}
            _ => drop(entry.unpack_in(to)?),
        }
    }
    folders.into_iter().rev().try_for_each(|mut it| it.unpack_in(to).map(drop))
}

fn append(archive: &mut tar::Builder<impl Write>, root: &Path, entry: &Entry) -> io::Result<()> {
    let path = &entry.path;
    let mut header = header(&entry.metadata);
    match &entry.kind {
        EntryKind::File => return append_file(archive, &root.join(path), path, |_| {}),
        EntryKind::Folder => return archive.append_data(&mut header, path.join(""), io::empty()),
        EntryKind::Pipe => header.set_entry_type(EntryType::Fifo),
        EntryKind::Link(target) => append_target(archive, &mut header, EntryType::Symlink, target)?,
        EntryKind::HardLink(first) => append_target(archive, &mut header, EntryType::Link, first)?,
    }
    header.set_size(0);
    archive.append_data(&mut header, path, io::empty())
}

/// Sets the target of a link to exactly these bytes. A long one goes into an extended header (pax(1)).
fn append_target(
    archive: &mut tar::Builder<impl Write>,
    header: &mut Header,
    kind: EntryType,
    target: &Path,
) -> io::Result<()> {
    let target = target.as_os_str().as_encoded_bytes();
    header.set_entry_type(kind);
    if header.set_link_name_literal(target).is_err() {
        archive.append_pax_extensions([("linkpath", target)])?;
    }
    Ok(())
}

/// Appends a regular file, unless it has vanished. What it has grown by meanwhile is left out.
fn append_file(
    archive: &mut tar::Builder<impl Write>,
    from: &Path,
    path: &Path,
    change: impl Fn(&mut Header),
) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", from.display()));
    let Some(file) = unless_vanished(File::open(from)).map_err(named)? else { return Ok(()) };
    let metadata = file.metadata().map_err(named)?;
    let mut header = header(&metadata);
    header.set_size(metadata.len());
    change(&mut header);
    let mut body = Body { file: file.take(metadata.len()), error: None };
    let appended = archive.append_data(&mut header, path, &mut body);
    match body.error {
        Some(error) => Err(named(error)),
        None if body.file.limit() > 0 && appended.is_ok() => {
            Err(named(io::Error::other("the file became shorter while it was read")))
        }
        None => appended,
    }
}

/// The contents of a file. An error of reading is kept apart from one of writing.
struct Body {
    file: io::Take<File>,
    error: Option<io::Error>,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| {
            let told = io::Error::from(error.kind());
            self.error = Some(error);
            told
        })
    }
}

fn append_text(archive: &mut tar::Builder<impl Write>, file: &GeneratedFile) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(file.original.as_ref().map_or(0, seconds));
    header.set_size(file.text.len() as u64);
    archive.append_data(&mut header, &file.path, file.text.as_slice())
}

/// A header with mode and time of a file.
fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    // The kind of the file is not part of the mode in docker's archives.
    let mode = header.mode().unwrap_or(0o644) & 0o7777;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(seconds(metadata));
    if !metadata.is_file() {
        header.set_size(0);
    }
    header
}

/// The modification time in seconds since 1970. What is older is from then, as docker's daemon makes it.
fn seconds(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs()
}

/// An output that can be closed.
struct Gate<W> {
    output: W,
    is_closed: bool,
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed { Err(ErrorKind::BrokenPipe.into()) } else { self.output.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
