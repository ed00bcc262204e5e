//! `/v2/...` -> repository and target. Names have any number of segments, so paths are read from the right.

use crate::http::percent_decode;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: is this a registry, and do the credentials fit?
    Version,
    /// Something in a repository, whose name is not checked yet.
    In(String, Target),
}

/// What a path names within a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
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
    /// The route of a path; `None` for one that the specification does not know.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v2")?;
        if matches!(path, "" | "/") {
            return Some(Self::Version);
        }
        let decoded = percent_decode(path.strip_prefix('/')?)?;
        let segments: Vec<_> = decoded.split('/').collect();
        let (name, target) = match segments.as_slice() {
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, Target::Uploads),
            [name @ .., "blobs", "uploads", id] => (name, Target::Upload((*id).to_owned())),
            [name @ .., "blobs", digest] => (name, Target::Blob((*digest).to_owned())),
            [name @ .., "manifests", reference] => (name, Target::Manifest((*reference).to_owned())),
            [name @ .., "tags", "list"] => (name, Target::Tags),
            [name @ .., "referrers", digest] => (name, Target::Referrers((*digest).to_owned())),
            _ => return None,
        };
        Some(Self::In(name.join("/"), target))
    }

    /// The repository and the target within.
    pub fn repository(self) -> Option<(String, Target)> {
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
    fn names_have_any_number_of_segments() {
        let route = |path| Route::parse(path).and_then(Route::repository);
        assert_eq!(Route::parse("/v2/"), Some(Route::Version));
        assert_eq!(route("/v2/a/b/c/tags/list"), Some(("a/b/c".into(), Target::Tags)));
        assert_eq!(
            route("/v2/my-app/manifests/1.0.0"),
            Some(("my-app".into(), Target::Manifest("1.0.0".into())))
        );
        assert_eq!(route("/v2/blobs/blobs/uploads/"), Some(("blobs".into(), Target::Uploads)));
        assert_eq!(route("/v2/a/blobs/uploads/1f"), Some(("a".into(), Target::Upload("1f".into()))));
        assert_eq!(route("/v2/a/blobs/sha256:00"), Some(("a".into(), Target::Blob("sha256:00".into()))));
        assert_eq!(Route::parse("/v3/"), None);
        assert_eq!(Route::parse("/v2/a/b"), None);
    }
}
