//! The files in the layers of a service, on top of those of its base.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ecr_oci::cache::OnRead;
use ecr_oci::image::base::{self, BaseImage};
use ecr_oci::image::layer::Files;
use ecr_oci::image::loader::{Missing, Search};
use ecr_oci::image::scratch;
use ecr_oci::image::tree::FileTree;

use crate::build::compile::{self, Binary, Executable, ExecutableCache};
use crate::build::files::FileCopier;
use crate::build::image::{base_of, entrypoint};
use crate::config::desired::Service;
use crate::config::metadata::FileCopy;

/// What lies below the layers of a service.
pub enum LowerLayers<'a> {
    /// Nothing.
    Scratch,
    /// A base image with these files.
    Base(&'a FileTree),
    /// A base image that an engine pulls.
    Unknown,
}

impl LowerLayers<'_> {
    fn tree(&self) -> FileTree {
        match self {
            Self::Base(tree) => (*tree).clone(),
            Self::Scratch | Self::Unknown => FileTree::default(),
        }
    }
}

/// The files of layers, each with the text of its history entry.
pub type LayerFiles = Vec<(&'static str, Files)>;

/// Layers that are laid over one another.
struct Layers<'a> {
    lower: &'a LowerLayers<'a>,
    /// The files of all layers so far.
    below: FileTree,
    files: LayerFiles,
}

impl Layers<'_> {
    fn add(&mut self, text: &'static str, files: Files) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let placed = files.onto(&self.below).with_context(|| format!("failed to add the layer `{text}`"))?;
        self.below.apply(&placed.tree())?;
        let files = match self.lower {
            LowerLayers::Unknown => placed.without_folders(),
            LowerLayers::Scratch | LowerLayers::Base(_) => placed,
        };
        if !files.is_empty() {
            self.files.push((text, files));
        }
        Ok(())
    }
}

/// Checks that an image on a base contains the loader and the shared libraries of its binary.
///
/// # Errors
/// The names of what is missing, and where it is if the loader only does not look there.
pub fn check_libraries(base: &BaseImage, tree: &FileTree, service: &Service, binary: &Binary) -> Result<()> {
    let mut env = base::environment(&base.config);
    env.extend(service.image.env.iter().map(|(key, value)| (key.clone(), value.value.clone())));
    let missing = Search::new(tree, &binary.file.elf, &entrypoint(&binary.name), &env).missing();
    anyhow::ensure!(
        missing.is_empty(),
        "`{}` needs {}, which base `{}` does not contain{}: use a base that contains them, link statically, or use base \
         `scratch`, to which the needed libraries are added",
        binary.file.path.display(),
        missing.iter().map(shown).collect::<Vec<_>>().join(", "),
        base.name,
        hint(&missing)
    );
    Ok(())
}

/// Where the files of a service come from.
pub struct LayerSource<'a> {
    /// The root of the workspace.
    pub root: &'a Path,
    pub service: &'a Service,
    /// The cache that the executables were read with.
    pub executables: &'a ExecutableCache,
    /// Is told of files that are read.
    pub on_read: &'a OnRead,
}

impl LayerSource<'_> {
    /// The files of the layers in the order of how rarely they change (base, libraries, files, binary), each with the text of
    /// its history entry, and all files of the image together.
    ///
    /// # Errors
    /// A file cannot be read, or would replace a folder, or a folder a file.
    pub fn files(&self, binary: &Binary, lower: &LowerLayers<'_>) -> Result<(LayerFiles, FileTree)> {
        let mut libraries = Files::default();
        for library in &binary.libraries {
            self.add_executable(&mut libraries, &library.file, &library.path);
        }
        let mut layers = Layers { below: lower.tree(), files: Vec::new(), lower };
        layers.add("xtask-ecr: base scratch", self.base())?;
        layers.add("xtask-ecr: shared libraries", libraries)?;
        let path = entrypoint(&binary.name);
        let copies = self.copies();
        if !copies.is_empty() {
            let package = self.package();
            let tree = layers.below.clone();
            let copier = FileCopier { package: &package, binary: &path, tree, on_read: self.on_read };
            layers.add("xtask-ecr: files", copier.copy(&copies)?)?;
        }
        let mut executable = Files::default();
        self.add_executable(&mut executable, &binary.file, &path);
        layers.add("xtask-ecr: binary", executable)?;
        Ok((layers.files, layers.below))
    }

    fn add_executable(&self, files: &mut Files, file: &Executable, to: &str) {
        files.stream(to, 0o755, (file.digest.clone(), file.size), self.executables.source(file));
    }

    /// Checks, before anything is compiled, that the files of the service can be copied.
    ///
    /// # Errors
    /// [`FilesError`](crate::build::files::FilesError) with all files that cannot be copied; or the service has no binary.
    pub fn check(&self, lower: &LowerLayers<'_>) -> Result<()> {
        let path = entrypoint(compile::bin_name(self.service)?);
        let copies = self.copies();
        if copies.is_empty() {
            return Ok(());
        }
        let mut tree = lower.tree();
        tree.apply(&self.base().tree())?;
        let has_build_script = self.service.package.has_build_script;
        let package = self.package();
        let copier = FileCopier { package: &package, binary: &path, tree, on_read: self.on_read };
        copier.check(&copies, has_build_script)
    }

    /// The files of the base `scratch`; none for another base.
    fn base(&self) -> Files {
        if base_of(self.service) == "scratch" { scratch::scratch() } else { Files::default() }
    }

    fn package(&self) -> PathBuf {
        self.root.join(&self.service.package.folder)
    }

    fn copies(&self) -> Vec<FileCopy> {
        self.service.image.files.iter().flat_map(|it| it.value.clone()).collect()
    }
}

fn shown(missing: &Missing) -> String {
    match &missing.user {
        Some(user) => format!("{} (for {user})", missing.name),
        None => missing.name.clone(),
    }
}

/// Where missing libraries are, if the loader only does not look there. ld.so(8) reads `/etc/ld.so.cache`, which ldconfig(8)
/// makes of `/etc/ld.so.conf`.
fn hint(missing: &[Missing]) -> String {
    let Some(path) = missing.iter().find_map(|it| it.elsewhere.as_ref()) else { return String::new() };
    format!(
        " where its loader looks (`{path}` is there: name its folder in LD_LIBRARY_PATH with the key `env`, or in \
         `/etc/ld.so.conf`, and run `ldconfig` when you build the base)"
    )
}
