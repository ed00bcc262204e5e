//! Which services a change can affect: a pure function of what has changed, and of what each service is made of.
//!
//! A service that is affected without need costs the time of a build, and its image is unchanged. One that is not affected
//! although its image would differ is wrong. So whatever is not known counts as a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::build::docker::DockerIgnore;

mod kinds;
mod lock;
mod manifest;

pub use lock::{Crate, Lock};
pub use manifest::{ManifestChange, inherited_keys};

pub use kinds::is_document;
use kinds::{is_for_tools, is_text_for_readers};

/// A file that has changed. Paths are those from the top of the git repository, with `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub path: String,
    pub kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// All that has changed since a commit.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub files: Vec<Change>,
    /// What has changed in the manifest of the root.
    pub manifest: ManifestChange,
    /// The lock files of both sides, if they differ.
    pub lock: Option<LockChange>,
}

/// Two lock files that differ.
#[derive(Debug, Clone)]
pub enum LockChange {
    Known {
        base: Lock,
        now: Lock,
    },
    /// They cannot be compared, and why.
    Unknown(String),
}

/// What all services of a workspace have in common.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// The path of the workspace from the top of the repository: empty, or with a slash at its end.
    pub root: String,
    /// The packages of the workspace and those that it depends on by path, by their folders: empty, or with a slash at the end.
    pub packages: BTreeMap<String, Package>,
    /// Files that this tool reads, and that no image depends on, such as lifecycle policies.
    pub configuration: BTreeSet<String>,
    /// The files and folders that some service names as its inputs. They concern no other service.
    pub claimed: BTreeSet<String>,
    /// The same, as patterns.
    pub patterns: Vec<DockerIgnore>,
}

/// A package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// A build script may read any file of its package.
    pub has_build_script: bool,
    /// The keys of the root manifest that its manifest inherits.
    pub inherits: BTreeSet<String>,
}

/// What an image is made of.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// How cargo builds it; `None` if a Dockerfile does all of it.
    pub compiled: Option<Compiled>,
    /// Files, and folders with all in them, that it is made of besides its packages.
    pub files: BTreeSet<String>,
    /// The patterns of `affected-by`, from the top of the repository.
    pub patterns: DockerIgnore,
    /// The build context of a Dockerfile.
    pub context: Option<Context>,
}

/// How cargo builds a service.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The folders of the packages that it is built from.
    pub packages: BTreeSet<String>,
    /// Whether crates of a registry or a git repository are among what it is built from.
    pub has_crates: bool,
    /// The crates that it is built from, or why they are not known. They are needed only if lock files differ.
    pub crates: Result<BTreeSet<Crate>, String>,
    /// The cargo profile.
    pub profile: String,
    /// The files that the compiler and build scripts have read, as cargo tells of the last build, if it is of what is there now.
    pub read: Option<BTreeSet<String>>,
}

/// The build context of a Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Its folder: empty, or with a slash at its end.
    pub folder: String,
    pub ignore: DockerIgnore,
    /// The Dockerfile, and the file with its exclusions.
    pub files: BTreeSet<String>,
}

/// Why a service is affected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A file that it is made of.
    File(Change),
    /// A file that no package owns, and of which it is not known who reads it.
    Unowned(Change),
    /// A key of the root manifest.
    Key { path: String, key: String },
    /// Crates of the lock file.
    Crates { path: String, crates: Vec<String> },
    /// A lock file that cannot be compared.
    UnknownLock { path: String, why: String },
    /// Something else, in words.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(Change { path, kind }) => write!(f, "{path} was {kind}"),
            Self::Unowned(Change { path, kind }) => {
                write!(
                    f,
                    "{path} was {kind}, and it is not known which services read it (`affected-by` tells)"
                )
            }
            Self::Key { path, key } => write!(f, "{path}: `{key}` was changed"),
            Self::Crates { path, crates } => {
                let shown = crates.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                let more = crates.len().saturating_sub(3);
                write!(f, "{path}: {shown}")?;
                if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Self::UnknownLock { path, why } => write!(f, "{path}: its crates cannot be compared: {why}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Modified => "changed",
            Self::Deleted => "deleted",
        })
    }
}

/// Why a service is affected by changes. Empty if its image is what it was.
pub fn reasons(layout: &Layout, inputs: &Inputs, changes: &Changes) -> Vec<Reason> {
    let judge = Judge { layout, inputs };
    let mut reasons: Vec<_> = changes.files.iter().filter_map(|it| judge.file(it)).collect();
    reasons.extend(judge.manifest(&changes.manifest));
    reasons.extend(changes.lock.as_ref().and_then(|it| judge.lock(it)));
    reasons
}

impl Layout {
    fn is_claimed(&self, path: &str) -> bool {
        contains(&self.claimed, path) || self.patterns.iter().any(|it| it.excludes(path.as_bytes()))
    }
}

impl Inputs {
    /// The files and folders that the service names, those of a Dockerfile among them.
    pub fn named_files(&self) -> impl Iterator<Item = &String> {
        self.files.iter().chain(self.context.iter().flat_map(|it| &it.files))
    }
}

struct Judge<'a> {
    layout: &'a Layout,
    inputs: &'a Inputs,
}

