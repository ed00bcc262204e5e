//! `PutImage`, `BatchGetImage`, `ListImages` and `DescribeImages`.

use ecr_types::{Digest, ImageTag, RepositoryName};
use serde_json::{Value, json};

use super::page::{paged, paged_by};
use super::{ApiResult, Call, Input, scans};
use crate::error::ApiError;
use crate::images::{self, NewImage, PutError};
use crate::model::{Image, Repository};

/// The identifier of an image: a digest, a tag, or both (service model, `ImageIdentifier`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId {
    /// As in the request; it may be malformed.
    pub digest: Option<String>,
    /// As in the request; it may be malformed.
    pub tag: Option<String>,
}

impl ImageId {
    pub fn new(input: Input<'_>) -> Self {
        let text = |key| input.text(key).map(str::to_owned);
        Self { digest: text("imageDigest"), tag: text("imageTag") }
    }

    /// Whether an entry of a response, with `imageDigest` and `imageTags`, is about this image.
    pub fn is_of(&self, row: &Value) -> bool {
        let has_tag =
            |tag: &String| row["imageTags"].as_array().is_some_and(|it| it.iter().any(|it| it == tag));
        self.digest.as_ref().is_none_or(|it| row["imageDigest"] == **it)
            && self.tag.as_ref().is_none_or(has_tag)
    }

    pub fn json(&self) -> Value {
        let mut id = json!({});
        if let Some(digest) = &self.digest {
            id["imageDigest"] = json!(digest);
        }
        if let Some(tag) = &self.tag {
            id["imageTag"] = json!(tag);
        }
        id
    }

    /// The image with this identifier.
    pub fn find<'a>(&self, repository: &'a Repository) -> Result<(&'a Digest, &'a Image), Missing> {
        let tagged = match &self.tag {
            Some(tag) => {
                let tag = tag.parse::<ImageTag>().map_err(|_| Missing::InvalidTag)?;
                Some(repository.image_tags.get(&tag).ok_or(Missing::NotFound)?)
            }
            None => None,
        };
        let named = match &self.digest {
            Some(digest) => Some(digest.parse::<Digest>().map_err(|_| Missing::InvalidDigest)?),
            None => None,
        };
        let digest = match (tagged, &named) {
            (Some(tagged), Some(named)) if tagged != named => return Err(Missing::TagDoesNotMatch),
            (Some(digest), _) | (None, Some(digest)) => digest,
            (None, None) => return Err(Missing::Neither),
        };
        repository.images.get_key_value(digest).ok_or(Missing::NotFound)
    }
}

/// The reason for which an identifier has no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    NotFound,
    InvalidTag,
    InvalidDigest,
    TagDoesNotMatch,
    Neither,
}

impl Missing {
    /// The entry of `failures` in the response of a batch operation (service model, `ImageFailureCode`).
    pub fn failure(self, id: &ImageId) -> Value {
        let (code, reason) = match self {
            Self::NotFound => ("ImageNotFound", "Requested image not found"),
            Self::InvalidTag => ("InvalidImageTag", "Invalid request parameters: image tag is not valid"),
            Self::InvalidDigest => (
                "InvalidImageDigest",
                "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
            ),
            Self::TagDoesNotMatch => (
                "ImageTagDoesNotMatchDigest",
                "Invalid request parameters: image tag does not refer to the given digest",
            ),
            Self::Neither => {
                ("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")
            }
        };
        json!({"imageId": id.json(), "failureCode": code, "failureReason": reason})
    }
}

/// Whether the `filter` of the input accepts an image. All images have the status ACTIVE, as archiving is not supported.
pub fn is_wanted(input: Input<'_>, is_tagged: bool) -> bool {
    let Some(filter) = input.part("filter") else { return true };
    let by_tag = match filter.text("tagStatus") {
        Some("TAGGED") => is_tagged,
        Some("UNTAGGED") => !is_tagged,
        _ => true,
    };
    by_tag && matches!(filter.text("imageStatus"), None | Some("ACTIVE" | "ANY"))
}

