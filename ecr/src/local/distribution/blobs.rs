//! Blobs: HEAD and GET.

use hyper::Method;

use super::{Answer, Call};
use crate::local::error::RegistryError;
use crate::local::http::{builder, empty, file_body};
use crate::name::Digest;

/// `HEAD` or `GET /v2/NAME/blobs/DIGEST`.
pub fn get(call: &Call, digest: &str, method: &Method) -> Answer {
    let unknown =
        || RegistryError::new(404, "BLOB_UNKNOWN", format!("blob {digest} is not in this repository"));
    let digest: Digest =
        digest.parse().map_err(|it: crate::name::InvalidName| digest_invalid(&it.to_string()))?;
    let (path, size) = {
        let store = call.shared.store();
        let repository = store.model().repository(&call.registry, &call.name);
        let size = repository.and_then(|it| it.layers.get(&digest)).copied().ok_or_else(unknown)?;
        (store.blob_path(&digest), size)
    };
    // A file that somebody removed is a blob that a client can bring again.
    if !path.is_file() {
        return Err(unknown());
    }
    let response = builder(200)
        .header("content-type", "application/octet-stream")
        .header("content-length", size)
        .header("docker-content-digest", digest.as_str());
    let body = match *method {
        Method::HEAD => empty(),
        _ => file_body(std::fs::File::open(path).map_err(|it| RegistryError::internal(&it))?),
    };
    response.body(body).map_err(|it| RegistryError::internal(&it))
}

pub(super) fn digest_invalid(message: &str) -> RegistryError {
    RegistryError::new(400, "DIGEST_INVALID", message)
}
