//! The signatures that ECR makes by its signing rules, and whether an image has them.

use std::fmt;

/// What ECR says of the signature of an image with a profile (service model, `ImageSigningStatus`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileStatus {
    /// The ARN of the AWS Signer profile.
    pub profile: String,
    pub state: SigningState,
    /// The code and the reason of a failure.
    pub failure: Option<String>,
}

/// The state of a signature (service model, `SigningStatus`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningState {
    /// `IN_PROGRESS`
    InProgress,
    /// `COMPLETE`
    Complete,
    /// `FAILED`
    Failed,
    /// A value that this version does not know.
    Other(String),
}

impl SigningState {
    /// The state with the given API value.
    pub fn from_api(text: &str) -> Self {
        match text {
            "IN_PROGRESS" => Self::InProgress,
            "COMPLETE" => Self::Complete,
            "FAILED" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// The profile that must have signed an image: an ARN, the name of a profile, or any profile of the registry's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredProfile(Option<String>);

impl RequiredProfile {
    /// The profile with this ARN or name; an empty text is any profile.
    pub fn new(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.to_owned()))
    }

    fn is(&self, arn: &str) -> bool {
        let Some(wanted) = &self.0 else { return true };
        arn == wanted || arn.split_once(":/signing-profiles/").is_some_and(|(_, name)| name == wanted)
    }

    /// The verdict about an image. Every signature with the profile counts: one that failed or is missing is not made up for
    /// by another.
    pub fn evaluate(&self, statuses: &[ProfileStatus]) -> SigningVerdict {
        let own: Vec<_> = statuses.iter().filter(|it| self.is(&it.profile)).collect();
        let failed = own.iter().find(|it| matches!(it.state, SigningState::Failed | SigningState::Other(_)));
        match failed {
            Some(failed) => SigningVerdict::Failed(failed.to_string()),
            None if own.is_empty() => SigningVerdict::Missing,
            None if own.iter().all(|it| it.state == SigningState::Complete) => {
                SigningVerdict::Signed(own.iter().map(|it| it.profile.clone()).collect())
            }
            None => SigningVerdict::InProgress,
        }
    }
}

impl fmt::Display for RequiredProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(profile) => write!(f, "no signing rule with the profile `{profile}`"),
            None => f.write_str("no signing rule"),
        }
    }
}

impl fmt::Display for ProfileStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            SigningState::InProgress => "IN_PROGRESS",
            SigningState::Complete => "COMPLETE",
            SigningState::Failed => "FAILED",
            SigningState::Other(other) => other,
        };
        write!(f, "{}: {state}", self.profile)?;
        self.failure.iter().try_for_each(|it| write!(f, ": {it}"))
    }
}

/// Whether an image has the signatures that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningVerdict {
    /// It is signed with these profiles.
    Signed(Vec<String>),
    /// A signature failed, with what ECR says of it.
    Failed(String),
    /// ECR is signing it.
    InProgress,
    /// No signature is planned: no rule is about the image, or ECR has not begun.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_signed_only_if_every_signature_is_complete() {
        let arn = |name: &str| format!("arn:aws:signer:us-east-1:123456789012:/signing-profiles/{name}");
        let status = |name: &str, state: &str| {
            let failure = (state == "FAILED").then(|| "AccessDenied: no signer:SignPayload".to_owned());
            ProfileStatus { profile: arn(name), state: SigningState::from_api(state), failure }
        };
        let verdict =
            |wanted: &str, statuses: &[ProfileStatus]| RequiredProfile::new(wanted).evaluate(statuses);
        let signed = |names: &[&str]| SigningVerdict::Signed(names.iter().map(|it| arn(it)).collect());
        let two = [status("a", "COMPLETE"), status("b", "IN_PROGRESS")];
        assert_eq!(verdict("", &two), SigningVerdict::InProgress);
        assert_eq!(verdict("a", &two), signed(&["a"]));
        assert_eq!(verdict(&arn("a"), &two), signed(&["a"]));
        assert_eq!(verdict("c", &two), SigningVerdict::Missing);
        assert_eq!(verdict("", &[]), SigningVerdict::Missing);
        assert_eq!(verdict("", &[status("a", "COMPLETE"), status("b", "COMPLETE")]), signed(&["a", "b"]));
        let failed =
            SigningVerdict::Failed(format!("{}: FAILED: AccessDenied: no signer:SignPayload", arn("b")));
        assert_eq!(verdict("", &[status("a", "IN_PROGRESS"), status("b", "FAILED")]), failed);
        let unknown = SigningVerdict::Failed(format!("{}: REVOKED", arn("a")));
        assert_eq!(verdict("", &[status("a", "REVOKED")]), unknown);
        // A profile whose name is the end of another's.
        assert_eq!(verdict("a", &[status("ba", "COMPLETE")]), SigningVerdict::Missing);
    }
}
