//! Pagination with opaque tokens. A token is the key of the last item of a page, from which the next one is sought, or an
//! offset for lists that are in the request or in memory.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::input::Input;
use crate::error::ApiError;

/// The number of items of a page if the request has no `maxResults` ("you will receive up to 100 results").
const DEFAULT: u64 = 100;

/// A page of a sorted list, and the token of the next one. `fetch` returns the items after a key, at most as many as asked for.
/// The token is the key of the last item, so that no item is skipped if others are deleted between two pages.
pub fn sought<T>(
    input: Input<'_>,
    fetch: impl FnOnce(Option<&str>, usize) -> Result<Vec<T>, ApiError>,
    key_of: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = size(input);
    let last = match input.text("nextToken") {
        None => None,
        Some(token) => Some(decoded(input, token, "after").ok_or_else(invalid_token)?),
    };
    let mut items = fetch(last.as_deref(), size.saturating_add(1))?;
    let has_more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| has_more).map(|it| encoded(input, "after", &key_of(it)));
    Ok((items, next))
}

/// Items with their keys, and the token of the next page.
type KeyedPage<T> = (Vec<(String, T)>, Option<String>);

/// A page of a short list that is sorted by the keys of its items, and the token of the next one; see [`sought`].
pub fn sought_in<T>(
    input: Input<'_>,
    items: impl IntoIterator<Item = (String, T)>,
) -> Result<KeyedPage<T>, ApiError> {
    let fetch = |after: Option<&str>, limit| {
        let rest = items.into_iter().filter(|(key, _)| after.is_none_or(|it| key.as_str() > it));
        Ok(rest.take(limit).collect())
    };
    sought(input, fetch, |(key, _)| key.clone())
}

/// The response `{key: items, "nextToken"}` with a page of a list by offset; see [`page`].
pub fn paged<T: Into<Value>>(
    key: &str,
    items: impl IntoIterator<Item = T>,
    input: Input<'_>,
) -> Result<Value, ApiError> {
    let (items, next) = page(items, input)?;
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    Ok(with_next(json!({ key: items }), next))
}

/// Adds the token of the next page to a response, if there is one.
pub fn with_next(mut response: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        response["nextToken"] = json!(next);
    }
    response
}

/// A page of a list, and the token of the next page. The token is an offset, for lists in the order of the request.
pub fn page<T>(
    items: impl IntoIterator<Item = T>,
    input: Input<'_>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = size(input);
    let start: usize = match input.text("nextToken") {
        None => 0,
        Some(token) => {
            decoded(input, token, "offset").and_then(|it| it.parse().ok()).ok_or_else(invalid_token)?
        }
    };
    let mut rest = items.into_iter().skip(start);
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let end = start.saturating_add(size);
    let next = rest.next().map(|_| encoded(input, "offset", &end.to_string()));
    Ok((page, next))
}

/// Fails if a request for named things has a page size: "This option cannot be used when you specify images" (ECR API,
/// `DescribeImages`). The message is not ECR's, which is not known.
pub fn refuse_size(input: Input<'_>, names: &str) -> Result<(), ApiError> {
    match input.number("maxResults") {
        Some(_) => Err(ApiError::invalid("maxResults", &format!("cannot be used with {names}"))),
        None => Ok(()),
    }
}

fn size(input: Input<'_>) -> usize {
    usize::try_from(input.number("maxResults").unwrap_or(DEFAULT)).unwrap_or(usize::MAX)
}

/// The token of a position. It is one of this operation and this repository: another list has other positions.
fn encoded(input: Input<'_>, kind: &str, position: &str) -> String {
    BASE64.encode(format!("{}{position}", scope(input, kind)))
}

fn decoded(input: Input<'_>, token: &str, kind: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    text.strip_prefix(&scope(input, kind)).map(str::to_owned)
}

fn scope(input: Input<'_>, kind: &str) -> String {
    format!("{}:{}:{kind}:", input.operation(), input.text("repositoryName").unwrap_or_default())
}

fn invalid_token() -> ApiError {
    ApiError::invalid("nextToken", "is not a valid token")
}
