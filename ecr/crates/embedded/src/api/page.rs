//! Pagination with opaque tokens. A token is the offset of the next page, or the key of the last item for sorted lists.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::input::Input;
use crate::error::ApiError;

/// The number of items of a page if the request has no `maxResults` ("you will receive up to 100 results").
const DEFAULT: u64 = 100;

/// The response `{key: items, "nextToken"}` with a page of a list by offset; see [`page`].
pub fn paged<T: Into<Value>>(key: &str, items: Vec<T>, input: Input<'_>) -> Result<Value, ApiError> {
    let (items, next) = page(items, input)?;
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    Ok(with_next(json!({ key: items }), next))
}

/// The response `{key: items, "nextToken"}` with a page of a list that is sorted by `key_of`; see [`page_by`].
pub fn paged_by(
    key: &str,
    items: Vec<Value>,
    input: Input<'_>,
    key_of: impl Fn(&Value) -> String,
) -> Result<Value, ApiError> {
    let (items, next) = page_by(items, input, key_of)?;
    Ok(with_next(json!({ key: items }), next))
}

/// Adds the token of the next page to a response, if there is one.
pub fn with_next(mut response: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        response["nextToken"] = json!(next);
    }
    response
}

/// A page of a list that is sorted by `key_of`, and the token of the next page. The token is the key of the last item, so that
/// no item is skipped if others are deleted between two pages.
pub fn page_by<T>(
    items: Vec<T>,
    input: Input<'_>,
    key_of: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = size(input);
    let last = match input.text("nextToken") {
        None => None,
        Some(token) => Some(decoded(token, "after:").ok_or_else(invalid_token)?),
    };
    let mut items: Vec<T> =
        items.into_iter().filter(|it| last.as_ref().is_none_or(|last| key_of(it) > *last)).collect();
    let has_more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| has_more).map(|it| BASE64.encode(format!("after:{}", key_of(it))));
    Ok((items, next))
}

/// A page of a list, and the token of the next page. The token is an offset, for lists in the order of the request.
pub fn page<T>(items: Vec<T>, input: Input<'_>) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = size(input);
    let start: usize = match input.text("nextToken") {
        None => 0,
        Some(token) => decoded(token, "offset:").and_then(|it| it.parse().ok()).ok_or_else(invalid_token)?,
    };
    let end = start.saturating_add(size);
    let next = (end < items.len()).then(|| BASE64.encode(format!("offset:{end}")));
    Ok((items.into_iter().skip(start).take(size).collect(), next))
}

fn size(input: Input<'_>) -> usize {
    usize::try_from(input.number("maxResults").unwrap_or(DEFAULT)).unwrap_or(usize::MAX)
}

fn decoded(token: &str, prefix: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    text.strip_prefix(prefix).map(str::to_owned)
}

fn invalid_token() -> ApiError {
    ApiError::invalid("nextToken", "is not a valid token")
}
