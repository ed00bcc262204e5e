//! Reading images of other registries: anonymous, Basic and Bearer, as Docker Hub and ECR Public want it.
//!
//! Specification: distribution "Token Authentication" (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt;
use hyper::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::http::{Answer, Http, empty};
use super::{ACCEPTED, MAX_MANIFEST, RegistryError, Result};
use crate::files::Temporary;
use crate::image::reference::Reference;
use crate::name::Digest;

/// A repository of some registry, to be read.
#[derive(Debug)]
pub struct Repository {
    http: Http,
    host: String,
    name: String,
    credentials: Option<(String, String)>,
    authorization: tokio::sync::Mutex<Option<String>>,
}

/// Redirections that are followed.
const REDIRECTIONS: u32 = 5;

impl Repository {
    /// The repository of a reference; `credentials` are user and password, where there are any.
    pub fn new(reference: &Reference, credentials: Option<(String, String)>) -> io::Result<Self> {
        Ok(Self {
            http: Http::new(&reference.host)?,
            host: reference.host.clone(),
            name: reference.name.clone(),
            credentials,
            authorization: tokio::sync::Mutex::default(),
        })
    }

    /// A manifest by tag or digest, as it is there, with its digest.
    pub async fn manifest(&self, version: &str) -> Result<(Digest, Vec<u8>)> {
        let what = format!("read the base image `{}:{version}` of {}", self.name, self.host);
        let answer = self.get(&what, &format!("manifests/{version}"), ACCEPTED).await?;
        let body = http_body_util::Limited::new(answer.into_body(), MAX_MANIFEST).collect().await;
        let bytes = body.map_err(|it| RegistryError::unexpected(&what, &it.to_string()))?.to_bytes().to_vec();
        let digest = Digest::of(&bytes);
        match version.parse::<Digest>() {
            Ok(wanted) if wanted != digest => {
                Err(RegistryError::unexpected(&what, &format!("what came has the digest {digest}")))
            }
            _ => Ok((digest, bytes)),
        }
    }

    /// Fetches a blob into a file, which appears only once it is whole.
    pub async fn blob(&self, digest: &Digest, to: &Path) -> Result<()> {
        let what = format!("fetch {} of the base image `{}` of {}", digest.short(), self.name, self.host);
        let failed = |it: &dyn std::fmt::Display| RegistryError::unexpected(&what, &it.to_string());
        let mut answer = self.get(&what, &format!("blobs/{digest}"), "*/*").await?;
        let folder = to.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|it| failed(&it))?;
        let temporary = Temporary::new_in(folder).map_err(|it| failed(&it))?;
        let mut hash = Sha256::new();
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(|it| failed(&it))?;
            if let Some(bytes) = frame.data_ref() {
                hash.update(bytes);
                temporary.file().write_all(bytes).map_err(|it| failed(&it))?;
            }
        }
        let found = Digest::from_hash(&hash.finalize());
        if found != *digest {
            return Err(failed(&format!("what came has the digest {found}")));
        }
        temporary.persist(to).map_err(|it| failed(&it))
    }

    /// A GET within the repository, with whatever the registry wants to see first.
    async fn get(&self, what: &str, path: &str, accept: &str) -> Result<Answer> {
        let url = self.http.url(&self.host, &format!("/v2/{}/{path}", self.name));
        let mut is_renewed = false;
        loop {
            let authorization = self.authorization.lock().await.clone();
            let answer = self.follow(what, &url, accept, authorization.as_deref()).await?;
            match answer.status() {
                StatusCode::OK => return Ok(answer),
                StatusCode::UNAUTHORIZED if !is_renewed => {
                    is_renewed = true;
                    let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
                    let fresh = self.authorize(what, challenge.unwrap_or_default()).await?;
                    *self.authorization.lock().await = Some(fresh);
                }
                _ => return Err(RegistryError::of(what, answer).await),
            }
        }
    }

    /// Follows redirections; credentials go to the registry's own host only.
    async fn follow(
        &self,
        what: &str,
        url: &str,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let own = self.http.url(&self.host, "/");
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTIONS {
            let answer = self.http.retry(what, async || {
                let request =
                    hyper::Request::builder().method(Method::GET).uri(&url).header("accept", accept);
                let request = match authorization.filter(|_| url.starts_with(&own)) {
                    Some(value) => request.header(AUTHORIZATION, value),
                    None => request,
                };
                self.http.send(request.body(empty())).await
            });
            let answer = answer.await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
            url = match location.strip_prefix('/') {
                Some(path) => format!("{own}{path}"),
                None => location.to_owned(),
            };
        }
        Err(RegistryError::unexpected(what, "too many redirections"))
    }

    /// What a challenge asks for.
    async fn authorize(&self, what: &str, challenge: &str) -> Result<String> {
        let basic = self.credentials.as_ref().map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            let missing =
                || RegistryError::unexpected(what, "it wants credentials: log in with `docker login`");
            return basic.ok_or_else(missing);
        }
        let url = token_url(parameters)
            .ok_or_else(|| RegistryError::unexpected(what, "a challenge without realm"))?;
        let answer = self.http.retry(what, async || {
            let request = hyper::Request::builder().method(Method::GET).uri(&url);
            let request = match &basic {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
            self.http.send(request.body(empty())).await
        });
        let answer = answer.await?;
        if answer.status() != StatusCode::OK {
            return Err(RegistryError::of(what, answer).await);
        }
        let json: serde_json::Value = serde_json::from_str(&super::text_of(answer).await).unwrap_or_default();
        let token = json["token"].as_str().or(json["access_token"].as_str());
        let token = token.ok_or_else(|| RegistryError::unexpected(what, "an answer without a token"))?;
        Ok(format!("Bearer {token}"))
    }
}

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
            key @ ("service" | "scope") => query.push(format!("{key}={}", percent_encoded(value))),
            _ => {}
        }
        rest = after;
    }
    let separator = if realm?.contains('?') { '&' } else { '?' };
    Some(format!("{}{separator}{}", realm?, query.join("&")))
}

fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_becomes_a_question() {
        let challenge = r#"realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push""#;
        let url = "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fdebian%3Apull%2Cpush";
        assert_eq!(token_url(challenge).as_deref(), Some(url));
        assert_eq!(token_url("service=\"x\""), None);
    }
}
