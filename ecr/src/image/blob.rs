//! What an image consists of, ready to go anywhere: blobs, manifests, and their names.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::manifest::{INDEX, Image};
use crate::metadata::Platform;
use crate::name::Digest;

/// A config or a layer.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub content: Content,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, to be streamed.
    File(PathBuf),
}

/// A manifest with its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The manifest of an image.
    pub fn of(image: &Image) -> Self {
        Self { media_type: image.media_type, bytes: image.manifest.clone() }
    }

    /// The bytes of an index.
    pub fn index(bytes: Vec<u8>) -> Self {
        Self { media_type: INDEX, bytes }
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// An image with all that belongs to it, for an end that is no registry.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its names, such as `my-app:1.0.0`.
    pub names: Vec<String>,
    /// What the names point to: the manifest of an image, or an index.
    pub top: Manifest,
    /// The manifests that the index lists.
    pub parts: Vec<Manifest>,
    /// Configs and layers.
    pub blobs: Vec<Blob>,
    /// The image for each platform.
    pub images: Vec<(Platform, Image)>,
}

impl Bundle {
    /// The entries of an OCI layout's `index.json`, one for each name (OCI image specification, "Image Layout").
    pub fn layout_entries(&self) -> Vec<Value> {
        let entry = |name: &String| {
            json!({
                "mediaType": self.top.media_type,
                "digest": self.top.digest(),
                "size": self.top.bytes.len(),
                "annotations": {"org.opencontainers.image.ref.name": name},
            })
        };
        self.names.iter().map(entry).collect()
    }

    /// The entry of `manifest.json`, which `docker load` and `podman load` read: one image, that of `wanted` if there is
    /// one for it.
    pub fn docker_entry(&self, wanted: &Platform) -> Option<Value> {
        let own = self.images.iter().find(|(platform, _)| platform == wanted);
        let (_, image) = own.or(self.images.first())?;
        let manifest: Value = serde_json::from_slice(&image.manifest).unwrap_or_default();
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let layers: Vec<_> = layers.filter_map(|it| Some(blob_path(it["digest"].as_str()?))).collect();
        Some(json!({
            "Config": blob_path(image.config_digest.as_str()),
            "RepoTags": self.names,
            "Layers": layers,
        }))
    }

    /// The manifests, with the path of each in an OCI layout.
    pub fn manifests(&self) -> impl Iterator<Item = (String, &[u8])> {
        let all = std::iter::once(&self.top).chain(&self.parts);
        all.map(|it| (blob_path(it.digest().as_str()), it.bytes.as_slice()))
    }
}

/// `blobs/sha256/HEX`, for a digest.
pub fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// `oci-layout`, which says that a folder is one.
pub const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// `index.json` with new entries: those of the same names give way.
pub fn layout_index(existing: &Value, new: Vec<Value>) -> Value {
    let name = |it: &Value| it["annotations"]["org.opencontainers.image.ref.name"].clone();
    let is_kept = |it: &&Value| new.iter().all(|entry| name(entry) != name(it));
    let kept = existing["manifests"].as_array().into_iter().flatten().filter(is_kept).cloned();
    let manifests: Vec<_> = kept.chain(new.iter().cloned()).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_points_to_one_image() {
        let entry = |name: &str, digest: &str| json!({"digest": digest, "annotations": {"org.opencontainers.image.ref.name": name}});
        let existing = json!({"manifests": [entry("a:1", "old"), entry("b:1", "kept")]});
        let merged = layout_index(&existing, vec![entry("a:1", "new")]);
        assert_eq!(merged["manifests"], json!([entry("b:1", "kept"), entry("a:1", "new")]));
        assert_eq!(blob_path("sha256:00"), "blobs/sha256/00");
    }
}
