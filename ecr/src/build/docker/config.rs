//! A temporary configuration of docker and podman: a copy of the user's configuration with one additional credential helper.
//!
//! The user's credentials and credential helpers are available for `FROM`, and plugins and contexts work as usual. The
//! helper has the password of the registry from the environment of the engine's process, so that it is in no file and no
//! argument, and is gone with that process. The user's files are not changed.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use ecr_oci::credentials::{AuthFile, docker_config_folder, podman_auth_files};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The user and the password of a registry, for an engine.
#[derive(Clone)]
pub struct EngineLogin {
    /// The hosts of the registry, each with its port if it has one.
    pub hosts: Vec<String>,
    pub user: String,
    pub password: String,
}

/// The folder of the configuration (mode 0700). It is removed on drop.
pub struct PrivateConfig {
    folder: TempDir,
    /// Held as long as the folder is used, so that it is not taken for one that a killed process left.
    _lock: File,
    login: Option<EngineLogin>,
    /// What is malformed in the user's files and was left out: sentences that name the file.
    problems: Vec<String>,
}

/// The beginning of the folder's name.
const PREFIX: &str = "xtask-ecr-";
/// The file in the folder that is locked.
const LOCK: &str = "lock";
/// The age after which a folder without a lock file is one that a killed process left.
const LEFT: Duration = Duration::from_secs(3600);
/// The name of the credential helper, and the variable from which it has its answer.
const HELPER: &str = "xtask-ecr";
const ANSWER: &str = "XTASK_ECR_DOCKER_CREDENTIALS";
/// The helper (docker-credential-helpers, "Development"). It stores nothing.
const SCRIPT: &str = "#!/bin/sh\n[ \"$1\" = get ] && printf '%s' \"$XTASK_ECR_DOCKER_CREDENTIALS\"\nexit 0\n";

impl PrivateConfig {
    /// Creates the folder with a copy of the user's configuration, in which a helper gives the credentials of `login`. Folders
    /// that killed processes left are removed.
    pub fn new(login: Option<EngineLogin>) -> Result<Self> {
        remove_left_folders(&env::temp_dir());
        let folder =
            tempfile::Builder::new().prefix(PREFIX).tempdir().context("failed to create a private folder")?;
        let lock = locked(folder.path()).context("failed to lock the private folder")?;
        let mut config = Self { folder, _lock: lock, login, problems: Vec::new() };
        config.fill().context("failed to copy docker's configuration")?;
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
        self.give_credentials(command);
    }

    /// Makes a podman command use the configuration. `DOCKER_CONFIG` is not set, because podman would read docker's
    /// file, too.
    pub fn apply_to_podman(&self, command: &mut Command) {
        command.env("REGISTRY_AUTH_FILE", self.folder.path().join("auth.json"));
        self.give_credentials(command);
    }

    /// Makes the helper and its answer available to a command.
    fn give_credentials(&self, command: &mut Command) {
        let Some(EngineLogin { user, password, .. }) = &self.login else { return };
        command.env("PATH", path_with(self.folder.path()));
        command.env(ANSWER, json!({"Username": user, "Secret": password}).to_string());
    }

