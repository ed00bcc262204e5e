//! The choice of an image from an index, as containerd makes it (`images/image.go`, `Manifest`).

use ecr_types::{Descriptor, ImageIndex, InvalidManifest, Manifest, Platform, media_type};
use serde_json::Value;

/// The entry of an index for a platform.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// The entry that names the platform or, if there is none, the one that names the best older variant.
    Named(&'a Descriptor),
    /// No entry names a platform that fits. The configs of these, which name none, tell theirs.
    Unnamed(Vec<&'a Descriptor>),
}

/// Chooses the entry for `wanted`. Of several that fit equally the first one is chosen. Entries that are not images, such as
/// attestations, are never chosen.
pub(super) fn choose<'a>(index: &'a ImageIndex, wanted: &Platform) -> Choice<'a> {
    let fitting = images(index).filter_map(|it| Some((wanted.distance(named(it)?)?, it)));
    match fitting.min_by_key(|(distance, _)| *distance) {
        Some((_, found)) => Choice::Named(found),
        None => Choice::Unnamed(images(index).filter(|it| named(it).is_none()).collect()),
    }
}

/// The entries that may be images or indexes of images. Those of unknown media types are ignored (OCI image specification, "Image
/// Index", `mediaType`).
fn images(index: &ImageIndex) -> impl Iterator<Item = &Descriptor> {
    let is_image = |it: &&Descriptor| {
        let is_known = it.media_type.is_empty() || media_type::MANIFESTS.contains(&it.media_type.as_str());
        is_known && !it.is_attestation() && it.artifact_type.as_deref().is_none_or(is_config)
    };
    index.manifests.iter().filter(is_image)
}

