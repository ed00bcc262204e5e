//! The search of the dynamic loader for shared libraries, in the files of an image: that of glibc (ld.so(8)) and that of musl
//! (`ldso/dynlink.c`).

use std::collections::{BTreeMap, BTreeSet};

use super::elf::Elf;
use super::tree::{Content, FileTree, Node};

pub mod cache;

/// A library that the loader does not find.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its file name, or the path of the loader itself.
    pub name: String,
    /// The library that needs it; `None` if the binary does.
    pub user: Option<String>,
    /// Where it is nevertheless, in a folder that the loader does not search.
    pub elsewhere: Option<String>,
}

/// A binary in an image, before it is started.
#[derive(Debug)]
pub struct Search<'a> {
    tree: &'a FileTree,
    /// The folders of `LD_LIBRARY_PATH`.
    library_path: Vec<String>,
    binary: &'a Elf,
    /// The folder of the binary.
    origin: String,
    is_musl: bool,
}

/// A file that is loaded, with what the search for its libraries depends on.
struct Loaded<'a> {
    /// Its name, unless it is the binary.
    name: Option<String>,
    elf: &'a Elf,
    /// `$ORIGIN`: the folder in which it was found.
    origin: String,
    /// The folders that its own users have for it, the nearest first.
    inherited: Vec<String>,
}

impl<'a> Search<'a> {
    /// The search for the libraries of `binary`, whose path in `tree` is `at`, with the environment variables `env`.
    pub fn new(tree: &'a FileTree, binary: &'a Elf, at: &str, env: &BTreeMap<String, String>) -> Self {
        let library_path = env.get("LD_LIBRARY_PATH").map_or("", String::as_str);
        let interpreter = binary.interpreter.as_deref().unwrap_or_default();
        let is_musl = file_name(interpreter).starts_with("ld-musl-");
        // An empty entry is the working directory, in which an image has no libraries.
        let library_path = library_path.split([':', ';']).filter(|it| !it.is_empty());
        let library_path = library_path.map(str::to_owned).collect();
        Self { tree, library_path, binary, origin: folder(at), is_musl }
    }

    /// What the binary lacks: the loader, and libraries that it or other libraries need. Empty for a binary
    /// without a loader, which needs none.
    pub fn missing(&self) -> Vec<Missing> {
        let Some(interpreter) = &self.binary.interpreter else { return Vec::new() };
        let mut missing = Vec::new();
        if self.library(interpreter).is_none() {
            missing.push(Missing { name: interpreter.clone(), user: None, elsewhere: None });
        }
        let mut seen = BTreeSet::new();
        let mut queue = std::collections::VecDeque::from([Loaded {
            name: None,
            elf: self.binary,
            origin: self.origin.clone(),
            inherited: Vec::new(),
        }]);
        while let Some(user) = queue.pop_front() {
            for name in user.elf.needed.iter().filter(|it| !self.is_loader(it, interpreter)) {
                if !seen.insert(name.clone()) {
                    continue;
                }
                match self.find(name, &user) {
                    Some(found) => queue.push_back(found),
                    None => missing.push(self.lost(name, &user)),
                }
            }
        }
        missing
    }

    fn lost(&self, name: &str, user: &Loaded<'a>) -> Missing {
        let is_it = |path: &&str| file_name(path) == name && self.library(path).is_some();
        let elsewhere = self.tree.iter().map(|(path, _)| path).find(is_it).map(|it| format!("/{it}"));
        Missing { name: name.to_owned(), user: user.name.clone(), elsewhere }
    }

    /// Whether a library is the loader itself. In musl it is the C library as well, under all of its names.
    fn is_loader(&self, name: &str, interpreter: &str) -> bool {
        let reserved = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
        let is_own = |name: &str| reserved.iter().any(|it| name.starts_with(it));
        file_name(interpreter) == name || self.is_musl && name.strip_prefix("lib").is_some_and(is_own)
    }

