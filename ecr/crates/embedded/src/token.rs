//! Passwords of the registry, and signed download paths. They contain the account, the region and the time of expiry,
//! authenticated with a MAC, so that they need not be stored.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_types::{Digest, RepositoryName};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::model::RegistryKey;

/// The validity of a password in seconds: twelve hours, as in ECR.
pub const LIFETIME: u64 = 12 * 60 * 60;

/// The reason for which credentials were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsError {
    Missing,
    /// The credentials are malformed, or this registry did not issue them.
    Invalid,
    Expired,
}

/// A password that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// The registry for which it was issued.
    pub registry: RegistryKey,
    /// The ARN of the caller to whom it was issued.
    pub caller: String,
}

/// The authorization token for `registry` that expires at `expires_at` (seconds since 1970): user and password in base64, the
/// form of `GetAuthorizationToken` and of HTTP Basic. `caller` is the ARN of the caller, whose permissions it has.
pub fn issue(secret: &str, registry: &RegistryKey, caller: &str, expires_at: u64) -> String {
    let claim = signed(secret, &format!("password/{registry}/{expires_at}/{caller}"));
    // Clients split the token at its colon.
    BASE64_STANDARD.encode(format!("AWS:{}", BASE64_STANDARD.encode(claim)))
}

/// The password of the header `Authorization`, if it is valid at the time `now` (seconds since 1970).
pub fn check(secret: &str, authorization: Option<&str>, now: u64) -> Result<Password, CredentialsError> {
    let authorization = authorization.ok_or(CredentialsError::Missing)?;
    let (password, expires_at) = verified(secret, authorization).ok_or(CredentialsError::Invalid)?;
    if now < expires_at { Ok(password) } else { Err(CredentialsError::Expired) }
}

/// A path from which a blob can be downloaded without credentials until `expires_at` (seconds since 1970).
pub fn sign_path(
    secret: &str,
    registry: &RegistryKey,
    name: &RepositoryName,
    digest: &Digest,
    expires_at: u64,
) -> String {
    format!("/download/{}", signed(secret, &format!("layer/{registry}/{expires_at}/{digest}/{name}")))
}

/// The registry, repository and digest of a path from [`sign_path`]; `None` if it is not valid at the time `now`.
pub fn check_path(secret: &str, path: &str, now: u64) -> Option<(RegistryKey, RepositoryName, Digest)> {
    let claim = verified_claim(secret, path.strip_prefix("/download/")?)?.strip_prefix("layer/")?;
    let mut parts = claim.splitn(5, '/');
    let registry = RegistryKey { account: parts.next()?.parse().ok()?, region: parts.next()?.parse().ok()? };
    let expires_at: u64 = parts.next()?.parse().ok()?;
    let (digest, name) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (now < expires_at).then_some((registry, name, digest))
}

fn verified(secret: &str, authorization: &str) -> Option<(Password, u64)> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = BASE64_STANDARD.decode(token.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let password = BASE64_STANDARD.decode(String::from_utf8(token).ok()?.strip_prefix("AWS:")?).ok()?;
    let claim = String::from_utf8(password).ok()?;
    let claim = verified_claim(secret, &claim)?.strip_prefix("password/")?;
    let mut parts = claim.splitn(4, '/');
    let registry = RegistryKey { account: parts.next()?.parse().ok()?, region: parts.next()?.parse().ok()? };
    let expires_at = parts.next()?.parse().ok()?;
    Some((Password { registry, caller: parts.next()?.to_owned() }, expires_at))
}

/// `claim`, followed by its MAC.
pub fn signed(secret: &str, claim: &str) -> String {
    format!("{claim}/{}", hex::encode(mac(secret, claim).finalize().into_bytes()))
}

/// The claim of a text from [`signed`]; `None` if it has another MAC.
pub fn verified_claim<'a>(secret: &str, text: &'a str) -> Option<&'a str> {
    let (claim, tag) = text.rsplit_once('/')?;
    // `verify_slice` compares in constant time.
    mac(secret, claim).verify_slice(&hex::decode(tag).ok()?).ok()?;
    Some(claim)
}

fn mac(secret: &str, claim: &str) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| unreachable!());
    mac.update(claim.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_checked_for_origin_and_expiry() {
        let registry: RegistryKey = "000000000000/us-east-1".parse().unwrap();
        let header = format!(
            "Basic {}",
            issue("secret", &registry, "arn:aws:sts::000000000000:assumed-role/a/b", 100)
        );
        let password = check("secret", Some(&header), 99).unwrap();
        assert_eq!(password.registry, registry);
        assert_eq!(password.caller, "arn:aws:sts::000000000000:assumed-role/a/b");
        assert_eq!(check("secret", Some(&header), 100), Err(CredentialsError::Expired));
        assert_eq!(check("other", Some(&header), 99), Err(CredentialsError::Invalid));
        assert_eq!(check("secret", Some("Basic QVdTOng="), 99), Err(CredentialsError::Invalid));
        assert_eq!(
            check("secret", Some(&header.replace("Basic", "Bearer")), 99),
            Err(CredentialsError::Invalid)
        );
        assert_eq!(check("secret", None, 99), Err(CredentialsError::Missing));
        // A URL is no password.
        let (name, digest) = ("my-app".parse().unwrap(), Digest::of(b""));
        let path = sign_path("secret", &registry, &name, &digest, 100);
        let claim = BASE64_STANDARD.encode(path.strip_prefix("/download/").unwrap());
        let forged = format!("Basic {}", BASE64_STANDARD.encode(format!("AWS:{claim}")));
        assert_eq!(check("secret", Some(&forged), 99), Err(CredentialsError::Invalid));
    }
}
