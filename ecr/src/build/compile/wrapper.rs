//! The user's compiler wrapper, such as sccache.
//!
//! A cache of compilations takes the arguments of rustc for a part of its key. Those that remap the folders of the workspace differ
//! from folder to folder, so that no crate would be found that another checkout has compiled. With a wrapper they are given to the
//! crates only that can contain these paths, by a script that stands between cargo and the wrapper.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ecr_oci::files;
use toml::{Table, Value};

/// The wrapper that the user has configured: `RUSTC_WRAPPER`, else the key `build.rustc-wrapper` (The Cargo Book,
/// "Configuration"). `configs` are the configuration files in ascending order of precedence, each with its content.
pub(super) fn of_user(
    variable: impl Fn(&str) -> Option<OsString>,
    configs: &[(PathBuf, Table)],
) -> Option<OsString> {
    let variables = ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"];
    if let Some(value) = variables.into_iter().find_map(variable) {
        return Some(value).filter(|it| !it.is_empty());
    }
    let configured = configs.iter().rev().find_map(|(file, config)| {
        let value = config.get("build")?.get("rustc-wrapper").and_then(Value::as_str)?;
        Some((file, value))
    });
    let (file, value) = configured.filter(|(_, it)| !it.is_empty())?;
    // A name is looked for in PATH. A path is relative to the folder that has `.cargo`.
    let folder = file.parent().and_then(Path::parent).filter(|_| value.contains('/'));
    Some(folder.map_or_else(|| value.into(), |it| it.join(value).into_os_string()))
}

/// Writes the script that calls a wrapper, and returns its path. It adds `flags` to the compilations for the target of crates in
/// `root`, and of those with generated sources.
pub(super) fn script(file: &Path, wrapper: &OsString, root: &Path, flags: &[String]) -> Result<PathBuf> {
    let text = text(&wrapper.to_string_lossy(), &root.to_string_lossy(), flags);
    if std::fs::read_to_string(file).is_ok_and(|it| it == text) {
        return Ok(file.to_owned());
    }
    let context = || format!("failed to write `{}`", file.display());
    files::write(file, text.as_bytes()).with_context(context)?;
    executable(file).with_context(context)?;
    Ok(file.to_owned())
}

#[cfg(unix)]
fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn text(wrapper: &str, root: &str, flags: &[String]) -> String {
    let quoted = |it: &str| format!("'{}'", it.replace('\'', r"'\''"));
    let flags: Vec<_> = flags.iter().map(|it| quoted(it)).collect();
    format!(
        r#"#!/bin/sh
# Written by cargo-xtask-ecr: adds the flags that remap the paths of this workspace where they may occur.
for it in "$@"; do
    case $it in --target | --target=*) is_target=1 ;; esac
done
case $PWD/ in {root}/*) is_here=1 ;; esac
if [ -n "$is_target" ] && [ -n "$is_here$OUT_DIR" ]; then
    exec {wrapper} "$@" {flags}
fi
exec {wrapper} "$@"
"#,
        root = quoted(root),
        wrapper = quoted(wrapper),
        flags = flags.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], configs: &[(&str, &str)]) -> String {
        let configs: Vec<_> =
            configs.iter().map(|(file, text)| (file.into(), text.parse().unwrap())).collect();
        let variable = |key: &str| variables.iter().find(|(name, _)| *name == key).map(|(_, it)| it.into());
        of_user(variable, &configs).unwrap_or_default().into_string().unwrap()
    }

    #[test]
    fn wrappers_are_found_as_cargo_finds_them() {
        let config = ("/w/.cargo/config.toml", "build.rustc-wrapper = 'sccache'");
        let path = ("/w/a/.cargo/config.toml", "build.rustc-wrapper = 'tools/wrap'");
        assert_eq!(found(&[], &[]), "");
        assert_eq!(found(&[], &[config]), "sccache");
        assert_eq!(found(&[], &[config, path]), "/w/a/tools/wrap");
        assert_eq!(found(&[("CARGO_BUILD_RUSTC_WRAPPER", "b")], &[config]), "b");
        assert_eq!(found(&[("RUSTC_WRAPPER", "a"), ("CARGO_BUILD_RUSTC_WRAPPER", "b")], &[config]), "a");
        assert_eq!(found(&[("RUSTC_WRAPPER", "")], &[config]), "", "switched off");
    }

    #[test]
    fn the_script_quotes_what_it_is_given() {
        let text =
            text("my wrapper", "/it's here", &["--remap-path-prefix=/it's here=/workspace".to_owned()]);
        assert!(
            text.contains(r#"exec 'my wrapper' "$@" '--remap-path-prefix=/it'\''s here=/workspace'"#),
            "{text}"
        );
        assert!(text.contains(r"case $PWD/ in '/it'\''s here'/*)"), "{text}");
    }
}
