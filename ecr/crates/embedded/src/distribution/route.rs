//! `/v2/...` -> repository and target. Repository names can have any number of segments, so paths are parsed from the right.

use ecr_types::permission::RegistryRequest;
use hyper::Method;

use crate::http::percent_decode;

/// A path under `/v2/` (OCI distribution specification, "Endpoints").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: whether this is a registry, and whether the credentials are valid.
    Version,
    /// `/v2/_catalog`: the repositories.
    Catalog,
    /// A target in a repository, whose name is not validated.
    In(String, RouteTarget),
}

/// The part of a path after the name of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// `blobs/DIGEST`.
    Blob(String),
    /// `blobs/uploads/`.
    Uploads,
    /// `blobs/uploads/ID`.
    Upload(String),
    /// `manifests/TAG-OR-DIGEST`.
    Manifest(String),
    /// `tags/list`.
    Tags,
    /// `referrers/DIGEST`.
    Referrers(String),
}

impl Route {
    /// The route of a path; `None` if the specification does not define the path.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v2")?;
        if matches!(path, "" | "/") {
            return Some(Self::Version);
        }
        if path == "/_catalog" {
            return Some(Self::Catalog);
        }
        let decoded = percent_decode(path.strip_prefix('/')?)?;
        let segments: Vec<_> = decoded.split('/').collect();
        let (name, target) = match segments.as_slice() {
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                (name, RouteTarget::Uploads)
            }
            [name @ .., "blobs", "uploads", id] => (name, RouteTarget::Upload((*id).to_owned())),
            [name @ .., "blobs", digest] => (name, RouteTarget::Blob((*digest).to_owned())),
            [name @ .., "manifests", reference] => (name, RouteTarget::Manifest((*reference).to_owned())),
            [name @ .., "tags", "list"] => (name, RouteTarget::Tags),
            [name @ .., "referrers", digest] => (name, RouteTarget::Referrers((*digest).to_owned())),
            _ => return None,
        };
        Some(Self::In(name.join("/"), target))
    }

    /// The request that this is, for the actions that AWS checks. `is_whole` says that the query has the digest of a blob,
    /// `has_body` that there is a body.
    pub fn request(&self, method: &Method, is_whole: bool, has_body: bool) -> RegistryRequest {
        let Self::In(_, target) = self else {
            return if *self == Self::Catalog { RegistryRequest::Catalog } else { RegistryRequest::Version };
        };
        match (method, target) {
            (&Method::HEAD, RouteTarget::Blob(_)) => RegistryRequest::HeadBlob,
            (_, RouteTarget::Blob(_)) => RegistryRequest::GetBlob,
            (_, RouteTarget::Uploads) if is_whole => RegistryRequest::UploadWhole,
            (_, RouteTarget::Uploads) => RegistryRequest::StartUpload,
            (&Method::PUT, RouteTarget::Upload(_)) if has_body => RegistryRequest::FinishUploadWithContent,
            (&Method::PUT, RouteTarget::Upload(_)) => RegistryRequest::FinishUpload,
            (_, RouteTarget::Upload(_)) => RegistryRequest::UploadPart,
            (&Method::PUT, RouteTarget::Manifest(_)) => RegistryRequest::PutManifest,
            (&Method::DELETE, RouteTarget::Manifest(_)) => RegistryRequest::DeleteManifest,
            (_, RouteTarget::Manifest(_)) => RegistryRequest::GetManifest,
            (_, RouteTarget::Referrers(_)) => RegistryRequest::ListReferrers,
            (_, RouteTarget::Tags) => RegistryRequest::ListTags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_names_have_any_number_of_segments() {
        let route = |path| match Route::parse(path) {
            Some(Route::In(name, target)) => Some((name, target)),
            _ => None,
        };
        assert_eq!(Route::parse("/v2/"), Some(Route::Version));
        assert_eq!(Route::parse("/v2/_catalog"), Some(Route::Catalog));
        assert_eq!(route("/v2/a/b/c/tags/list"), Some(("a/b/c".into(), RouteTarget::Tags)));
        assert_eq!(
            route("/v2/my-app/manifests/1.0.0"),
            Some(("my-app".into(), RouteTarget::Manifest("1.0.0".into())))
        );
        assert_eq!(route("/v2/blobs/blobs/uploads/"), Some(("blobs".into(), RouteTarget::Uploads)));
        assert_eq!(route("/v2/a/blobs/uploads/1f"), Some(("a".into(), RouteTarget::Upload("1f".into()))));
        assert_eq!(route("/v2/a/blobs/sha256:00"), Some(("a".into(), RouteTarget::Blob("sha256:00".into()))));
        assert_eq!(Route::parse("/v3/"), None);
        assert_eq!(Route::parse("/v2/a/b"), None);
    }
}
