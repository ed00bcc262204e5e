//! What takes the place of a placeholder.

use ecr_types::{Digest, ImageTag, RepositoryName};

use super::Part;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedImage {
    /// The package of the service; `None` for a repository without one.
    pub package: Option<String>,
    /// The key of the service, which is the name of the package if it has one service.
    pub service: Option<String>,
    pub repository: RepositoryName,
    /// The host of the registry.
    pub host: String,
    /// A tag of the image, if one is known.
    pub tag: Option<ImageTag>,
    /// The digest of the manifest or index.
    pub digest: Digest,
}

/// A placeholder asks for the tag of an image of which none is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTag;

impl DeployedImage {
    /// The name of the service, else that of the repository.
    pub fn name(&self) -> String {
        match (&self.package, &self.service) {
            (Some(package), Some(service)) if package != service => format!("{package}-{service}"),
            (Some(package), _) => package.clone(),
            (None, _) => self.repository.to_string(),
        }
    }

    /// `HOST/NAME@sha256:...`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.location(), self.digest)
    }

    /// `HOST/NAME`.
    pub fn location(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The text for a part of the reference.
    ///
    /// # Errors
    /// The part has the tag, and none is known.
    pub fn text(&self, part: Part) -> Result<String, NoTag> {
        let tag = || self.tag.as_ref().ok_or(NoTag);
        Ok(match part {
            Part::Reference => self.reference(),
            Part::Tagged => format!("{}:{}@{}", self.location(), tag()?, self.digest),
            Part::Repository => self.location(),
            Part::Digest => self.digest.to_string(),
            Part::Tag => tag()?.to_string(),
        })
    }
}
