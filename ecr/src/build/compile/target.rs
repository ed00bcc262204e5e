//! The Rust targets of platforms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use ecr_types::{Platform, lock};

use super::linkage::Linkage;
use crate::process::{self, Patience};

/// The Rust toolchain of the workspace, which may pin it.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The folder that contains the installed targets.
    sysroot: PathBuf,
    host: String,
    platform: Platform,
    /// The targets that were found. Each service asks for them several times.
    found: Arc<Mutex<BTreeMap<Platform, BuildTarget>>>,
}

/// The Rust targets for a platform.
#[derive(Debug, Clone)]
pub struct BuildTarget {
    /// The possible linkages in descending order of preference. Not empty.
    linkages: Vec<Linkage>,
    host: String,
    pub platform: Platform,
}

impl Toolchain {
    /// Finds the toolchain for `folder`.
    ///
    /// # Errors
    /// rustc cannot be run or does not end, or its output is unexpected.
    pub fn find(folder: &Path, patience: &Patience) -> Result<Self> {
        let (sysroot, host) = match rustup_toolchain() {
            Some(found) => found,
            None => rustc_toolchain(folder, patience)?,
        };
        let architecture = host.split('-').next().unwrap_or_default();
        let platform = format!("linux/{}", go_architecture(architecture));
        let platform = platform.parse().map_err(anyhow::Error::msg)?;
        Ok(Self { sysroot, host, platform, found: Arc::default() })
    }

    /// Its folder.
    pub fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// The platform of this machine.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The installed targets for a platform.
    ///
    /// # Errors
    /// No target for the platform is known or installed.
    pub fn target(&self, platform: &Platform) -> Result<BuildTarget> {
        let mut found = lock(&self.found);
        if let Some(target) = found.get(platform) {
            return Ok(target.clone());
        }
        let target = self.find_target(platform)?;
        found.insert(platform.clone(), target.clone());
        Ok(target)
    }

    fn find_target(&self, platform: &Platform) -> Result<BuildTarget> {
        let Some(architecture) = rust_architecture(platform) else {
            bail!(
                "{platform}: no Rust target is known for this platform; build the binary elsewhere and pass \
                 --binary {platform}=PATH"
            );
        };
        let mut linkages = self.linkages(&architecture);
        linkages.retain(|it| it.triple == self.host || self.is_installed(&it.triple));
        if linkages.is_empty() {
            bail!(
                "{platform}: no Rust target for this platform is installed: run `rustup target add {}`, or build the \
                 binary elsewhere and pass --binary {platform}=PATH",
                architecture.triple(architecture.preferred())
            );
        }
        Ok(BuildTarget { linkages, host: self.host.clone(), platform: platform.clone() })
    }

    /// musl is preferred, because its static binaries load nothing at run time. The GNU C library is second: static,
    /// and for the host also dynamic, because the shared libraries of the host are available.
    fn linkages(&self, architecture: &Architecture) -> Vec<Linkage> {
        let linkage = |triple: &str, is_static| Linkage { triple: triple.to_owned(), is_static };
        let (musl, gnu) = (architecture.triple("musl"), architecture.triple("gnu"));
        let is_own = self.host.contains("-linux-") && self.host.split('-').next() == Some(architecture.cpu);
        let other = if is_own { self.host.as_str() } else { gnu.as_str() };
        let mut linkages = vec![linkage(&musl, true)];
        linkages.retain(|it| it.triple != other);
        linkages.push(linkage(other, true));
        linkages.extend(is_own.then(|| linkage(other, false)));
        linkages
    }

    /// Whether the folder of `rustc --print target-libdir` exists.
    fn is_installed(&self, triple: &str) -> bool {
        self.sysroot.join("lib/rustlib").join(triple).join("lib").exists()
    }
}

impl BuildTarget {
    pub(super) fn linkages(&self) -> &[Linkage] {
        &self.linkages
    }

    /// The preferred linkage.
    pub(super) fn first(&self) -> &Linkage {
        &self.linkages[0]
    }

    /// Whether a linkage is for the host, whose C compiler is available, or is the last one.
    pub(super) fn is_host(&self, linkage: &Linkage) -> bool {
        linkage.triple == self.host || self.linkages.last() == Some(linkage)
    }

    /// Whether a linkage is for another architecture, which the linker of the host does not support.
    pub(super) fn is_foreign(&self, linkage: &Linkage) -> bool {
        linkage.triple.split('-').next() != self.host.split('-').next()
    }
}

/// Sysroot and host of the toolchain of rustup that runs this process, read from its list of components. Running rustc
/// takes as long as `cargo metadata`.
fn rustup_toolchain() -> Option<(PathBuf, String)> {
    std::env::var_os("RUSTUP_TOOLCHAIN").filter(|_| std::env::var_os("RUSTC").is_none())?;
    let cargo = PathBuf::from(std::env::var_os("CARGO")?);
    let sysroot = cargo.parent()?.parent()?;
    let components = std::fs::read_to_string(sysroot.join("lib/rustlib/components")).ok()?;
    Some((sysroot.to_owned(), host_of(&components)?.to_owned()))
}

