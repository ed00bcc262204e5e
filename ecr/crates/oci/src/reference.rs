//! References to images of any registry: `debian:12`, `public.ecr.aws/docker/library/debian@sha256:...`.

use std::fmt;
use std::str::FromStr;

use ecr_types::url::redacted;
use ecr_types::{Digest, is_name_segment};
use thiserror::Error;

/// A reference to an image, with Docker's defaults for the parts that it does not name.
///
/// ```
/// use ecr_oci::reference::Reference;
///
/// let reference: Reference = "debian:12".parse()?;
/// assert_eq!(reference.host, "registry-1.docker.io");
/// assert_eq!(reference.name, "library/debian");
/// assert_eq!(reference.version(), "12");
/// # Ok::<(), ecr_oci::reference::InvalidReference>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The registry's host, with its port if the reference has one. Without a host it is `registry-1.docker.io`.
    pub host: String,
    /// The name of the repository, such as `library/debian`. One-part names on Docker Hub are prefixed with `library/`.
    pub name: String,
    /// The tag, if the reference names one.
    pub tag: Option<String>,
    /// The digest, if the reference names one. It takes precedence over the tag.
    pub digest: Option<Digest>,
    text: String,
}

/// A text that is not an image reference, without the user and the password that it may contain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an image reference such as debian:12 or host/name@sha256:...")]
pub struct InvalidReference(String);

/// The host of Docker Hub's registry.
const DOCKER_HUB: &str = "registry-1.docker.io";

impl Reference {
    /// The reference of the manifest in requests to the registry: the digest, else the tag, else `latest`.
    pub fn version(&self) -> &str {
        let tag = || self.tag.as_deref().unwrap_or("latest");
        self.digest.as_ref().map_or_else(tag, Digest::as_str)
    }

    /// The same image in another repository: with the same tag and digest.
    #[must_use]
    pub fn in_repository(&self, host: &str, name: &str) -> Self {
        let tag = self.tag.as_deref().map(|it| format!(":{it}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|it| format!("@{it}")).unwrap_or_default();
        let text = format!("{host}/{name}{tag}{digest}");
        Self { host: host.to_owned(), name: name.to_owned(), text, ..self.clone() }
    }

    /// Whether the registry is Docker Hub, which has several names.
    pub fn is_docker_hub(&self) -> bool {
        self.host == DOCKER_HUB
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let wrong = || InvalidReference(redacted(text));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path),
            _ => ("docker.io", rest),
        };
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag.to_owned())),
            None => (path, None),
        };
        let is_hub = matches!(host, "docker.io" | "index.docker.io" | DOCKER_HUB);
        let name = if is_hub && !name.contains('/') { format!("library/{name}") } else { name.to_owned() };
        let is_tag = |it: &String| it.parse::<ecr_types::ImageTag>().is_ok();
        if !name.split('/').all(is_name_segment) || !tag.as_ref().is_none_or(is_tag) {
            return Err(wrong());
        }
        let host = if is_hub { DOCKER_HUB.to_owned() } else { host.to_owned() };
        Ok(Self { host, name, tag, digest, text: text.to_owned() })
    }
}

/// Whether the part before the first slash is a host: it has a dot, a colon or a capital, or is `localhost`, as in Docker
/// (distribution/reference, `splitDockerDomain`).
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.contains(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_has_the_defaults_of_docker() {
        let parsed = |text: &str| {
            let it: Reference = text.parse().unwrap();
            format!("{} {} {}", it.host, it.name, it.version())
        };
        assert_eq!(parsed("debian"), "registry-1.docker.io library/debian latest");
        assert_eq!(parsed("docker.io/team/app:1"), "registry-1.docker.io team/app 1");
        assert_eq!(parsed("127.0.0.1:5000/a/b:c"), "127.0.0.1:5000 a/b c");
        let digest = Digest::of(b"x");
        assert_eq!(
            parsed(&format!("gcr.io/distroless/static:1@{digest}")),
            format!("gcr.io distroless/static {digest}")
        );
        assert_eq!(parsed("MYREG/team/app:1"), "MYREG team/app 1");
        assert_eq!(parsed("a/b__c-d.e/f--g"), "registry-1.docker.io a/b__c-d.e/f--g latest");
        for wrong in [
            "",
            "Debian",
            "a b",
            "debian@sha256:x",
            "host.io/",
            "debian:",
            "debian?x=1",
            "debian#f:1",
            "debian/../x",
            "_bad_",
            "a..b:1",
            "host.io/a//b",
            "host.io/a/%2e%2e/b",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }
}
