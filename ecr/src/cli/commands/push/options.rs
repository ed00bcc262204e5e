//! What a push is asked to do: flags and workspace -> services, builder, tags.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use ecr_oci::cache::LayerCache;
use ecr_oci::image::compression::Compression;

use super::bases::BaseCache;
use super::build::Builder;
use super::docker::Ways;
use crate::build::compile::{self, Toolchain};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::desired::Service;
use crate::config::tag_template::TagTemplate;
use crate::config::workspace::Workspace;

pub(super) fn services(flags: &flags::Push, workspace: &Workspace) -> Result<Vec<Service>, Failure> {
    let services = flags.common.selection.services(&workspace.desired)?;
    if services.is_empty() {
        return Err(Failure::new("the workspace has no service to push").with_help(
            "a package becomes a service by an empty table [package.metadata.ecr] in its Cargo.toml",
        ));
    }
    Ok(services.into_iter().cloned().collect())
}

/// How everything is built. A binary that is given for all services has to be a folder of them.
pub(super) fn builder(
    flags: &flags::Push,
    shell: &Shell,
    workspace: &Workspace,
    services: &[Service],
    toolchain: Toolchain,
) -> Result<Builder, Failure> {
    let file = flags.binary.iter().find(|it| it.path.is_file());
    if let (Some(file), true) = (file, services.len() > 1) {
        let path = file.path.display();
        let message = format!("`{path}` is one binary, and {} services are to be pushed", services.len());
        return Err(
            Failure::new(message).with_help("choose one with -p, or name a folder that holds all of them")
        );
    }
    let options = compile::Options {
        root: workspace.root.clone(),
        target: workspace.target.clone(),
        profile: flags.cargo.profile.clone(),
        flags: cargo_flags(flags, shell),
    };
    Ok(Builder {
        options,
        toolchain,
        cache: LayerCache::new(&workspace.target),
        platforms: flags.platform.clone(),
        ways: Ways::new(flags, workspace)?,
        base_cache: BaseCache(workspace.target.join("xtask-ecr/bases")),
        given: Mutex::default(),
        // An engine unpacks what it is given and keeps the bytes of no layer, so it gets what every version reads.
        compression: (flags.load && flags.oci_layout.is_none()).then_some(Compression::Gzip),
        binaries: flags.binary.iter().map(|it| (it.platform.clone(), it.path.clone())).collect(),
    })
}

pub(super) fn tags(flags: &flags::Push, service: &Service) -> Vec<TagTemplate> {
    match flags.tag.as_slice() {
        [] => TagTemplate::configured(service),
        given => given.to_vec(),
    }
}

fn cargo_flags(flags: &flags::Push, shell: &Shell) -> Vec<String> {
    let cargo = &flags.cargo;
    let switches = [(cargo.locked, "--locked"), (cargo.offline, "--offline"), (cargo.frozen, "--frozen")];
    let switches = switches.into_iter().filter(|(is_on, _)| *is_on).map(|(_, flag)| flag.to_owned());
    let jobs = cargo.jobs.map(|it| format!("--jobs={it}"));
    switches.chain(jobs).chain(shell.cargo_flags()).collect()
}

/// Made before anybody is asked, so that a path that cannot be written is told first.
pub(super) fn create_file(path: &Path) -> Result<File, Failure> {
    Ok(File::create(path).with_context(|| format!("failed to create `{}`", path.display()))?)
}
