//! The images that a push has written down, as JSON or as a list of references.

use std::collections::BTreeMap;

use ecr_oci::reference::Reference;
use ecr_types::{Digest, ImageTag};
use serde::Deserialize;

use crate::references::References;

/// An image of a file of `--images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    pub host: String,
    pub repository: String,
    pub digest: Digest,
    /// The tags, which a list of references does not have.
    pub tags: Vec<ImageTag>,
    /// The file that names it.
    pub file: String,
}

/// The images of files of `--images`, by repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushedImages {
    images: BTreeMap<String, Vec<PushedImage>>,
    /// Why repositories have no image, though a push of them was tried.
    failures: BTreeMap<String, String>,
}

/// A file that is neither a document of `push` nor a list of references.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImages {
    #[error("it is neither a JSON document of `push` or `promote` nor a list of digest references: {0}")]
    Text(String),
    #[error("its image of `{repository}` has the reference `{reference}`, which is not HOST/NAME@sha256:...")]
    Reference { repository: String, reference: String },
}

/// The document of `push`, `promote` or `resolve`, or that of `push --merge-refs`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Images { images: Vec<Entry> },
    References { references: Vec<String> },
}

#[derive(Deserialize)]
struct Entry {
    repository: String,
    outcome: Option<String>,
    #[serde(default)]
    tags: Vec<ImageTag>,
    tag: Option<ImageTag>,
    reference: Option<String>,
    error: Option<String>,
}

impl PushedImages {
    /// Adds the images of a file.
    ///
    /// # Errors
    /// The text is none that a push writes.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), InvalidImages> {
        if !text.trim_start().starts_with('{') {
            let list: References = text
                .parse()
                .map_err(|it: crate::references::InvalidLine| InvalidImages::Text(it.to_string()))?;
            return self.add_references(file, list.iter());
        }
        match serde_json::from_str(text).map_err(|it| InvalidImages::Text(it.to_string()))? {
            Document::References { references } => {
                self.add_references(file, references.iter().map(String::as_str))
            }
            Document::Images { images } => images.into_iter().try_for_each(|it| self.add_entry(file, it)),
        }
    }

    fn add_references<'a>(
        &mut self,
        file: &str,
        references: impl Iterator<Item = &'a str>,
    ) -> Result<(), InvalidImages> {
        for reference in references {
            let image = parsed(file, reference, Vec::new());
            self.insert(image.ok_or_else(|| InvalidImages::Text(format!("`{reference}`")))?);
        }
        Ok(())
    }

    fn add_entry(&mut self, file: &str, entry: Entry) -> Result<(), InvalidImages> {
        let Entry { repository, outcome, mut tags, tag, reference, error } = entry;
        let is_there = outcome
            .as_deref()
            .is_none_or(|it| matches!(it, "pushed" | "unchanged" | "unaffected" | "promoted"));
        match reference {
            Some(reference) if is_there => {
                tags.extend(tag);
                let wrong = || InvalidImages::Reference { repository, reference: reference.clone() };
                self.insert(parsed(file, &reference, tags).ok_or_else(wrong)?);
            }
            _ => {
                let outcome = outcome.unwrap_or_default();
                let cause = error.map(|it| format!(": {it}")).unwrap_or_default();
                self.failures.insert(repository, format!("`{file}` says `{outcome}`{cause}"));
            }
        }
        Ok(())
    }

    /// Adds an image; the same one is kept once, with all its tags.
    fn insert(&mut self, image: PushedImage) {
        let images = self.images.entry(image.repository.clone()).or_default();
        let is_same = |it: &&mut PushedImage| it.digest == image.digest && it.host == image.host;
        match images.iter_mut().find(is_same) {
            Some(known) => known.tags.extend(image.tags),
            None => images.push(image),
        }
    }

    /// The images of a repository. Several are a contradiction.
    pub fn of(&self, repository: &str) -> &[PushedImage] {
        self.images.get(repository).map_or(&[], Vec::as_slice)
    }

    /// Why a repository has no image.
    pub fn failure(&self, repository: &str) -> Option<&str> {
        self.failures.get(repository).map(String::as_str)
    }
}

fn parsed(file: &str, text: &str, tags: Vec<ImageTag>) -> Option<PushedImage> {
    let reference: Reference = text.parse().ok()?;
    let (host, repository) = (reference.host.clone(), reference.name.clone());
    Some(PushedImage { host, repository, digest: reference.digest?, tags, file: file.to_owned() })
}