/// The host in the component `rustc-x86_64-unknown-linux-gnu`. Other components begin with `rustc-` as well, such as
/// `rustc-dev-x86_64-unknown-linux-gnu`.
fn host_of(components: &str) -> Option<&str> {
    let mut hosts = components.lines().filter_map(|it| it.strip_prefix("rustc-"));
    hosts.find(|it| ARCHITECTURES.iter().any(|(_, cpu)| it.starts_with(&format!("{cpu}-"))))
}

/// Sysroot and host, as rustc prints them.
fn rustc_toolchain(folder: &Path, patience: &Patience) -> Result<(PathBuf, String)> {
    let mut rustc = rustc();
    let rustc = rustc.args(["--print", "sysroot", "--print", "host-tuple"]).current_dir(folder);
    let output = process::output(rustc, &[], patience)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unknown print request") {
        return older_toolchain(folder, patience);
    }
    ensure!(output.status.success(), "rustc failed: {}", said.trim());
    let output = String::from_utf8_lossy(&output.stdout);
    let lines = output.split_once('\n');
    let (sysroot, host) = lines.context("unexpected output of `rustc --print sysroot --print host-tuple`")?;
    Ok((PathBuf::from(sysroot), host.trim().to_owned()))
}

/// The same of a rustc before 1.84, which does not know `host-tuple`.
fn older_toolchain(folder: &Path, patience: &Patience) -> Result<(PathBuf, String)> {
    let ask = |args: &[&str]| -> Result<String> {
        let output = process::output(rustc().args(args).current_dir(folder), &[], patience)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "rustc failed: {}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = ask(&["-vV"])?;
    let host = version.lines().find_map(|it| it.strip_prefix("host: "));
    let host = host.context("unexpected output of `rustc -vV`")?.to_owned();
    Ok((PathBuf::from(ask(&["--print", "sysroot"])?), host))
}

/// The compiler that the user has chosen.
pub(super) fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// An architecture in target triples.
struct Architecture {
    cpu: &'static str,
    /// The suffix of the name of the C library, such as `eabihf`.
    abi: &'static str,
}

impl Architecture {
    /// The C library of the target to recommend: musl, if rustup provides the target.
    fn preferred(&self) -> &'static str {
        if matches!(self.cpu, "x86_64" | "aarch64" | "i686" | "arm" | "armv7") { "musl" } else { "gnu" }
    }

    fn triple(&self, libc: &str) -> String {
        format!("{}-unknown-linux-{libc}{}", self.cpu, self.abi)
    }
}

/// The names of architectures in platforms (GOARCH) and in target triples.
const ARCHITECTURES: [(&str, &str); 6] = [
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("386", "i686"),
    ("riscv64", "riscv64gc"),
    ("ppc64le", "powerpc64le"),
    ("s390x", "s390x"),
];

fn rust_architecture(platform: &Platform) -> Option<Architecture> {
    if platform.architecture == "arm" {
        // The default variant of linux/arm is v7, as in docker.
        let cpu = if platform.variant.as_deref() == Some("v6") { "arm" } else { "armv7" };
        return Some(Architecture { cpu, abi: "eabihf" });
    }
    let found = ARCHITECTURES.into_iter().find(|(go, _)| *go == platform.architecture);
    found.map(|(_, cpu)| Architecture { cpu, abi: "" })
}

/// The GOARCH name of the architecture `cpu` of a target triple.
fn go_architecture(cpu: &str) -> &str {
    ARCHITECTURES.into_iter().find(|(_, rust)| *rust == cpu).map_or(cpu, |(go, _)| go)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_triples() {
        let triple =
            |platform: &str| rust_architecture(&platform.parse().unwrap()).map(|it| it.triple("musl"));
        assert_eq!(triple("linux/arm64").as_deref(), Some("aarch64-unknown-linux-musl"));
        assert_eq!(triple("linux/arm64/v8").as_deref(), Some("aarch64-unknown-linux-musl"));
        assert_eq!(triple("linux/arm/v7").as_deref(), Some("armv7-unknown-linux-musleabihf"));
        assert_eq!(triple("linux/mips"), None);
        assert_eq!(go_architecture("x86_64"), "amd64");
    }

    #[test]
    fn toolchain_host_is_read_from_its_components() {
        let components = "cargo-x86_64-unknown-linux-gnu\nrustc-dev-x86_64-unknown-linux-gnu\n\
                          rust-std-aarch64-unknown-linux-musl\nrustc-x86_64-unknown-linux-gnu\n";
        assert_eq!(host_of(components), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host_of("cargo-x86_64-unknown-linux-gnu\n"), None);
        // It is the one that rustc prints.
        if let Some(read) = rustup_toolchain() {
            assert_eq!(read, rustc_toolchain(Path::new("."), &Patience::silent()).unwrap());
        }
    }
}
