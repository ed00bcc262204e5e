//! What the images of services are made of: packages, files, build contexts. Read from the workspace, for [`crate::affected`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::compile::{self, BuildTarget};
use super::docker::{ContextFolder, DockerIgnore, Frontend};
use super::git::lexical;
use super::image::ImageBuilder;
use super::method::{BuildMethod, BuildMethods, DockerfileBuild};
use crate::affected::{Compiled, Context, Inputs, Layout, Lock, Package, inherited_keys};
use crate::config::desired::Service;
use crate::config::workspace::PathPackage;

mod changes;
mod dep_info;
mod literals;
mod outside;
mod patches;
mod walk;

pub use changes::changes;
pub use outside::outside_folders;
use outside::{with_outside, workspace_of};
use patches::Patch;

/// Reads what services are made of.
pub struct InputReader<'a> {
    builder: &'a ImageBuilder,
    methods: &'a BuildMethods,
    /// All packages of the workspace, and those that they depend on by path, by their folders.
    packages: BTreeMap<PathBuf, PathPackage>,
    /// Packages that replace crates.
    patches: BTreeSet<Patch>,
    /// The lock file; `None` if there is none, or none that can be read.
    lock: Option<Lock>,
    /// The top of the git repository, as cargo's paths lead to it, and without symbolic links.
    tops: [PathBuf; 2],
    /// The path from there to the workspace.
    prefix: String,
    /// What [`InputReader::beside`] has found.
    beside: RefCell<BTreeMap<(PathBuf, bool), BTreeSet<String>>>,
}

impl<'a> InputReader<'a> {
    /// Reads the manifests of the packages outside of the workspace. `prefix` is the path from the top of the git repository to
    /// the root of the workspace, with a slash at its end unless it is empty.
    pub fn new(
        builder: &'a ImageBuilder,
        methods: &'a BuildMethods,
        members: &BTreeMap<PathBuf, PathPackage>,
        prefix: &str,
    ) -> Self {
        let depth = prefix.matches('/').count();
        let root = &builder.options.root;
        let top = root.ancestors().nth(depth).unwrap_or(root).to_owned();
        let canonical = top.canonicalize().unwrap_or_else(|_| top.clone());
        let patches = patches::patches(root);
        let packages = with_outside(members, patches.iter().map(|it| it.folder.clone()));
        let lock = std::fs::read_to_string(root.join("Cargo.lock")).ok().and_then(|it| Lock::parse(&it).ok());
        let (tops, prefix, beside) = ([top, canonical], prefix.to_owned(), RefCell::default());
        Self { builder, methods, packages, patches, lock, tops, prefix, beside }
    }

