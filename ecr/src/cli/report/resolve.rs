//! The document of `resolve`.

use ecr_types::{Digest, ImageTag, RepositoryName};
use serde::Serialize;

use crate::deployment::DeployedImage;

/// The references of deployment files, and the images that they name.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResolveReport {
    /// The files, in the order in which they were read.
    pub files: Vec<ResolvedFile>,
    /// The images, sorted by repository.
    pub images: Vec<ResolvedImage>,
}

/// A deployment file.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResolvedFile {
    /// The path of the file; `-` is stdin.
    pub path: String,
    /// Whether the resolved text differs from that of the file.
    pub changed: bool,
    /// The placeholders that were replaced, in their order.
    pub references: Vec<ResolvedReference>,
}

/// A placeholder, or the reference before a marker.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResolvedReference {
    /// The line, counted from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub line: usize,
    /// The name in the placeholder.
    pub name: String,
    /// The text in its place: a reference, or the part of it that the placeholder asks for.
    pub reference: String,
}

/// An image that files name.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DeployedImage"))]
pub struct ResolvedImage {
    /// The package of the service. Null for a repository without one.
    pub package: Option<String>,
    /// The name of the service. Null for a repository without one.
    pub service: Option<String>,
    /// The repository.
    pub repository: RepositoryName,
    /// A tag of the image. Null if none is known.
    pub tag: Option<ImageTag>,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// The reference: host, repository and digest.
    #[cfg_attr(test, schemars(regex(pattern = r"^[^/]+/.+@sha256:[0-9a-f]{64}$")))]
    pub reference: String,
}

impl From<&DeployedImage> for ResolvedImage {
    fn from(image: &DeployedImage) -> Self {
        Self {
            package: image.package.clone(),
            service: image.service.clone(),
            repository: image.repository.clone(),
            tag: image.tag.clone(),
            digest: image.digest.clone(),
            reference: image.reference(),
        }
    }
}
