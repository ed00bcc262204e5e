//! Pages of a list, with tokens that say nothing to the client.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::input::Input;
use crate::local::error::ApiError;

/// How many items a page has where the request names no number ("you will receive up to 100 results").
const DEFAULT: u64 = 100;

/// `{key: page, "nextToken"}`: the part of `items` that `maxResults` and `nextToken` ask for.
pub fn paged<T: Into<Value>>(key: &str, items: Vec<T>, input: Input<'_>) -> Result<Value, ApiError> {
    let (items, next) = page(items, input)?;
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    let mut answer = json!({ key: items });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

/// The same, where the items stand elsewhere in the answer.
pub fn page<T>(items: Vec<T>, input: Input<'_>) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = usize::try_from(input.number("maxResults").unwrap_or(DEFAULT)).unwrap_or(usize::MAX);
    let start = match input.text("nextToken") {
        None => 0,
        Some(token) => offset(token).ok_or_else(|| ApiError::invalid("nextToken", "is not a valid token"))?,
    };
    let end = start.saturating_add(size);
    let next = (end < items.len()).then(|| BASE64.encode(format!("offset:{end}")));
    Ok((items.into_iter().skip(start).take(size).collect(), next))
}

fn offset(token: &str) -> Option<usize> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    text.strip_prefix("offset:")?.parse().ok()
}
