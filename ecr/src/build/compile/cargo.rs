//! The command line and the environment of `cargo build`.

use std::process::Command;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::linkage::Linkage;
use super::{Options, environment, rustflags, wrapper};

/// `cargo build` for a linkage, without the choice of packages and features.
///
/// # Errors
/// The configuration of cargo cannot be read.
pub(super) fn command(options: &Options, linkage: &Linkage, is_foreign: bool) -> Result<Command> {
    let folder = linkage.target_folder(&options.target);
    let build_folder = options.build.as_ref().map(|it| linkage.target_folder(it));
    let configs = rustflags::configs(&options.root)?;
    let user_wrapper = wrapper::of_user(|key: &str| std::env::var_os(key), &configs);
    let mut flags = rustflags::for_image(configs.into_iter().map(|it| it.1).collect(), linkage)?;
    let folders: Vec<_> = build_folder.iter().cloned().chain([folder.clone()]).collect();
    let own = rustflags::for_workspace(&options.root, &folders);
    let script = match &user_wrapper {
        Some(it) => Some(wrapper::script(&folder.join("xtask-ecr/rustc-wrapper"), it, &options.root, &own)?),
        None => {
            flags.extend(own);
            None
        }
    };
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(&options.root);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // zig contains a linker and C libraries for all targets.
    let subcommand = if is_foreign && has_zigbuild() { "zigbuild" } else { "build" };
    let (triple, profile) = (&linkage.triple, &options.profile);
    let command =
        cmd!(sh, "{cargo} {subcommand} --target {triple} --profile {profile} --target-dir {folder}");
    let command = command.args(["--message-format", "json-diagnostic-rendered-ansi"]).args(&options.flags);
    let mut command = Command::from(command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")));
    environment::apply(&mut command, &options.target);
    command.envs(script.map(|it| ("RUSTC_WRAPPER", it)));
    // What is linked statically and what is not would overwrite one another there, too.
    command.envs(build_folder.map(|it| ("CARGO_BUILD_BUILD_DIR", it)));
    Ok(command)
}

fn has_zigbuild() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|it| it.join("cargo-zigbuild").is_file())
}

/// Whether a line of cargo's output is about the artifact of a library. There are hundreds, and parsing them is slow in a dev
/// build.
pub(super) fn is_about_library(line: &str) -> bool {
    [r#""executable":null,"fresh":true}"#, r#""executable":null,"fresh":false}"#]
        .iter()
        .any(|it| line.ends_with(it))
}
