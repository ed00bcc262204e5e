//! Pages of a list, with tokens that say nothing to the client.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use crate::local::error::ApiError;

/// The part of `items` that a request asked for, and the token of the next part.
pub fn page<T>(
    items: Vec<T>,
    max_results: Option<u64>,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = match max_results {
        None => 100,
        Some(n @ 1..=1000) => n as usize,
        Some(_) => return Err(ApiError::invalid("maxResults", "must be between 1 and 1000")),
    };
    let start = match token {
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
