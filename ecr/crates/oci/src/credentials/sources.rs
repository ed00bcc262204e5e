//! The files that may have credentials, from the environment.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::AuthFile;

/// The folder of the user's Docker configuration, if it exists: `DOCKER_CONFIG`, else `~/.docker`.
pub fn docker_config_folder() -> Option<PathBuf> {
    docker_config().filter(|it| it.is_dir())
}

/// The files in which podman, buildah and skopeo look for credentials, in their order, whether or not they exist
/// (containers-auth.json(5)).
pub fn podman_auth_files() -> Vec<PathBuf> {
    variable("REGISTRY_AUTH_FILE").map(PathBuf::from).into_iter().chain(podman_defaults()).collect()
}

fn docker_config() -> Option<PathBuf> {
    variable("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".docker")))
}

/// The files without `REGISTRY_AUTH_FILE`.
fn podman_defaults() -> Vec<PathBuf> {
    let runtime = match variable("XDG_RUNTIME_DIR") {
        Some(folder) => Some(Path::new(&folder).join("containers")),
        None => runtime_folder(),
    };
    let config =
        variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".config")));
    let config = config.map(|it| it.join("containers"));
    runtime.into_iter().chain(config).map(|it| it.join("auth.json")).collect()
}

/// The folder of podman if there is no session with `XDG_RUNTIME_DIR`: `/run/containers/UID`.
#[cfg(target_os = "linux")]
fn runtime_folder() -> Option<PathBuf> {
    use std::os::linux::fs::MetadataExt;
    let uid = fs::metadata("/proc/self").ok()?.st_uid();
    Some(Path::new("/run/containers").join(uid.to_string()))
}

#[cfg(not(target_os = "linux"))]
fn runtime_folder() -> Option<PathBuf> {
    None
}

/// A variable of the environment that is not empty.
fn variable(key: &str) -> Option<OsString> {
    env::var_os(key).filter(|it| !it.is_empty())
}

/// The files that exist, in the order in which they are searched. What is wrong with a file is added to `problems`.
pub(super) fn auth_files(problems: &mut Vec<String>) -> Vec<AuthFile> {
    let inline = variable("DOCKER_AUTH_CONFIG");
    let inline = inline.map(|it| AuthFile::parse("DOCKER_AUTH_CONFIG", it.into_encoded_bytes()));
    let named = variable("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let docker = docker_config().map(|it| it.join("config.json"));
    let paths = named.into_iter().chain(docker).chain(podman_defaults());
    let files: Vec<_> = inline.into_iter().chain(paths.filter_map(|it| AuthFile::read(&it))).collect();
    problems.extend(files.iter().flat_map(AuthFile::problems).cloned());
    files
}

impl AuthFile {
    /// Reads a file; `None` if it does not exist. A file that cannot be read is one without credentials and with a problem.
    pub fn read(path: &Path) -> Option<Self> {
        let name = path.display().to_string();
        match content(path) {
            Ok(content) => Some(Self::parse(&name, content)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                None
            }
            Err(error) => Some(Self::unreadable(&name, &error)),
        }
    }
}

/// The content of a regular file. Anything else, such as a pipe, could be read without an end.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    fs::read(path)
}
