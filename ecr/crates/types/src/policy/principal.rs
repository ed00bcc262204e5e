//! The element `Principal`: to whom a statement applies.

use serde_json::Value;

use super::decision::Request;
use super::texts;
use crate::RegistryId;

/// The principals of a statement, or all but them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Principals {
    is_negated: bool,
    all: Vec<Principal>,
}

#[derive(Debug, Clone, PartialEq)]
enum Principal {
    /// `"*"`, or `{"AWS": "*"}`.
    Anyone,
    /// An account: all users and roles to which the account itself gives the permission.
    Account(RegistryId),
    /// The ARN of a user, of a role or of the session of a role.
    Arn(String),
    /// A service, a federated user, or the unique ID of a user: nobody who signs requests with keys of an account.
    Other,
}

impl Principals {
    /// Reads the element.
    ///
    /// # Errors
    /// All principals that cannot exist.
    pub fn read(is_negated: bool, value: &Value) -> Result<Self, Vec<String>> {
        if value == "*" {
            return Ok(Self { is_negated, all: vec![Principal::Anyone] });
        }
        let expected = "must be \"*\" or an object such as {\"AWS\": \"111122223333\"}";
        let Some(types) = value.as_object().filter(|it| !it.is_empty()) else {
            return Err(vec![expected.to_owned()]);
        };
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for (kind, value) in types {
            let Some(texts) = texts(value).filter(|it| !it.is_empty()) else {
                problems.push(format!("{kind}: must be text or a list of texts"));
                continue;
            };
            for text in texts {
                match Principal::read(kind, text) {
                    Some(principal) => all.push(principal),
                    None => problems.push(format!("{kind}: `{text}` is not a principal that can exist")),
                }
            }
        }
        if problems.is_empty() { Ok(Self { is_negated, all }) } else { Err(problems) }
    }

    /// Whether the caller of a request is one of the principals. `NotPrincipal` with an account leaves out its root user only
    /// (IAM user guide, "NotPrincipal").
    pub fn match_caller(&self, request: &Request<'_>) -> bool {
        let is_root = request.caller.ends_with(":root");
        let is_left_out = |it: &Principal| is_root || !matches!(it, Principal::Account(_));
        match self.is_negated {
            true => !self.all.iter().any(|it| is_left_out(it) && it.matches(request)),
            false => self.all.iter().any(|it| it.matches(request)),
        }
    }

    /// Whether a statement names the caller itself and not only the account.
    pub fn name_caller(&self, request: &Request<'_>) -> bool {
        let is_direct = |it: &Principal| !matches!(it, Principal::Account(_)) && it.matches(request);
        self.is_negated || self.all.iter().any(is_direct)
    }
}

impl Principal {
    fn read(kind: &str, text: &str) -> Option<Self> {
        match kind {
            "AWS" if text == "*" => Some(Self::Anyone),
            "AWS" => Self::of_aws(text),
            "Service" => is_service(text).then_some(Self::Other),
            "Federated" | "CanonicalUser" => (!text.is_empty()).then_some(Self::Other),
            _ => None,
        }
    }

    /// An account number, an ARN, or a unique ID (IAM user guide, "IAM identifiers").
    fn of_aws(text: &str) -> Option<Self> {
        if let Ok(account) = text.parse() {
            return Some(Self::Account(account));
        }
        let is_id =
            |it: &str| it.len() >= 16 && it.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if ["AIDA", "AROA", "AIPA", "AGPA"].iter().any(|it| text.starts_with(it)) && is_id(text) {
            return Some(Self::Other);
        }
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let ["arn", partition, service @ ("iam" | "sts"), "", account, resource] = parts[..] else {
            return None;
        };
        let account: RegistryId = account.parse().ok()?;
        let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
        let is_partition = partition.starts_with("aws");
        match (service, kind) {
            ("iam", "root") if is_partition && name.is_empty() => Some(Self::Account(account)),
            ("iam", "user" | "role") | ("sts", "assumed-role" | "federated-user")
                if is_partition && is_name(name) =>
            {
                Some(Self::Arn(text.to_owned()))
            }
            _ => None,
        }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Account(account) => account.as_str() == request.account(),
            Self::Arn(arn) => is_caller(arn, request.caller),
            Self::Other => false,
        }
    }
}

/// A name with its path. A principal has no wildcards: "you cannot use a wildcard to match part of a principal name".
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c))
}

fn is_service(text: &str) -> bool {
    let is_host =
        |it: &str| it.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c));
    is_host(text)
        && [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com"].iter().any(|it| text.ends_with(it))
}

/// Whether an ARN is that of a caller or of the role of its session. The ARN of a session leaves out the path of the role:
/// `arn:aws:iam::ID:role/PATH/NAME` is the role of `arn:aws:sts::ID:assumed-role/NAME/SESSION`.
pub fn is_caller(arn: &str, caller: &str) -> bool {
    let without_path = |arn: &str| {
        let (head, path) = arn.split_once(":role/")?;
        Some(format!("{head}:role/{}", path.rsplit('/').next()?))
    };
    arn == caller || role_of_session(caller).is_some_and(|role| without_path(arn) == Some(role))
}

/// The ARN of the role of a session: `arn:aws:sts::ID:assumed-role/NAME/SESSION` -> `arn:aws:iam::ID:role/NAME`; `None` for
/// other callers.
pub(super) fn role_of_session(caller: &str) -> Option<String> {
    let (head, session) = caller.split_once(":assumed-role/")?;
    let name = session.split('/').next()?;
    Some(format!("{}:role/{name}", head.replacen(":sts:", ":iam:", 1)))
}
