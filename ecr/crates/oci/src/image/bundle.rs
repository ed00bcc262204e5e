//! An image with all of its blobs, manifests and names, for files and local engines.

use std::path::PathBuf;

use ecr_types::media_type::OCI_INDEX;
use ecr_types::{Descriptor, Digest, ImageIndex, Platform};
use serde::Serialize;

use super::assemble::Image;

/// A config or a layer.
#[derive(Debug, Clone)]
pub struct Blob {
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// The content, in memory or in a file.
    pub content: Content,
}

/// The content of a blob.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// The path of a file, which is streamed.
    File(PathBuf),
}

/// A manifest as it is transferred: its bytes and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The media type, for the header `Content-Type` and for descriptors.
    pub media_type: &'static str,
    /// The JSON text, on which the digest depends.
    pub bytes: Vec<u8>,
}

impl RawManifest {
    /// The manifest of an image.
    pub fn of(image: &Image) -> Self {
        Self { media_type: image.media_type, bytes: image.manifest.clone() }
    }

    /// An OCI index from its bytes.
    pub fn index(bytes: Vec<u8>) -> Self {
        Self { media_type: OCI_INDEX, bytes }
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// An image with everything that belongs to it, for a destination other than a registry.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The names, such as `my-app:1.0.0`.
    pub names: Vec<String>,
    /// The manifest to which the names point: that of an image, or an index.
    pub top: RawManifest,
    /// The manifests that the index lists; empty if `top` is not an index.
    pub parts: Vec<RawManifest>,
    /// The configs and layers of all images.
    pub blobs: Vec<Blob>,
    /// The images with their platforms.
    pub images: Vec<(Platform, Image)>,
}

impl Bundle {
    /// The entries of `index.json` in an OCI image layout, one for each name (OCI image specification, "Image Layout").
    pub fn layout_entries(&self) -> Vec<Descriptor> {
        let entry = |name: &String| Descriptor {
            annotations: [(REF_NAME.to_owned(), name.clone())].into(),
            ..Descriptor::new(self.top.media_type, self.top.digest(), self.top.bytes.len() as u64)
        };
        self.names.iter().map(entry).collect()
    }

    /// The entry of `manifest.json`, which `docker load` and `podman load` read. It describes one image: that of the platform
    /// `wanted`, else the first one; `None` if there are no images.
    pub fn docker_entry(&self, wanted: &Platform) -> Option<DockerEntry> {
        let own = self.images.iter().find(|(platform, _)| platform == wanted);
        let (_, image) = own.or(self.images.first())?;
        Some(DockerEntry {
            config: blob_path(&image.config_digest),
            repo_tags: self.names.clone(),
            layers: image.layers.iter().map(|it| blob_path(&it.digest)).collect(),
        })
    }

    /// All manifests, each with its path in an OCI image layout.
    pub fn manifests(&self) -> impl Iterator<Item = (String, &[u8])> {
        let all = std::iter::once(&self.top).chain(&self.parts);
        all.map(|it| (blob_path(&it.digest()), it.bytes.as_slice()))
    }
}

/// An entry of `manifest.json` in an archive of `docker save` (Docker Image Specification v1.2, "Combined Image JSON +
/// Filesystem Changeset Format"). It serializes to the JSON of the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The annotation with an image's name in an OCI image layout (OCI image specification, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The path of a blob in an OCI image layout: `blobs/sha256/HEX`.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The content of the file `oci-layout`, which marks a folder as an OCI image layout (OCI image specification, "oci-layout
/// file").
pub const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The `index.json` of a layout with new entries. Existing entries with the same names are replaced, all others stay.
pub fn layout_index(existing: Option<ImageIndex>, new: Vec<Descriptor>) -> ImageIndex {
    let is_replaced = |it: &Descriptor| {
        let name = it.annotations.get(REF_NAME);
        name.is_some() && new.iter().any(|entry| entry.annotations.get(REF_NAME) == name)
    };
    let kept = existing.into_iter().flat_map(|it| it.manifests).filter(|it| !is_replaced(it));
    ImageIndex::new(kept.chain(new.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_index_has_one_entry_per_name() {
        let entry = |name: &str, content: &str| Descriptor {
            annotations: [(REF_NAME.to_owned(), name.to_owned())].into(),
            ..Descriptor::new(OCI_INDEX, Digest::of(content.as_bytes()), 1)
        };
        let existing = ImageIndex::new(vec![entry("a:1", "old"), entry("b:1", "kept")]);
        let merged = layout_index(Some(existing), vec![entry("a:1", "new")]);
        assert_eq!(merged.manifests, [entry("b:1", "kept"), entry("a:1", "new")]);
    }
}
