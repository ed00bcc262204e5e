//! Pulling images from any registry, with anonymous, Basic or Bearer authentication.
//!
//! Specification: distribution "Token Authentication" (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_types::{Digest, media_type};
use hyper::header::{ACCEPT, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::endpoint::Endpoint;
use super::error::Cause;
use super::{MAX_MANIFEST, RegistryError, Result};
use crate::files::Temporary;
use crate::http::{HttpClient, HttpError, Response, empty};
use crate::reference::Reference;

/// A client that reads one repository of any registry. It authenticates as the registry's challenge requires.
#[derive(Debug)]
pub struct RemoteRepository {
    endpoint: Endpoint,
    name: String,
    credentials: Option<(String, String)>,
    authorization: tokio::sync::Mutex<Option<String>>,
}

/// The maximum number of redirects.
const REDIRECTIONS: u32 = 5;
/// The maximum size of a token response in bytes.
const MAX_TOKEN: usize = 64 * 1024;

/// The response of a token endpoint. `access_token` is the name of the same field in OAuth 2.0.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl RemoteRepository {
    /// A client of the repository of `reference`. `credentials` are user and password; without them, access is anonymous.
    pub fn new(http: HttpClient, reference: &Reference, credentials: Option<(String, String)>) -> Self {
        Self {
            endpoint: Endpoint::new(http, &reference.host),
            name: reference.name.clone(),
            credentials,
            authorization: tokio::sync::Mutex::default(),
        }
    }

    /// Reads the manifest of a tag or digest. Returns its digest, computed from the bytes, and the bytes.
    ///
    /// # Errors
    /// The registry returns an error or requires credentials, there is no response, or the content does not have the requested
    /// digest.
    pub async fn manifest(&self, version: &str) -> Result<(Digest, Vec<u8>)> {
        let action = format!("read the base image `{}:{version}` of {}", self.name, self.endpoint.host);
        let path = format!("manifests/{version}");
        let response = self.get(&action, &path, &media_type::MANIFESTS.join(", ")).await?;
        let bytes = response.into_body().read(MAX_MANIFEST).await;
        let bytes = bytes.map_err(|it| RegistryError::new(&action, it))?.to_vec();
        let digest = Digest::of(&bytes);
        match version.parse::<Digest>() {
            Ok(wanted) if wanted != digest => Err(wrong_digest(&action, &digest)),
            _ => Ok((digest, bytes)),
        }
    }

    /// Downloads a blob into the file `to`, which is created atomically after the digest was verified.
    ///
    /// # Errors
    /// The registry returns an error or requires credentials, there is no response, the content does not have the digest, or the
    /// file cannot be written.
    pub async fn blob(&self, digest: &Digest, to: &Path) -> Result<()> {
        let host = &self.endpoint.host;
        let action = format!("fetch {} of the base image `{}` of {host}", digest.short(), self.name);
        let not_written = |it: io::Error| RegistryError::new(&action, Cause::File(it));
        let mut body = self.get(&action, &format!("blobs/{digest}"), "*/*").await?.into_body();
        let mut file = Temporary::beside(to).map_err(not_written)?;
        let mut hash = Sha256::new();
        while let Some(bytes) = body.next().await.map_err(|it| RegistryError::new(&action, it))? {
            hash.update(&bytes);
            file.write_all(&bytes).map_err(not_written)?;
        }
        let found = Digest::from_hash(&hash.finalize());
        if found != *digest {
            return Err(wrong_digest(&action, &found));
        }
        file.persist(to).map_err(not_written)
    }

    /// A GET request within the repository. If the registry requires authorization, it is requested and sent, once.
    async fn get(&self, action: &str, path: &str, accept: &str) -> Result<Response> {
        let path = format!("/v2/{}/{path}", self.name);
        let mut is_renewed = false;
        loop {
            let authorization = self.authorization.lock().await.clone();
            let response = self.follow(action, &path, accept, authorization.as_deref()).await?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                StatusCode::UNAUTHORIZED if !is_renewed => {
                    is_renewed = true;
                    let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
                    let fresh = self.authorize(action, challenge.unwrap_or_default()).await?;
                    *self.authorization.lock().await = Some(fresh);
                }
                _ => return Err(RegistryError::of(action, response).await),
            }
        }
    }

    /// Follows redirects. The authorization is sent to the registry's own host only.
    async fn follow(
        &self,
        action: &str,
        path: &str,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Response> {
        let mut location = path.to_owned();
        for _ in 0..=REDIRECTIONS {
            let response = self.attempt(&location, Some(accept), authorization).await;
            let response = response.map_err(|it| RegistryError::new(action, it))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let next = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
            location = next.unwrap_or_default().to_owned();
        }
        Err(RegistryError::unexpected(action, "too many redirects"))
    }

    async fn attempt(
        &self,
        location: &str,
        accept: Option<&str>,
        authorization: Option<&str>,
    ) -> std::result::Result<Response, HttpError> {
        let http = &self.endpoint.http;
        let send = async || {
            let request = self.endpoint.request(Method::GET, location, authorization);
            let request = match accept {
                Some(accept) => request.header(ACCEPT, accept),
                None => request,
            };
            http.send(request.body(empty())).await
        };
        http.retry(send).await
    }

    /// The authorization for a challenge (RFC 9110, section 11.6.1).
    async fn authorize(&self, action: &str, challenge: &str) -> Result<String> {
        let basic = self.credentials.as_ref().map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return basic.ok_or_else(|| RegistryError::new(action, Cause::NoCredentials));
        }
        let no_realm = || RegistryError::unexpected(action, "a Bearer challenge without a realm");
        let url = token_url(parameters).ok_or_else(no_realm)?;
        let response = self.request_token(&url, basic.as_deref()).await;
        let response = response.map_err(|it| RegistryError::new(action, it))?;
        if response.status() != StatusCode::OK {
            return Err(RegistryError::of(action, response).await);
        }
        let text = response.into_body().read(MAX_TOKEN).await;
        let text = text.map_err(|it| RegistryError::new(action, it))?;
        let token = serde_json::from_slice::<Token>(&text).ok().and_then(|it| it.token.or(it.access_token));
        let token = token.ok_or_else(|| RegistryError::unexpected(action, "no token"))?;
        Ok(format!("Bearer {token}"))
    }

    /// Requests a token. The endpoint is usually another host than the registry. It receives the credentials because the
    /// registry, which is trusted with them, names it.
    async fn request_token(
        &self,
        url: &str,
        basic: Option<&str>,
    ) -> std::result::Result<Response, HttpError> {
        let http = &self.endpoint.http;
        let send = async || {
            let request = hyper::Request::builder().method(Method::GET).uri(url);
            let request = match basic {
                Some(value) => request.header(hyper::header::AUTHORIZATION, value),
                None => request,
            };
            http.send(request.body(empty())).await
        };
        http.retry(send).await
    }
}

fn wrong_digest(action: &str, found: &Digest) -> RegistryError {
    RegistryError::unexpected(action, format!("the content has the digest {found}"))
}

/// The characters that are percent-encoded in a query: all except the unreserved ones (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `realm="https://auth.docker.io/token",service="registry.docker.io",scope="..."` -> the URL of the token request.
fn token_url(parameters: &str) -> Option<String> {
    let mut realm = None;
    let mut query = Vec::new();
    // Values are quoted, and a scope may contain commas.
    let mut rest = parameters;
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match key.trim_matches([',', ' ']) {
            "realm" => realm = Some(value),
            key @ ("service" | "scope") => {
                query.push(format!("{key}={}", utf8_percent_encode(value, QUERY)));
            }
            _ => {}
        }
        rest = after;
    }
    let separator = if realm?.contains('?') { '&' } else { '?' };
    Some(format!("{}{separator}{}", realm?, query.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_url_has_service_and_scope() {
        let challenge = r#"realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push""#;
        let url = "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fdebian%3Apull%2Cpush";
        assert_eq!(token_url(challenge).as_deref(), Some(url));
        assert_eq!(token_url("service=\"x\""), None);
    }
}
