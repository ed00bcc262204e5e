//! `StartLifecyclePolicyPreview` and `GetLifecyclePolicyPreview`, with the engine of `ecr lifecycle preview`.

use ecr_lifecycle::evaluate::evaluate;
use ecr_lifecycle::{Action, Image, StorageClass, Timestamp};
use serde_json::{Value, json};

use super::images::{ImageId, is_wanted};
use super::page::paged;
use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::model::Repository;
use crate::shared::Preview;

/// Evaluates a policy. Without `lifecyclePolicyText` it is the policy of the repository.
pub fn start(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name(input.required("repositoryName"))?;
    let preview = call.with(input, |name, repository| {
        let own = || repository.settings.lifecycle_policy.clone();
        let text = input.text("lifecyclePolicyText").map(str::to_owned).or_else(own);
        let text = text.ok_or_else(|| {
            super::policies::no_lifecycle_policy(name.as_str(), call.registry.account.as_str())
        })?;
        let policy = super::policies::checked_lifecycle(&text)?;
        let images = lifecycle_images(repository);
        let decisions = evaluate(policy.policy(), &images, Timestamp::from_seconds(call.shared.now()));
        let results = images.iter().zip(&decisions);
        let results =
            results.filter_map(|(image, decision)| Some(result(repository, image, decision.outcome.rule()?)));
        Ok(Preview { text, results: results.collect() })
    })?;
    let text = preview.text.clone();
    call.shared.previews().insert((call.registry.clone(), name.clone()), preview);
    Ok(call.about(&name, json!({"lifecyclePolicyText": text, "status": "IN_PROGRESS"})))
}

pub fn get(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.with(input, |name, _| Ok(name.clone()))?;
    let preview = call.shared.previews().get(&(call.registry.clone(), name.clone())).cloned();
    let preview = preview.ok_or_else(|| {
        ApiError::new(
            "LifecyclePolicyPreviewNotFoundException",
            format!(
                "There is no lifecycle policy preview for the repository with name '{name}' \
                 in the registry with id '{}'",
                call.registry.account
            ),
        )
    })?;
    let count = |action: &str| preview.results.iter().filter(|it| it["action"]["type"] == action).count();
    let (expiring, transitioning) = (count("EXPIRE"), count("TRANSITION"));
    let mut results = preview.results;
    let ids = input.parts("imageIds").map(|it| it.into_iter().map(ImageId::new).collect::<Vec<_>>());
    results.retain(|it| {
        let is_tagged = it["imageTags"].as_array().is_some_and(|it| !it.is_empty());
        is_wanted(input, is_tagged) && ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.is_of(it)))
    });
    let mut response = call.about(&name, paged("previewResults", results, input)?);
    response["lifecyclePolicyText"] = json!(preview.text);
    response["status"] = json!("COMPLETE");
    response["summary"] = json!({
        "expiringImageTotalCount": expiring,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": transitioning}],
    });
    Ok(response)
}

/// The images of a repository for the lifecycle engine. All are in the standard storage class, as archiving is not supported.
pub fn lifecycle_images(repository: &Repository) -> Vec<Image> {
    let tags = repository.tags_by_digest();
    let image = |(digest, image): (&ecr_types::Digest, &crate::model::Image)| Image {
        digest: digest.clone(),
        tags: tags.get(digest).into_iter().flatten().map(ToString::to_string).collect(),
        media_type: Some(image.media_type.clone()),
        pushed_at: Timestamp::from_seconds(image.pushed_at),
        last_pulled_at: image.last_pulled_at.map(Timestamp::from_seconds),
        size_bytes: image.size,
        subject: image.subject.clone(),
        children: Some(image.children.clone()),
        storage_class: StorageClass::Standard,
        last_archived_at: None,
        last_activated_at: None,
    };
    repository.images.iter().map(image).collect()
}

fn result(repository: &Repository, image: &Image, (rule, action): (i64, Action)) -> Value {
    let action = match action {
        Action::Expire => json!({"type": "EXPIRE"}),
        Action::Transition => json!({"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}),
    };
    json!({
        "imageDigest": image.digest,
        "imageTags": image.tags,
        "imagePushedAt": repository.images.get(&image.digest).map(|it| it.pushed_at),
        "action": action,
        "appliedRulePriority": rule,
        "storageClass": "STANDARD",
    })
}
