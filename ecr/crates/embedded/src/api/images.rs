//! `PutImage`, `BatchGetImage`, `ListImages` and `DescribeImages`.

use ecr_types::{Digest, ImageTag, RepositoryName};
use serde_json::{Value, json};

use super::image_id::{ImageId, Missing, image_not_found};
use super::page::{paged, refuse_size, sought, with_next};
use super::{ApiResult, Call, Found, Input, scans};
use crate::convert::{accepted, converted};
use crate::error::ApiError;
use crate::images::{self, NewImage, PutError, absent};
use crate::model::{Image, Repository};
use crate::store::{After, Listed, Queries, Rows};

/// The images that the `filter` of an input accepts.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    pub listed: Listed,
    /// `imageStatus`; `None` if every status is accepted.
    pub status: Option<&'a str>,
}

impl<'a> Filter<'a> {
    /// Without `imageStatus`, all active images are returned (ECR API, `DescribeImagesFilter`).
    pub fn of(input: Input<'a>) -> Self {
        let filter = input.part("filter");
        let listed = match filter.and_then(|it| it.text("tagStatus")) {
            Some("TAGGED") => Listed::Tagged,
            Some("UNTAGGED") => Listed::Untagged,
            _ => Listed::All,
        };
        let status = match filter.and_then(|it| it.text("imageStatus")) {
            Some("ANY") => None,
            Some(status) => Some(status),
            None => Some("ACTIVE"),
        };
        Self { listed, status }
    }

    pub fn accepts(self, image: &Image, now: f64) -> bool {
        self.status.is_none_or(|it| image.status(now) == it)
    }
}

pub fn describe(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let found = call.find(input)?;
    if let Some(ids) = ImageId::all(input) {
        let details = ids.iter().map(|id| match id.find(&found.rows, &found.repository)? {
            Ok((digest, image)) => detail(call, &found, &digest, &image),
            Err(Missing::InvalidTag) => {
                Err(ApiError::invalid("imageTag", "must satisfy regular expression '[a-zA-Z0-9-_.]+'"))
            }
            Err(_) => Err(image_not_found(call, &found.name, id)),
        });
        refuse_size(input, "imageIds")?;
        return paged("imageDetails", details.collect::<Result<Vec<_>, _>>()?, input);
    }
    let filter = Filter::of(input);
    let (images, next) = sought(
        input,
        |after, limit| wanted(call, &found, filter, after, limit),
        |(digest, _)| digest.to_string(),
    )?;
    let details = images.iter().map(|(digest, image)| detail(call, &found, digest, image));
    Ok(with_next(json!({"imageDetails": details.collect::<Result<Vec<_>, _>>()?}), next))
}

/// The images after a digest that a filter accepts.
fn wanted(
    call: &Call<'_>,
    Found { rows, repository, .. }: &Found,
    filter: Filter<'_>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(Digest, Image)>, ApiError> {
    let (mut images, now) = (Vec::new(), call.shared.now());
    let mut last: Option<Digest> = after.map(|it| parsed("nextToken", it)).transpose()?;
    while images.len() < limit {
        let after = last.as_ref().map_or(After::Start, After::Item);
        let digests = rows.listed(repository.id, filter.listed, after, limit - images.len())?;
        let Some(end) = digests.last().cloned() else { break };
        for digest in digests {
            let image = rows.image(repository.id, &digest)?;
            images.extend(image.filter(|it| filter.accepts(it, now)).map(|it| (digest, it)));
        }
        last = Some(end);
    }
    Ok(images)
}

/// Lists one entry for each tag, and one for each untagged image.
pub fn list(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let found = call.find(input)?;
    let filter = Filter::of(input);
    let (entries, next) =
        sought(input, |after, limit| entries(call, &found, filter, after, limit), Entry::key)?;
    let ids: Vec<_> = entries.iter().map(Entry::json).collect();
    Ok(with_next(json!({ "imageIds": ids }), next))
}

