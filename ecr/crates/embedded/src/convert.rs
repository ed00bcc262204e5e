//! The conversion of a manifest between Docker's schema 2 and OCI, as ECR does it when an image is pulled by tag by a client
//! that does not accept the stored format (Amazon ECR user guide, "Container image manifest format support"). An image that
//! is pulled by digest is never converted, and neither is an index.
//!
//! ECR converts schema 2 to schema 1 as well, for Docker before 1.10. That is not done here.

use ecr_types::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_FOREIGN_GZIP, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_CONFIG,
    OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_NONDISTRIBUTABLE_GZIP, OCI_MANIFEST,
};
use serde_json::Value;

/// Docker's media types, each with that of OCI that has the same meaning. Zstandard has none in Docker's.
const PAIRS: [(&str, &str); 5] = [
    (DOCKER_MANIFEST, OCI_MANIFEST),
    (DOCKER_CONFIG, OCI_CONFIG),
    (DOCKER_LAYER, OCI_LAYER),
    (DOCKER_LAYER_GZIP, OCI_LAYER_GZIP),
    (DOCKER_LAYER_FOREIGN_GZIP, OCI_LAYER_NONDISTRIBUTABLE_GZIP),
];

/// The media type with the same meaning in the other format.
fn counterpart(media_type: &str) -> Option<&'static str> {
    PAIRS.iter().find_map(|(docker, oci)| match media_type {
        it if it == *docker => Some(*oci),
        it if it == *oci => Some(*docker),
        _ => None,
    })
}

/// A manifest as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    pub media_type: &'static str,
    pub text: Vec<u8>,
}

/// The manifest in the format that a client accepts; `None` if it is sent as it is stored, also if it has parts that the other
/// format lacks. `accepted` has the media types of the request.
pub fn converted(text: &[u8], media_type: &str, accepted: &[String]) -> Option<Converted> {
    let accepts = |wanted: &str| accepted.iter().any(|it| it == wanted);
    if !matches!(media_type, DOCKER_MANIFEST | OCI_MANIFEST) || accepts(media_type) || accepts("*/*") {
        return None;
    }
    let wanted = counterpart(media_type).filter(|it| accepts(it))?;
    let mut manifest: Value = serde_json::from_slice(text).ok()?;
    manifest["mediaType"] = wanted.into();
    convert_descriptor(manifest.get_mut("config")?)?;
    manifest.get_mut("layers")?.as_array_mut()?.iter_mut().try_for_each(convert_descriptor)?;
    Some(Converted { media_type: wanted, text: serde_json::to_vec(&manifest).ok()? })
}

fn convert_descriptor(descriptor: &mut Value) -> Option<()> {
    let media_type = counterpart(descriptor["mediaType"].as_str()?)?;
    descriptor["mediaType"] = media_type.into();
    Some(())
}

/// The media types of a request's headers `Accept`, without their parameters.
pub fn accepted<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<String> {
    let types = headers.flat_map(|it| it.split(','));
    types.map(|it| it.split(';').next().unwrap_or(it).trim().to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(media_type: &str, config: &str, layer: &str) -> Vec<u8> {
        let descriptor =
            |media_type: &str| json!({"mediaType": media_type, "digest": "sha256:00", "size": 1});
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": descriptor(config),
            "layers": [descriptor(layer)]});
        manifest.to_string().into_bytes()
    }

    #[test]
    fn manifest_is_converted_to_what_the_client_accepts() {
        let docker = manifest(DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER_GZIP);
        let oci = manifest(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP);
        let artifact = manifest(OCI_MANIFEST, "application/vnd.example+json", OCI_LAYER_GZIP);
        let zstd = manifest(OCI_MANIFEST, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd");
        for (text, stored, accept, wanted) in [
            (&docker, DOCKER_MANIFEST, OCI_MANIFEST, Some((OCI_MANIFEST, &oci))),
            (&oci, OCI_MANIFEST, DOCKER_MANIFEST, Some((DOCKER_MANIFEST, &docker))),
            (&docker, DOCKER_MANIFEST, DOCKER_MANIFEST, None),
            (&oci, OCI_MANIFEST, "application/vnd.oci.image.manifest.v1+json;q=0.5, application/json", None),
            (&docker, DOCKER_MANIFEST, "*/*", None),
            (&docker, DOCKER_MANIFEST, "", None),
            (&docker, DOCKER_MANIFEST, "application/vnd.docker.distribution.manifest.v1+json", None),
            (&artifact, OCI_MANIFEST, DOCKER_MANIFEST, None),
            (&zstd, OCI_MANIFEST, DOCKER_MANIFEST, None),
        ] {
            let found = converted(text, stored, &accepted([accept].into_iter()));
            let wanted = wanted.map(|(media_type, text)| Converted { media_type, text: text.clone() });
            assert_eq!(found, wanted, "{stored} to {accept}");
        }
    }
}
