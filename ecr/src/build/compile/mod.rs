//! `cargo build` of one service -> [`Binary`].
//!
//! Static linking is tried first, because a static binary needs no base image. If a dependency cannot be linked
//! statically, the binary is linked dynamically, and its shared libraries are added to the image.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use ecr_oci::image::elf::Elf;
use ecr_types::Platform;

use crate::config::desired::Service;

mod cargo;
mod environment;
mod executable;
mod groups;
mod libraries;
mod linkage;
pub mod prebuilt;
mod resolution;
mod resolver;
mod rustflags;
mod scripts;
mod sources;
mod stamp;
mod stop;
mod target;
mod together;
mod wrapper;

pub use executable::{Executable, ExecutableCache};
pub use groups::Agreements;
pub use libraries::Library;
pub use linkage::KnownLinkages;
use linkage::{KnownLinkage, Linkage, LinkageCache, WorkspaceFiles};
use prebuilt::PrebuiltUser;
pub use rustflags::configurations;
pub use scripts::ScriptLog;
pub use sources::{crates, dep_info, unifies_development};
pub use stop::Stop;
pub use target::{BuildTarget, Toolchain};
pub use together::{
    Compiled, Event, OnLine, build as build_together, prepare as prepare_together, were_built,
};

/// The options of `cargo build`.
#[derive(Debug, Clone)]
pub struct Options {
    /// The root of the workspace.
    pub root: PathBuf,
    /// The target folder of cargo.
    pub target: PathBuf,
    /// The folder for what cargo makes on the way, if it is another one (The Cargo Book, `build.build-dir`).
    pub build: Option<PathBuf>,
    /// The cargo profile.
    pub profile: String,
    /// Additional flags such as `--locked` and `--offline`.
    pub flags: Vec<String>,
    /// The folder of the toolchain.
    pub toolchain: PathBuf,
    /// The time of the commit, in seconds since 1970, for services with `source-date-epoch`.
    pub commit_time: Option<u64>,
    /// What build scripts have told cargo.
    pub scripts: Arc<ScriptLog>,
    pub executables: ExecutableCache,
    /// Which services may be built together.
    pub agreements: Arc<Agreements>,
    /// How services were linked before.
    pub linkages: Arc<KnownLinkages>,
    /// The manifests of the members of the workspace.
    pub manifests: Vec<PathBuf>,
    /// The manifests outside of the workspace that members depend on by path.
    pub outside: Vec<PathBuf>,
}

/// The executable of a service, with its libraries.
#[derive(Debug, Clone)]
pub struct Binary {
    pub file: Executable,
    /// The name of the binary target.
    pub name: String,
    /// The shared libraries to add to the image, including the dynamic loader. Empty for a static binary, and before
    /// [`with_libraries`].
    pub libraries: Vec<Library>,
    /// Why the binary is not static.
    pub why_dynamic: Option<String>,
    /// The diagnostics of the compiler (warnings), rendered for the terminal.
    pub diagnostics: String,
}

/// Builds a service for a platform, by an invocation of cargo of its own. An executable that was built together with others is
/// taken instead, if it is linked as it must be.
pub fn build(
    options: &Options,
    target: &BuildTarget,
    service: &Service,
    compiled: Option<Compiled>,
) -> Result<Binary> {
    let taken = compiled.map(|it| take(options, target, it)).transpose()?.flatten();
    let built = match taken {
        Some((taken, true)) => taken,
        taken => {
            let cache = LinkageCache::of(options, &WorkspaceFiles::read(&options.root), service, target);
            let built = match taken {
                Some((taken, _)) => taken,
                None => build_alone(options, target, service, cache.read(target))?,
            };
            let known = KnownLinkage { linkage: built.linkage.clone(), reason: built.why_dynamic.clone() };
            cache.write(known).context("failed to write to the target folder")?;
            built
        }
    };
    let binary = checked(service, &target.platform, built.file)?;
    let why_dynamic = built.why_dynamic.filter(|_| !binary.file.elf.is_static());
    Ok(Binary { why_dynamic, diagnostics: built.diagnostics, ..binary })
}

fn build_alone(
    options: &Options,
    target: &BuildTarget,
    service: &Service,
    known: Option<KnownLinkage>,
) -> Result<CompiledBinary> {
    let (first, reason) = match known {
        Some(KnownLinkage { linkage, reason }) => (linkage, reason),
        None => (target.first().clone(), None),
    };
    try_linkages(options, target, service, bin_name(service)?, &first, reason)
}

