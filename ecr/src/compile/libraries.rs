//! The shared libraries of a dynamic binary: exactly those that it names, and those that they name.
//!
//! `ldd` would run the host's loader; this reads the same headers and looks into the same folders (ld.so(8)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::image::elf::Elf;

/// A library and its place in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The file on this machine.
    pub file: PathBuf,
    /// Its absolute path in the image.
    pub path: String,
}

/// Everything that `binary` needs; nothing for a static one.
pub(super) fn closure(binary: &Path, elf: &Elf) -> Result<Vec<Library>> {
    let Some(interpreter) = &elf.interpreter else { return Ok(Vec::new()) };
    let folders = default_folders();
    let mut found = BTreeMap::new();
    let mut missing = BTreeSet::new();
    let mut queue = vec![(binary.to_owned(), elf.clone())];
    while let Some((user, elf)) = queue.pop() {
        for name in elf.needed.iter().filter(|it| !is_loader(it, interpreter)) {
            if found.contains_key(name) {
                continue;
            }
            match find(name, &elf, &user, &folders) {
                Some((file, elf)) => {
                    found.insert(name.clone(), file.clone());
                    queue.push((file, elf));
                }
                None => drop(missing.insert(format!("`{name}`"))),
            }
        }
    }
    if !missing.is_empty() {
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "`{}` needs shared libraries that are not on this machine: {names}; install them, \
             or let the crate that wants them build its own (many have a feature `vendored` or `static`)",
            binary.display()
        );
    }
    // Without a cache of its own, the loader in the image looks into its default folders only; the C library is
    // in one of them.
    let folder = found.get("libc.so.6").and_then(|it| it.parent()).map(Path::to_owned);
    let folder = folder.unwrap_or_else(|| PathBuf::from("/lib"));
    let place =
        |(name, file): (String, PathBuf)| Library { file, path: folder.join(name).display().to_string() };
    let loader = Library { file: PathBuf::from(interpreter), path: interpreter.clone() };
    Ok(found.into_iter().map(place).chain([loader]).collect())
}

/// The loader is named by libraries too; it is where the binary says that it is.
fn is_loader(name: &str, interpreter: &str) -> bool {
    interpreter.rsplit('/').next() == Some(name)
}

/// The first file of that name for the same architecture: with multiarch, others may come before it.
fn find(name: &str, elf: &Elf, user: &Path, folders: &[PathBuf]) -> Option<(PathBuf, Elf)> {
    let origin = user.parent().unwrap_or(Path::new("/")).display().to_string();
    let own = elf.search.iter().map(|it| it.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin));
    let candidates = own.map(PathBuf::from).chain(folders.iter().cloned());
    candidates.map(|it| it.join(name)).filter(|it| it.is_file()).find_map(|file| {
        let found = Elf::parse(&fs::read(&file).ok()?).ok()?;
        (found.architecture == elf.architecture).then_some((file, found))
    })
}

/// The folders of ld.so.conf, then the loader's own.
fn default_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    read_conf(Path::new("/etc/ld.so.conf"), &mut folders, 0);
    folders.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
    folders
}

fn read_conf(file: &Path, folders: &mut Vec<PathBuf>, depth: usize) {
    // A file that includes itself must not be read for ever; real ones are two deep.
    let Some(text) = fs::read_to_string(file).ok().filter(|_| depth < 8) else { return };
    for line in text.lines().map(|it| it.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include ") {
            Some(pattern) => {
                let files = glob::glob(pattern.trim()).into_iter().flatten().flatten();
                files.for_each(|it| read_conf(&it, folders, depth + 1));
            }
            None if line.starts_with('/') => folders.push(PathBuf::from(line)),
            None => {}
        }
    }
}
