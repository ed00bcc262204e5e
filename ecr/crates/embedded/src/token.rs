//! Passwords of the registry: they name their account, region and expiry, and carry a MAC instead of being kept.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_types::{Digest, RepositoryName};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::model::RegistryKey;

/// How long a password is valid, in seconds: twelve hours, as ECR's.
pub const LIFETIME: u64 = 12 * 60 * 60;

/// Why credentials were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are none.
    Missing,
    /// They are not ours.
    Wrong,
    /// They were ours.
    Expired,
}

/// The authorization token for `registry` that ends at `expires_at` (seconds since 1970):
/// user and password in base64, as HTTP Basic and `GetAuthorizationToken` have it.
pub fn issue(secret: &str, registry: &RegistryKey, expires_at: u64) -> String {
    let claim = format!("{registry}/{expires_at}");
    let mac = hex::encode(mac(secret, &claim).finalize().into_bytes());
    BASE64_STANDARD.encode(format!("AWS:{claim}/{mac}"))
}

/// The registry that a header `Authorization` is good for at the time `now`.
pub fn check(secret: &str, authorization: Option<&str>, now: u64) -> Result<RegistryKey, Refused> {
    let authorization = authorization.ok_or(Refused::Missing)?;
    let (registry, expires_at) = verified(secret, authorization).ok_or(Refused::Wrong)?;
    if now < expires_at { Ok(registry) } else { Err(Refused::Expired) }
}

/// A path that fetches a blob without credentials until `expires_at`.
pub fn sign_path(
    secret: &str,
    registry: &RegistryKey,
    name: &RepositoryName,
    digest: &Digest,
    expires_at: u64,
) -> String {
    let claim = format!("{registry}/{expires_at}/{digest}/{name}");
    format!("/download/{claim}/{}", hex::encode(mac(secret, &claim).finalize().into_bytes()))
}

/// The registry, repository and digest of such a path at the time `now`.
pub fn check_path(secret: &str, path: &str, now: u64) -> Option<(RegistryKey, RepositoryName, Digest)> {
    let (claim, tag) = path.strip_prefix("/download/")?.rsplit_once('/')?;
    mac(secret, claim).verify_slice(&hex::decode(tag).ok()?).ok()?;
    let mut parts = claim.splitn(5, '/');
    let registry = RegistryKey { account: parts.next()?.parse().ok()?, region: parts.next()?.parse().ok()? };
    let expires_at: u64 = parts.next()?.parse().ok()?;
    let (digest, name) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (now < expires_at).then_some((registry, name, digest))
}

fn verified(secret: &str, authorization: &str) -> Option<(RegistryKey, u64)> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = BASE64_STANDARD.decode(token.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let password = String::from_utf8(token).ok()?;
    let (claim, tag) = password.strip_prefix("AWS:")?.rsplit_once('/')?;
    // `verify_slice` compares in constant time.
    mac(secret, claim).verify_slice(&hex::decode(tag).ok()?).ok()?;
    let (registry, expires_at) = claim.rsplit_once('/')?;
    Some((registry.parse().ok()?, expires_at.parse().ok()?))
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
    fn passwords_are_checked_for_origin_and_age() {
        let registry: RegistryKey = "000000000000/us-east-1".parse().unwrap();
        let header = format!("Basic {}", issue("secret", &registry, 100));
        assert_eq!(check("secret", Some(&header), 99).unwrap(), registry);
        assert_eq!(check("secret", Some(&header), 100), Err(Refused::Expired));
        assert_eq!(check("other", Some(&header), 99), Err(Refused::Wrong));
        assert_eq!(check("secret", Some("Basic QVdTOng="), 99), Err(Refused::Wrong));
        assert_eq!(check("secret", Some(&header.replace("Basic", "Bearer")), 99), Err(Refused::Wrong));
        assert_eq!(check("secret", None, 99), Err(Refused::Missing));
    }
}
