//! HEAD and GET requests for blobs, and ranges (OCI distribution specification, "Pulling blobs"; RFC 9110, section 14).

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use ecr_types::{Digest, InvalidName, host};
use hyper::body::Incoming;
use hyper::{Method, Request};

use super::{Call, OciResult};
use crate::error::OciError;
use crate::http::{builder, empty, file_body, header};
use crate::store::Queries;

/// `HEAD` or `GET /v2/NAME/blobs/DIGEST`. ECR redirects the second to a signed URL. A client that uses a name of another
/// machine, which was allowed, may not reach the other name of this one, and gets the blob.
pub fn get(call: &Call, digest: &str, request: &Request<Incoming>) -> OciResult {
    let unknown = || OciError::new(404, "BLOB_UNKNOWN", format!("blob {digest} is not in this repository"));
    let digest: Digest = digest.parse().map_err(|it: InvalidName| digest_invalid(&it.to_string()))?;
    let layer = call.registry.shared.store.read()?.layer(call.repository.id, &digest)?.ok_or_else(unknown)?;
    let path = call.registry.shared.store.blobs().path(&digest);
    // If the file was removed from outside, the client can upload the blob again.
    if !path.is_file() {
        return Err(unknown());
    }
    if call.is_ecr() && *request.method() == Method::GET && host::is_loopback(&call.registry.host) {
        return redirect(call, &digest);
    }
    send(&path, &digest, layer.size, request.method(), header(request, "range"))
}

/// The URL has another host name than the registry, as that of S3 has: clients leave out the header `Authorization`, which
/// S3 refuses beside a signature (open-policy-agent/opa#6580).
fn redirect(call: &Call, digest: &Digest) -> OciResult {
    let host = other_host(&call.registry.host);
    let url = call.registry.shared.download_url(&call.registry.key, &call.name, digest, &host);
    builder(307).header("location", url).header("content-length", 0).body(empty()).map_err(Into::into)
}

/// The same server under another name.
fn other_host(host: &str) -> String {
    let name = host::name(host);
    let other = if name == "localhost" { "127.0.0.1" } else { "localhost" };
    format!("{other}{}", &host[name.len()..])
}

/// The response with a blob's content, after the permission was checked.
pub fn send(path: &Path, digest: &Digest, size: u64, method: &Method, range: Option<&str>) -> OciResult {
    // "The Range header field ... is only defined for GET" (RFC 9110, section 14.2).
    let range = range.filter(|_| *method == Method::GET);
    let requested = match range.map(|it| parse_range(it, size)) {
        None | Some(RequestedRange::Whole) => None,
        Some(RequestedRange::Part(part)) => Some(part),
        Some(RequestedRange::Unsatisfiable) => {
            let message = format!("the blob has {size} bytes");
            return Err(
                OciError::new(416, "UNSUPPORTED", message).with("content-range", format!("bytes */{size}"))
            );
        }
    };
    let part = requested.clone().unwrap_or(0..size);
    let mut response = builder(if requested.is_some() { 206 } else { 200 })
        .header("content-type", "application/octet-stream")
        .header("content-length", part.end - part.start)
        .header("accept-ranges", "bytes")
        .header("docker-content-digest", digest.as_str());
    if requested.is_some() {
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

/// The range that the header `Range` requests.
#[derive(Debug, PartialEq, Eq)]
enum RequestedRange {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// Parses one range of bytes. Several ranges and malformed ones are ignored, which RFC 9110 (section 14.2) allows.
fn parse_range(header: &str, size: u64) -> RequestedRange {
    let Some((start, end)) = header.strip_prefix("bytes=").and_then(|it| it.split_once('-')) else {
        return RequestedRange::Whole;
    };
    let (start, end) = (start.trim(), end.trim());
    let part = match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(start), Ok(end)) if start <= end => start..end.saturating_add(1).min(size),
        (Ok(start), Err(_)) if end.is_empty() => start..size,
        (Err(_), Ok(last)) if start.is_empty() => size.saturating_sub(last)..size,
        _ => return RequestedRange::Whole,
    };
    if part.start < part.end { RequestedRange::Part(part) } else { RequestedRange::Unsatisfiable }
}

pub(super) fn digest_invalid(message: &str) -> OciError {
    OciError::new(400, "DIGEST_INVALID", message)
}

/// The part that the header `Range` requests; `None` for the whole blob and for an unsatisfiable range.
#[cfg(test)]
pub fn requested_part(header: &str, size: u64) -> Option<Range<u64>> {
    match parse_range(header, size) {
        RequestedRange::Part(part) => Some(part),
        RequestedRange::Whole | RequestedRange::Unsatisfiable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_has_another_host_name() {
        assert_eq!(other_host("127.0.0.1:4510"), "localhost:4510");
        assert_eq!(other_host("localhost:4510"), "127.0.0.1:4510");
        assert_eq!(other_host("000000000000.dkr.ecr.us-east-1.localhost:4510"), "localhost:4510");
    }

    #[test]
    fn range_is_parsed_as_in_rfc_9110() {
        for (header, wanted) in [
            ("bytes=0-3", RequestedRange::Part(0..4)),
            ("bytes=4-", RequestedRange::Part(4..10)),
            ("bytes=-3", RequestedRange::Part(7..10)),
            ("bytes=-30", RequestedRange::Part(0..10)),
            ("bytes=5-99", RequestedRange::Part(5..10)),
            ("bytes=10-", RequestedRange::Unsatisfiable),
            ("bytes=-0", RequestedRange::Unsatisfiable),
            ("bytes=3-1", RequestedRange::Whole),
            ("bytes=0-1,4-5", RequestedRange::Whole),
            ("lines=1-2", RequestedRange::Whole),
        ] {
            assert_eq!(parse_range(header, 10), wanted, "{header}");
        }
    }
}
