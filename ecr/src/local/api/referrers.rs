//! `ListImageReferrers`: artifacts that are attached to an image.

use serde_json::{Value, json};

use super::page::page_by;
use super::{Answer, Call, Input};
use crate::local::images::referrers;
use crate::local::model::Image;
use crate::name::Digest;

pub fn list(call: &Call<'_>, input: Input<'_>) -> Answer {
    let subject = input.part("subjectId").map(|it| it.required("imageDigest")).unwrap_or_default();
    let filter = input.part("filter");
    let types = filter.and_then(|it| it.texts("artifactTypes")).filter(|it| !it.is_empty());
    let is_active =
        filter.and_then(|it| it.text("artifactStatus")).is_none_or(|it| matches!(it, "ACTIVE" | "ANY"));
    let found = call.with(input, |_, repository| {
        let Ok(subject) = subject.parse::<Digest>() else {
            let constraint = "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
            return Err(crate::local::error::ApiError::invalid("subjectId.imageDigest", constraint));
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
    let mut rows = Vec::new();
    for (digest, image) in found {
        let manifest: Value = serde_json::from_str(&call.manifest(&digest)?).unwrap_or_default();
        let mut row = json!({
            "digest": digest,
            "mediaType": image.media_type,
            "size": image.manifest_size,
            "artifactStatus": "ACTIVE",
        });
        if let Some(artifact_type) = &image.artifact_media_type {
            row["artifactType"] = json!(artifact_type);
        }
        if manifest["annotations"].is_object() {
            row["annotations"] = manifest["annotations"].clone();
        }
        rows.push(row);
    }
    let mut answer = json!({ "referrers": rows });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}