    /// Removes the folder. Symbolic links are removed, but not their targets.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(self.folder.path());
    }

    /// What was left out of the user's configuration because it is malformed: sentences that name the file.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn fill(&mut self) -> io::Result<()> {
        let own = docker_config_folder();
        let mut config = self.read(own.as_deref().map(|it| it.join("config.json"))).unwrap_or_default();
        let mut auth = Map::new();
        for file in podman_auth_files() {
            let content = self.read(Some(file));
            content.iter().for_each(|it| add_credentials(&mut auth, it));
        }
        // A file that the user names is the only one.
        if env::var_os("REGISTRY_AUTH_FILE").is_none_or(|it| it.is_empty()) {
            add_credentials(&mut auth, &config);
        }
        auth.entry("auths").or_insert_with(|| json!({}));
        if let Some(login) = &self.login {
            for file in [&mut config, &mut auth] {
                let helpers = file.entry("credHelpers").or_insert_with(|| json!({}));
                login.hosts.iter().for_each(|it| helpers[it] = json!(HELPER));
            }
            write_program(&self.folder.path().join(format!("docker-credential-{HELPER}")), SCRIPT)?;
        }
        self.write("config.json", &config)?;
        self.write("auth.json", &auth)?;
        own.map_or(Ok(()), |it| self.link(&it))
    }

    /// The content of a file without the parts that are malformed; `None` if there is no such file.
    fn read(&mut self, path: Option<PathBuf>) -> Option<Map<String, Value>> {
        let file = AuthFile::read(&path?)?;
        self.problems.extend(file.problems().iter().cloned());
        Some(file.into_content())
    }

    /// Links the user's plugins, contexts and builders. A link that leads nowhere leads nowhere here, too; docker may not need it.
    #[cfg(unix)]
    fn link(&self, own: &Path) -> io::Result<()> {
        for entry in fs::read_dir(own).into_iter().flatten().flatten() {
            let to = self.folder.path().join(entry.file_name());
            // What has a name of ours is none of docker's.
            if !to.try_exists()? {
                std::os::unix::fs::symlink(std::path::absolute(entry.path())?, to)?;
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

/// Adds the credentials of a further file, as podman looks them up: in the order of the files, and in each first in `credHelpers`
/// (containers-auth.json(5)). So a helper is not taken for a host of which a file before has credentials.
fn add_credentials(all: &mut Map<String, Value>, file: &Map<String, Value>) {
    let known = |all: &Map<String, Value>, key: &str, host: &str| {
        all.get(key).is_some_and(|it| it.get(host).is_some())
    };
    for key in ["credHelpers", "auths"] {
        for (host, value) in file.get(key).and_then(Value::as_object).into_iter().flatten() {
            let is_known = known(all, "auths", host) || known(all, "credHelpers", host);
            // Within one file a helper comes before the credentials.
            if !is_known {
                all.entry(key).or_insert_with(|| json!({}))[host] = value.clone();
            }
        }
    }
}

/// Creates the lock file of a folder. It has its name only when it is locked, so that no other process takes the folder for one
/// that was left.
fn locked(folder: &Path) -> io::Result<File> {
    let new = folder.join("lock.new");
    let lock = File::create(&new)?;
    lock.lock()?;
    fs::rename(new, folder.join(LOCK))?;
    Ok(lock)
}

/// `PATH` with `folder` before it.
fn path_with(folder: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).unwrap_or(path)
}

#[cfg(unix)]
fn write_program(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn write_program(_path: &Path, _text: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a credential helper needs a shell"))
}

/// Removes the folders of processes that were killed. Those of running ones are locked. Errors are ignored: a folder of
/// another user cannot be removed.
fn remove_left_folders(below: &Path) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|it| it.starts_with(PREFIX));
        if is_ours && entry.file_type().is_ok_and(|it| it.is_dir()) && is_left(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        // It is being made, or an older version made it.
        Err(_) => {
            let age = fs::metadata(folder).and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok());
            age.is_some_and(|it| it > LEFT)
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_several_files_are_joined_as_podman_reads_them() {
        let files = [
            json!({"auths": {"quay.io": 1, "both.io": 1}}),
            json!({"auths": {"reg.corp": 2, "quay.io": 2}, "credHelpers": {"gcr.io": "gcloud", "both.io": "x"}, "credsStore": "y"}),
            json!({"auths": {"gcr.io": 3, "last.io": 3}}),
        ];
        let mut all = Map::new();
        files.iter().filter_map(Value::as_object).for_each(|it| add_credentials(&mut all, it));
        let auths = json!({"quay.io": 1, "both.io": 1, "reg.corp": 2, "last.io": 3});
        assert_eq!(Value::Object(all), json!({"auths": auths, "credHelpers": {"gcr.io": "gcloud"}}));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_and_names_of_ours_do_no_harm() {
        let own = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nowhere", own.path().join("dangling")).unwrap();
        for name in [LOCK, "config.json", "plugin"] {
            fs::write(own.path().join(name), "theirs").unwrap();
        }
        let config = PrivateConfig::new(None).unwrap();
        config.link(own.path()).unwrap();
        let text = |name: &str| fs::read_to_string(config.folder.path().join(name)).unwrap_or_default();
        assert_eq!([text("dangling"), text("plugin"), text(LOCK)], ["", "theirs", ""]);
        assert_ne!(text("config.json"), "theirs");
    }

    #[test]
    fn left_folders_are_removed_and_used_ones_are_not() {
        let below = tempfile::tempdir().unwrap();
        let folder = |name: &str, has_lock: bool| {
            let path = below.path().join(name);
            fs::create_dir(&path).unwrap();
            let lock = has_lock.then(|| File::create(path.join(LOCK)).unwrap());
            (path, lock)
        };
        let (left, _) = folder("xtask-ecr-left", true);
        let (used, lock) = folder("xtask-ecr-used", true);
        let (new, _) = folder("xtask-ecr-new", false);
        let (other, _) = folder("other", true);
        lock.as_ref().unwrap().lock().unwrap();
        remove_left_folders(below.path());
        assert_eq!([&left, &used, &new, &other].map(|it| it.exists()), [false, true, true, true]);
    }
}
