//! `ListImageReferrers`: the artifacts that are attached to an image.

use ecr_types::Digest;
use serde_json::json;

use super::page::{page_by, with_next};
use super::{ApiResult, Call, Input};
use crate::images::{referrer, referrers};
use crate::model::Image;

pub fn list(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let subject = input.part("subjectId").map(|it| it.required("imageDigest")).unwrap_or_default();
    let filter = input.part("filter");
    let types = filter.and_then(|it| it.texts("artifactTypes")).filter(|it| !it.is_empty());
    let is_active =
        filter.and_then(|it| it.text("artifactStatus")).is_none_or(|it| matches!(it, "ACTIVE" | "ANY"));
    let found = call.with(input, |_, repository| {
        let Ok(subject) = subject.parse::<Digest>() else {
            let constraint = "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
            return Err(crate::error::ApiError::invalid("subjectId.imageDigest", constraint));
        };
        let of_type = |it: &&str, artifact: &Option<String>| artifact.as_deref() == Some(*it);
        let wanted = |artifact: &Option<String>| {
            types.as_ref().is_none_or(|types| types.iter().any(|it| of_type(it, artifact)))
        };
        let all = referrers(repository, &subject);
        Ok(all
            .filter(|(_, it)| wanted(&it.artifact_media_type))
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect())
    })?;
    let found: Vec<(Digest, Image)> = if is_active { found } else { Vec::new() };
    let (found, next) = page_by(found, input, |(digest, _)| digest.to_string())?;
    let store = call.shared.store();
    let row = |(digest, image): &(Digest, Image)| {
        let mut row = json!(referrer(&store, digest, image));
        row["artifactStatus"] = json!("ACTIVE");
        row
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    Ok(with_next(json!({ "referrers": rows }), next))
}
