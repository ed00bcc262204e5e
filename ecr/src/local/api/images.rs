//! Images and layers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::page::page;
use super::{Answer, Call};
use crate::local::error::ApiError;
use crate::local::images::{MAX_MANIFEST, NewImage, PutError};
use crate::local::model::{Image, Repository};
use crate::name::{Digest, ImageTag, RepositoryName};

/// An image by digest, by tag, or by both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageId {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_tag: Option<String>,
}

impl ImageId {
    /// Whether a row of an answer is about this image.
    pub fn is_of(&self, row: &Value) -> bool {
        let has_tag =
            |tag: &String| row["imageTags"].as_array().is_some_and(|it| it.iter().any(|it| it == tag));
        self.image_digest.as_ref().is_none_or(|it| row["imageDigest"] == **it)
            && self.image_tag.as_ref().is_none_or(has_tag)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Describe {
    repository_name: String,
    #[serde(default)]
    image_ids: Option<Vec<ImageId>>,
    #[serde(default)]
    filter: Option<Filter>,
    #[serde(default)]
    max_results: Option<u64>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    #[serde(default)]
    tag_status: Option<String>,
}

impl Filter {
    /// Whether it lets an image through.
    pub fn matches(&self, is_tagged: bool) -> bool {
        match self.tag_status.as_deref() {
            Some("TAGGED") => is_tagged,
            Some("UNTAGGED") => !is_tagged,
            _ => true,
        }
    }
}

pub fn describe(call: &Call<'_>, input: Describe) -> Answer {
    let details = call.with(&input.repository_name, |name, repository| {
        let tags = repository.tags_by_digest();
        let detail = |digest: &Digest, image: &Image| {
            let tags = tags.get(digest).map(Vec::as_slice).unwrap_or_default();
            describe_one(call, name, tags, digest, image)
        };
        match &input.image_ids {
            Some(ids) => ids
                .iter()
                .map(|id| match find(repository, id) {
                    Some((digest, image)) => Ok(detail(digest, image)),
                    None => Err(image_not_found(call, name, id)),
                })
                .collect::<Result<Vec<_>, _>>(),
            None => {
                let wanted = |digest: &Digest| {
                    input.filter.as_ref().is_none_or(|it| it.matches(tags.contains_key(digest)))
                };
                let images = repository.images.iter().filter(|(digest, _)| wanted(digest));
                Ok(images.map(|(digest, image)| detail(digest, image)).collect())
            }
        }
    })?;
    paged("imageDetails", details, input.max_results, input.next_token.as_deref())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    repository_name: String,
    #[serde(default)]
    filter: Option<Filter>,
    #[serde(default)]
    max_results: Option<u64>,
    #[serde(default)]
    next_token: Option<String>,
}

/// One row a tag, and one for each image without any.
pub fn list(call: &Call<'_>, input: List) -> Answer {
    let rows = call.with(&input.repository_name, |_, repository| {
        let tagged =
            repository.image_tags.iter().map(|(tag, digest)| json!({"imageDigest": digest, "imageTag": tag}));
        let tags = repository.tags_by_digest();
        let untagged = repository.images.keys().filter(|it| !tags.contains_key(it));
        let untagged = untagged.map(|digest| json!({ "imageDigest": digest }));
        let wanted =
            |row: &Value| input.filter.as_ref().is_none_or(|it| it.matches(row.get("imageTag").is_some()));
        Ok(tagged.chain(untagged).filter(wanted).collect::<Vec<_>>())
    })?;
    paged("imageIds", rows, input.max_results, input.next_token.as_deref())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchGet {
    repository_name: String,
    image_ids: Vec<ImageId>,
}

pub fn batch_get(call: &Call<'_>, input: BatchGet) -> Answer {
    let (found, failures) = call.with(&input.repository_name, |name, repository| {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for id in &input.image_ids {
            match find(repository, id) {
                Some((digest, image)) => {
                    let tag = id.image_tag.clone();
                    found.push((name.clone(), digest.clone(), tag, image.media_type.clone()));
                }
                None => failures.push(json!({
                    "imageId": id,
                    "failureCode": "ImageNotFound",
                    "failureReason": "Requested image not found",
                })),
            }
        }
        Ok((found, failures))
    })?;
    let image = |(name, digest, tag, media_type): &(RepositoryName, Digest, Option<String>, String)| {
        let path = call.shared.store().blob_path(digest);
        let manifest = std::fs::read_to_string(path).map_err(|it| ApiError::internal(&it))?;
        Ok(json!({
            "registryId": call.shared.account,
            "repositoryName": name,
            "imageId": ImageId { image_digest: Some(digest.to_string()), image_tag: tag.clone() },
            "imageManifest": manifest,
            "imageManifestMediaType": media_type,
        }))
    };
    let images = found.iter().map(image).collect::<Result<Vec<_>, ApiError>>()?;
    Ok(json!({"images": images, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Put {
    repository_name: String,
    image_manifest: String,
    #[serde(default)]
    image_manifest_media_type: Option<String>,
    #[serde(default)]
    image_tag: Option<String>,
    #[serde(default)]
    image_digest: Option<String>,
}

pub fn put(call: &Call<'_>, input: Put) -> Answer {
    let name = call.name(&input.repository_name)?;
    if input.image_manifest.len() > MAX_MANIFEST {
        return Err(ApiError::invalid("imageManifest", "must have at most 4194304 characters"));
    }
    let new = NewImage {
        tag: input.image_tag.as_deref().map(|it| parsed("imageTag", it)).transpose()?,
        digest: input.image_digest.as_deref().map(|it| parsed("imageDigest", it)).transpose()?,
        media_type: input.image_manifest_media_type,
        bytes: input.image_manifest.clone().into_bytes(),
    };
    let tag: Option<ImageTag> = new.tag.clone();
    let stored =
        crate::local::images::put(&mut call.shared.store(), &call.registry, &name, new, call.shared.now());
    let stored = stored.map_err(|it| refused(call, &name, it))?;
    if stored.existed {
        return Err(image_exists(call, &name, &stored.digest, tag.as_ref()));
    }
    Ok(json!({"image": {
        "registryId": call.shared.account,
        "repositoryName": name,
        "imageId": ImageId {
            image_digest: Some(stored.digest.to_string()),
            image_tag: tag.map(|it| it.to_string()),
        },
        "imageManifest": input.image_manifest,
        "imageManifestMediaType": stored.media_type,
    }}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckLayers {
    repository_name: String,
    layer_digests: Vec<String>,
}

pub fn check_layers(call: &Call<'_>, input: CheckLayers) -> Answer {
    call.with(&input.repository_name, |_, repository| {
        let (mut layers, mut failures) = (Vec::new(), Vec::new());
        for text in &input.layer_digests {
            match text.parse::<Digest>() {
                Ok(digest) => layers.push(match repository.layers.get(&digest) {
                    Some(size) => {
                        json!({"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size})
                    }
                    None => json!({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}),
                }),
                Err(error) => failures.push(json!({
                    "layerDigest": text,
                    "failureCode": "InvalidLayerDigest",
                    "failureReason": error.to_string(),
                })),
            }
        }
        Ok(json!({"layers": layers, "failures": failures}))
    })
}

fn find<'a>(repository: &'a Repository, id: &ImageId) -> Option<(&'a Digest, &'a Image)> {
    let by_tag = id.image_tag.as_deref().map(|tag| repository.image_tags.get(&tag.parse().ok()?));
    let by_digest = id.image_digest.as_deref().map(|digest| digest.parse::<Digest>().ok());
    let digest = match (by_tag, by_digest) {
        (Some(tagged), None) => tagged?.clone(),
        (Some(tagged), Some(named)) => tagged.cloned().filter(|it| Some(it) == named.as_ref())?,
        (None, named) => named??,
    };
    repository.images.get_key_value(&digest)
}

fn describe_one(
    call: &Call<'_>,
    name: &RepositoryName,
    tags: &[&ImageTag],
    digest: &Digest,
    image: &Image,
) -> Value {
    let mut detail = json!({
        "registryId": call.shared.account,
        "repositoryName": name,
        "imageDigest": digest,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
    });
    if !tags.is_empty() {
        detail["imageTags"] = json!(tags);
    }
    if let Some(media_type) = &image.artifact_media_type {
        detail["artifactMediaType"] = json!(media_type);
    }
    if let Some(subject) = &image.subject {
        detail["subjectManifestDigest"] = json!(subject);
    }
    detail
}

pub fn paged(key: &str, items: Vec<Value>, max: Option<u64>, token: Option<&str>) -> Answer {
    let (items, next) = page(items, max, token)?;
    let mut answer = json!({ key: items });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

fn parsed<T: std::str::FromStr>(parameter: &str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|it: T::Err| ApiError::invalid(parameter, &it.to_string()))
}

fn image_not_found(call: &Call<'_>, name: &RepositoryName, id: &ImageId) -> ApiError {
    let quoted = |it: &Option<String>| it.as_ref().map_or("'null'".to_owned(), |it| format!("'{it}'"));
    let message = format!(
        "The image with imageId {{imageDigest:{}, imageTag:{}}} does not exist within the repository \
         with name '{name}' in the registry with id '{}'",
        quoted(&id.image_digest),
        quoted(&id.image_tag),
        call.shared.account
    );
    ApiError::new("ImageNotFoundException", message)
}

fn image_exists(call: &Call<'_>, name: &RepositoryName, digest: &Digest, tag: Option<&ImageTag>) -> ApiError {
    let message = format!(
        "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{name}' \
         in registry with id '{}'",
        tag.map_or("null", ImageTag::as_str),
        call.shared.account
    );
    ApiError::new("ImageAlreadyExistsException", message)
}

fn refused(call: &Call<'_>, name: &RepositoryName, error: PutError) -> ApiError {
    let joined = |digests: &[Digest]| digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ");
    let account = &call.shared.account;
    match error {
        PutError::RepositoryNotFound => ApiError::repository_not_found(name.as_str(), account.as_str()),
        PutError::Invalid(reason) => {
            ApiError::invalid("ImageManifest", &format!("Invalid image manifest provided: {reason}"))
        }
        PutError::DigestMismatch { expected, found } => ApiError::new(
            "ImageDigestDoesNotMatchException",
            format!("The provided digest '{expected}' does not match the digest '{found}' of the image"),
        ),
        PutError::LayersMissing(digests) => ApiError::new(
            "LayersNotFoundException",
            format!(
                "The layers with digests '[{}]' required for pushing image into repository with name '{name}' \
                 in the registry with id '{account}' do not exist",
                joined(&digests)
            ),
        ),
        PutError::ChildrenMissing(digests) => ApiError::new(
            "ReferencedImagesNotFoundException",
            format!(
                "The images with digests '[{}]' required for pushing image into repository with name '{name}' \
                 in the registry with id '{account}' do not exist",
                joined(&digests)
            ),
        ),
        PutError::TagImmutable { tag, holder, digest } if holder == digest => {
            image_exists(call, name, &digest, Some(&tag))
        }
        PutError::TagImmutable { tag, .. } => ApiError::new(
            "ImageTagAlreadyExistsException",
            super::super::images::immutable_sentence(name, &tag),
        ),
        PutError::Internal(error) => ApiError::internal(&error),
    }
}
