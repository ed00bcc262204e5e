//! `ListImageReferrers`: the artifacts that are attached to an image.

use ecr_types::Digest;
use serde_json::json;

use super::page::{sought, with_next};
use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;
use crate::images::referrer;
use crate::model::{Image, Repository};
use crate::store::{After, Queries, Rows};

pub fn list(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let subject = input.part("subjectId").map(|it| it.required("imageDigest")).unwrap_or_default();
    let Ok(subject) = subject.parse::<Digest>() else {
        let constraint = "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
        return Err(ApiError::invalid("subjectId.imageDigest", constraint));
    };
    let filter = input.part("filter");
    let types = filter.and_then(|it| it.texts("artifactTypes")).filter(|it| !it.is_empty());
    let status = filter.and_then(|it| it.text("artifactStatus")).unwrap_or("ACTIVE");
    let now = call.shared.now();
    let Found { rows, repository, .. } = call.find(input)?;
    let is_wanted = |image: &Image| {
        let kind = image.artifact_media_type.as_deref();
        (status == "ANY" || image.status(now) == status)
            && types.as_ref().is_none_or(|types| kind.is_some_and(|it| types.contains(&it)))
    };
    let (found, next) = sought(
        input,
        |after, limit| wanted(&rows, &repository, &subject, after, limit, is_wanted),
        |(digest, _)| digest.to_string(),
    )?;
    let mut referrers = Vec::new();
    for (digest, image) in &found {
        let mut row = json!(referrer(&rows, &repository, digest, image)?);
        row["artifactStatus"] = json!(image.status(now));
        referrers.push(row);
    }
    Ok(with_next(json!({ "referrers": referrers }), next))
}

/// The artifacts of an image after a digest that are wanted, at most `limit`.
fn wanted(
    rows: &impl Rows,
    repository: &Repository,
    subject: &Digest,
    after: Option<&str>,
    limit: usize,
    is_wanted: impl Fn(&Image) -> bool,
) -> Result<Vec<(Digest, Image)>, ApiError> {
    let mut found = Vec::new();
    let mut last: Option<Digest> = after.and_then(|it| it.parse().ok());
    while found.len() < limit {
        let after = last.as_ref().map_or(After::Start, After::Item);
        let digests = rows.referrers(repository.id, subject, after, limit - found.len())?;
        let Some(end) = digests.last().cloned() else { break };
        for digest in digests {
            let image = rows.image(repository.id, &digest)?;
            found.extend(image.filter(&is_wanted).map(|it| (digest, it)));
        }
        last = Some(end);
    }
    Ok(found)
}
