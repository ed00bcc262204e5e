//! The environment of the cargo process that builds a service.
//!
//! xtask runs under `cargo run`, which sets variables that describe the xtask package. They must not be inherited:
//! build scripts and fingerprints of the inner cargo depend on them, so that it would rebuild fresh crates.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Options;
use crate::config::desired::Service;
use crate::config::metadata::SourceDateEpoch;

/// The variables that `cargo run` sets for the program (The Cargo Book, "Environment variables Cargo
/// sets for crates").
const CARGO_RUN_VARIABLES: [&str; 12] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_RUSTC_CURRENT_DIR",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
    "RUST_RECURSION_COUNT",
    "__CARGO_DEFAULT_LIB_METADATA",
];

/// Gives a command the environment of this process with these changes.
pub(super) fn apply(command: &mut Command, target: &Path) {
    for (key, value) in changes(target, std::env::vars_os()) {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
}

/// What the time is for build scripts and macros that ask for it in the way of reproducible builds
/// (<https://reproducible-builds.org/specs/source-date-epoch/>), if the service says so and the user has not.
///
/// # Errors
/// There is no commit.
pub(super) fn clock(options: &Options, service: &Service) -> Result<Option<(&'static str, String)>> {
    const KEY: &str = "SOURCE_DATE_EPOCH";
    let Some(wanted) = service.image.source_date_epoch.as_ref() else { return Ok(None) };
    if std::env::var_os(KEY).is_some() {
        return Ok(None);
    }
    match (wanted.value, options.commit_time) {
        (SourceDateEpoch::Commit, Some(time)) => Ok(Some((KEY, time.to_string()))),
        (SourceDateEpoch::Commit, None) => {
            bail!("{}: source-date-epoch: there is no git commit", wanted.place)
        }
    }
}

/// The changes to the `inherited` environment: new values, or `None` to remove a variable.
fn changes(
    target: &Path,
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, Option<OsString>)> {
    let change = |(key, value): (OsString, OsString)| {
        let name = key.to_str()?;
        if name.starts_with("CARGO_PKG_") || CARGO_RUN_VARIABLES.contains(&name) {
            return Some((key, None));
        }
        if name == "LD_LIBRARY_PATH" {
            let own = own_search_path(target, &value);
            return (own != Some(value)).then_some((key, own));
        }
        None
    };
    inherited.into_iter().filter_map(change).collect()
}

/// `LD_LIBRARY_PATH` without the folders that `cargo run` prepended.
fn own_search_path(target: &Path, value: &OsString) -> Option<OsString> {
    let is_cargos =
        |path: &Path| path.starts_with(target) || path.components().any(|it| it.as_os_str() == "toolchains");
    let own = std::env::split_paths(value).filter(|it| !it.as_os_str().is_empty() && !is_cargos(it));
    std::env::join_paths(own).ok().filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(key: &str, value: &str) -> Option<Option<String>> {
        let changes = changes(Path::new("/w/target"), [(key.into(), value.into())]);
        changes.into_iter().next().map(|(_, value)| value.map(|it| it.into_string().unwrap()))
    }

    #[test]
    fn environment_of_cargo_run_is_not_inherited() {
        assert_eq!(changed("CARGO_PKG_NAME", "xtask"), Some(None));
        assert_eq!(changed("CARGO_MANIFEST_DIR", "/w/xtask"), Some(None));
        assert_eq!(changed("OUT_DIR", "/w/target/debug/build/x/out"), Some(None));
        assert_eq!(changed("CARGO_HOME", "/root/.cargo"), None);
        assert_eq!(changed("RUSTFLAGS", "-Cdebuginfo=1"), None);
    }

    #[test]
    fn environment_keeps_the_library_path_of_the_user() {
        let cargos = "/w/target/debug/deps:/w/target/debug:/root/.rustup/toolchains/stable/lib";
        assert_eq!(changed("LD_LIBRARY_PATH", cargos), Some(None));
        assert_eq!(
            changed("LD_LIBRARY_PATH", &format!("{cargos}:/opt/lib")),
            Some(Some("/opt/lib".to_owned()))
        );
        assert_eq!(changed("LD_LIBRARY_PATH", "/opt/lib"), None);
    }
}
