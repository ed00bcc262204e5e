//! The shared libraries of a dynamic binary: exactly those that it names, and those that they name.
//!
//! `ldd` would run the host's loader; this reads the same headers and looks into the same folders (ld.so(8)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::executable::{Executable, ExecutableCache};

/// A library and its place in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The file on this machine.
    pub file: Executable,
    /// Its absolute path in the image.
    pub path: String,
}

/// Everything that `binary` needs; nothing for a static one.
pub(super) fn closure(binary: &Executable, cache: &ExecutableCache) -> Result<Vec<Library>> {
    let Some(interpreter) = &binary.elf.interpreter else { return Ok(Vec::new()) };
    let folders = default_folders();
    let mut found = BTreeMap::<String, Executable>::new();
    let mut missing = BTreeSet::new();
    let mut queue = vec![binary.clone()];
    while let Some(user) = queue.pop() {
        for name in user.elf.needed.iter().filter(|it| !is_loader(it, interpreter)) {
            if found.contains_key(name) {
                continue;
            }
            match find(name, &user, &folders, cache) {
                Some(file) => {
                    found.insert(name.clone(), file.clone());
                    queue.push(file);
                }
                None => drop(missing.insert(format!("`{name}`"))),
            }
        }
    }
    if !missing.is_empty() {
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "`{}` needs shared libraries that are not installed: {names}; install them, or link them statically \
             (many crates have a feature `vendored` or `static`)",
            binary.path.display()
        );
    }
    // Without a cache of its own, the loader in the image looks into its default folders only; the C library is
    // in one of them.
    let folder = found.get("libc.so.6").and_then(|it| it.path.parent()).map(Path::to_owned);
    let folder = folder.unwrap_or_else(|| PathBuf::from("/lib"));
    let place =
        |(name, file): (String, Executable)| Library { file, path: folder.join(name).display().to_string() };
    let loader = Library { file: cache.read(Path::new(interpreter))?, path: interpreter.clone() };
    Ok(found.into_iter().map(place).chain([loader]).collect())
}

/// The loader is named by libraries too; it is where the binary says that it is.
fn is_loader(name: &str, interpreter: &str) -> bool {
    interpreter.rsplit('/').next() == Some(name)
}

/// The first file of that name for the same architecture: with multiarch, others may come before it.
fn find(name: &str, user: &Executable, folders: &[PathBuf], cache: &ExecutableCache) -> Option<Executable> {
    let origin = user.path.parent().unwrap_or(Path::new("/")).display().to_string();
    let own = user.elf.search.iter().map(|it| it.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin));
    let candidates = own.map(PathBuf::from).chain(folders.iter().cloned());
    let mut readable = candidates.map(|it| it.join(name)).filter_map(|it| cache.read(&it).ok());
    readable.find(|it| it.elf.machine == user.elf.machine)
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
