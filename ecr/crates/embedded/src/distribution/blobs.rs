//! Blobs: HEAD and GET, whole or in part (specification, "Pulling blobs"; RFC 9110, section 14).

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use ecr_types::{Digest, InvalidName};
use hyper::Method;

use super::{Answer, Call};
use crate::error::OciError;
use crate::http::{builder, empty, file_body};

/// `HEAD` or `GET /v2/NAME/blobs/DIGEST`; `range` is the request's header.
pub fn get(call: &Call, digest: &str, method: &Method, range: Option<&str>) -> Answer {
    let unknown = || OciError::new(404, "BLOB_UNKNOWN", format!("blob {digest} is not in this repository"));
    let digest: Digest = digest.parse().map_err(|it: InvalidName| digest_invalid(&it.to_string()))?;
    let (path, size) = {
        let store = call.shared.store();
        let repository = store.model().repository(&call.registry, &call.name);
        let size = repository.and_then(|it| it.layers.get(&digest)).copied().ok_or_else(unknown)?;
        (store.blobs().path(&digest), size)
    };
    // A file that somebody removed is a blob that a client can bring again.
    if !path.is_file() {
        return Err(unknown());
    }
    send(&path, &digest, size, method, range)
}

/// A blob's bytes, for whoever may have them.
pub fn send(path: &Path, digest: &Digest, size: u64, method: &Method, range: Option<&str>) -> Answer {
    // "The Range header field ... is only defined for GET" (RFC 9110, section 14.2).
    let range = range.filter(|_| *method == Method::GET);
    let wanted = match range.map(|it| parse_range(it, size)) {
        None | Some(Wanted::Whole) => None,
        Some(Wanted::Part(part)) => Some(part),
        Some(Wanted::Nothing) => {
            let message = format!("the blob has {size} bytes");
            return Err(
                OciError::new(416, "UNSUPPORTED", message).with("content-range", format!("bytes */{size}"))
            );
        }
    };
    let part = wanted.clone().unwrap_or(0..size);
    let mut response = builder(if wanted.is_some() { 206 } else { 200 })
        .header("content-type", "application/octet-stream")
        .header("content-length", part.end - part.start)
        .header("accept-ranges", "bytes")
        .header("docker-content-digest", digest.as_str());
    if wanted.is_some() {
        response = response.header("content-range", format!("bytes {}-{}/{size}", part.start, part.end - 1));
    }
    let body = match *method {
        Method::HEAD => empty(),
        _ => file_body(opened(path, part.start)?, part.end - part.start),
    };
    response.body(body).map_err(Into::into)
}

fn opened(path: &Path, start: u64) -> Result<File, OciError> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    Ok(file)
}

/// What a header `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// One range of bytes; several ranges, and what is no range, are answered with the whole, as RFC 9110 allows.
fn parse_range(header: &str, size: u64) -> Wanted {
    let Some((start, end)) = header.strip_prefix("bytes=").and_then(|it| it.split_once('-')) else {
        return Wanted::Whole;
    };
    let (start, end) = (start.trim(), end.trim());
    let part = match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(start), Ok(end)) if start <= end => start..end.saturating_add(1).min(size),
        (Ok(start), Err(_)) if end.is_empty() => start..size,
        (Err(_), Ok(last)) if start.is_empty() => size.saturating_sub(last)..size,
        _ => return Wanted::Whole,
    };
    if part.start < part.end { Wanted::Part(part) } else { Wanted::Nothing }
}

pub(super) fn digest_invalid(message: &str) -> OciError {
    OciError::new(400, "DIGEST_INVALID", message)
}

/// The part that a header asks for, if it asks for one that there is.
#[cfg(test)]
pub fn wanted_part(header: &str, size: u64) -> Option<Range<u64>> {
    match parse_range(header, size) {
        Wanted::Part(part) => Some(part),
        Wanted::Whole | Wanted::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (header, wanted) in [
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=4-", Wanted::Part(4..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=5-99", Wanted::Part(5..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-1", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(parse_range(header, 10), wanted, "{header}");
        }
    }
}
