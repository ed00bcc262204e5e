//! Mirrors of the registries that base images are in.

use std::collections::BTreeMap;

use ecr_oci::reference::Reference;
use ecr_types::document::{Located, Problems};

/// The registries whose images are pulled from elsewhere, such as from a pull-through cache of ECR.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseMirrors(Vec<Mirror>);

/// A registry, and the registry and namespace that hold copies of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    /// The host of the registry. Docker Hub's is `registry-1.docker.io`.
    of: String,
    host: String,
    /// Empty, or followed by a slash.
    namespace: String,
}

impl BaseMirrors {
    /// Reads `base-mirrors`: for each registry, such as `docker.io`, a host with or without a namespace.
    pub fn new(mirrors: &BTreeMap<String, Located<String>>, problems: &Problems) -> Self {
        let each = mirrors.iter().filter_map(|(of, mirror)| match Mirror::parse(of, &mirror.value) {
            Ok(mirror) => Some(mirror),
            Err(message) => {
                let help = "write for instance `\"docker.io\" = \"123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub\"`";
                problems.add_with_help(&mirror.place, message, help);
                None
            }
        });
        Self(each.collect())
    }

    /// Where an image is pulled from: its own reference, or that of its copy.
    pub fn source(&self, reference: &Reference) -> Reference {
        match self.0.iter().find(|it| it.of == reference.host) {
            None => reference.clone(),
            Some(Mirror { host, namespace, .. }) => {
                reference.in_repository(host, &format!("{namespace}{}", reference.name))
            }
        }
    }
}

impl Mirror {
    fn parse(of: &str, mirror: &str) -> Result<Self, String> {
        let is_host = |it: &str| it.contains(['.', ':']) || it == "localhost";
        let of_image: Option<Reference> = format!("{of}/namespace/name").parse().ok();
        let of_image = of_image.filter(|it| is_host(of) && it.name == "namespace/name");
        let of_image = of_image.ok_or_else(|| format!("`{of}` is not the host of a registry"))?;
        let copy: Option<Reference> = format!("{mirror}/name").parse().ok();
        let copy = copy.filter(|_| is_host(mirror.split('/').next().unwrap_or_default()));
        let copy = copy.ok_or_else(|| format!("`{mirror}` is not a host, with or without a namespace"))?;
        let namespace = copy.name.strip_suffix("name").unwrap_or_default().to_owned();
        Ok(Self { of: of_image.host, host: copy.host, namespace })
    }
}

#[cfg(test)]
mod tests {
    use ecr_types::document::Place;

    use super::*;

    fn mirrors(entries: &[(&str, &str)]) -> Result<BaseMirrors, String> {
        let located = |value: &str| Located { place: Place::file("Cargo.toml"), value: value.to_owned() };
        let problems = Problems::default();
        let mirrors = entries.iter().map(|(of, mirror)| ((*of).to_owned(), located(mirror))).collect();
        let mirrors = BaseMirrors::new(&mirrors, &problems);
        problems.into_result().map(|()| mirrors).map_err(|it| it[0].message.clone())
    }

    #[test]
    fn image_of_a_mirrored_registry_is_pulled_from_the_mirror() {
        let ecr = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
        let hub = format!("{ecr}/docker-hub");
        let mirrors = mirrors(&[("docker.io", &hub), ("quay.io", "mirror.local:5000")]).unwrap();
        let digest = "a".repeat(64);
        for (base, wanted) in [
            ("debian", format!("{hub}/library/debian")),
            ("debian:12-slim", format!("{hub}/library/debian:12-slim")),
            ("docker.io/team/app:1", format!("{hub}/team/app:1")),
            (&format!("rust:1@sha256:{digest}"), format!("{hub}/library/rust:1@sha256:{digest}")),
            ("quay.io/a/b:c", "mirror.local:5000/a/b:c".to_owned()),
            ("gcr.io/distroless/static:1", "gcr.io/distroless/static:1".to_owned()),
        ] {
            assert_eq!(mirrors.source(&base.parse().unwrap()).to_string(), wanted);
        }
    }

    #[test]
    fn mirror_is_a_host_with_or_without_a_namespace() {
        for (of, mirror, wrong) in [
            ("hub", "mirror.io", "hub"),
            ("docker.io/library", "mirror.io", "docker.io/library"),
            ("docker.io", "docker-hub", "docker-hub"),
            ("docker.io", "https://mirror.io", "https://mirror.io"),
            ("docker.io", "mirror.io/Hub", "mirror.io/Hub"),
        ] {
            assert!(mirrors(&[(of, mirror)]).unwrap_err().contains(&format!("`{wrong}`")), "{of} {mirror}");
        }
    }
}