/// An entry of `ListImages`. Tags come before the digests of untagged images.
enum Entry {
    Tagged(ImageTag, Digest),
    Untagged(Digest),
}

impl Entry {
    fn key(&self) -> String {
        match self {
            Self::Tagged(tag, _) => format!("1{tag}"),
            Self::Untagged(digest) => format!("2{digest}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Tagged(tag, digest) => json!({"imageDigest": digest, "imageTag": tag}),
            Self::Untagged(digest) => json!({ "imageDigest": digest }),
        }
    }

    fn digest(&self) -> &Digest {
        match self {
            Self::Tagged(_, digest) | Self::Untagged(digest) => digest,
        }
    }
}

/// The entries after a key that a filter accepts.
fn entries(
    call: &Call<'_>,
    Found { rows, repository, .. }: &Found,
    filter: Filter<'_>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Entry>, ApiError> {
    let (mut entries, mut last, now) = (Vec::new(), after.unwrap_or("1").to_owned(), call.shared.now());
    // Where none was archived, the images need not be looked at.
    let is_known =
        matches!(filter.status, None | Some("ACTIVE")) && rows.counts(repository.id)?.archived == 0;
    while entries.len() < limit {
        let page = page_after(rows, repository, filter.listed, &last, limit - entries.len())?;
        last = match page.last() {
            Some(entry) => entry.key(),
            None if last.starts_with('1') => "2".to_owned(),
            None => break,
        };
        for entry in page {
            let is_accepted = match is_known {
                true => true,
                false => {
                    let image = rows.image(repository.id, entry.digest())?;
                    image.is_some_and(|it| filter.accepts(&it, now))
                }
            };
            entries.extend(is_accepted.then_some(entry));
        }
    }
    Ok(entries)
}

/// A page of tags after the key `1TAG`, or of untagged images after the key `2DIGEST`.
fn page_after(
    rows: &impl Rows,
    repository: &Repository,
    listed: Listed,
    last: &str,
    limit: usize,
) -> Result<Vec<Entry>, ApiError> {
    if let Some(tag) = last.strip_prefix('1') {
        let after = if tag.is_empty() { After::Start } else { After::Item(tag) };
        let limit = if listed == Listed::Untagged { 0 } else { limit };
        let tags = rows.tags(repository.id, after, limit)?;
        return Ok(tags.into_iter().map(|(tag, digest)| Entry::Tagged(tag, digest)).collect());
    }
    let digest = last.trim_start_matches('2');
    let digest = (!digest.is_empty()).then(|| parsed::<Digest>("nextToken", digest)).transpose()?;
    let after = digest.as_ref().map_or(After::Start, After::Item);
    let limit = if listed == Listed::Tagged { 0 } else { limit };
    Ok(rows.listed(repository.id, Listed::Untagged, after, limit)?.into_iter().map(Entry::Untagged).collect())
}

/// Returns manifests. One that is asked for by tag is converted to one of `acceptedMediaTypes`.
pub fn batch_get(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let ids = ImageId::all(input).unwrap_or_default();
    let accepted = accepted(input.texts("acceptedMediaTypes").unwrap_or_default().into_iter());
    let Found { rows, name, repository } = call.find(input)?;
    let (mut images, mut failures, mut pulled) = (Vec::new(), Vec::new(), Vec::new());
    for id in &ids {
        match id.find(&rows, &repository)? {
            // The service model has this code for images that cannot be read, and archived ones are not pulled.
            Ok((_, image)) if image.status(call.shared.now()) != "ACTIVE" => failures.push(json!({
                "imageId": id.json(),
                "failureCode": "ImageInaccessible",
                "failureReason": "Requested image is archived",
            })),
            Ok((digest, image)) => {
                let text = rows.manifest(repository.id, &digest)?.unwrap_or_default();
                images.push(call.about(&name, got(text, id, &digest, &image, &accepted)));
                pulled.push((digest, image));
            }
            Err(missing) => failures.push(missing.failure(id)),
        }
    }
    let pulled = pulled.iter().map(|(digest, image)| (digest, image));
    let key = (&call.registry, &repository);
    // A pull succeeds also if its time cannot be recorded.
    let _ = images::pulled(&call.shared.store, key, &call.caller.arn(), pulled, call.shared.now());
    Ok(json!({"images": images, "failures": failures}))
}

fn got(text: Vec<u8>, id: &ImageId, digest: &Digest, image: &Image, accepted: &[String]) -> Value {
    let converted = id.digest.is_none().then(|| converted(&text, &image.media_type, accepted)).flatten();
    let (digest, media_type, text) = match converted {
        Some(it) => (Digest::of(&it.text), it.media_type.to_owned(), it.text),
        None => (digest.clone(), image.media_type.clone(), text),
    };
    let id = ImageId { digest: Some(digest.to_string()), tag: id.tag.clone() };
    json!({
        "imageId": id.json(),
        "imageManifest": String::from_utf8_lossy(&text),
        "imageManifestMediaType": media_type,
    })
}

pub fn put(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name(input.required("repositoryName"))?;
    call.create_on_push(&name)?;
    let manifest = input.required("imageManifest");
    let new = NewImage {
        tag: input.text("imageTag").map(|it| parsed("imageTag", it)).transpose()?,
        digest: input.text("imageDigest").map(|it| parsed("imageDigest", it)).transpose()?,
        media_type: input.text("imageManifestMediaType").map(str::to_owned),
        bytes: manifest.as_bytes().to_vec(),
    };
    let tag: Option<ImageTag> = new.tag.clone();
    let stored = images::put(&call.shared.store, &call.registry, &name, new, call.shared.now());
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

fn detail(call: &Call<'_>, found: &Found, digest: &Digest, image: &Image) -> ApiResult {
    let tags = found.rows.tags_of(found.repository.id, digest, usize::MAX)?;
    let mut detail = json!({
        "imageDigest": digest,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "imageStatus": image.status(call.shared.now()),
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
    add("lastArchivedAt", image.archived_at.map(|it| json!(it)));
    add("lastActivatedAt", image.activated_at.map(|it| json!(it)));
    if let Some(scan) = scans::scan_of(call, &found.name, digest, image) {
        add("imageScanStatus", Some(scan.status()));
        add("imageScanFindingsSummary", scan.summary());
    }
    Ok(call.about(&found.name, detail))
}

fn parsed<T: std::str::FromStr>(parameter: &str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|it: T::Err| ApiError::invalid(parameter, &it.to_string()))
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
    let account = call.registry.account.as_str();
    match error {
        PutError::RepositoryNotFound => ApiError::repository_not_found(name.as_str(), account),
        PutError::Invalid(error) => ApiError::invalid("ImageManifest", &images::invalid_constraint(&error)),
        PutError::TooManyLayers => {
            ApiError::invalid("ImageManifest", "Limit on number of layers per image exceeded")
        }
        PutError::DigestMismatch { expected, found } => ApiError::new(
            "ImageDigestDoesNotMatchException",
            format!("The provided digest '{expected}' does not match the digest '{found}' of the image"),
        ),
        PutError::LayersMissing(digests) => {
            ApiError::new("LayersNotFoundException", absent("Layers", &digests, name.as_str(), account))
        }
        PutError::ChildrenMissing(digests) => ApiError::new(
            "ReferencedImagesNotFoundException",
            absent("Images", &digests, name.as_str(), account),
        ),
        PutError::TagImmutable { tag, holder, digest } if holder == digest => {
            image_exists(call, name, &digest, Some(&tag))
        }
        PutError::TagImmutable { tag, .. } => {
            ApiError::new("ImageTagAlreadyExistsException", images::immutable_sentence(name, &tag))
        }
        PutError::TooManyTags(tag) => {
            ApiError::new("LimitExceededException", images::too_many_tags(name, &tag, account))
        }
        PutError::Internal(error) => ApiError::failed(&error),
    }
}
