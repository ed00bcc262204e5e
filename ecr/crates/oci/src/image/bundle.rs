//! What an image consists of, ready to go anywhere: blobs, manifests, and their names.

use std::path::PathBuf;

use ecr_types::media_type::OCI_INDEX;
use ecr_types::{Descriptor, Digest, ImageIndex, Platform};
use serde::Serialize;

use super::assemble::Image;

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

/// The bytes of a manifest, with its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl RawManifest {
    /// The manifest of an image.
    pub fn of(image: &Image) -> Self {
        Self { media_type: image.media_type, bytes: image.manifest.clone() }
    }

    /// The bytes of an index.
    pub fn index(bytes: Vec<u8>) -> Self {
        Self { media_type: OCI_INDEX, bytes }
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
    pub top: RawManifest,
    /// The manifests that the index lists.
    pub parts: Vec<RawManifest>,
    /// Configs and layers.
    pub blobs: Vec<Blob>,
    /// The image for each platform.
    pub images: Vec<(Platform, Image)>,
}

impl Bundle {
    /// The entries of an OCI layout's `index.json`, one for each name (OCI image specification, "Image Layout").
    pub fn layout_entries(&self) -> Vec<Descriptor> {
        let entry = |name: &String| Descriptor {
            annotations: [(REF_NAME.to_owned(), name.clone())].into(),
            ..Descriptor::new(self.top.media_type, self.top.digest(), self.top.bytes.len() as u64)
        };
        self.names.iter().map(entry).collect()
    }

    /// The entry of `manifest.json`, which `docker load` and `podman load` read: one image, that of `wanted` if there is
    /// one for it.
    pub fn docker_entry(&self, wanted: &Platform) -> Option<DockerEntry> {
        let own = self.images.iter().find(|(platform, _)| platform == wanted);
        let (_, image) = own.or(self.images.first())?;
        Some(DockerEntry {
            config: blob_path(&image.config_digest),
            repo_tags: self.names.clone(),
            layers: image.layers.iter().map(|it| blob_path(&it.digest)).collect(),
        })
    }

    /// The manifests, with the path of each in an OCI layout.
    pub fn manifests(&self) -> impl Iterator<Item = (String, &[u8])> {
        let all = std::iter::once(&self.top).chain(&self.parts);
        all.map(|it| (blob_path(&it.digest()), it.bytes.as_slice()))
    }
}

/// An image in an archive of `docker save` (Docker Image Specification v1.2, "Combined Image JSON + Filesystem
/// Changeset Format").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The annotation with an image's name in an OCI layout (OCI image specification, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Where a blob is in an OCI layout: `blobs/sha256/HEX`.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The file `oci-layout`, which says that a folder is an OCI layout.
pub const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An `index.json` with new entries. They replace those of the same names.
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
    fn layout_index_has_one_entry_a_name() {
        let entry = |name: &str, content: &str| Descriptor {
            annotations: [(REF_NAME.to_owned(), name.to_owned())].into(),
            ..Descriptor::new(OCI_INDEX, Digest::of(content.as_bytes()), 1)
        };
        let existing = ImageIndex::new(vec![entry("a:1", "old"), entry("b:1", "kept")]);
        let merged = layout_index(Some(existing), vec![entry("a:1", "new")]);
        assert_eq!(merged.manifests, [entry("b:1", "kept"), entry("a:1", "new")]);
    }
}
