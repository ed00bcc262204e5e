//! Callers, and the session tokens of temporary credentials.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ecr_types::{Digest, RegistryId};

use super::parameters::Parameters;
use crate::error::ApiError;
use crate::token;

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The root user of the server's account: every key of which this server knows nothing.
    Root(RegistryId),
    /// The session of a role.
    Role(Role),
}

/// A role and the name of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    partition: String,
    account: RegistryId,
    /// The name without its path, which is not part of the session's ARN.
    name: String,
    session: String,
}

impl Caller {
    /// The caller with this header `X-Amz-Security-Token`. A token of another origin is not looked at, like all
    /// signatures.
    ///
    /// # Errors
    /// The session has expired.
    pub fn new(secret: &str, account: &RegistryId, token: Option<&str>, now: u64) -> Result<Self, ApiError> {
        match token.and_then(|it| Role::of_token(secret, it)) {
            Some((_, expires_at)) if expires_at <= now => Err(ApiError::new(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )),
            Some((role, _)) => Ok(Self::Role(role)),
            None => Ok(Self::Root(account.clone())),
        }
    }

    pub fn account(&self) -> &RegistryId {
        match self {
            Self::Root(account) => account,
            Self::Role(role) => &role.account,
        }
    }

    pub fn arn(&self) -> String {
        match self {
            Self::Root(account) => format!("arn:aws:iam::{account}:root"),
            Self::Role(role) => role.arn(),
        }
    }

    /// `UserId` of `GetCallerIdentity`.
    pub fn user_id(&self) -> String {
        match self {
            Self::Root(account) => account.to_string(),
            Self::Role(role) => role.user_id(),
        }
    }
}

impl Role {
    /// The role and session of a request whose parameters were checked.
    ///
    /// # Errors
    /// The ARN is not that of a role.
    pub fn new(parameters: &Parameters) -> Result<Self, ApiError> {
        let role = Self::parse(parameters.required("RoleArn"), parameters.required("RoleSessionName"));
        role.ok_or_else(|| ApiError::new("ValidationError", "Request ARN is invalid"))
    }

    /// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME` (IAM user guide, "IAM identifiers").
    fn parse(arn: &str, session: &str) -> Option<Self> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else { return None };
        let (_, name) = resource.strip_prefix("role")?.rsplit_once('/')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let is_partition =
            partition.starts_with("aws") && partition.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let is_valid = is_partition && (1..=64).contains(&name.len()) && name.chars().all(is_name);
        is_valid.then_some(())?;
        let (partition, session) = (partition.to_owned(), session.to_owned());
        Some(Self { partition, account: account.parse().ok()?, name: name.to_owned(), session })
    }

    /// The ARN of the session (IAM user guide, "JSON policy elements: Principal", "Role session principals").
    pub fn arn(&self) -> String {
        let Self { partition, account, name, session } = self;
        format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}")
    }

    /// The unique ID of the role, which is the same for each session, and the name of the session.
    pub fn user_id(&self) -> String {
        let id = Digest::of(format!("{}/{}", self.account, self.name).as_bytes());
        let id = id.hex()[..17].to_ascii_uppercase();
        format!("AROA{id}:{}", self.session)
    }

    /// The session token, which contains the role and is valid until `expires_at` (seconds since 1970).
    pub fn token(&self, secret: &str, expires_at: u64) -> String {
        let Self { partition, account, name, session } = self;
        let claim = format!("sts/{expires_at}/{partition}/{account}/{name}/{session}");
        BASE64_URL_SAFE_NO_PAD.encode(token::signed(secret, &claim))
    }

    /// The role of a token and its expiry; `None` if this server did not issue it.
    fn of_token(secret: &str, text: &str) -> Option<(Self, u64)> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let claim = token::verified_claim(secret, &text)?;
        let parts: Vec<_> = claim.split('/').collect();
        let ["sts", expires_at, partition, account, name, session] = parts[..] else { return None };
        let [partition, name, session] = [partition, name, session].map(str::to_owned);
        Some((Self { partition, account: account.parse().ok()?, name, session }, expires_at.parse().ok()?))
    }
}

/// A key ID and a secret key in the forms of AWS. No signature is made with them here.
pub fn random_key() -> Result<(String, String), ApiError> {
    let mut bytes = [0; 46];
    getrandom::fill(&mut bytes).map_err(|it| super::common_error(ApiError::internal(&it)))?;
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (id, key) = bytes.split_at(16);
    let id: String = id.iter().map(|it| char::from(LETTERS[usize::from(*it % 32)])).collect();
    Ok((format!("ASIA{id}"), base64::prelude::BASE64_STANDARD.encode(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_is_that_of_its_arn() {
        for (arn, wanted) in [
            (
                "arn:aws:iam::123456789012:role/deploy",
                Some("arn:aws:sts::123456789012:assumed-role/deploy/ci"),
            ),
            (
                "arn:aws:iam::123456789012:role/a/b/deploy",
                Some("arn:aws:sts::123456789012:assumed-role/deploy/ci"),
            ),
            (
                "arn:aws-cn:iam::123456789012:role/deploy",
                Some("arn:aws-cn:sts::123456789012:assumed-role/deploy/ci"),
            ),
            ("arn:aws:iam::123456789012:user/deploy", None),
            ("arn:aws:iam::123456789012:role/", None),
            ("arn:aws:iam::1234:role/deploy", None),
            ("arn:aws:iam:us-east-1:123456789012:role/deploy", None),
            ("arn:aws:sts::123456789012:assumed-role/deploy/ci", None),
            ("123456789012:role/deploy-and-more", None),
        ] {
            assert_eq!(Role::parse(arn, "ci").map(|it| it.arn()).as_deref(), wanted, "{arn}");
        }
    }

    #[test]
    fn token_names_the_role_until_it_expires() {
        let role = Role::parse("arn:aws:iam::123456789012:role/deploy", "ci").unwrap();
        let account: RegistryId = "000000000000".parse().unwrap();
        let token = role.token("secret", 100);
        let caller = |secret, token, now| Caller::new(secret, &account, Some(token), now);
        assert_eq!(caller("secret", &token, 99).unwrap(), Caller::Role(role));
        assert_eq!(caller("secret", &token, 100).unwrap_err().code, "ExpiredTokenException");
        let root = Caller::Root(account.clone());
        assert_eq!(caller("other secret", &token, 99).unwrap(), root);
        assert_eq!(caller("secret", "dummy", 99).unwrap(), root);
    }
}