    /// What all services have in common.
    pub fn layout<'i>(
        &self,
        policies: &BTreeSet<String>,
        all: impl Iterator<Item = &'i Inputs> + Clone,
    ) -> Layout {
        let root = &self.builder.options.root;
        let package = |(folder, found): (&PathBuf, &PathPackage)| {
            let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            let inherits = manifest.parse().map(|it| inherited_keys(&it)).unwrap_or_default();
            Some((self.folder(folder)?, Package { has_build_script: found.has_build_script, inherits }))
        };
        Layout {
            root: self.prefix.clone(),
            packages: self.packages.iter().filter_map(package).collect(),
            configuration: policies.iter().filter_map(|it| self.relative(&root.join(it))).collect(),
            claimed: all.clone().flat_map(Inputs::named_files).cloned().collect(),
            patterns: all.map(|it| it.patterns.clone()).collect(),
        }
    }

    /// What the image of a service is made of.
    ///
    /// # Errors
    /// The build context of its Dockerfile cannot be read, or a pattern of `affected-by` is not valid.
    pub fn inputs(&self, service: &Service, method: &BuildMethod) -> Result<Inputs> {
        let folder = self.builder.options.root.join(&service.package.folder);
        let mut inputs = Inputs { patterns: self.patterns(service)?, ..Inputs::default() };
        if let BuildMethod::Dockerfile(build) = method {
            inputs.context = Some(self.context(build)?);
            return Ok(inputs);
        }
        inputs.files.extend(self.copied_files(service, &folder));
        let targets: Vec<_> = self
            .builder
            .platforms(service)
            .iter()
            .filter_map(|it| self.builder.toolchain.target(it).ok())
            .collect();
        let packages = self.closure(&folder, &service.package.name);
        let read = self.read_by_cargo(service, &folder, &targets);
        for package in &packages {
            inputs.files.extend(self.beside(package, read.is_some()));
        }
        inputs.compiled = Some(Compiled {
            packages: packages.iter().filter_map(|it| self.folder(it)).collect(),
            has_crates: packages.iter().any(|it| self.packages.get(it).is_none_or(|it| it.has_crates)),
            crates: Err("cargo was not asked".to_owned()),
            profile: self.builder.options.profile.clone(),
            read,
        });
        Ok(inputs)
    }

    /// The packages that a package is built from, itself among them.
    fn closure(&self, folder: &Path, name: &str) -> BTreeSet<PathBuf> {
        let with_dev = compile::unifies_development(&self.builder.options);
        let mut found = BTreeSet::new();
        let mut left = vec![folder.to_owned()];
        left.extend(self.patches_of(name));
        while let Some(folder) = left.pop() {
            let package = self.packages.get(&folder);
            if let (true, Some(package)) = (found.insert(folder), package) {
                left.extend(package.dependencies.iter().cloned());
                left.extend(package.dev_dependencies.iter().filter(|_| with_dev).cloned());
            }
        }
        found
    }

    /// The folders of the packages that replace crates of a package. Without a lock file they are all.
    fn patches_of(&self, name: &str) -> Vec<PathBuf> {
        let reachable = self.lock.as_ref().filter(|_| !self.patches.is_empty()).map(|it| it.reachable(name));
        let is_used = |it: &&Patch| reachable.as_ref().is_none_or(|all| all.contains(it.name.as_str()));
        self.patches.iter().filter(is_used).map(|it| it.folder.clone()).collect()
    }

    /// The files that cargo has read, if its last build is of what is there now and was one for this image, for all targets.
    fn read_by_cargo(
        &self,
        service: &Service,
        folder: &Path,
        targets: &[BuildTarget],
    ) -> Option<BTreeSet<String>> {
        let options = &self.builder.options;
        let mut read = BTreeSet::new();
        for target in targets {
            let files = compile::dep_info(options, service, target);
            // Another build, such as one with other features, may have left its own.
            let mut files = files.iter().filter(|it| options.executables.has(&it.with_extension("")));
            let current = files.find_map(|it| dep_info::current(it, &options.root, folder))?;
            read.extend(current.iter().filter_map(|it| self.relative(&lexical(it))));
            // git tells of a change of what a link leads to.
            let real = current.iter().filter_map(|it| it.canonicalize().ok());
            read.extend(real.filter_map(|it| self.relative(&it)));
        }
        (!targets.is_empty()).then_some(read)
    }

    /// The files and folders outside of a package that belong to it. Many services may be built from the package, which is read once.
    fn beside(&self, package: &Path, only_scripts: bool) -> BTreeSet<String> {
        let key = (package.to_owned(), only_scripts);
        let mut known = self.beside.borrow_mut();
        let found = known.entry(key).or_insert_with(|| {
            let is_other = |it: &Path| self.packages.contains_key(it) || it == self.builder.options.target;
            let walk::Found { sources, linked } = walk::walk(package, &is_other);
            // What the compiler has read is known better from cargo; build scripts may not tell.
            let sources = if only_scripts { vec![package.join("build.rs")] } else { sources };
            let linked = linked.iter().filter_map(|it| self.relative(it));
            let named = self.named_files(package, &sources).into_iter();
            named.chain(linked).chain(self.foreign_workspace(package)).collect()
        });
        found.clone()
    }

    /// The files outside of a package that sources of it name.
    fn named_files(&self, package: &Path, sources: &[PathBuf]) -> Vec<String> {
        let mut found = Vec::new();
        for source in sources {
            let Ok(text) = std::fs::read_to_string(source) else { continue };
            let paths = literals::paths(&text, source, package);
            // A folder that holds the package names nothing in particular.
            let named = paths.iter().filter(|it| !package.starts_with(it) && it.exists());
            found.extend(named.filter_map(|it| self.relative(it)));
        }
        found
    }

    /// The manifest of the workspace that a package is a member of, if that is another one.
    fn foreign_workspace(&self, package: &Path) -> Option<String> {
        let own = self.builder.options.root.join("Cargo.toml");
        let (manifest, _) = workspace_of(package).filter(|(manifest, _)| *manifest != own)?;
        self.relative(&manifest)
    }

    /// What the key `files` copies. Of a pattern it is the folder in which it looks.
    fn copied_files(&self, service: &Service, folder: &Path) -> Vec<String> {
        let copies = service.image.files.iter().flat_map(|it| &it.value);
        let fixed = |it: &str| {
            let is_fixed = |part: &&str| !part.contains(['*', '?', '[', '\\']);
            it.split('/').take_while(is_fixed).collect::<Vec<_>>().join("/")
        };
        copies.filter_map(|it| self.relative(&lexical(&folder.join(fixed(&it.from.value))))).collect()
    }

    fn patterns(&self, service: &Service) -> Result<DockerIgnore> {
        let folder = self.builder.options.root.join(&service.package.folder);
        let mut lines = String::new();
        for pattern in &service.affected_by {
            let (sign, path) = match pattern.value.strip_prefix('!') {
                Some(path) => ("!", path),
                None => ("", pattern.value.as_str()),
            };
            let path = self.relative(&lexical(&folder.join(path)));
            let path = path.with_context(|| {
                format!("{}: `{}` is outside of the git repository", pattern.place, pattern.value)
            })?;
            lines += &format!("{sign}{path}\n");
        }
        let place = service.affected_by.first().map(|it| it.place.to_string()).unwrap_or_default();
        DockerIgnore::parse(lines.as_bytes()).with_context(|| format!("{place}: `affected-by`"))
    }

    fn context(&self, build: &DockerfileBuild) -> Result<Context> {
        let folder = ContextFolder::open(
            &build.context,
            &build.dockerfile,
            &self.methods.excluded,
            Frontend::BuildKit,
        )?;
        let files = [Some(build.dockerfile.clone()), folder.ignore_path()].into_iter().flatten();
        Ok(Context {
            folder: self.folder(folder.folder()).unwrap_or_default(),
            ignore: folder.ignore().clone(),
            files: files.filter_map(|it| self.relative(&lexical(&it))).collect(),
        })
    }

    /// The path of a folder from the top of the git repository, with a slash at its end; `None` if it is elsewhere.
    fn folder(&self, path: &Path) -> Option<String> {
        let path = self.relative(path)?;
        Some(if path.is_empty() { path } else { path + "/" })
    }

    /// The path from the top of the git repository; `None` if it is elsewhere.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let inside = self.tops.iter().find_map(|top| path.strip_prefix(top).ok())?;
        let parts: Vec<_> = inside.iter().map(|it| it.to_string_lossy()).collect();
        Some(parts.join("/"))
    }
}
