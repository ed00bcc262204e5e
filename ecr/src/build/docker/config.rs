//! A temporary configuration of docker and podman: a copy of the user's configuration with one additional credential.
//!
//! The user's credentials and credential helpers are available for `FROM`, and plugins and contexts work as usual. The
//! token of the registry is stored only in a file of this folder, never in a `credsStore`. The user's files are not
//! changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use ecr_oci::credentials::{AuthFile, docker_config_folder, podman_auth_files};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The folder of the configuration (mode 0700). It is removed on drop.
#[derive(Debug)]
pub struct PrivateConfig {
    folder: TempDir,
    /// What is malformed in the user's files and was left out: sentences that name the file.
    problems: Vec<String>,
}

impl PrivateConfig {
    /// Creates the folder with a copy of the user's configuration, in which tokens for `host` are stored in a file.
    pub fn new(host: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xtask-ecr-").tempdir();
        let mut config =
            Self { folder: folder.context("failed to create a private folder")?, problems: Vec::new() };
        config.fill(host).context("failed to copy docker's configuration")?;
        Ok(config)
    }

    /// Creates a folder within the folder.
    pub fn subfolder(&self) -> io::Result<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = self.folder.path().join(format!("xtask-ecr-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Makes a docker command use the configuration.
    pub fn apply_to_docker(&self, command: &mut Command) {
        command.env("DOCKER_CONFIG", self.folder.path());
    }

    /// Makes a podman command use the configuration. `DOCKER_CONFIG` is not set, because podman would read docker's
    /// file, too, and fails on its empty credential helper.
    pub fn apply_to_podman(&self, command: &mut Command) {
        command.env("REGISTRY_AUTH_FILE", self.folder.path().join("auth.json"));
    }

    /// Removes the folder. Symbolic links are removed, but not their targets.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(self.folder.path());
    }

    /// What was left out of the user's configuration because it is malformed: sentences that name the file.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn fill(&mut self, host: &str) -> io::Result<()> {
        let own = docker_config_folder();
        let mut config = self.read(own.as_deref().map(|it| it.join("config.json"))).unwrap_or_default();
        // Without a credential helper for this host, docker stores the token in the file. Other hosts keep their
        // helpers.
        let helpers = config.entry("credHelpers").or_insert_with(|| json!({}));
        helpers[host] = json!("");
        self.write("config.json", &config)?;
        let auth = podman_auth_files().into_iter().find_map(|it| self.read(Some(it)));
        let auths = config.get("auths").cloned().unwrap_or_else(|| json!({}));
        let mut auth = auth.unwrap_or_else(|| [("auths".to_owned(), auths)].into_iter().collect());
        auth.entry("auths").or_insert_with(|| json!({}));
        self.write("auth.json", &auth)?;
        own.map_or(Ok(()), |it| self.link(&it))
    }

    /// The content of a file without the parts that are malformed; `None` if there is no such file.
    fn read(&mut self, path: Option<PathBuf>) -> Option<Map<String, Value>> {
        let file = AuthFile::read(&path?)?;
        self.problems.extend(file.problems().iter().cloned());
        Some(file.into_content())
    }

    /// Links the user's plugins, contexts and builders.
    #[cfg(unix)]
    fn link(&self, own: &Path) -> io::Result<()> {
        for entry in fs::read_dir(own).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name != "config.json" && name != "auth.json" {
                std::os::unix::fs::symlink(fs::canonicalize(entry.path())?, self.folder.path().join(name))?;
            }
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn link(&self, _own: &Path) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, name: &str, value: &Map<String, Value>) -> io::Result<()> {
        fs::write(self.folder.path().join(name), serde_json::to_vec(value)?)
    }
}
