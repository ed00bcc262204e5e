//! An image as a policy sees it, and lists of images in files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::StorageClass;
use crate::name::Digest;

/// A moment, in nanoseconds since 1970; what lies before 1677 or after 2262 is clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many nanoseconds after the beginning of 1970.
    pub fn from_nanoseconds(nanoseconds: i128) -> Self {
        Self(nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The moment so many seconds after the beginning of 1970, as the API's JSON has it.
    pub fn from_seconds(seconds: f64) -> Self {
        // Milliseconds are what ECR keeps; a float has no more digits to give.
        Self::from_nanoseconds((seconds * 1000.0).round() as i128 * 1_000_000)
    }

    /// Seconds since the beginning of 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// How many nanoseconds `earlier` lies before this.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC, with milliseconds where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            OffsetDateTime::from_unix_timestamp_nanos(self.0.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, month) = (time.date(), u8::from(time.month()));
        write!(f, "{:04}-{month:02}-{:02}T", date.year(), date.day())?;
        write!(f, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        match time.millisecond() {
            0 => f.write_str("Z"),
            milliseconds => write!(f, ".{milliseconds:03}Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// RFC 3339, with any offset and any fraction of a second.
impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339);
        let parsed = parsed.map_err(|_| format!("`{text}` is not a time such as 2026-06-15T12:00:00Z"))?;
        Ok(Self::from_nanoseconds(parsed.unix_timestamp_nanos()))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

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
        self.media_type.as_deref().is_some_and(crate::image::is_index)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(at("2026-06-15T12:00:00Z"), at("2026-06-15T14:00:00.000+02:00"));
        assert_eq!(at("1970-01-01T00:00:01.5Z").0, 1_500_000_000);
        assert_eq!(at("9999-12-31T23:59:59Z").0, i64::MAX);
        assert_eq!(Timestamp::from_seconds(1.25).0, 1_250_000_000);
        assert!("yesterday".parse::<Timestamp>().is_err());
        let shown = |text: &str| at(text).to_string();
        assert_eq!(shown("2026-06-15T14:00:00.25+02:00"), "2026-06-15T12:00:00.250Z");
        assert_eq!(shown("1969-12-31T23:59:59Z"), "1969-12-31T23:59:59Z");
    }
}
