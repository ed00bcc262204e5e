//! Tokens for registries with Bearer authentication (distribution, "Token Authentication" and "OAuth2 Token Authentication").

use ecr_types::host;
use ecr_types::url::redacted;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::challenge::Challenge;
use super::error::Cause;
use super::location::redirection;
use super::pull::{REDIRECTIONS, is_redirection};
use super::{RegistryError, Result};
use crate::credentials::Credentials;
use crate::http::{HttpClient, HttpError, Response, empty, full};

/// The maximum size of a token response in bytes.
const MAX_TOKEN: usize = 64 * 1024;
/// The name of this client in requests for tokens (OAuth 2.0, `client_id`).
const CLIENT_ID: &str = "xtask-ecr";

/// The response of a token endpoint. `access_token` is the name of the same field in OAuth 2.0. Either may be empty.
#[derive(Default, Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// A request for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenRequest {
    /// `realm`: the address of the token endpoint.
    realm: Url,
    service: Option<String>,
    scopes: Vec<String>,
}

impl TokenRequest {
    /// The request for a Bearer challenge of a registry: for the scope of pulling from the repository `name`, if it is known, and
    /// for those of the challenge, as containerd asks. The realm may be relative to `registry`.
    ///
    /// # Errors
    /// The realm is missing or not a URL of HTTP.
    pub(super) fn new(
        challenge: &Challenge,
        registry: &Url,
        name: Option<&str>,
    ) -> std::result::Result<Self, &'static str> {
        let realm = challenge.parameter("realm").ok_or("a Bearer challenge without a realm")?;
        let realm = registry.join(realm).ok().filter(|it| matches!(it.scheme(), "http" | "https"));
        let realm = realm.ok_or("a Bearer challenge whose realm is not an HTTP address")?;
        let mut scopes: Vec<_> = name.map(|it| format!("repository:{it}:pull")).into_iter().collect();
        let more = challenge.parameter("scope").into_iter().flat_map(str::split_whitespace);
        let more: Vec<_> = more.map(str::to_owned).filter(|it| !scopes.contains(it)).collect();
        scopes.extend(more);
        Ok(Self { realm, service: challenge.parameter("service").map(str::to_owned), scopes })
    }

    /// Requests the token. The endpoint is usually another host than the registry. It receives the credentials because the
    /// registry, which is trusted with them, names it.
    ///
    /// # Errors
    /// The endpoint returns an error or no token, it would receive credentials without encryption, or there is no response.
    pub(super) async fn send(
        &self,
        action: &str,
        http: &HttpClient,
        credentials: Option<&Credentials>,
    ) -> Result<String> {
        let host = self.realm.host_str().unwrap_or_default();
        if credentials.is_some() && self.realm.scheme() == "http" && !host::is_loopback(host) {
            let realm = redacted(self.realm.as_str());
            let reason = format!("credentials are not sent to `{realm}` without encryption");
            return Err(RegistryError::new(action, Cause::Refused(reason)));
        }
        let response = http.retry_whole(MAX_TOKEN, async || self.attempt(http, credentials).await);
        let (status, body) = response.await.map_err(|it| RegistryError::new(action, it))?;
        if !status.is_success() {
            return Err(RegistryError::of_body(action, status, &body));
        }
        let token = token(&body).ok_or_else(|| RegistryError::unexpected(action, "no token"))?;
        Ok(format!("Bearer {token}"))
    }

    /// Asks for the token, and follows redirects, as docker and skopeo do.
    async fn attempt(
        &self,
        http: &HttpClient,
        credentials: Option<&Credentials>,
    ) -> std::result::Result<Response, HttpError> {
        let mut url = match credentials {
            Some(Credentials::IdentityToken(_)) => self.realm.clone(),
            _ => self.url(credentials),
        };
        let mut left = REDIRECTIONS;
        loop {
            let response = self.request(http, &url, credentials).await?;
            let next = redirection(&url, response.headers(), false);
            match next {
                Ok(next) if left > 0 && self.may_go_on(&next, response.status(), credentials) => url = next,
                _ => return Ok(response),
            }
            left -= 1;
        }
    }

    async fn request(
        &self,
        http: &HttpClient,
        url: &Url,
        credentials: Option<&Credentials>,
    ) -> std::result::Result<Response, HttpError> {
        let request = hyper::Request::builder().uri(url.as_str()).header(ACCEPT, "application/json");
        if let Some(Credentials::IdentityToken(token)) = credentials {
            let request =
                request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            return http.send(request.body(full(self.form(token)))).await;
        }
        let request = match credentials.and_then(Credentials::basic) {
            Some(basic) => request.header(AUTHORIZATION, basic),
            None => request,
        };
        http.send(request.body(empty())).await
    }

    /// Whether a redirect is followed: of a GET request each, of a POST request those that repeat it. Credentials go to no other
    /// host than that of the realm.
    fn may_go_on(&self, next: &Url, status: StatusCode, credentials: Option<&Credentials>) -> bool {
        let is_repeated = match credentials {
            Some(Credentials::IdentityToken(_)) => matches!(status.as_u16(), 307 | 308),
            _ => is_redirection(status),
        };
        is_repeated && (credentials.is_none() || next.host_str() == self.realm.host_str())
    }

    /// The URL of a GET request. `account` is the user, as docker sends it.
    fn url(&self, credentials: Option<&Credentials>) -> Url {
        let mut url = self.realm.clone();
        let mut query = url.query_pairs_mut();
        query.extend_pairs(self.service.iter().map(|it| ("service", it)));
        query.extend_pairs(self.scopes.iter().map(|it| ("scope", it)));
        if let Some(Credentials::Basic { user, .. }) = credentials {
            query.append_pair("account", user);
        }
        drop(query);
        url
    }

    /// The body of a POST request that exchanges a refresh token.
    fn form(&self, refresh_token: &str) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([
            ("service", self.service.as_deref().unwrap_or_default()),
            ("scope", &self.scopes.join(" ")),
            ("client_id", CLIENT_ID),
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ]);
        form.finish()
    }
}

