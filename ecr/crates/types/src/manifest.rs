//! Image manifests and image indexes, for reading and for writing.
//!
//! OCI image specification 1.1, "Image Manifest", "Image Index" and "Content Descriptors"; Docker's manifest
//! (Image Manifest V2, Schema 2) and manifest list have the same fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::media_type::{self, OCI_INDEX};
use crate::{Digest, Platform};

/// A reference to a blob or a manifest (OCI image specification, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Further URLs of the content.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub urls: Vec<String>,
    /// The content itself in base64, if it is embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The type of an artifact, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The platform of an image, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Arbitrary metadata (OCI image specification, "Annotations").
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

/// The manifest of one image or artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// `schemaVersion`: always 2.
    pub schema_version: u32,
    /// The media type of the manifest. It is optional in OCI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact; `None` for a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The descriptor of the config.
    pub config: Descriptor,
    /// The descriptors of the layers, from the lowest to the highest.
    #[serde(deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest to which this artifact is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata (OCI image specification, "Annotations").
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, usually one for each platform. Docker's term is manifest list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// `schemaVersion`: always 2.
    pub schema_version: u32,
    /// The media type of the index. It is optional in OCI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact; `None` for a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The descriptors of the manifests, in the order of the index.
    #[serde(deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest to which this index is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Arbitrary metadata (OCI image specification, "Annotations").
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

/// An image manifest or an image index.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "manifests are read one at a time")]
pub enum Manifest {
    /// One image or artifact.
    Image(ImageManifest),
    /// An image index or a Docker manifest list.
    Index(ImageIndex),
}

/// Why a text is not a manifest.
#[derive(Debug, Error)]
pub enum InvalidManifest {
    /// The text is not JSON.
    #[error("the manifest is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The `schemaVersion` is not 2, such as in Docker's retired schema 1.
    #[error("the manifest has schemaVersion {0}, only schemaVersion 2 is supported")]
    SchemaVersion(String),
    /// A field is missing, or has a value of the wrong type or form.
    #[error("the manifest is not valid: {0}")]
    Field(#[source] serde_json::Error),
    /// The media type in the manifest differs from the one in the request or response.
    #[error("the manifest's mediaType is `{own}`, but it was sent as `{named}`")]
    MediaTypes {
        /// The `mediaType` of the manifest.
        own: String,
        /// The media type that the sender declared, as in the header `Content-Type`.
        named: String,
    },
    /// The manifest has no `mediaType`, and the sender declared none that is known.
    #[error("neither the manifest nor the request names its media type")]
    NoMediaType,
    /// The media type is neither that of an image nor that of an index.
    #[error("the manifest's media type `{0}` is neither that of an image nor that of an index")]
    MediaType(String),
}

/// The fields by which image manifests and indexes are distinguished. Other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    schema_version: serde_json::Value,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default, rename = "manifests", deserialize_with = "is_present")]
    has_manifests: bool,
}

impl Descriptor {
    /// A descriptor with the required fields only. `size` is in bytes.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            data: None,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Whether this layer is fetched from its URLs and need not be in the registry (OCI image specification,
    /// "Non-Distributable Layers"; Docker's "foreign" layers).
    pub fn is_nondistributable(&self) -> bool {
        [".nondistributable.", ".foreign."].iter().any(|it| self.media_type.contains(it))
    }

    /// Whether this entry of an index is an attestation of BuildKit and not an image (BuildKit, "Image Attestation
    /// Storage").
    pub fn is_attestation(&self) -> bool {
        let kind = self.annotations.get("vnd.docker.reference.type");
        kind.is_some_and(|it| it == "attestation-manifest")
    }
}

impl Manifest {
    /// Parses a manifest. `named` is the media type that the sender declared; it is used if the manifest has no `mediaType`.
    /// Without either, a manifest with the field `manifests` is an index.
    ///
    /// ```
    /// use ecr_types::Manifest;
    ///
    /// let index = br#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}"#;
    /// assert!(matches!(Manifest::parse(index, None), Ok(Manifest::Index(index)) if index.manifests.is_empty()));
    /// ```
    ///
    /// # Errors
    /// The bytes are not JSON, the `schemaVersion` is not 2, the media type is unknown or contradicts `named`, or a field is
    /// missing or not valid.
    pub fn parse(bytes: &[u8], named: Option<&str>) -> Result<Self, InvalidManifest> {
        let kind: Kind = serde_json::from_slice(bytes).map_err(InvalidManifest::of)?;
        if kind.schema_version != 2 {
            return Err(InvalidManifest::SchemaVersion(kind.schema_version.to_string()));
        }
        if kind.is_index(named)? {
            serde_json::from_slice(bytes).map(Self::Index).map_err(InvalidManifest::of)
        } else {
            serde_json::from_slice(bytes).map(Self::Image).map_err(InvalidManifest::of)
        }
    }

    /// The `mediaType` of the manifest, if it has one.
    pub fn media_type(&self) -> Option<&str> {
        match self {
            Self::Image(image) => image.media_type.as_deref(),
            Self::Index(index) => index.media_type.as_deref(),
        }
    }

    /// The `mediaType` of the manifest, else `named`, the media type that the sender declared: "Clients SHOULD set the
    /// Content-Type header to the type of the manifest being pushed" (OCI distribution specification, "Pushing Manifests").
    ///
    /// # Errors
    /// The manifest has none, and `named` is not that of a manifest.
    pub fn declared_media_type<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, InvalidManifest> {
        self.media_type().or_else(|| known(named)).ok_or(InvalidManifest::NoMediaType)
    }

