//! An image as a policy sees it, and lists of images in files.

use std::fmt;
use std::str::FromStr;

use ecr_types::{Digest, Timestamp};
use serde::Deserialize;

use super::StorageClass;

/// An image of a repository. The keys are those of `ecr images --format json`; further ones do not matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The digest of its manifest.
    #[serde(alias = "imageDigest")]
    pub digest: Digest,
    /// Its tags.
    #[serde(default, alias = "imageTags", deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// The media type of its manifest.
    #[serde(default, alias = "imageManifestMediaType")]
    pub media_type: Option<String>,
    /// `imagePushedAt`.
    #[serde(alias = "imagePushedAt")]
    pub pushed_at: Timestamp,
    /// `lastRecordedPullTime`; `None` for never.
    #[serde(alias = "lastRecordedPullTime")]
    pub last_pulled_at: Option<Timestamp>,
    /// `imageSizeInBytes`.
    #[serde(default, alias = "imageSizeInBytes", deserialize_with = "or_default")]
    pub size_bytes: u64,
    /// The image that this artifact belongs to (OCI `subject`).
    #[serde(alias = "subjectManifestDigest")]
    pub subject: Option<Digest>,
    /// What an index lists; `None` where that could not be read.
    #[serde(default)]
    pub children: Option<Vec<Digest>>,
    /// Where it is stored.
    #[serde(default, alias = "imageStatus", deserialize_with = "storage_class")]
    pub storage_class: StorageClass,
    /// When it was moved to the archive.
    pub last_archived_at: Option<Timestamp>,
    /// When it was last brought back from there.
    pub last_activated_at: Option<Timestamp>,
}

impl Image {
    /// Whether it is a list of images.
    pub fn is_index(&self) -> bool {
        self.media_type.as_deref().is_some_and(ecr_types::media_type::is_index)
    }

    /// Whether it is an index whose manifest could not be read.
    pub fn has_unknown_children(&self) -> bool {
        self.children.is_none() && self.is_index()
    }

    /// The images that it lists.
    pub fn children(&self) -> &[Digest] {
        self.children.as_deref().unwrap_or_default()
    }
}

/// Null is as good as nothing.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// The words of policies, in any case, as the API has them in capitals; null is the default.
fn storage_class<'de, D: serde::Deserializer<'de>>(from: D) -> Result<StorageClass, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "" | "standard" | "active" | "activating" => Ok(StorageClass::Standard),
        "archive" | "archived" => Ok(StorageClass::Archive),
        _ => Err(serde::de::Error::custom(format!("`{text}` is not one of standard, archive"))),
    }
}

/// The images of a file: `{"repositories": [{"name", "images"}]}`, `{"images": [...]}`, `[...]`, or the answer of
/// `aws ecr describe-images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageList {
    /// Each repository's name, if the file gives one, and its images.
    pub repositories: Vec<(Option<String>, Vec<Image>)>,
    /// The moment for which the list was made, if the file gives one.
    pub now: Option<Timestamp>,
}

#[derive(Deserialize)]
struct File {
    repositories: Option<Vec<Repository>>,
    #[serde(alias = "imageDetails")]
    images: Option<Vec<Image>>,
    now: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Repository {
    name: Option<String>,
    images: Vec<Image>,
}

/// Why a text is no list of images.
#[derive(Debug)]
pub struct NoImageList(serde_json::Error);

impl fmt::Display for NoImageList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NoImageList {}

impl FromStr for ImageList {
    type Err = NoImageList;

    fn from_str(text: &str) -> Result<Self, NoImageList> {
        if text.trim_start().starts_with('[') {
            let images = serde_json::from_str(text).map_err(NoImageList)?;
            return Ok(Self { repositories: vec![(None, images)], now: None });
        }
        let file: File = serde_json::from_str(text).map_err(NoImageList)?;
        if file.repositories.is_none() && file.images.is_none() {
            let missing = serde::de::Error::custom("it has neither `repositories` nor `images`");
            return Err(NoImageList(missing));
        }
        let named = file.repositories.into_iter().flatten().map(|it| (it.name, it.images));
        let repositories = file.images.map(|it| (None, it)).into_iter().chain(named).collect();
        Ok(Self { repositories, now: file.now })
    }
}
