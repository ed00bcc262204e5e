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
use ecr_oci::credentials::docker_config_folder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The folder of the configuration (mode 0700). It is removed on drop.
#[derive(Debug)]
pub struct PrivateConfig {
    folder: TempDir,
}

impl PrivateConfig {
    /// Creates the folder with a copy of the user's configuration, in which tokens for `host` are stored in a file.
    pub fn new(host: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xtask-ecr-").tempdir();
        let config = Self { folder: folder.context("failed to create a private folder")? };
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

    fn fill(&self, host: &str) -> io::Result<()> {
        let own = docker_config_folder();
        let mut config = own.as_deref().map(|it| read(&it.join("config.json"))).unwrap_or_else(|| json!({}));
        if !config.is_object() {
            config = json!({});
        }
        // Without a credential helper for this host, docker stores the token in the file. Other hosts keep their
        // helpers.
        config["credHelpers"][host] = json!("");
        self.write("config.json", &config)?;
        let auth = podman_auth_files().iter().map(|it| read(it)).find(Value::is_object);
        let mut auth = auth.unwrap_or_else(|| json!({"auths": config["auths"]}));
        if !auth["auths"].is_object() {
            auth["auths"] = json!({});
        }
        self.write("auth.json", &auth)?;
        own.map_or(Ok(()), |it| self.link(&it))
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

    fn write(&self, name: &str, value: &Value) -> io::Result<()> {
        fs::write(self.folder.path().join(name), serde_json::to_vec(value)?)
    }
}

/// The files in which podman stores credentials (containers-auth.json(5)).
fn podman_auth_files() -> Vec<PathBuf> {
    let set = std::env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(|it| Path::new(&it).join("containers/auth.json"));
    let home = std::env::home_dir().map(|it| it.join(".config/containers/auth.json"));
    set.into_iter().chain(runtime).chain(home).collect()
}

fn read(path: &Path) -> Value {
    fs::read(path).ok().and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default()
}