/// The token of a response: `access_token`, else `token`, that is not empty. docker and containerd prefer `access_token`, too.
fn token(body: &[u8]) -> Option<String> {
    let Token { token, access_token } = serde_json::from_slice(body).ok()?;
    access_token.into_iter().chain(token).find(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::challenge;
    use super::*;

    fn request(header: &str) -> std::result::Result<TokenRequest, &'static str> {
        let challenge = challenge::parse([header]).remove(0);
        TokenRequest::new(&challenge, &"https://reg.io/".parse().unwrap(), Some("a/b"))
    }

    /// "tried" is what docker 28.2 and skopeo 1.9 sent.
    #[test]
    fn token_request_has_service_and_scopes() {
        let own = "scope=repository%3Aa%2Fb%3Apull";
        for (header, wanted, source) in [
            (
                r#"Bearer realm="https://a/t",service="s""#,
                format!("https://a/t?service=s&{own}"),
                "tried: no scope",
            ),
            (r#"Bearer realm="https://a/t""#, format!("https://a/t?{own}"), "tried: no service"),
            (
                r#"Bearer realm="https://a/t",scope="repository:a/b:pull""#,
                format!("https://a/t?{own}"),
                "containerd fetch_test.go, duplicates",
            ),
            (
                r#"Bearer realm="https://a/t",scope="repository:a/b:pull registry:catalog:*""#,
                format!("https://a/t?{own}&scope=registry%3Acatalog%3A*"),
                "containerd fetch_test.go, MultipleScopes",
            ),
            (
                r#"Bearer realm="https://a/t?x=1",service="s""#,
                format!("https://a/t?x=1&service=s&{own}"),
                "tried: the realm has a query",
            ),
            (r#"Bearer realm="/t""#, format!("https://reg.io/t?{own}"), "a relative realm"),
        ] {
            let url = request(header).map(|it| it.url(None).to_string());
            assert_eq!(url.as_deref(), Ok(wanted.as_str()), "{header}: {source}");
        }
        for header in
            ["Bearer", r#"Bearer realm="""#, r#"Bearer realm="ftp://a/t""#, r#"Bearer realm="https://""#]
        {
            assert!(request(header).is_err(), "{header}");
        }
    }

    #[test]
    fn token_request_sends_the_user_or_the_refresh_token() {
        let request = request(r#"Bearer realm="https://a/t",service="s t""#).unwrap();
        let basic = Credentials::Basic { user: "u&v".to_owned(), password: "p".to_owned() };
        let url = request.url(Some(&basic)).to_string();
        assert_eq!(url, "https://a/t?service=s+t&scope=repository%3Aa%2Fb%3Apull&account=u%26v");
        let form = "service=s+t&scope=repository%3Aa%2Fb%3Apull&client_id=xtask-ecr&grant_type=refresh_token&refresh_token=R%3D";
        assert_eq!(request.form("R="), form);
    }

    #[test]
    fn token_is_the_field_that_is_not_empty() {
        for (body, wanted, source) in [
            (r#"{"token": "T"}"#, Some("T"), "distribution, token.md"),
            (r#"{"access_token": "A"}"#, Some("A"), "distribution TestEndpointAuthorizeTokenBasic"),
            (r#"{"token": "T", "access_token": "A"}"#, Some("A"), "tried with docker"),
            (r#"{"token": "", "access_token": "A"}"#, Some("A"), "tried"),
            (r#"{"token": "T", "access_token": ""}"#, Some("T"), "tried"),
            (r#"{"token": "T", "access_token": null}"#, Some("T"), "null"),
            (r#"{"token": "T", "expires_in": "300", "issued_at": ""}"#, Some("T"), "fields that Go refuses"),
            (r#"{"token": ""}"#, None, "tried: no token in the answer"),
            ("{}", None, "tried"),
            (r#"{"token": 5}"#, None, "not a text"),
            ("[]", None, "not an object"),
            ("<html>", None, "tried"),
            ("", None, "status 204"),
        ] {
            assert_eq!(token(body.as_bytes()).as_deref(), wanted, "{body}: {source}");
        }
    }
}