/// Whether a media type is that of the config of an image. Some tools give it as the artifact type of an image, as the
/// specification says ("Content Descriptors", `artifactType`).
pub(super) fn is_config(media_type: &str) -> bool {
    matches!(media_type, "" | media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
}

/// Parses the manifest of a base. Entries of an index whose digests have another algorithm than SHA-256 are left out: they are
/// valid (OCI image specification, "Digests"), and cannot be pulled here.
pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, InvalidManifest> {
    Manifest::parse(bytes, None).or_else(|error| match without_other_digests(bytes) {
        Some(bytes) => Manifest::parse(&bytes, None),
        None => Err(error),
    })
}

fn without_other_digests(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut index: Value = serde_json::from_slice(bytes).ok()?;
    let entries = index.get_mut("manifests")?.as_array_mut()?;
    let is_other = |it: &Value| it["digest"].as_str().is_some_and(|it| !it.starts_with("sha256:"));
    entries.retain(|it| !is_other(it));
    serde_json::to_vec(&index).ok()
}

/// The platforms that the entries of an index name, for a message.
pub(super) fn platforms(index: &ImageIndex) -> Vec<String> {
    images(index).filter_map(named).map(Platform::to_string).collect()
}

/// The platform of an entry. An empty one is none.
fn named(entry: &Descriptor) -> Option<&Platform> {
    entry.platform.as_ref().filter(|it| !it.architecture.is_empty())
}

/// Whether an entry of an index is an index itself.
pub(super) fn is_index(entry: &Descriptor) -> bool {
    media_type::is_index(&entry.media_type)
}

/// The platform of a config. What it does not name is that of `wanted`, as docker and skopeo take it.
pub(super) fn platform(config: &Value, wanted: &Platform) -> Platform {
    let field = |key: &str| config[key].as_str().filter(|it| !it.is_empty());
    let Some(architecture) = field("architecture") else { return wanted.clone() };
    let os = field("os").unwrap_or(&wanted.os).to_owned();
    Platform { architecture: architecture.to_owned(), os, variant: field("variant").map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use ecr_types::Digest;
    use serde_json::json;

    use super::*;

    /// An index whose entries have these platforms. `-` is an entry without one, `{}` one with an empty platform, `att` an
    /// attestation of BuildKit. After `+` comes an artifact type, after `=` a media type.
    fn index(entries: &str) -> ImageIndex {
        let entry = |(at, text): (usize, &str)| {
            let mut entry = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&[at as u8]), 1);
            let (text, other) = text.split_once('=').map_or((text, None), |(text, it)| (text, Some(it)));
            other.into_iter().for_each(|it| entry.media_type = it.to_owned());
            let (text, artifact) = text.split_once('+').map_or((text, None), |(text, it)| (text, Some(it)));
            entry.artifact_type = artifact.map(|it| it.replace("CONFIG", media_type::OCI_CONFIG));
            match text {
                "-" => {}
                "{}" => entry.platform = serde_json::from_str("{}").unwrap(),
                "att" => {
                    let (key, kind) = ("vnd.docker.reference.type", "attestation-manifest");
                    entry.annotations.insert(key.to_owned(), kind.to_owned());
                }
                _ => {
                    let mut parts = text.split('/').map(str::to_owned);
                    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
                    entry.platform = Some(Platform { architecture, os, variant: parts.next() });
                }
            }
            entry
        };
        ImageIndex::new(entries.split_whitespace().enumerate().map(entry).collect())
    }

    /// The entries that are chosen, by their number; `?` before those whose config is to be read.
    fn chosen(entries: &str, wanted: &str) -> String {
        let index = index(entries);
        let number = |it: &Descriptor| {
            let at = index.manifests.iter().position(|other| other.digest == it.digest);
            at.unwrap().to_string()
        };
        match choose(&index, &wanted.parse().unwrap()) {
            Choice::Named(entry) => number(entry),
            Choice::Unnamed(entries) => format!("?{}", entries.into_iter().map(number).collect::<String>()),
        }
    }

    #[test]
    fn index_entry_is_chosen_as_containerd_chooses() {
        for (entries, wanted, found, source) in [
            ("linux/amd64 linux/arm64", "linux/arm64", "1", "containerd TestOnly"),
            ("linux/amd64/v3 linux/amd64/v2 linux/amd64", "linux/amd64", "2", "TestOnly: plain is not newer"),
            ("linux/amd64/v3 linux/amd64/v2", "linux/amd64", "?", "TestOnly"),
            ("linux/amd64 linux/amd64/v2 linux/amd64/v4", "linux/amd64/v3", "1", "platformVector"),
            ("linux/amd64 linux/amd64/v3", "linux/amd64/v3", "1", "platformVector"),
            ("linux/386 linux/amd64", "linux/amd64", "1", "platformVector"),
            ("linux/386", "linux/amd64", "?", "skopeo: no other architecture"),
            ("linux/arm64/v8", "linux/arm64", "0", "normalizeArch"),
            ("linux/arm64 linux/arm64/v8", "linux/arm64/v8", "0", "sort.SliceStable: the first of equals"),
            ("linux/arm linux/arm/v6", "linux/arm/v7", "0", "normalizeArch: arm is arm/v7"),
            ("linux/arm/v5 linux/arm/v6", "linux/arm", "1", "TestOnly"),
            ("linux/arm/v7", "linux/arm/v6", "?", "TestOnly"),
            ("linux/x86_64", "linux/amd64", "0", "normalizeArch"),
            ("linux/aarch64", "linux/arm64", "0", "normalizeArch"),
            ("windows/amd64 linux/amd64", "linux/amd64", "1", "TestOnly"),
            ("- linux/amd64", "linux/amd64", "1", "images/image.go: entries without a platform come last"),
            ("- -", "linux/amd64", "?01", "images/image.go: the config tells"),
            ("{} linux/arm64", "linux/amd64", "?0", "moby filterManifests: an empty platform is none"),
            ("/amd64", "linux/amd64", "0", "normalizeOS"),
            ("att linux/amd64", "linux/amd64", "1", "images.Platforms"),
            ("att", "linux/amd64", "?", "skopeo: no image found"),
            ("unknown/unknown", "linux/amd64", "?", "BuildKit, attestation storage"),
            (
                "linux/amd64+CONFIG linux/arm64+CONFIG",
                "linux/arm64",
                "1",
                "apko, go-containerregistry Descriptor()",
            ),
            ("linux/amd64+ -+", "linux/amd64", "0", "an empty artifact type is none"),
            ("linux/amd64+a/sbom linux/amd64", "linux/amd64", "1", "an artifact for a platform"),
            ("linux/amd64=x/y linux/amd64", "linux/amd64", "1", "image-index.md: unknown types are no error"),
            ("-=x/y -", "linux/amd64", "?1", "image-index.md"),
        ] {
            assert_eq!(chosen(entries, wanted), found, "{entries} for {wanted}: {source}");
        }
        assert_eq!(chosen("", "linux/amd64"), "?");
    }

    #[test]
    fn index_with_digests_of_other_algorithms_has_the_other_entries() {
        let entry =
            |digest: &str| json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 1});
        let (good, other) = (Digest::of(b"x"), format!("sha512:{}", "0".repeat(128)));
        let index = json!({"schemaVersion": 2, "manifests": [entry(&other), entry(good.as_str())]});
        match parse(index.to_string().as_bytes()) {
            Ok(Manifest::Index(index)) => assert_eq!(index.manifests[0].digest, good),
            other => panic!("{other:?}"),
        }
        let broken = json!({"schemaVersion": 2, "manifests": [entry("sha256:x"), entry(&other)]});
        assert!(parse(broken.to_string().as_bytes()).is_err());
    }

    #[test]
    fn config_without_a_platform_is_for_the_one_asked_for() {
        let wanted: Platform = "linux/arm64".parse().unwrap();
        let of = |config: Value| platform(&config, &wanted).to_string();
        assert_eq!(of(json!({})), "linux/arm64");
        assert_eq!(of(json!({"architecture": "", "os": "linux"})), "linux/arm64");
        assert_eq!(of(json!({"architecture": "amd64"})), "linux/amd64");
        assert_eq!(of(json!({"architecture": "arm", "os": "linux", "variant": "v6"})), "linux/arm/v6");
        assert_eq!(of(json!({"architecture": "amd64", "os": "windows"})), "windows/amd64");
    }
}