/// An executable that was built together with others, and whether its linkage is in the cache; `None` if it is not static
/// although it is linked statically, so that another linkage has to be tried.
fn take(
    options: &Options,
    target: &BuildTarget,
    compiled: Compiled,
) -> Result<Option<(CompiledBinary, bool)>> {
    let Compiled { path, linkage, known, diagnostics } = compiled;
    let is_known = known.is_some();
    let why_dynamic = known.and_then(|it| it.reason);
    let file = options.executables.read(&path)?;
    let is_as_wanted =
        !linkage.is_static || file.elf.is_static() || target.linkages().last() == Some(&linkage);
    let taken = CompiledBinary { file, linkage, diagnostics, why_dynamic };
    Ok(is_as_wanted.then_some((taken, is_known)))
}

/// Reads a prebuilt binary. `path` is the file, or a folder that contains a file with the name of the binary target.
///
/// # Errors
/// There is no such file, or it is for another platform.
pub fn prebuilt(options: &Options, service: &Service, platform: &Platform, path: &Path) -> Result<Binary> {
    let path = prebuilt::file_of(platform, path, prebuilt_user(service)?)?;
    let file = options.executables.read(&path)?;
    checked(service, platform, file)
}

/// The names by which a service finds its prebuilt binary.
///
/// # Errors
/// The binary target is not known; see [`bin_name`].
pub fn prebuilt_user(service: &Service) -> Result<PrebuiltUser<'_>> {
    Ok(PrebuiltUser { package: service.name.as_str(), bin: bin_name(service)? })
}

/// Adds the shared libraries of this machine that the binary needs.
pub fn with_libraries(options: &Options, binary: Binary) -> Result<Binary> {
    let libraries = libraries::closure(&binary.file, &options.executables)?;
    Ok(Binary { libraries, ..binary })
}

/// Checks that an executable is for `platform` and can be loaded.
fn checked(service: &Service, platform: &Platform, file: Executable) -> Result<Binary> {
    check_architecture(&file, platform)?;
    check_loader(&file)?;
    Ok(Binary {
        name: bin_name(service)?.to_owned(),
        libraries: Vec::new(),
        why_dynamic: None,
        diagnostics: String::new(),
        file,
    })
}

struct CompiledBinary {
    file: Executable,
    linkage: Linkage,
    diagnostics: String,
    why_dynamic: Option<String>,
}

/// Tries the linkages in their order, beginning with `first`, until one succeeds. `reason` is why the linkages before
/// `first` failed.
fn try_linkages(
    options: &Options,
    target: &BuildTarget,
    service: &Service,
    bin: &str,
    first: &Linkage,
    mut reason: Option<String>,
) -> Result<CompiledBinary> {
    let mut last_diagnostics = String::new();
    for linkage in target.linkages().iter().skip_while(|it| *it != first) {
        let is_last = target.linkages().last() == Some(linkage);
        match run_cargo(options, target, linkage, service, bin)? {
            CargoOutcome::Built(path, diagnostics) => {
                let file = options.executables.read(&path)?;
                // lld silently creates a "static" binary that needs shared libraries, which nothing would load.
                if linkage.is_static && !file.elf.is_static() && !is_last {
                    reason = Some(format!("it needs {}", file.elf.needed.join(", ")));
                    continue;
                }
                let linkage = linkage.clone();
                return Ok(CompiledBinary { file, linkage, diagnostics, why_dynamic: reason });
            }
            CargoOutcome::NotLinked(why, diagnostics) => {
                reason.get_or_insert(why);
                last_diagnostics = diagnostics;
            }
            // A failure for another C library may only mean that its C compiler is not installed.
            CargoOutcome::Failed(diagnostics) if target.is_host(linkage) => {
                bail!(build_error(service, &diagnostics));
            }
            CargoOutcome::Failed(diagnostics) => last_diagnostics = diagnostics,
        }
    }
    bail!(build_error(service, &last_diagnostics))
}

fn build_error(service: &Service, diagnostics: &str) -> String {
    // An error is text. Its colours are those of the shell.
    let diagnostics = anstream::adapter::strip_str(diagnostics).to_string();
    let diagnostics = diagnostics.trim_end();
    match diagnostics.is_empty() {
        true => format!("cargo failed to build `{}`; see its output above", service.name),
        false => format!("cargo failed to build `{}`:\n{diagnostics}", service.name),
    }
}