pub fn describe(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let ids = input.parts("imageIds").map(|it| it.into_iter().map(ImageId::new).collect::<Vec<_>>());
    let details = call.with(input, |name, repository| {
        let tags = repository.tags_by_digest();
        let detail = |digest: &Digest, image: &Image| {
            let tags = tags.get(digest).map(Vec::as_slice).unwrap_or_default();
            describe_one(call, name, tags, digest, image)
        };
        match &ids {
            Some(ids) => ids
                .iter()
                .map(|id| match id.find(repository) {
                    Ok((digest, image)) => Ok(detail(digest, image)),
                    Err(_) => Err(image_not_found(call, name, id)),
                })
                .collect::<Result<Vec<_>, _>>(),
            None => {
                let images = repository.images.iter();
                let images = images.filter(|(digest, _)| is_wanted(input, tags.contains_key(digest)));
                Ok(images.map(|(digest, image)| detail(digest, image)).collect())
            }
        }
    })?;
    match ids {
        Some(_) => paged("imageDetails", details, input),
        None => paged_by("imageDetails", details, input, |it| {
            it["imageDigest"].as_str().unwrap_or_default().to_owned()
        }),
    }
}

/// Lists one entry for each tag, and one for each untagged image.
pub fn list(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let rows = call.with(input, |_, repository| {
        let tagged =
            repository.image_tags.iter().map(|(tag, digest)| json!({"imageDigest": digest, "imageTag": tag}));
        let tags = repository.tags_by_digest();
        let untagged = repository.images.keys().filter(|it| !tags.contains_key(it));
        let untagged = untagged.map(|digest| json!({ "imageDigest": digest }));
        let wanted = |row: &Value| is_wanted(input, row.get("imageTag").is_some());
        Ok(tagged.chain(untagged).filter(wanted).collect::<Vec<_>>())
    })?;
    // Sorts tags before the digests of untagged images, which is the order of `rows`.
    let key = |row: &Value| match row["imageTag"].as_str() {
        Some(tag) => format!("1{tag}"),
        None => format!("2{}", row["imageDigest"].as_str().unwrap_or_default()),
    };
    paged_by("imageIds", rows, input, key)
}

/// Returns manifests in their own media type. They are not converted to one of `acceptedMediaTypes`.
pub fn batch_get(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let ids: Vec<_> = input.parts("imageIds").unwrap_or_default().into_iter().map(ImageId::new).collect();
    let (found, failures) = call.with(input, |name, repository| {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for id in &ids {
            match id.find(repository) {
                Ok((digest, image)) => {
                    found.push((name.clone(), digest.clone(), id.tag.clone(), image.media_type.clone()));
                }
                Err(missing) => failures.push(missing.failure(id)),
            }
        }
        Ok((found, failures))
    })?;
    if let Some((name, ..)) = found.first() {
        let digests = found.iter().map(|(_, digest, ..)| digest);
        images::pulled(&mut call.shared.store(), &call.registry, name, digests, call.shared.now())?;
    }
    let image = |(name, digest, tag, media_type): (RepositoryName, Digest, Option<String>, String)| {
        let manifest = call.manifest(&digest)?;
        let id = ImageId { digest: Some(digest.to_string()), tag };
        Ok(call.about(
            &name,
            json!({"imageId": id.json(), "imageManifest": manifest, "imageManifestMediaType": media_type}),
        ))
    };
    let images = found.into_iter().map(image).collect::<Result<Vec<_>, ApiError>>()?;
    Ok(json!({"images": images, "failures": failures}))
}

pub fn put(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name(input.required("repositoryName"))?;
    let manifest = input.required("imageManifest");
    let new = NewImage {
        tag: input.text("imageTag").map(|it| parsed("imageTag", it)).transpose()?,
        digest: input.text("imageDigest").map(|it| parsed("imageDigest", it)).transpose()?,
        media_type: input.text("imageManifestMediaType").map(str::to_owned),
        bytes: manifest.as_bytes().to_vec(),
    };
    let tag: Option<ImageTag> = new.tag.clone();
    let stored = images::put(&mut call.shared.store(), &call.registry, &name, new, call.shared.now());
    let stored = stored.map_err(|it| refused(call, &name, it))?;
    if stored.existed {
        return Err(image_exists(call, &name, &stored.digest, tag.as_ref()));
    }
    let id = ImageId { digest: Some(stored.digest.to_string()), tag: tag.map(|it| it.to_string()) };
    let image = json!({
        "imageId": id.json(),
        "imageManifest": manifest,
        "imageManifestMediaType": stored.media_type,
    });
    Ok(json!({"image": call.about(&name, image)}))
}

