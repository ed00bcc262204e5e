//! The properties of images that policies depend on, and image lists in JSON.

use std::fmt;
use std::str::FromStr;

use ecr_types::{Digest, Timestamp};
use serde::Deserialize;

use super::StorageClass;

/// An image or artifact of a repository.
///
/// It is deserialized from the JSON of `ecr images --format json`, with keys such as `pushedAt`, and from that of
/// `aws ecr describe-images`, with keys such as `imagePushedAt`. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The digest of the manifest (`imageDigest`).
    #[serde(alias = "imageDigest")]
    pub digest: Digest,
    /// The tags; empty for an untagged image (`imageTags`).
    #[serde(default, alias = "imageTags", deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// The media type of the manifest (`imageManifestMediaType`).
    #[serde(default, alias = "imageManifestMediaType")]
    pub media_type: Option<String>,
    /// The time of the push (`imagePushedAt`).
    #[serde(alias = "imagePushedAt")]
    pub pushed_at: Timestamp,
    /// The time of the last recorded pull (`lastRecordedPullTime`); `None` if the image was never pulled.
    #[serde(alias = "lastRecordedPullTime")]
    pub last_pulled_at: Option<Timestamp>,
    /// The compressed size in bytes (`imageSizeInBytes`).
    #[serde(default, alias = "imageSizeInBytes", deserialize_with = "or_default")]
    pub size_bytes: u64,
    /// The image to which this artifact is attached (`subjectManifestDigest`; OCI image specification, `subject`).
    #[serde(alias = "subjectManifestDigest")]
    pub subject: Option<Digest>,
    /// The manifests that an index lists; `None` if its manifest could not be read.
    #[serde(default)]
    pub children: Option<Vec<Digest>>,
    /// The storage class. `imageStatus` is accepted, too: `ARCHIVED` is the archive, `ACTIVE` and `ACTIVATING` are standard.
    #[serde(default, alias = "imageStatus", deserialize_with = "storage_class")]
    pub storage_class: StorageClass,
    /// The time at which the image was last moved to the archive (`lastArchivedAt`).
    pub last_archived_at: Option<Timestamp>,
    /// The time at which the image was last restored from the archive (`lastActivatedAt`).
    pub last_activated_at: Option<Timestamp>,
}

impl Image {
    /// Whether the media type is that of an OCI index or of a Docker manifest list.
    pub fn is_index(&self) -> bool {
        self.media_type.as_deref().is_some_and(ecr_types::media_type::is_index)
    }

    /// Whether this is an index whose manifest could not be read.
    pub fn has_unknown_children(&self) -> bool {
        self.children.is_none() && self.is_index()
    }

    /// The manifests that an index lists; empty for an image and for an index that could not be read.
    pub fn children(&self) -> &[Digest] {
        self.children.as_deref().unwrap_or_default()
    }
}

/// The default for `null`.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A storage class of policies or an `imageStatus` of the API, in upper or lower case. `null` is the standard class.
fn storage_class<'de, D: serde::Deserializer<'de>>(from: D) -> Result<StorageClass, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "" | "standard" | "active" | "activating" => Ok(StorageClass::Standard),
        "archive" | "archived" => Ok(StorageClass::Archive),
        _ => Err(serde::de::Error::custom(format!("`{text}` is not one of standard, archive"))),
    }
}

/// A list of images, parsed from JSON. The accepted forms are `{"repositories": [{"name", "images"}]}`,
/// `{"images": [...]}`, `[...]`, and the output of `aws ecr describe-images`, which is `{"imageDetails": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageList {
    /// The repositories: the name, if the JSON has one, and the images.
    pub repositories: Vec<(Option<String>, Vec<Image>)>,
    /// The time at which the list was made (`now`), if the JSON has it.
    pub now: Option<Timestamp>,
}

#[derive(Deserialize)]
struct File {
    repositories: Option<Vec<RepositoryImages>>,
    #[serde(alias = "imageDetails")]
    images: Option<Vec<Image>>,
    now: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RepositoryImages {
    name: Option<String>,
    images: Vec<Image>,
}

/// The text is not an image list: a syntax error, a missing key, or an image that is not valid.
#[derive(Debug)]
pub struct InvalidImageList(serde_json::Error);

impl fmt::Display for InvalidImageList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InvalidImageList {}

impl FromStr for ImageList {
    type Err = InvalidImageList;

    fn from_str(text: &str) -> Result<Self, InvalidImageList> {
        if text.trim_start().starts_with('[') {
            let images = serde_json::from_str(text).map_err(InvalidImageList)?;
            return Ok(Self { repositories: vec![(None, images)], now: None });
        }
        let file: File = serde_json::from_str(text).map_err(InvalidImageList)?;
        if file.repositories.is_none() && file.images.is_none() {
            let missing = serde::de::Error::custom("it has neither `repositories` nor `images`");
            return Err(InvalidImageList(missing));
        }
        let named = file.repositories.into_iter().flatten().map(|it| (it.name, it.images));
        let repositories = file.images.map(|it| (None, it)).into_iter().chain(named).collect();
        Ok(Self { repositories, now: file.now })
    }
}