/// The configured binary target, or the only one, or the one with the name of the package.
pub fn bin_name(service: &Service) -> Result<&str> {
    let bins = &service.package.bins;
    let name = service.package.name.as_str();
    let listed = || bins.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    match (&service.image.bin, bins.as_slice()) {
        (Some(bin), _) if bins.contains(&bin.value) => Ok(&bin.value),
        (Some(bin), _) => {
            bail!("{}: package `{name}` has no binary `{}`; it has {}", bin.place, bin.value, listed())
        }
        (None, [only]) => Ok(only),
        (None, []) => bail!("package `{name}` has no binary target"),
        (None, several) if several.iter().any(|it| it == name) => Ok(name),
        (None, _) => bail!(
            "package `{name}` has several binaries: {}; choose one in [package.metadata.ecr.image]: bin = \"...\"",
            listed()
        ),
    }
}

enum CargoOutcome {
    /// The path of the executable, and the diagnostics.
    Built(PathBuf, String),
    /// The linker failed: its first error message, and the diagnostics.
    NotLinked(String, String),
    /// The diagnostics.
    Failed(String),
}

fn run_cargo(
    options: &Options,
    target: &BuildTarget,
    linkage: &Linkage,
    service: &Service,
    bin: &str,
) -> Result<CargoOutcome> {
    let mut command = cargo::command(options, linkage, target.is_foreign(linkage))?;
    command.arg("--manifest-path").arg(options.root.join(&service.package.folder).join("Cargo.toml"));
    command.args(["--bin", bin]).args(feature_flags(service)).stderr(Stdio::inherit());
    command.envs(environment::clock(options, service)?);
    let output = command.output().context("failed to run cargo")?;
    Ok(read_messages(&String::from_utf8_lossy(&output.stdout), bin, &options.scripts))
}

fn feature_flags(service: &Service) -> Vec<String> {
    let features = service.image.features.iter().flat_map(|it| &it.value);
    let features: Vec<_> = features.map(|it| it.value.as_str()).collect();
    let mut flags = Vec::new();
    if !features.is_empty() {
        flags.extend(["--features".to_owned(), features.join(",")]);
    }
    if service.image.no_default_features.as_ref().is_some_and(|it| it.value) {
        flags.push("--no-default-features".to_owned());
    }
    flags
}

fn read_messages(output: &str, bin: &str, scripts: &ScriptLog) -> CargoOutcome {
    let mut executable = None;
    let mut link_error = None;
    let mut diagnostics = String::new();
    let mut is_built = false;
    let relevant: Vec<_> = output.lines().filter(|it| !cargo::is_about_library(it)).collect();
    for message in Message::parse_stream(relevant.join("\n").as_bytes()).flatten() {
        match message {
            Message::CompilerArtifact(artifact) if artifact.target.name == bin => {
                executable = artifact.executable.or(executable);
            }
            Message::CompilerMessage(it) => {
                if it.message.message.starts_with("linking with") {
                    link_error.get_or_insert_with(|| linker_reason(&it.message));
                }
                diagnostics += it.message.rendered.as_deref().unwrap_or_default();
            }
            Message::BuildScriptExecuted(script) => scripts.add(&script),
            Message::BuildFinished(finished) => is_built = finished.success,
            _ => {}
        }
    }
    match (is_built, executable, link_error) {
        (true, Some(path), _) => CargoOutcome::Built(path.into_std_path_buf(), diagnostics),
        (_, _, Some(reason)) => CargoOutcome::NotLinked(reason, diagnostics),
        _ => CargoOutcome::Failed(diagnostics),
    }
}

/// The first error message of the linker, without its long command line.
fn linker_reason(diagnostic: &cargo_metadata::diagnostic::Diagnostic) -> String {
    let lines = diagnostic.children.iter().flat_map(|it| it.message.lines());
    let complaint =
        |line: &&str| line.contains("error:") || line.contains("cannot find") || line.contains("undefined");
    lines.map(str::trim).find(complaint).unwrap_or("the linker failed").to_owned()
}

fn check_architecture(file: &Executable, wanted: &Platform) -> Result<()> {
    match file.elf.architecture() {
        Some(found) if found == wanted.architecture => Ok(()),
        found => bail!(
            "`{}` is built for {}, but the image is for {wanted}",
            file.path.display(),
            found.map_or("an unknown architecture".to_owned(), |it| format!("linux/{it}"))
        ),
    }
}

/// A binary that lists shared libraries but no dynamic loader cannot start.
fn check_loader(file: &Executable) -> Result<()> {
    let Elf { interpreter, needed, .. } = &file.elf;
    anyhow::ensure!(
        interpreter.is_some() || needed.is_empty(),
        "`{}` needs the shared libraries {}, but has no dynamic loader (interpreter) to load them",
        file.path.display(),
        needed.join(", ")
    );
    Ok(())
}
