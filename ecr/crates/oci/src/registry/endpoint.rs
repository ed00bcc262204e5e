//! The address of a registry, and requests to it.

use ecr_types::host;
use hyper::Method;
use hyper::header::{AUTHORIZATION, USER_AGENT};
use hyper::http::request::Builder;

use crate::http::HttpClient;

/// The host of a registry, with the client for its requests.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) http: HttpClient,
    pub(super) host: String,
    /// `https://HOST/`, or `http://HOST/` for a host on loopback (see [`host::is_loopback`]).
    root: String,
}

impl Endpoint {
    pub(super) fn new(http: HttpClient, host: &str) -> Self {
        let scheme = if host::is_loopback(host) { "http" } else { "https" };
        Self { http, host: host.to_owned(), root: format!("{scheme}://{host}/") }
    }

    /// The URL of a path of this registry. An absolute URL is returned unchanged.
    pub(super) fn url(&self, location: &str) -> String {
        match location.strip_prefix('/') {
            Some(path) => format!("{}{path}", self.root),
            None => location.to_owned(),
        }
    }

    /// A request to a path of this registry, or to an absolute URL that the registry returned. The authorization is sent to
    /// the registry's own host only.
    pub(super) fn request(&self, method: Method, location: &str, authorization: Option<&str>) -> Builder {
        let url = self.url(location);
        let authorization = authorization.filter(|_| url.starts_with(&self.root));
        let request = hyper::Request::builder().method(method).uri(url);
        let request = request.header(USER_AGENT, concat!("xtask-ecr/", env!("CARGO_PKG_VERSION")));
        match authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }
}
