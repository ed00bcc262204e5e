//! What an index lists that can be scanned: ECR scans images, never the index itself.

use serde_json::Value;

use crate::image::is_index;
use crate::name::Digest;

/// An image that an index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The image.
    pub digest: Digest,
    /// `linux/arm64`, where the index says.
    pub platform: Option<String>,
    /// Whether it is an index itself.
    pub is_index: bool,
}

/// The images of an index, without the attestations that `docker buildx` puts beside them: those are no images.
pub fn listed(manifest: &str) -> Vec<Listed> {
    let manifest: Value = serde_json::from_str(manifest).unwrap_or_default();
    let descriptors = manifest["manifests"].as_array().into_iter().flatten();
    let is_image = |it: &&Value| {
        it["annotations"]["vnd.docker.reference.type"] != "attestation-manifest"
            && it["platform"]["os"] != "unknown"
    };
    let listed = |it: &Value| {
        let platform = &it["platform"];
        let parts = [&platform["os"], &platform["architecture"], &platform["variant"]];
        let parts: Vec<_> = parts.into_iter().filter_map(Value::as_str).collect();
        Some(Listed {
            digest: it["digest"].as_str()?.parse().ok()?,
            platform: (!parts.is_empty()).then(|| parts.join("/")),
            is_index: it["mediaType"].as_str().is_some_and(is_index),
        })
    };
    descriptors.filter(is_image).filter_map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_are_no_images() {
        let digest = Digest::of(b"x");
        let text = format!(
            r#"{{"manifests": [
                {{"digest": "{digest}", "platform": {{"os": "linux", "architecture": "arm64", "variant": "v8"}}}},
                {{"digest": "{digest}", "platform": {{"os": "unknown", "architecture": "unknown"}},
                  "annotations": {{"vnd.docker.reference.type": "attestation-manifest"}}}}]}}"#
        );
        let platform = Some("linux/arm64/v8".to_owned());
        assert_eq!(listed(&text), [Listed { digest, platform, is_index: false }]);
    }
}