impl Judge<'_> {
    fn file(&self, change: &Change) -> Option<Reason> {
        let path = change.path.as_str();
        let inputs = self.inputs;
        let is_named = contains(&inputs.files, path)
            || has_below(&inputs.files, path)
            || inputs.patterns.excludes(path.as_bytes())
            || inputs.context.as_ref().is_some_and(|it| it.contains(path));
        if is_named {
            return Some(Reason::File(change.clone()));
        }
        let compiled = inputs.compiled.as_ref()?;
        match self.role(compiled, change) {
            Role::Input => Some(Reason::File(change.clone())),
            Role::Unowned => Some(Reason::Unowned(change.clone())),
            Role::None => None,
        }
    }

    /// What a file is for a service that cargo builds.
    fn role(&self, compiled: &Compiled, change: &Change) -> Role {
        let path = change.path.as_str();
        let from_root = path.strip_prefix(&self.layout.root);
        // Both have rules of their own.
        if matches!(from_root, Some("Cargo.toml" | "Cargo.lock")) {
            return Role::None;
        }
        let read = compiled.read.as_ref();
        if self.is_of_toolchain(path) || read.is_some_and(|it| it.contains(path) || has_below(it, path)) {
            return Role::Input;
        }
        // git tells of a submodule as a whole.
        if has_below(&compiled.packages, path) {
            return Role::Input;
        }
        if self.layout.configuration.contains(path) {
            return Role::None;
        }
        let owner = self.owner(path);
        match owner.filter(|it| compiled.packages.contains(*it)) {
            Some(folder) => self.role_in_package(compiled, folder, change),
            None if owner.is_some_and(|it| !it.is_empty() && it != self.layout.root) => Role::None,
            // Nobody owns it, or a package in the root of the workspace, which may be only its home.
            None => match compiled.read.is_some() || is_for_tools(path) || self.layout.is_claimed(path) {
                true => Role::None,
                false => Role::Unowned,
            },
        }
    }

    /// What a file is in a package that the service is built from.
    fn role_in_package(&self, compiled: &Compiled, folder: &str, change: &Change) -> Role {
        let has_script = self.layout.packages.get(folder).is_none_or(|it| it.has_build_script);
        let path = change.path.strip_prefix(folder).unwrap_or(&change.path);
        let is_root = folder.is_empty() || folder == self.layout.root;
        let is_source = path.ends_with(".rs") && change.kind == ChangeKind::Modified;
        let is_unread = compiled.read.is_some() && (is_source || is_text_for_readers(path));
        let is_other = is_document(path) || (is_root && is_for_tools(path)) || is_unread;
        if is_other && !has_script { Role::None } else { Role::Input }
    }

    /// The folder of the package that a file belongs to: the innermost one.
    fn owner(&self, path: &str) -> Option<&str> {
        let folders = self.layout.packages.keys().filter(|it| path.starts_with(it.as_str()));
        folders.max_by_key(|it| it.len()).map(String::as_str)
    }

    /// Whether a file decides about the compiler and its flags: in the root of the workspace or a folder above it. The
    /// configuration of cargo may include other files of its folder.
    fn is_of_toolchain(&self, path: &str) -> bool {
        let toolchain = ["rust-toolchain.toml", "rust-toolchain"].iter().find_map(|it| path.strip_suffix(it));
        let folder = toolchain.or_else(|| path.rfind(".cargo/").map(|at| &path[..at]));
        folder.is_some_and(|it| self.layout.root.starts_with(it) && (it.is_empty() || it.ends_with('/')))
    }

    fn manifest(&self, change: &ManifestChange) -> Vec<Reason> {
        let path = format!("{}Cargo.toml", self.layout.root);
        let none = BTreeSet::new();
        let compiled = self.inputs.compiled.as_ref();
        let packages = compiled.map_or(&none, |it| &it.packages);
        let inherits = |key: &str| {
            let keys = packages.iter().filter_map(|it| self.layout.packages.get(it));
            keys.flat_map(|it| &it.inherits).any(|it| it == key)
        };
        let is_own = packages.contains(&self.layout.root);
        let profile = compiled.map(|it| it.profile.as_str());
        let relevant =
            change.keys.iter().filter(|key| change.concerns(key, profile, is_own) || inherits(key));
        relevant.map(|key| Reason::Key { path: path.clone(), key: key.clone() }).collect()
    }

    fn lock(&self, change: &LockChange) -> Option<Reason> {
        let compiled = self.inputs.compiled.as_ref().filter(|it| it.has_crates)?;
        let path = format!("{}Cargo.lock", self.layout.root);
        let crates = match (change, &compiled.crates) {
            (LockChange::Unknown(why), _) | (_, Err(why)) => {
                return Some(Reason::UnknownLock { path, why: why.clone() });
            }
            (LockChange::Known { base, now }, Ok(crates)) => now.differences(base, crates),
        };
        (!crates.is_empty()).then_some(Reason::Crates { path, crates })
    }
}

/// What a file is for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Input,
    Unowned,
    None,
}

impl Context {
    fn contains(&self, path: &str) -> bool {
        let inside = path.strip_prefix(&self.folder);
        self.files.contains(path) || inside.is_some_and(|it| !self.ignore.excludes(it.as_bytes()))
    }
}

/// Whether a path, or a folder above it, is in a set.
fn contains(set: &BTreeSet<String>, path: &str) -> bool {
    set.contains(path) || path.match_indices('/').any(|(at, _)| set.contains(&path[..at]))
}

/// Whether a path is a folder above one of a set.
fn has_below(set: &BTreeSet<String>, path: &str) -> bool {
    let folder = format!("{path}/");
    set.range(folder.clone()..).next().is_some_and(|it| it.starts_with(&folder))
}

#[cfg(test)]
mod tests;
