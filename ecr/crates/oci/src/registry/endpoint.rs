//! The address of a registry, and requests to it.

use ecr_types::host;
use hyper::Method;
use hyper::header::{AUTHORIZATION, USER_AGENT};
use hyper::http::request::Builder;
use url::Url;

use super::error::Cause;
use super::{RegistryError, Result};
use crate::http::HttpClient;

/// The host of a registry, with the client for its requests.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) http: HttpClient,
    pub(super) host: String,
    /// `https://HOST/`, or `http://HOST/` for a host on loopback (see [`host::is_loopback`]).
    root: Url,
    /// Another host of the registry, which is not connected to.
    pub(super) alias: Option<String>,
}

impl Endpoint {
    /// # Errors
    /// The host cannot be part of a URL.
    pub(super) fn new(http: HttpClient, host: &str) -> Result<Self> {
        let scheme = if host::is_loopback(host) { "http" } else { "https" };
        let root = Url::parse(&format!("{scheme}://{host}/"));
        let root =
            root.map_err(|it| RegistryError::new(&format!("use the registry `{host}`"), Cause::Url(it)))?;
        Ok(Self { http, host: host.to_owned(), root, alias: None })
    }

    /// The URL itself or, if it is on the other host of the registry, the same one on this host.
    pub(super) fn on_own_host(&self, mut url: Url) -> Url {
        if self.alias.is_some() && url.host_str() == self.alias.as_deref() {
            // Neither the host nor the port of another `https` URL can be refused.
            let _ = url.set_host(self.root.host_str());
            let _ = url.set_port(self.root.port());
        }
        url
    }

    /// The URL of a path of this registry, which consists of characters that a path may contain.
    pub(super) fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.root.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }

    /// Whether a URL is one of this registry, and not one that it has named.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        self.root.origin() == url.origin()
    }

    /// A request to a URL of this registry, or to another one that it has named. The authorization is sent to the registry
    /// itself only.
    pub(super) fn request(&self, method: Method, url: &Url, authorization: Option<&str>) -> Builder {
        let request = hyper::Request::builder().method(method).uri(url.as_str());
        let request = request.header(USER_AGENT, concat!("xtask-ecr/", env!("CARGO_PKG_VERSION")));
        match authorization.filter(|_| self.is_own(url)) {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }
}
