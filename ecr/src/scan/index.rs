//! The images of an index that can be scanned. ECR does not scan the index itself.

use ecr_types::{Descriptor, Digest, InvalidManifest, Manifest, media_type};
use thiserror::Error;

/// An image that an index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexImage {
    pub digest: Digest,
    /// The platform, such as `linux/arm64`, if the index contains it.
    pub platform: Option<String>,
    /// Whether it is a nested index.
    pub is_index: bool,
}

/// Why the images to scan are unknown.
#[derive(Debug, Error)]
pub enum UnknownImages {
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The index is empty, or lists only attestations.
    #[error("the index lists no image")]
    None,
}

/// The images of an index, without the attestations that BuildKit adds. `None` for an image manifest.
///
/// # Errors
/// The manifest cannot be read, or lists no image.
pub fn listed(manifest: &str) -> Result<Option<Vec<IndexImage>>, UnknownImages> {
    let index = match Manifest::parse(manifest.as_bytes(), None)? {
        Manifest::Index(index) => index,
        Manifest::Image(_) => return Ok(None),
    };
    let images: Vec<_> = index.manifests.iter().filter(|it| !it.is_attestation()).map(image).collect();
    if images.is_empty() { Err(UnknownImages::None) } else { Ok(Some(images)) }
}

/// Everything that an index lists, attestations too. Empty for an image manifest.
///
/// # Errors
/// The manifest cannot be read.
pub fn children(manifest: &str) -> Result<Vec<Digest>, InvalidManifest> {
    let manifest = Manifest::parse(manifest.as_bytes(), None)?;
    Ok(manifest.children().iter().map(|it| it.digest.clone()).collect())
}

fn image(it: &Descriptor) -> IndexImage {
    IndexImage {
        digest: it.digest.clone(),
        platform: it.platform.as_ref().map(ToString::to_string),
        is_index: media_type::is_index(&it.media_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_that_cannot_be_read_is_not_an_empty_one() {
        assert!(listed("{").is_err() && listed(r#"{"schemaVersion": 2, "manifests": []}"#).is_err());
        let wrong =
            r#"{"schemaVersion": 2, "manifests": [{"mediaType": "", "size": 1, "digest": "sha256:x"}]}"#;
        assert!(listed(wrong).is_err());
        let descriptor = |media_type: &str| Descriptor::new(media_type, Digest::of(b""), 0);
        let image = ecr_types::ImageManifest::new(
            media_type::OCI_MANIFEST,
            descriptor(media_type::OCI_CONFIG),
            Vec::new(),
        );
        assert!(matches!(listed(&serde_json::to_string(&image).unwrap()), Ok(None)));
    }

    #[test]
    fn index_lists_attestations_that_are_not_images() {
        let digest = Digest::of(b"x");
        let text = format!(
            r#"{{"schemaVersion": 2, "manifests": [
                {{"mediaType": "m", "size": 1, "digest": "{digest}",
                  "platform": {{"os": "linux", "architecture": "arm64", "variant": "v8"}}}},
                {{"mediaType": "m", "size": 1, "digest": "{digest}",
                  "platform": {{"os": "unknown", "architecture": "unknown"}},
                  "annotations": {{"vnd.docker.reference.type": "attestation-manifest"}}}}]}}"#
        );
        let platform = Some("linux/arm64/v8".to_owned());
        assert_eq!(listed(&text).unwrap(), Some(vec![IndexImage { digest, platform, is_index: false }]));
    }
}
