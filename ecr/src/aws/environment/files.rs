//! Reads the two profile files.

use std::path::PathBuf;

use anyhow::{Context, Result};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

use super::Variables;
use super::profile_text::without_empty_keys;
use crate::config::files;

/// The profile files, in the order in which the SDK reads them.
#[derive(Debug)]
pub struct ProfileFiles(Vec<ProfileFile>);

struct ProfileFile {
    kind: EnvConfigFileKind,
    path: PathBuf,
    /// Empty if there is no file.
    text: String,
}

impl std::fmt::Debug for ProfileFile {
    /// The text may contain keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProfileFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ProfileFiles {
    pub fn paths(&self) -> Vec<String> {
        self.0.iter().map(|it| it.path.display().to_string()).collect()
    }

    /// Whether the configuration, in which sections of profiles are named `[profile NAME]`, has one named `[NAME]`.
    pub fn has_bare_section(&self, name: &str) -> bool {
        let configuration = self.0.iter().filter(|it| matches!(it.kind, EnvConfigFileKind::Config));
        let header = format!("[{name}]");
        configuration.flat_map(|it| it.text.lines()).any(|line| line.trim_end() == header)
    }

    /// The files as the SDK reads them: without empty keys and, on request, without endpoints.
    pub fn for_sdk(&self, ignores_endpoints: bool) -> EnvConfigFiles {
        let builder = self.0.iter().fold(EnvConfigFiles::builder(), |builder, it| {
            builder.with_contents(it.kind, without_empty_keys(&it.text, !ignores_endpoints))
        });
        builder.build()
    }

    /// The existing files by their path.
    pub fn by_path(&self) -> EnvConfigFiles {
        let empty = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
        let files = self.0.iter().filter(|it| !it.text.is_empty());
        files.fold(empty, |builder, it| builder.with_file(it.kind, &it.path)).build()
    }
}

/// Reads the profile files at their default places, or where the variables say that they are. As in the AWS CLI, a file
/// that cannot be opened is one without profiles.
pub fn read(variables: &Variables) -> Result<ProfileFiles> {
    let files = [
        (EnvConfigFileKind::Config, "AWS_CONFIG_FILE", "~/.aws/config"),
        (EnvConfigFileKind::Credentials, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ];
    let read = |(kind, variable, default): (_, &str, &str)| {
        let path = expanded(variables.get(variable).map_or(default, |it| it));
        let text = match files::text(&path) {
            Ok(text) => text,
            Err(error) if ecr_types::text::NotText::of(&error).is_none() => String::new(),
            Err(error) => return Err(error).with_context(|| format!("failed to read `{}`", path.display())),
        };
        Ok(ProfileFile { kind, path, text })
    };
    files.into_iter().map(read).collect::<Result<_>>().map(ProfileFiles)
}

/// The path, with `~` replaced by the home folder.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => path.into(),
    }
}
