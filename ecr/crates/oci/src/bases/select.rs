//! The choice of an image from an index, as containerd makes it (`images/image.go`, `Manifest`).

use ecr_types::{Descriptor, ImageIndex, Platform, media_type};
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
    let images = || index.manifests.iter().filter(|it| !it.is_attestation() && it.artifact_type.is_none());
    let fitting = images().filter_map(|it| Some((wanted.distance(named(it)?)?, it)));
    match fitting.min_by_key(|(distance, _)| *distance) {
        Some((_, found)) => Choice::Named(found),
        None => Choice::Unnamed(images().filter(|it| named(it).is_none()).collect()),
    }
}

/// The platforms that the entries of an index name, for a message.
pub(super) fn platforms(index: &ImageIndex) -> Vec<String> {
    index
        .manifests
        .iter()
        .filter(|it| !it.is_attestation())
        .filter_map(named)
        .map(Platform::to_string)
        .collect()
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
    /// attestation of BuildKit.
    fn index(entries: &str) -> ImageIndex {
        let entry = |(at, text): (usize, &str)| {
            let mut entry = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&[at as u8]), 1);
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
        ] {
            assert_eq!(chosen(entries, wanted), found, "{entries} for {wanted}: {source}");
        }
        assert_eq!(chosen("", "linux/amd64"), "?");
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