    /// The manifest to which this one is attached (OCI image specification, "subject").
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// The type of an artifact: `artifactType`, else the media type of the config (OCI distribution specification,
    /// "Listing Referrers": "If the artifactType is empty or missing in the image manifest, the value of
    /// artifactType MUST be set to the config descriptor mediaType value").
    pub fn artifact_type(&self) -> Option<&str> {
        let (own, config) = match self {
            Self::Image(image) => (&image.artifact_type, Some(image.config.media_type.as_str())),
            Self::Index(index) => (&index.artifact_type, None),
        };
        own.as_deref().filter(|it| !it.is_empty()).or(config)
    }

    /// The annotations of the manifest itself.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(image) => &image.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// The manifests that an index lists; empty for an image.
    pub fn children(&self) -> &[Descriptor] {
        match self {
            Self::Image(_) => &[],
            Self::Index(index) => &index.manifests,
        }
    }

    /// The config and the layers of an image, in this order; empty for an index.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let image = match self {
            Self::Image(image) => Some(image),
            Self::Index(_) => None,
        };
        image.into_iter().flat_map(|it| std::iter::once(&it.config).chain(&it.layers))
    }
}

impl ImageManifest {
    /// The manifest of an image. `media_type` must be of the same kind (OCI or Docker) as those of the config and layers.
    pub fn new(media_type: impl Into<String>, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type.into()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl ImageIndex {
    /// An OCI index that lists `manifests` in this order.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl InvalidManifest {
    fn of(error: serde_json::Error) -> Self {
        if error.is_data() { Self::Field(error) } else { Self::NotJson(error) }
    }
}

impl Kind {
    /// Whether the manifest is an index: by its own media type, else by the sender's, else by its fields. Two different
    /// media types are an error, as an image could otherwise be treated as an index.
    fn is_index(&self, named: Option<&str>) -> Result<bool, InvalidManifest> {
        let named = known(named);
        match (self.media_type.as_deref(), named) {
            (Some(own), Some(named)) if own != named => {
                Err(InvalidManifest::MediaTypes { own: own.to_owned(), named: named.to_owned() })
            }
            (Some(own), _) if !media_type::MANIFESTS.contains(&own) => {
                Err(InvalidManifest::MediaType(own.to_owned()))
            }
            (Some(known), _) | (None, Some(known)) => Ok(media_type::is_index(known)),
            (None, None) => Ok(self.has_manifests),
        }
    }
}

/// The media type, if it is that of a manifest.
fn known(media_type: Option<&str>) -> Option<&str> {
    media_type.filter(|it| media_type::MANIFESTS.contains(it))
}

/// `true` for any value, including `null`.
fn is_present<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| true)
}

/// The default for `null`, which Go writes for an empty list or map.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::media_type::OCI_MANIFEST;

    fn parse(manifest: &Value, named: Option<&str>) -> Result<Manifest, String> {
        Manifest::parse(manifest.to_string().as_bytes(), named).map_err(|it| it.to_string())
    }

    fn descriptor(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x"), "size": 1})
    }

    fn image() -> Value {
        json!({"schemaVersion": 2, "config": descriptor("c"), "layers": [descriptor("l")]})
    }

    #[test]
    fn manifest_kind_follows_from_media_type_then_from_fields() {
        let with = |media_type: &str| {
            let mut manifest = image();
            manifest["mediaType"] = json!(media_type);
            manifest
        };
        let index = json!({"schemaVersion": 2, "manifests": null});
        assert!(matches!(parse(&image(), None), Ok(Manifest::Image(_))));
        assert!(matches!(parse(&with(media_type::DOCKER_MANIFEST), None), Ok(Manifest::Image(_))));
        assert!(matches!(parse(&index, None), Ok(Manifest::Index(it)) if it.manifests.is_empty()));
        let error = parse(&with(OCI_MANIFEST), Some(OCI_INDEX)).unwrap_err();
        assert!(error.contains("sent as"), "{error}");
        let error = parse(&with("text/plain"), None).unwrap_err();
        assert!(error.contains("neither"), "{error}");
    }

    #[test]
    fn manifest_of_another_version_is_refused_by_name() {
        let error = parse(&json!({"schemaVersion": 1, "fsLayers": []}), None).unwrap_err();
        assert_eq!(error, "the manifest has schemaVersion 1, only schemaVersion 2 is supported");
        assert!(Manifest::parse(b"<html>", None).unwrap_err().to_string().contains("not JSON"));
    }

    #[test]
    fn manifest_fields_are_checked() {
        for (pointer, wrong) in [
            ("/config/digest", json!("sha256:x")),
            ("/config/size", json!("1")),
            ("/layers/0/mediaType", json!(null)),
            ("/layers", json!({})),
        ] {
            let mut manifest = image();
            *manifest.pointer_mut(pointer).unwrap() = wrong;
            assert!(parse(&manifest, None).is_err(), "{pointer}");
        }
        let mut manifest = image();
        manifest["annotations"] = json!({"a": 1});
        assert!(parse(&manifest, None).is_err());
    }

    #[test]
    fn manifest_is_written_in_the_order_of_the_specification() {
        let digest = Digest::of(b"x");
        let manifest = ImageManifest::new(OCI_MANIFEST, Descriptor::new("c", digest.clone(), 1), Vec::new());
        assert_eq!(
            serde_json::to_string(&manifest).unwrap(),
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"c","digest":"{digest}","size":1}},"layers":[]}}"#
            )
        );
    }
}
