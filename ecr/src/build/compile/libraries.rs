//! The shared libraries of a dynamic binary, including transitive ones.
//!
//! The ELF headers are read and the folders of the loader are searched (ld.so(8)). `ldd` would execute the loader of
//! the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::executable::{Executable, ExecutableCache};

/// A shared library or the dynamic loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The file on this machine.
    pub file: Executable,
    /// The absolute path in the image.
    pub path: String,
}

/// The shared libraries of `binary` and its dynamic loader. Empty for a static binary.
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
            match find(name, &user, binary, &folders, cache) {
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
    // The image has no `ld.so.cache`, so that its loader searches the default folders only. The C library is in one of
    // them.
    let folder = found.get("libc.so.6").and_then(|it| it.path.parent()).map(Path::to_owned);
    let folder = folder.unwrap_or_else(|| PathBuf::from("/lib"));
    let place =
        |(name, file): (String, Executable)| Library { file, path: folder.join(name).display().to_string() };
    let loader = Library { file: cache.read(Path::new(interpreter))?, path: interpreter.clone() };
    Ok(found.into_iter().map(place).chain([loader]).collect())
}

/// Whether a needed library is the loader, which libraries may list, too. Its path is the interpreter of the binary.
fn is_loader(name: &str, interpreter: &str) -> bool {
    interpreter.rsplit('/').next() == Some(name)
}

/// The first file with the name `name` and the same architecture. With multiarch, files of other architectures may be
/// found first.
fn find(
    name: &str,
    user: &Executable,
    binary: &Executable,
    folders: &[PathBuf],
    cache: &ExecutableCache,
) -> Option<Executable> {
    // DT_RPATH of the binary holds for the libraries of its libraries as well, unless these have DT_RUNPATH.
    let is_inherited = !user.elf.is_runpath && !binary.elf.is_runpath && user.path != binary.path;
    let inherited = is_inherited.then(|| search(binary)).into_iter().flatten();
    let candidates = search(user).chain(inherited).chain(folders.iter().cloned());
    let mut readable = candidates.map(|it| it.join(name)).filter_map(|it| cache.read(&it).ok());
    readable.find(|it| it.elf.machine == user.elf.machine)
}

/// The folders of DT_RUNPATH or DT_RPATH.
fn search(file: &Executable) -> impl Iterator<Item = PathBuf> {
    let origin = file.path.parent().unwrap_or(Path::new("/")).display().to_string();
    let folders = file.elf.search.iter();
    folders.map(move |it| it.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin).into())
}

/// The folders of `ld.so.conf`, followed by the default folders of the loader.
fn default_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    read_conf(Path::new("/etc/ld.so.conf"), &mut folders, 0);
    folders.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
    folders
}

fn read_conf(file: &Path, folders: &mut Vec<PathBuf>, depth: usize) {
    // The limit ends the recursion of a file that includes itself. Real files have a depth of two.
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
