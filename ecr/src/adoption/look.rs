//! Reads a workspace as it is, whether or not it uses this tool.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package, TargetKind};

use super::{PackageFound, Source, Surroundings, cargo_config_path};
use crate::aws::caller::Caller;
use crate::build::git;
use crate::config::files;
use crate::process::Patience;

/// Looks at a workspace. What AWS would say of its [`Surroundings`] is left out.
///
/// # Errors
/// A file cannot be read, or git does not end.
pub fn look(metadata: &Metadata, patience: &Patience) -> Result<Surroundings> {
    let root = metadata.workspace_root.as_std_path();
    let has_git = git::working_tree(root, None, patience)?.is_some();
    let members = metadata.workspace_packages();
    // cargo before 1.71 does not tell.
    let default = Some(&metadata.workspace_default_members).filter(|it| it.is_available());
    let is_default = |it: &Package| default.is_none_or(|all| all.contains(&it.id));
    let package = |it: &&Package| package(root, it, is_default(it), has_git, patience);
    let mut packages = members.iter().map(package).collect::<Result<Vec<_>>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let has_old_cargo_config = root.join(cargo_config_path(true)).is_file();
    Ok(Surroundings {
        folder: root.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default(),
        packages,
        root_manifest: optional(root, "Cargo.toml")?.unwrap_or_default(),
        cargo_config: optional(root, cargo_config_path(has_old_cargo_config))?,
        has_old_cargo_config,
        repositories: optional(root, "ecr/repositories.json")?,
        lifecycle_policy: optional(root, "ecr/lifecycle-policy.json")?,
        gitignore: optional(root, ".gitignore")?,
        lock: optional(root, "Cargo.lock")?,
        xtask: optional(root, "xtask/Cargo.toml")?,
        has_git,
        caller: Caller::default(),
    })
}

fn package(
    root: &Path,
    package: &Package,
    is_default_member: bool,
    has_git: bool,
    patience: &Patience,
) -> Result<PackageFound> {
    let path = package.manifest_path.as_std_path();
    let manifest = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    let folder = path.parent().unwrap_or(root);
    let bins = package.targets.iter().filter(|it| it.kind.contains(&TargetKind::Bin));
    let version = package.version.to_string();
    let text = optional(root, &manifest)?.unwrap_or_default();
    // Where the version is written.
    let versioned = if inherits_version(&text) { root.join("Cargo.toml") } else { path.to_owned() };
    let changed = match has_git {
        true => git::changed_since_line(folder, &versioned, &version_line(&version), patience)?,
        false => None,
    };
    Ok(PackageFound {
        name: package.name.to_string(),
        changed_since_version: changed,
        version,
        text,
        manifest,
        bins: bins.map(|it| it.name.clone()).collect(),
        has_dockerfile: folder.join("Dockerfile").exists(),
        is_default_member,
    })
}

/// Whether a manifest has `version.workspace = true`.
fn inherits_version(manifest: &str) -> bool {
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let version = manifest.get("package").and_then(|it| it.get("version"));
    version.is_some_and(|it| it.get("workspace").and_then(toml::Value::as_bool) == Some(true))
}

/// The line of a version in a manifest, as an extended regular expression.
fn version_line(version: &str) -> String {
    let escaped = version.replace('.', "[.]").replace('+', "[+]");
    format!("version *= *[\"']{escaped}[\"']")
}

fn optional(root: &Path, path: &str) -> Result<Option<String>> {
    match files::text(&root.join(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read `{path}`")),
    }
}

/// Where the tool is: an address, or a folder with the package, or with `ecr` in it.
///
/// # Errors
/// The folder has no such package.
pub fn source(root: &Path, text: &str) -> Result<Source> {
    if text.contains("://") || text.starts_with("git@") {
        return Ok(Source::Git(text.to_owned()));
    }
    let is_package =
        |it: &Path| files::text(&it.join("Cargo.toml")).is_ok_and(|it| it.contains("name = \"xtask-ecr\""));
    let found =
        [Path::new(text).to_owned(), Path::new(text).join("ecr")].into_iter().find(|it| is_package(it));
    let found = found
        .with_context(|| format!("`{text}` has no package `xtask-ecr`, and no folder `ecr` with one"))?;
    let absolute = found.canonicalize().with_context(|| format!("failed to find `{text}`"))?;
    let below = root.canonicalize().ok().and_then(|root| Some(absolute.strip_prefix(root).ok()?.to_owned()));
    Ok(Source::Path(below.unwrap_or(absolute).to_string_lossy().into_owned()))
}
