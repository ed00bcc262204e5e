//! `cargo build` of one service -> [`Binary`].
//!
//! Static first: a binary without libraries needs no base image. Where a dependency cannot be linked statically,
//! the binary is linked as usual and goes with the shared libraries that it names.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use ecr_oci::image::elf::Elf;
use ecr_types::Platform;
use xshell::{Shell, cmd};

use crate::config::desired::Service;

mod environment;
mod executable;
mod libraries;
mod linkage;
mod rustflags;
mod stamp;
mod target;

pub use executable::Executable;
use executable::ExecutableCache;
pub use libraries::Library;
use linkage::{Linkage, LinkageCache};
pub use target::{BuildTarget, Toolchain};

/// Where and how to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// The workspace's root.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// The cargo profile.
    pub profile: String,
    /// `--locked`, `--offline` and the like.
    pub flags: Vec<String>,
}

/// A service's executable, and what it needs.
#[derive(Debug, Clone)]
pub struct Binary {
    /// The file.
    pub file: Executable,
    /// The binary target's name.
    pub name: String,
    /// The shared libraries that go with it, the dynamic loader among them; empty for a static binary, and until
    /// [`with_libraries`] has looked for them.
    pub libraries: Vec<Library>,
    /// Why it is not static, if it is not.
    pub why_dynamic: Option<String>,
    /// The diagnostics of the compiler (warnings), rendered for the terminal.
    pub diagnostics: String,
}

/// Builds a service for a platform.
///
/// Each service is a cargo invocation of its own: with several `-p` flags cargo unifies their features, and a
/// service's bytes would depend on which others were selected.
pub fn build(options: &Options, target: &BuildTarget, service: &Service) -> Result<Binary> {
    let bin = bin_name(service)?;
    let manifest = options.root.join(&service.package.folder).join("Cargo.toml");
    let architecture = target.platform.to_string().replace('/', "-");
    let title = format!("{}-{architecture}", service.package.name);
    let memory = LinkageCache::new(&options.target, &options.root, &manifest, &title);
    // What worked with a toolchain that is no longer there is no way to begin with.
    let remembered = memory.read().filter(|(linkage, _)| target.linkages().contains(linkage));
    let built = match remembered {
        Some((linkage, reason)) => try_linkages(options, target, service, bin, &linkage, reason)?,
        None => try_linkages(options, target, service, bin, target.first(), None)?,
    };
    memory
        .write(&built.linkage, built.why_dynamic.as_deref())
        .context("failed to write to the target folder")?;
    let binary = checked(service, &target.platform, built.file)?;
    let why_dynamic = built.why_dynamic.filter(|_| !binary.file.elf.is_static());
    Ok(Binary { why_dynamic, diagnostics: built.diagnostics, ..binary })
}

/// The first of the given binaries that is a file, and so of one service only.
pub fn single_file(binaries: &[(Platform, PathBuf)]) -> Option<&Path> {
    binaries.iter().map(|(_, path)| path.as_path()).find(|it| it.is_file())
}

/// A binary that was built elsewhere: `path` is the file, or a folder that holds it by its name.
pub fn prebuilt(options: &Options, service: &Service, platform: &Platform, path: &Path) -> Result<Binary> {
    let path = if path.is_dir() { path.join(bin_name(service)?) } else { path.to_owned() };
    let file = ExecutableCache::new(&options.target).read(&path)?;
    checked(service, platform, file)
}

/// The binary with the libraries of this machine that it needs, for an image that has none.
pub fn with_libraries(options: &Options, binary: Binary) -> Result<Binary> {
    let libraries = libraries::closure(&binary.file, &ExecutableCache::new(&options.target))?;
    Ok(Binary { libraries, ..binary })
}

/// A binary that is there, checked against its platform.
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

/// Tries one way to link after the other, from `first` on, until one works.
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
        match cargo(options, target, linkage, service, bin)? {
            CargoOutcome::Built(path, diagnostics) => {
                let file = ExecutableCache::new(&options.target).read(&path)?;
                // lld links shared libraries into a static binary without a word; nothing would load them.
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
            // Another C library may want a C compiler of its own, which not everybody has.
            CargoOutcome::Failed(diagnostics) if target.is_host(linkage) => {
                bail!(build_error(service, &diagnostics));
            }
            CargoOutcome::Failed(diagnostics) => last_diagnostics = diagnostics,
        }
    }
    bail!(build_error(service, &last_diagnostics))
}

fn build_error(service: &Service, diagnostics: &str) -> String {
    let diagnostics = diagnostics.trim_end();
    match diagnostics.is_empty() {
        true => format!("cargo failed to build `{}`; see its output above", service.package.name),
        false => format!("cargo failed to build `{}`:\n{diagnostics}", service.package.name),
    }
}

/// The configured binary target, else the only one, else the one named like the package.
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
    /// Everything compiled and the linker refused: its first reason, and all of it.
    NotLinked(String, String),
    /// The diagnostics.
    Failed(String),
}

fn cargo(
    options: &Options,
    target: &BuildTarget,
    linkage: &Linkage,
    service: &Service,
    bin: &str,
) -> Result<CargoOutcome> {
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(&options.root);
    let folder = linkage.target_folder(&options.target);
    let flags = rustflags::for_image(&options.root, &folder, linkage)?;
    let manifest = options.root.join(&service.package.folder).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (triple, profile) = (&linkage.triple, &options.profile);
    // zig brings a linker and a C library for every target.
    let subcommand = if target.is_foreign(linkage) && has_zigbuild() { "zigbuild" } else { "build" };
    let mut command =
        cmd!(sh, "{cargo} {subcommand} --manifest-path {manifest} --bin {bin} --target {triple}")
            .args(["--profile", profile, "--message-format", "json-diagnostic-rendered-ansi"])
            .arg("--target-dir")
            .arg(folder)
            .args(feature_flags(service))
            .args(&options.flags)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .ignore_status()
            .quiet();
    for (key, value) in environment::changes(&options.target, std::env::vars_os()) {
        command = match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let output = command.read().context("failed to run cargo")?;
    Ok(read_messages(&output, bin))
}

fn has_zigbuild() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|it| it.join("cargo-zigbuild").is_file())
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

fn read_messages(output: &str, bin: &str) -> CargoOutcome {
    let mut executable = None;
    let mut link_error = None;
    let mut diagnostics = String::new();
    let mut is_built = false;
    // Hundreds of artifacts are no executables, and need not be taken apart.
    let ends = [r#""executable":null,"fresh":true}"#, r#""executable":null,"fresh":false}"#];
    let relevant: Vec<_> = output.lines().filter(|it| !ends.iter().any(|end| it.ends_with(end))).collect();
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

/// The linker's first complaint, without the pages of its command line.
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
