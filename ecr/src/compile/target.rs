//! Which target to compile for.

use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::metadata::Platform;

/// The compiler's host and the target that images of its platform are compiled for.
#[derive(Debug, Clone)]
pub struct Toolchain {
    triple: String,
    platform: Platform,
}

impl Toolchain {
    /// Asks rustc, in the workspace (which may pin its toolchain).
    pub fn find(root: &Path) -> Result<Self> {
        let sh = Shell::new().context("failed to find the current directory")?;
        sh.change_dir(root);
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = cmd!(sh, "{rustc} -vV").quiet().read().context("failed to run rustc")?;
        let host = version.lines().find_map(|it| it.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let is_installed = |triple: &String| {
            let folder =
                cmd!(sh, "{rustc} --print target-libdir --target {triple}").quiet().ignore_stderr().read();
            folder.is_ok_and(|it| Path::new(it.trim()).exists())
        };
        let architecture = host.split('-').next().unwrap_or_default();
        let candidates = candidates(&host, architecture);
        let triple = candidates.iter().find(|it| is_installed(it)).cloned();
        let Some(triple) = triple else {
            bail!("no Linux target is installed: run `rustup target add {architecture}-unknown-linux-musl`");
        };
        let platform = format!("linux/{}", go_architecture(architecture));
        Ok(Self { triple, platform: platform.parse().map_err(anyhow::Error::msg)? })
    }

    /// The target triple.
    pub fn triple(&self) -> &str {
        &self.triple
    }

    /// The platform of images.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }
}

/// musl first: its static binaries have nothing left to look up at run time. The host itself where that is Linux.
fn candidates(host: &str, architecture: &str) -> Vec<String> {
    let musl = format!("{architecture}-unknown-linux-musl");
    let host = (host.contains("-linux-") && host != musl).then(|| host.to_owned());
    std::iter::once(musl).chain(host).collect()
}

/// GOARCH's name of the architecture in a target triple.
fn go_architecture(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i686" => "386",
        "riscv64gc" => "riscv64",
        "powerpc64le" => "ppc64le",
        other => other,
    }
}
