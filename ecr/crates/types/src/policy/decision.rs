//! What a policy says of a request.

use super::principal::role_of_session;
use super::{Names, Policy, Statement};

/// A request for which a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The ARN of the caller.
    pub caller: &'a str,
    /// The action with its prefix, such as `ecr:BatchGetImage`.
    pub action: &'a str,
    /// The ARN of the resource.
    pub resource: &'a str,
    /// Whether the connection is encrypted (`aws:SecureTransport`).
    pub is_secure: bool,
}

/// The decision of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement denies the request, whatever else allows it.
    Denied,
    /// A statement that names the caller, or anyone, allows the request.
    Allowed,
    /// A statement allows the request to the caller's account, which has to allow it to the caller.
    AllowedToAccount,
    /// No statement is about the request.
    Silent,
}

impl Policy {
    /// The decision for a request (IAM user guide, "Policy evaluation logic").
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let about: Vec<_> = self.statements.iter().filter(|it| it.is_about(request)).collect();
        let mut allowing = about.iter().filter(|it| it.is_allow);
        if about.iter().any(|it| !it.is_allow) {
            Decision::Denied
        } else if allowing.clone().any(|it| it.principals.name_caller(request)) {
            Decision::Allowed
        } else if allowing.next().is_some() {
            Decision::AllowedToAccount
        } else {
            Decision::Silent
        }
    }
}

impl Statement {
    fn is_about(&self, request: &Request<'_>) -> bool {
        self.principals.match_caller(request)
            && self.actions.contain(&request.action.to_ascii_lowercase(), str::to_ascii_lowercase)
            && self.resources.as_ref().is_none_or(|it| it.contain(request.resource, str::to_owned))
            && self.conditions.iter().all(|it| it.is_fulfilled(request))
    }
}

impl Names {
    /// `normal` brings a pattern into the form of `name`.
    fn contain(&self, name: &str, normal: fn(&str) -> String) -> bool {
        self.patterns.iter().any(|it| is_like(&normal(it), name)) != self.is_negated
    }
}

impl Request<'_> {
    /// The account of the caller.
    pub fn account(&self) -> &str {
        self.caller.split(':').nth(4).unwrap_or_default()
    }

    /// The value of a condition key in lower case; `None` if the request does not have it.
    pub(super) fn key(&self, key: &str) -> Option<String> {
        match key {
            "aws:securetransport" => Some(self.is_secure.to_string()),
            "aws:principalarn" => {
                Some(role_of_session(self.caller).unwrap_or_else(|| self.caller.to_owned()))
            }
            "aws:principalaccount" => Some(self.account().to_owned()),
            _ => None,
        }
    }
}

/// Whether a text matches a pattern with `*` for any characters and `?` for one.
pub(super) fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // The position after the last `*`, and the text that it takes so far.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, t) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