fn describe_one(
    call: &Call<'_>,
    name: &RepositoryName,
    tags: &[&ImageTag],
    digest: &Digest,
    image: &Image,
) -> Value {
    let mut detail = json!({
        "imageDigest": digest,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "imageStatus": "ACTIVE",
    });
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            detail[key] = value;
        }
    };
    add("imageTags", (!tags.is_empty()).then(|| json!(tags)));
    add("artifactMediaType", image.artifact_media_type.as_ref().map(|it| json!(it)));
    add("subjectManifestDigest", image.subject.as_ref().map(|it| json!(it)));
    add("lastRecordedPullTime", image.last_pulled_at.map(|it| json!(it)));
    if let Some(scan) = scans::scan_of(call, name, digest, image) {
        add("imageScanStatus", Some(scan.status()));
        add("imageScanFindingsSummary", scan.summary());
    }
    call.about(name, detail)
}

fn parsed<T: std::str::FromStr>(parameter: &str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|it: T::Err| ApiError::invalid(parameter, &it.to_string()))
}

/// `ImageNotFoundException` with ECR's message.
pub fn image_not_found(call: &Call<'_>, name: &RepositoryName, id: &ImageId) -> ApiError {
    let message = format!(
        "The image with imageId {} does not exist within the repository with name '{name}' \
         in the registry with id '{}'",
        shown(id),
        call.registry.account
    );
    ApiError::new("ImageNotFoundException", message)
}

/// An identifier in the notation of ECR's messages: `{imageDigest:'sha256:...', imageTag:'null'}`.
pub fn shown(id: &ImageId) -> String {
    let quoted = |it: &Option<String>| it.as_ref().map_or("'null'".to_owned(), |it| format!("'{it}'"));
    format!("{{imageDigest:{}, imageTag:{}}}", quoted(&id.digest), quoted(&id.tag))
}

fn image_exists(call: &Call<'_>, name: &RepositoryName, digest: &Digest, tag: Option<&ImageTag>) -> ApiError {
    let message = format!(
        "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{name}' \
         in registry with id '{}'",
        tag.map_or("null", ImageTag::as_str),
        call.registry.account
    );
    ApiError::new("ImageAlreadyExistsException", message)
}

fn refused(call: &Call<'_>, name: &RepositoryName, error: PutError) -> ApiError {
    let joined = |digests: &[Digest]| digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ");
    let account = &call.registry.account;
    let absent = |what: &str, digests: &[Digest]| {
        format!(
            "The {what} with digests '[{}]' required for pushing image into repository with name '{name}' \
             in the registry with id '{account}' do not exist",
            joined(digests)
        )
    };
    match error {
        PutError::RepositoryNotFound => ApiError::repository_not_found(name.as_str(), account.as_str()),
        PutError::Invalid(error) => {
            ApiError::invalid("ImageManifest", &format!("Invalid image manifest provided: {error}"))
        }
        PutError::DigestMismatch { expected, found } => ApiError::new(
            "ImageDigestDoesNotMatchException",
            format!("The provided digest '{expected}' does not match the digest '{found}' of the image"),
        ),
        PutError::LayersMissing(digests) => {
            ApiError::new("LayersNotFoundException", absent("layers", &digests))
        }
        PutError::ChildrenMissing(digests) => {
            ApiError::new("ReferencedImagesNotFoundException", absent("images", &digests))
        }
        PutError::TagImmutable { tag, holder, digest } if holder == digest => {
            image_exists(call, name, &digest, Some(&tag))
        }
        PutError::TagImmutable { tag, .. } => {
            ApiError::new("ImageTagAlreadyExistsException", images::immutable_sentence(name, &tag))
        }
        PutError::TooManyTags(tag) => {
            ApiError::new("LimitExceededException", images::too_many_tags(name, &tag, account.as_str()))
        }
        PutError::Internal(error) => ApiError::failed(&error),
    }
}
