//! `/v2/...` -> repository and target. Repository names can have any number of segments, so paths are parsed from the right.

use crate::http::percent_decode;

/// A path under `/v2/` (OCI distribution specification, "Endpoints").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: whether this is a registry, and whether the credentials are valid.
    Version,
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

    /// The name of the repository and the target; `None` for `/v2/`.
    pub fn repository(self) -> Option<(String, RouteTarget)> {
        match self {
            Self::Version => None,
            Self::In(name, target) => Some((name, target)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_names_have_any_number_of_segments() {
        let route = |path| Route::parse(path).and_then(Route::repository);
        assert_eq!(Route::parse("/v2/"), Some(Route::Version));
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
