//! Docker's first manifest format, "Image Manifest Version 2, Schema 1", which ECR stores and does not convert (Amazon ECR user
//! guide, "Container image manifest format support"). Its digest is that of the text without its signatures.
//!
//! Source: <https://distribution.github.io/distribution/spec/deprecated-schema-v1/>

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ecr_types::Digest;
use serde_json::Value;

/// The media types of a signed manifest and of one without signatures.
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
];

/// A manifest of the first format.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema1 {
    pub media_type: &'static str,
    /// The blobs of `fsLayers`, each once.
    pub layers: Vec<Digest>,
}

/// Reads a manifest; `None` if the text is none of this format.
pub fn parse(text: &[u8]) -> Option<Schema1> {
    let manifest: Value = serde_json::from_slice(text).ok()?;
    if manifest["schemaVersion"] != 1 {
        return None;
    }
    let digest = |layer: &Value| layer["blobSum"].as_str()?.parse().ok();
    let mut layers: Vec<Digest> =
        manifest["fsLayers"].as_array()?.iter().map(digest).collect::<Option<_>>()?;
    layers.sort();
    layers.dedup();
    let is_signed = manifest["signatures"].is_array();
    Some(Schema1 { media_type: if is_signed { MEDIA_TYPES[0] } else { MEDIA_TYPES[1] }, layers })
}

/// The digest of a manifest of any format.
pub fn digest_of(text: &[u8]) -> Digest {
    payload(text).map_or_else(|| Digest::of(text), |payload| Digest::of(&payload))
}

/// The text that was signed: the first `formatLength` bytes, and then `formatTail` (the "protected" header of each signature).
/// It has to be the manifest without its signatures, or a text could take the digest of another one.
fn payload(text: &[u8]) -> Option<Vec<u8>> {
    let mut manifest: Value =
        serde_json::from_slice(text).ok().filter(|it: &Value| it["schemaVersion"] == 1)?;
    let protected = BASE64.decode(manifest["signatures"][0]["protected"].as_str()?).ok()?;
    let protected: Value = serde_json::from_slice(&protected).ok()?;
    let length = usize::try_from(protected["formatLength"].as_u64()?).ok()?;
    let tail = BASE64.decode(protected["formatTail"].as_str()?).ok()?;
    let payload = [text.get(..length)?, &tail].concat();
    manifest.as_object_mut()?.remove("signatures");
    (serde_json::from_slice::<Value>(&payload).ok()? == manifest).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_signed_text() {
        let plain =
            format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"sha256:{}"}}]}}"#, "0".repeat(64));
        let length = plain.len() - 1;
        let protected =
            BASE64.encode(format!(r#"{{"formatLength":{length},"formatTail":"{}"}}"#, BASE64.encode("}")));
        let signed = format!(r#"{},"signatures":[{{"protected":"{protected}"}}]}}"#, &plain[..length]);
        assert_eq!(digest_of(signed.as_bytes()), Digest::of(plain.as_bytes()));
        assert_eq!(parse(signed.as_bytes()).unwrap().media_type, MEDIA_TYPES[0]);
        assert_eq!(parse(plain.as_bytes()).unwrap().media_type, MEDIA_TYPES[1]);
        assert_eq!(digest_of(b"{}"), Digest::of(b"{}"));
        // The digest of another text.
        let other = BASE64.encode(format!(r#"{{"formatLength":0,"formatTail":"{}"}}"#, BASE64.encode("{}")));
        let forged =
            format!(r#"{{"schemaVersion":1,"fsLayers":[],"signatures":[{{"protected":"{other}"}}]}}"#);
        assert_eq!(digest_of(forged.as_bytes()), Digest::of(forged.as_bytes()));
        assert_eq!(parse(br#"{"schemaVersion":2}"#), None);
        assert_eq!(parse(br#"{"schemaVersion":1,"fsLayers":[{"blobSum":"x"}]}"#), None);
    }
}