    fn find(&self, name: &str, user: &Loaded<'a>) -> Option<Loaded<'a>> {
        let own: Vec<String> =
            user.elf.search.iter().flat_map(|it| self.expanded(it, &user.origin)).collect();
        let chain = || own.iter().chain(&user.inherited).cloned().collect::<Vec<_>>();
        // A name with a slash is a path.
        let path = if name.contains('/') {
            Some(name.to_owned())
        } else if self.is_musl {
            self.musl_path(name, &chain())
        } else {
            self.glibc_path(name, user.elf.is_runpath, &own, &user.inherited)
        };
        let path = path.filter(|it| it.starts_with('/'))?;
        let elf = self.library(&path)?;
        // DT_RUNPATH holds for the libraries of the file alone, but musl makes no difference.
        let inherited = if user.elf.is_runpath && !self.is_musl { user.inherited.clone() } else { chain() };
        Some(Loaded { name: Some(name.to_owned()), elf, origin: folder(&path), inherited })
    }

    /// ld.so(8): DT_RPATH unless there is DT_RUNPATH, LD_LIBRARY_PATH, DT_RUNPATH, ld.so.cache, and the folders that are
    /// compiled in.
    fn glibc_path(
        &self,
        name: &str,
        is_runpath: bool,
        own: &[String],
        inherited: &[String],
    ) -> Option<String> {
        let (runpath, rpath) = if is_runpath { (own, &[][..]) } else { (&[][..], own) };
        let inherited = if is_runpath { &[][..] } else { inherited };
        let library_path = self.library_path.iter().flat_map(|it| self.expanded(it, &self.origin));
        let first = rpath.iter().chain(inherited).cloned().chain(library_path).chain(runpath.iter().cloned());
        let first = first.map(|it| format!("{it}/{name}"));
        let default = self.default_folders().into_iter().map(|it| format!("{it}/{name}"));
        first.chain(self.cached(name)).chain(default).find_map(|it| self.on_every_processor(&it))
    }

    /// A path that has a library whatever `$PLATFORM` stands for: the kernel's AT_PLATFORM (getauxval(3)), or what glibc puts
    /// in its place on newer processors (`init_cpu_features` in sysdeps/x86/cpu-features.c, until 2.36).
    fn on_every_processor(&self, path: &str) -> Option<String> {
        let platforms: &[&str] = match self.binary.architecture() {
            Some("amd64") => &["x86_64", "haswell"],
            Some("arm64") => &["aarch64"],
            Some("386") => &["i686"],
            _ => &["$PLATFORM"],
        };
        let paths: Vec<_> = platforms.iter().map(|it| replaced(path, "PLATFORM", it)).collect();
        paths.iter().all(|it| self.library(it).is_some()).then(|| paths.into_iter().next())?
    }

    /// musl: LD_LIBRARY_PATH, the runpaths of all users, and the folders of `/etc/ld-musl-ARCH.path` or those compiled in.
    fn musl_path(&self, name: &str, runpaths: &[String]) -> Option<String> {
        let interpreter = file_name(self.binary.interpreter.as_deref().unwrap_or_default());
        let file = format!("/etc/{}.path", interpreter.split(".so").next().unwrap_or_default());
        let system = match self.tree.find(&file) {
            Some((_, Node::File(Content::Text(text)))) => text.clone(),
            _ => "/lib:/usr/local/lib:/usr/lib".to_owned(),
        };
        let system = system.split([':', '\n']).map(|it| it.trim().to_owned());
        let all = self.library_path.iter().chain(runpaths).cloned().chain(system);
        all.map(|it| format!("{it}/{name}")).find(|it| self.library(it).is_some())
    }

    /// The paths of a library in `/etc/ld.so.cache`.
    fn cached(&self, name: &str) -> Vec<String> {
        match self.tree.find("/etc/ld.so.cache") {
            Some((_, Node::File(Content::LoaderCache(libraries)))) => {
                libraries.iter().filter(|it| it.0 == name).map(|it| it.1.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The library at a path, through links. One for another architecture is passed over, as the loader does.
    fn library(&self, path: &str) -> Option<&'a Elf> {
        match self.tree.find(path)?.1 {
            Node::File(Content::Elf(elf)) if elf.machine == self.binary.machine => Some(elf),
            _ => None,
        }
    }

    /// A folder of a runpath with its variables replaced (ld.so(8), "Dynamic string tokens"). `$LIB` depends on how the loader
    /// was compiled: each of its values is tried.
    fn expanded(&self, folder: &str, origin: &str) -> Vec<String> {
        let replaced = replaced(folder, "ORIGIN", origin);
        let multiarch = format!("lib/{}", self.multiarch());
        let libs = ["lib64", "lib", multiarch.as_str()];
        let count = if replaced.contains("$LIB") || replaced.contains("${LIB}") { libs.len() } else { 1 };
        libs[..count].iter().map(|it| self::replaced(&replaced, "LIB", it)).collect()
    }

    /// The folders that are compiled into the loaders of distributions, those of Debian's multiarch included.
    fn default_folders(&self) -> Vec<String> {
        let multiarch = self.multiarch();
        let arch = ["/lib", "/usr/lib"].map(|it| format!("{it}/{multiarch}"));
        arch.into_iter().chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned)).collect()
    }

    fn multiarch(&self) -> &'static str {
        match self.binary.architecture() {
            Some("amd64") => "x86_64-linux-gnu",
            Some("arm64") => "aarch64-linux-gnu",
            Some("386") => "i386-linux-gnu",
            Some("arm") => "arm-linux-gnueabihf",
            Some("riscv64") => "riscv64-linux-gnu",
            Some("ppc64le") => "powerpc64le-linux-gnu",
            _ => "s390x-linux-gnu",
        }
    }
}

/// Replaces `$NAME` and `${NAME}`.
fn replaced(text: &str, name: &str, value: &str) -> String {
    text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder(path: &str) -> String {
    path.rsplit_once('/').map_or("", |it| it.0).to_owned()
}
