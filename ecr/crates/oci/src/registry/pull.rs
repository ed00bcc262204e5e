//! Reading images of other registries: anonymous, Basic and Bearer, as Docker Hub and ECR Public want it.
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
use crate::http::{Answer, HttpClient, HttpError, empty};
use crate::reference::Reference;

/// A repository of some registry, to be read.
#[derive(Debug)]
pub struct RemoteRepository {
    endpoint: Endpoint,
    name: String,
    credentials: Option<(String, String)>,
    authorization: tokio::sync::Mutex<Option<String>>,
}

/// The most redirections that are followed.
const REDIRECTIONS: u32 = 5;
/// The most bytes of an answer with a token.
const MAX_TOKEN: usize = 64 * 1024;

/// The answer of a token endpoint. OAuth 2.0 has another name for the same field.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl RemoteRepository {
    /// The repository of a reference; `credentials` are user and password, where there are any.
    pub fn new(http: HttpClient, reference: &Reference, credentials: Option<(String, String)>) -> Self {
        Self {
            endpoint: Endpoint::new(http, &reference.host),
            name: reference.name.clone(),
            credentials,
            authorization: tokio::sync::Mutex::default(),
        }
    }

    /// A manifest by tag or digest, as its bytes are there, with its digest.
    ///
    /// # Errors
    /// The registry refuses, cannot be reached, or sends what does not have the digest.
    pub async fn manifest(&self, version: &str) -> Result<(Digest, Vec<u8>)> {
        let action = format!("read the base image `{}:{version}` of {}", self.name, self.endpoint.host);
        let path = format!("manifests/{version}");
        let answer = self.get(&action, &path, &media_type::MANIFESTS.join(", ")).await?;
        let bytes = answer.into_body().read(MAX_MANIFEST).await;
        let bytes = bytes.map_err(|it| RegistryError::new(&action, it))?.to_vec();
        let digest = Digest::of(&bytes);
        match version.parse::<Digest>() {
            Ok(wanted) if wanted != digest => Err(wrong_digest(&action, &digest)),
            _ => Ok((digest, bytes)),
        }
    }

    /// Fetches a blob into a file, which appears only once it is whole.
    ///
    /// # Errors
    /// The registry refuses, cannot be reached, or sends what does not have the digest; the file cannot be written.
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

    /// A GET within the repository, with the authorization that the registry wants to see first.
    async fn get(&self, action: &str, path: &str, accept: &str) -> Result<Answer> {
        let path = format!("/v2/{}/{path}", self.name);
        let mut is_renewed = false;
        loop {
            let authorization = self.authorization.lock().await.clone();
            let answer = self.follow(action, &path, accept, authorization.as_deref()).await?;
            match answer.status() {
                StatusCode::OK => return Ok(answer),
                StatusCode::UNAUTHORIZED if !is_renewed => {
                    is_renewed = true;
                    let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
                    let fresh = self.authorize(action, challenge.unwrap_or_default()).await?;
                    *self.authorization.lock().await = Some(fresh);
                }
                _ => return Err(RegistryError::of(action, answer).await),
            }
        }
    }

    /// Follows redirections. Credentials go to the registry's own host only.
    async fn follow(
        &self,
        action: &str,
        path: &str,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let mut location = path.to_owned();
        for _ in 0..=REDIRECTIONS {
            let answer = self.attempt(&location, Some(accept), authorization).await;
            let answer = answer.map_err(|it| RegistryError::new(action, it))?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let next = answer.headers().get(LOCATION).and_then(|it| it.to_str().ok());
            location = next.unwrap_or_default().to_owned();
        }
        Err(RegistryError::unexpected(action, "too many redirections"))
    }

    async fn attempt(
        &self,
        location: &str,
        accept: Option<&str>,
        authorization: Option<&str>,
    ) -> std::result::Result<Answer, HttpError> {
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

    /// The authorization that a challenge asks for (RFC 9110, section 11.6.1).
    async fn authorize(&self, action: &str, challenge: &str) -> Result<String> {
        let basic = self.credentials.as_ref().map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return basic.ok_or_else(|| RegistryError::new(action, Cause::NoCredentials));
        }
        let no_realm = || RegistryError::unexpected(action, "a challenge without realm");
        let url = token_url(parameters).ok_or_else(no_realm)?;
        let answer = self.ask_for_token(&url, basic.as_deref()).await;
        let answer = answer.map_err(|it| RegistryError::new(action, it))?;
        if answer.status() != StatusCode::OK {
            return Err(RegistryError::of(action, answer).await);
        }
        let text = answer.into_body().read(MAX_TOKEN).await;
        let text = text.map_err(|it| RegistryError::new(action, it))?;
        let token = serde_json::from_slice::<Token>(&text).ok().and_then(|it| it.token.or(it.access_token));
        let token = token.ok_or_else(|| RegistryError::unexpected(action, "it has no token"))?;
        Ok(format!("Bearer {token}"))
    }

    /// The token endpoint is another server than the registry; the registry itself names it, and is trusted with the
    /// credentials.
    async fn ask_for_token(&self, url: &str, basic: Option<&str>) -> std::result::Result<Answer, HttpError> {
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
    RegistryError::unexpected(action, format!("what came has the digest {found}"))
}

/// What a query may have as it is (RFC 3986, section 2.3, "Unreserved Characters").
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `realm="https://auth.docker.io/token",service="registry.docker.io",scope="..."` -> the URL to ask for a token.
fn token_url(parameters: &str) -> Option<String> {
    let mut realm = None;
    let mut query = Vec::new();
    // Values are quoted, and a scope may have commas in it.
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
