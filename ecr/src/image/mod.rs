//! Files -> deterministic layers -> config -> manifest. Digests are derived, never stored beside the bytes.

pub mod base;
pub mod blob;
pub mod compression;
pub mod dockerignore;
pub mod elf;
pub mod gzip;
pub mod layer;
pub mod manifest;
pub mod parent;
pub mod reference;
pub mod tag;
pub mod zstd;

use serde_json::Value;

use crate::name::Digest;

/// Media types of a list of manifests: OCI's image index and docker's manifest list.
pub const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// The digests of the descriptors that a manifest lists under `key`; what is none is left out.
pub fn listed_digests(manifest: &Value, key: &str) -> Vec<Digest> {
    let descriptors = manifest[key].as_array().into_iter().flatten();
    descriptors.filter_map(|it| it["digest"].as_str()?.parse().ok()).collect()
}

/// Whether a manifest of this media type lists others.
pub fn is_index(media_type: &str) -> bool {
    INDEXES.contains(&media_type)
}
