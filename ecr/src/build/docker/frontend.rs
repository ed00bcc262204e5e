//! Which builder is behind an engine's `build` command.

use anyhow::Result;

use super::Engine;

/// The builders, which take build contexts in different forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frontend {
    /// The builder in docker's daemon. It takes an archive.
    Legacy,
    /// BuildKit. Its client reads a folder.
    BuildKit,
    /// Buildah, in podman. It reads a folder.
    Podman,
}

impl Frontend {
    /// The builder of `docker build`, as docker's client chooses it: DOCKER_BUILDKIT, or by default BuildKit since
    /// version 23, if buildx is installed (<https://docs.docker.com/engine/deprecated/#legacy-builder-for-linux-images>).
    /// `version` is the output of `docker --version`. Programs that are not docker get the legacy form, and so does an
    /// older docker whose daemon chooses BuildKit.
    ///
    /// # Errors
    /// The program cannot be run.
    pub(super) fn of_docker(engine: &Engine, version: &str) -> Result<Self> {
        let chosen = std::env::var("DOCKER_BUILDKIT").ok().and_then(|it| parsed_bool(&it));
        let is_buildkit = match (major_version(version), chosen) {
            (None, _) => false,
            (Some(_), Some(chosen)) => chosen,
            (Some(major), None) => major >= 23 && engine.has_buildx()?,
        };
        Ok(if is_buildkit { Self::BuildKit } else { Self::Legacy })
    }
}

/// The 28 in `Docker version 28.2.2, build e6534b4`.
fn major_version(line: &str) -> Option<u32> {
    line.strip_prefix("Docker version ")?.split('.').next()?.parse().ok()
}

/// Go's `strconv.ParseBool`.
fn parsed_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_of_docker_only() {
        let rows = [
            ("Docker version 28.2.2, build e6534b4", Some(28)),
            ("Docker version 20.10.24+dfsg1, build 297e128", Some(20)),
            ("nerdctl version 1.7.6", None),
            ("podman version 4.3.1", None),
            ("", None),
        ];
        for (line, major) in rows {
            assert_eq!(major_version(line), major, "{line}");
        }
    }
}
