//! The lists of tags and of repositories.
//!
//! ECR's lists differ from those of the specification: a page has 100 entries if the request does not say how many, tags have
//! no order, the next page is named by a token and not by the last entry, and its URL is absolute (deitch/docker_registry2#34,
//! google/go-containerregistry#681 and #1091).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ecr_types::Digest;
use hyper::Request;
use serde_json::json;

use super::{Call, OciResult, Registry};
use crate::error::OciError;
use crate::http::{Response, json_response, query, text_response, with_header};
use crate::store::{After, Queries};

/// The maximum number of entries of a page.
const MAX: usize = 1000;
/// The number of entries of a page of ECR if the request does not say how many.
const DEFAULT: usize = 100;

/// `GET /v2/NAME/tags/list?n=N&last=LAST`.
pub fn tags<B>(call: &Call, request: &Request<B>) -> OciResult {
    if call.is_ecr() { tags_by_token(call, request) } else { tags_by_name(call, request) }
}

fn tags_by_token<B>(call: &Call, request: &Request<B>) -> OciResult {
    let limit = limit(request)?;
    let last = token(request)?;
    let last = match &last {
        None => None,
        Some(last) => {
            let (digest, tag) = last.split_once('/').ok_or_else(invalid_token)?;
            Some((digest.parse::<Digest>().map_err(|_| invalid_token())?, tag))
        }
    };
    let last = last.as_ref().map(|(digest, tag)| (digest, *tag));
    let rows = call.registry.shared.store.read()?;
    let mut tags = rows.tags_by_digest(call.repository.id, last, limit + 1)?;
    let has_more = tags.len() > limit;
    tags.truncate(limit);
    let next = tags.last().filter(|_| has_more).map(|(digest, tag)| format!("{digest}/{tag}"));
    let names: Vec<_> = tags.iter().map(|(_, tag)| tag).collect();
    let body = json!({"name": call.name, "tags": names});
    let path = format!("{}/tags/list", call.name);
    Ok(page(&body, request, (&call.registry.shared.url_of(&call.registry.host), &path), next.as_deref()))
}

/// The specification's list, "Listing Tags".
fn tags_by_name<B>(call: &Call, request: &Request<B>) -> OciResult {
    let limit = match query(request, "n") {
        None => MAX,
        Some(n) => n.parse::<usize>().map_err(|_| {
            OciError::new(400, "PAGINATION_NUMBER_INVALID", format!("`{n}` is not a number of tags"))
        })?,
    };
    let limit = limit.min(MAX);
    let last = query(request, "last");
    let after = last.as_deref().map_or(After::Start, After::Item);
    let mut tags = call.registry.shared.store.read()?.tags(call.repository.id, after, limit + 1)?;
    let has_more = tags.len() > limit;
    tags.truncate(limit);
    let names: Vec<_> = tags.iter().map(|(tag, _)| tag).collect();
    let response = json_response(200, &json!({"name": call.name, "tags": names}));
    Ok(match names.last().filter(|_| has_more) {
        Some(last) => {
            let next = format!("</v2/{}/tags/list?n={limit}&last={last}>; rel=\"next\"", call.name);
            with_header(response, "link", &next)
        }
        None => response,
    })
}

/// `GET /v2/_catalog?n=N&last=LAST`.
pub fn catalog<B>(registry: &Registry, request: &Request<B>) -> OciResult {
    let limit = limit(request)?;
    let last = token(request)?;
    let after = last.as_deref().map_or(After::Start, After::Item);
    let rows = registry.shared.store.read()?;
    let mut repositories = rows.repositories(&registry.key, after, limit + 1)?;
    let has_more = repositories.len() > limit;
    repositories.truncate(limit);
    let names: Vec<_> = repositories.iter().map(|(name, _)| name.as_str()).collect();
    let next = names.last().filter(|_| has_more).copied();
    let body = json!({ "repositories": names });
    Ok(page(&body, request, (&registry.shared.url_of(&registry.host), "_catalog"), next))
}

/// A page of a list of ECR. `next` is what the token of the next page stands for.
fn page<B>(
    body: &serde_json::Value,
    request: &Request<B>,
    (url, path): (&str, &str),
    next: Option<&str>,
) -> Response {
    let response = text_response(200, "text/plain; charset=utf-8", body.to_string());
    let Some(next) = next.map(|it| BASE64.encode(it)) else { return response };
    let n = query(request, "n").map(|it| format!("&n={it}")).unwrap_or_default();
    with_header(response, "link", &format!("<{url}/v2/{path}?last={next}{n}>; rel=\"next\""))
}

fn limit<B>(request: &Request<B>) -> Result<usize, OciError> {
    let Some(n) = query(request, "n") else { return Ok(DEFAULT) };
    let bound = |what: &str, n: usize| format!("Member must have value {what} than or equal to {n}");
    match n.parse::<i64>().map(usize::try_from) {
        Ok(Ok(n)) if n > MAX => Err(OciError::invalid("maxResults", &bound("less", MAX))),
        Ok(Ok(n)) if n > 0 => Ok(n),
        Ok(_) => Err(OciError::invalid("maxResults", &bound("greater", 1))),
        Err(_) => Err(OciError::invalid("maxResults", "must be a number")),
    }
}

/// What the token of the request stands for.
fn token<B>(request: &Request<B>) -> Result<Option<String>, OciError> {
    let Some(token) = query(request, "last") else { return Ok(None) };
    let last = BASE64.decode(token).ok().and_then(|it| String::from_utf8(it).ok());
    last.map(Some).ok_or_else(invalid_token)
}

fn invalid_token() -> OciError {
    OciError::invalid("nextToken", "is not a valid token")
}
