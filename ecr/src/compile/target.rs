//! Which target to compile for.

use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use super::linkage::Linkage;
use crate::metadata::Platform;

/// The compiler's host and the target that images of its platform are compiled for.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Never empty.
    linkages: Vec<Linkage>,
    host: String,
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
        let is_installed = |triple: &str| {
            let folder =
                cmd!(sh, "{rustc} --print target-libdir --target {triple}").quiet().ignore_stderr().read();
            folder.is_ok_and(|it| Path::new(it.trim()).exists())
        };
        let architecture = host.split('-').next().unwrap_or_default().to_owned();
        let mut linkages = linkages(&host, &architecture);
        linkages.retain(|it| it.triple == host || is_installed(&it.triple));
        if linkages.is_empty() {
            bail!("no Linux target is installed: run `rustup target add {architecture}-unknown-linux-musl`");
        }
        let platform = format!("linux/{}", go_architecture(&architecture));
        Ok(Self { linkages, host, platform: platform.parse().map_err(anyhow::Error::msg)? })
    }

    /// The ways to link, the best first.
    pub(super) fn linkages(&self) -> &[Linkage] {
        &self.linkages
    }

    /// The best way.
    pub(super) fn first(&self) -> &Linkage {
        &self.linkages[0]
    }

    /// Whether a way is for the host itself, for which a C compiler is there as it is for every other build.
    pub(super) fn is_host(&self, linkage: &Linkage) -> bool {
        linkage.triple == self.host || self.linkages.last() == Some(linkage)
    }

    /// The platform of images.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }
}

/// musl first: its static binaries have nothing left to look up at run time. Then the host, where that is Linux:
/// statically, and with shared libraries.
fn linkages(host: &str, architecture: &str) -> Vec<Linkage> {
    let linkage = |triple: &str, is_static| Linkage { triple: triple.to_owned(), is_static };
    let musl = format!("{architecture}-unknown-linux-musl");
    let mut linkages = vec![linkage(&musl, true)];
    if host.contains("-linux-") {
        linkages.retain(|it| it.triple != host);
        linkages.extend([linkage(host, true), linkage(host, false)]);
    }
    linkages
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
