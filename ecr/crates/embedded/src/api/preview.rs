//! `StartLifecyclePolicyPreview` and `GetLifecyclePolicyPreview`, with the engine of `ecr lifecycle preview`.

use std::time::Instant;

use ecr_lifecycle::evaluate::evaluate_under;
use ecr_lifecycle::reading::Reading;
use ecr_lifecycle::{Action, Image, StorageClass, Timestamp};
use serde_json::{Value, json};

use super::image_id::ImageId;
use super::images::Filter;
use super::page::{page, with_next};
use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;
use crate::model::Repository;
use crate::shared::{Preview, PreviewRow};
use crate::store::{Listed, Queries, Rows};

/// Evaluates a policy. Without `lifecyclePolicyText` it is the policy of the repository.
pub fn start(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { rows, name, repository } = call.find(input)?;
    let key = repository.id;
    if call.shared.previews().get(&key).is_some_and(|it| !it.may_be_replaced()) {
        let message = format!(
            "The previous lifecycle policy preview request for the repository with name '{name}' \
             in the registry with id '{}' has not completed",
            call.registry.account
        );
        return Err(ApiError::new("LifecyclePolicyPreviewInProgressException", message));
    }
    let own = || repository.settings.lifecycle_policy.clone();
    let text = input.text("lifecyclePolicyText").map(str::to_owned).or_else(own);
    let text = text
        .ok_or_else(|| super::policies::no_lifecycle_policy(name.as_str(), call.registry.account.as_str()))?;
    let policy = super::policies::checked_lifecycle(&text)?;
    let now = call.shared.now();
    let images = lifecycle_images(&rows, &repository, now)?;
    let now = Timestamp::from_seconds(now);
    let outcomes = evaluate_under(policy.policy(), &images, now, Reading::documented());
    let rows = images.into_iter().zip(outcomes);
    let rows = rows.filter_map(|(image, it)| it.rule().map(|rule| PreviewRow { image, rule }));
    let preview = Preview {
        text: text.clone(),
        rows: rows.collect::<Vec<_>>().into(),
        started_at: Instant::now(),
        was_asked: false,
    };
    call.shared.previews().insert(key, preview);
    Ok(call.about(&name, json!({"lifecyclePolicyText": text, "status": "IN_PROGRESS"})))
}

/// The first request for a preview finds it in progress, however late it comes, so that a client must be able to wait: how long
/// ECR takes is not documented.
pub fn get(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { name, repository, .. } = call.find(input)?;
    let key = repository.id;
    let preview = call.shared.previews().get_mut(&key).map(|preview| {
        let before = preview.clone();
        preview.was_asked = true;
        before
    });
    let Some(preview) = preview else {
        let message = format!(
            "There is no lifecycle policy preview for the repository with name '{name}' \
             in the registry with id '{}'",
            call.registry.account
        );
        return Err(ApiError::new("LifecyclePolicyPreviewNotFoundException", message));
    };
    let Preview { text, rows, was_asked, .. } = preview;
    if !was_asked {
        return Ok(call.about(&name, json!({"lifecyclePolicyText": text, "status": "IN_PROGRESS"})));
    }
    let filter = Filter::of(input);
    let ids = ImageId::all(input);
    let is_wanted = |row: &&PreviewRow| {
        let is_listed = match filter.listed {
            Listed::All => true,
            Listed::Tagged => !row.image.tags.is_empty(),
            Listed::Untagged => row.image.tags.is_empty(),
        };
        is_listed && ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.is_of(&row.image)))
    };
    let (shown, next) = page(rows.iter().filter(is_wanted), input)?;
    let results: Vec<_> = shown.into_iter().map(result).collect();
    let transitions = rows.iter().filter(|it| it.rule.1 == Action::Transition).count();
    let response = call.about(&name, json!({
        "lifecyclePolicyText": text,
        "status": "COMPLETE",
        "previewResults": results,
        "summary": {
            "expiringImageTotalCount": rows.len() - transitions,
            "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": transitions}],
        },
    }));
    Ok(with_next(response, next))
}

/// The images of a repository for the lifecycle engine. `now` is in seconds since 1970.
pub fn lifecycle_images(rows: &impl Rows, repository: &Repository, now: f64) -> anyhow::Result<Vec<Image>> {
    let mut images = Vec::new();
    for row in rows.images(repository.id) {
        let (digest, image) = row?;
        let tags = rows.tags_of(repository.id, &digest, usize::MAX)?;
        images.push(Image {
            tags: tags.iter().map(ToString::to_string).collect(),
            digest,
            media_type: Some(image.media_type.clone()),
            pushed_at: Timestamp::from_seconds(image.pushed_at),
            last_pulled_at: image.last_pulled_at.map(Timestamp::from_seconds),
            size_bytes: image.size,
            subject: image.subject.clone(),
            children: Some(image.children.clone()),
            storage_class: match image.status(now) {
                "ARCHIVED" => StorageClass::Archive,
                _ => StorageClass::Standard,
            },
            last_archived_at: image.archived_at.map(Timestamp::from_seconds),
            last_activated_at: image.activated_at.map(Timestamp::from_seconds),
        });
    }
    Ok(images)
}

fn result(PreviewRow { image, rule: (priority, action) }: &PreviewRow) -> Value {
    let action = match action {
        Action::Expire => json!({"type": "EXPIRE"}),
        Action::Transition => json!({"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}),
    };
    json!({
        "imageDigest": image.digest,
        "imageTags": image.tags,
        "imagePushedAt": image.pushed_at.seconds(),
        "action": action,
        "appliedRulePriority": priority,
        "storageClass": match image.storage_class {
            StorageClass::Archive => "ARCHIVE",
            StorageClass::Standard => "STANDARD",
        },
    })
}
