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

/// The images of an index, without the attestations that `docker buildx` puts beside them: those are no images. `None`
/// for a manifest that is no index.
///
/// # Errors
/// Why the manifest cannot be read: then nobody knows what there is to scan.
pub fn listed(manifest: &str) -> Result<Option<Vec<Listed>>, String> {
    let manifest: Value =
        serde_json::from_str(manifest).map_err(|it| format!("its manifest is no JSON: {it}"))?;
    let Some(descriptors) = manifest["manifests"].as_array() else { return Ok(None) };
    let images: Vec<_> = descriptors.iter().filter(|it| !is_attestation(it)).map(one).collect();
    match images.into_iter().collect::<Option<Vec<_>>>() {
        Some(images) if !images.is_empty() => Ok(Some(images)),
        Some(_) => Err("the index lists no image".to_owned()),
        None => Err("the index lists something without a digest".to_owned()),
    }
}

/// The attestations of an index.
pub fn attestations(manifest: &Value) -> Vec<Digest> {
    let descriptors = manifest["manifests"].as_array().into_iter().flatten();
    descriptors.filter(|it| is_attestation(it)).filter_map(|it| it["digest"].as_str()?.parse().ok()).collect()
}

/// BuildKit, "Image attestation storage": `vnd.docker.reference.type` tells.
fn is_attestation(descriptor: &Value) -> bool {
    descriptor["annotations"]["vnd.docker.reference.type"] == "attestation-manifest"
}

fn one(it: &Value) -> Option<Listed> {
    let platform = &it["platform"];
    let parts = [&platform["os"], &platform["architecture"], &platform["variant"]];
    let parts: Vec<_> = parts.into_iter().filter_map(Value::as_str).collect();
    Some(Listed {
        digest: it["digest"].as_str()?.parse().ok()?,
        platform: (!parts.is_empty()).then(|| parts.join("/")),
        is_index: it["mediaType"].as_str().is_some_and(is_index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_no_empty_list() {
        assert!(listed("{").is_err() && listed(r#"{"manifests": []}"#).is_err());
        assert!(listed(r#"{"manifests": [{"digest": "sha256:x"}]}"#).is_err());
        assert_eq!(listed(r#"{"layers": []}"#), Ok(None));
    }

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
        assert_eq!(attestations(&serde_json::from_str(&text).unwrap()), std::slice::from_ref(&digest));
        assert_eq!(listed(&text), Ok(Some(vec![Listed { digest, platform, is_index: false }])));
    }
}
