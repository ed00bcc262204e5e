//! Trust policies: which pipelines of a CI system may assume a role, by OpenID Connect.
//!
//! A token of the CI system names the pipeline in its subject (`sub`) and the service that it is for in its audience (`aud`).
//! The policies compare both for equality. Only Buildkite's subject ends with the commit and the step, which differ from build
//! to build; there the rest is compared.
//!
//! Sources: IAM user guide, "Create a role for OpenID Connect federation"; GitHub, "OpenID Connect reference" (subjects, also
//! the immutable ones of repositories since July 2026); GitLab, "Configure OpenID Connect in AWS"; Buildkite, "OIDC with AWS".

use std::collections::BTreeMap;
use std::str::FromStr;

use ecr_types::RegistryId;
use serde::Serialize;

use super::partition;

/// A CI system whose tokens AWS accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Issuer {
    GitHub,
    GitLab,
    Buildkite,
}

impl Issuer {
    /// The host of the issuer, which names the identity provider in IAM and its condition keys.
    fn host(self) -> &'static str {
        match self {
            Self::GitHub => "token.actions.githubusercontent.com",
            Self::GitLab => "gitlab.com",
            Self::Buildkite => "agent.buildkite.com",
        }
    }

    /// The audience that the documentation of each system asks for.
    fn audience(self) -> &'static str {
        match self {
            Self::GitHub | Self::Buildkite => "sts.amazonaws.com",
            Self::GitLab => "https://gitlab.com",
        }
    }

    fn sid(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Buildkite => "Buildkite",
        }
    }
}

/// What a pipeline runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trigger {
    Branch(String),
    Tag(String),
    /// A deployment environment of GitHub.
    Environment(String),
}

/// A pipeline that may assume a role: `github:OWNER/REPO`, `gitlab:GROUP/PROJECT` or `buildkite:ORG/PIPELINE`, followed by
/// `@refs/heads/BRANCH`, `@refs/tags/TAG` or, for GitHub, `@environment:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    issuer: Issuer,
    /// The owner or group, and the repository, project or pipeline.
    path: String,
    /// `None` is the branch `main`.
    trigger: Option<Trigger>,
}

/// A text that names no pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPipeline {
    #[error(
        "`{0}` is not github:OWNER/REPO, gitlab:GROUP/PROJECT or buildkite:ORG/PIPELINE, optionally with @refs/heads/BRANCH, \
         @refs/tags/TAG or, for GitHub, @environment:NAME"
    )]
    Syntax(String),
    #[error(
        "`{0}` has a wildcard, which would let other pipelines assume the role: write each pipeline with a --trust of its own"
    )]
    Wildcard(String),
    #[error("the tokens of {0} name no environment: write @refs/heads/BRANCH or @refs/tags/TAG")]
    Environment(&'static str),
}

impl FromStr for Pipeline {
    type Err = InvalidPipeline;

    fn from_str(text: &str) -> Result<Self, InvalidPipeline> {
        if text.contains(['*', '?']) {
            return Err(InvalidPipeline::Wildcard(text.to_owned()));
        }
        let invalid = || InvalidPipeline::Syntax(text.to_owned());
        let (issuer, rest) = text.split_once(':').ok_or_else(invalid)?;
        let issuer = match issuer {
            "github" => Issuer::GitHub,
            "gitlab" => Issuer::GitLab,
            "buildkite" => Issuer::Buildkite,
            _ => return Err(invalid()),
        };
        let (path, trigger) = split_trigger(rest);
        let trigger = trigger.map(|it| Trigger::parse(it).ok_or_else(invalid)).transpose()?;
        if !issuer.has_path(path) {
            return Err(invalid());
        }
        match trigger {
            Some(Trigger::Environment(_)) if issuer != Issuer::GitHub => {
                Err(InvalidPipeline::Environment(issuer.sid()))
            }
            trigger => Ok(Self { issuer, path: path.to_owned(), trigger }),
        }
    }
}

/// The path and what follows the `@` of a trigger. GitHub's immutable names have an `@` of their own, before a number.
fn split_trigger(text: &str) -> (&str, Option<&str>) {
    let ats = text.match_indices('@').map(|(n, _)| n);
    let is_name = |n: &usize| text[n + 1..].starts_with(|c: char| c.is_ascii_digit());
    match ats.into_iter().find(|it| !is_name(it)) {
        Some(n) => (&text[..n], Some(&text[n + 1..])),
        None => (text, None),
    }
}

impl Issuer {
    fn has_path(self, path: &str) -> bool {
        let parts: Vec<_> = path.split('/').collect();
        // Groups of GitLab are nested.
        let has_depth = if self == Self::GitLab { parts.len() >= 2 } else { parts.len() == 2 };
        has_depth && parts.iter().all(|it| self.is_name(it))
    }

    fn is_name(self, name: &str) -> bool {
        let is_plain = |it: &str| {
            !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        match name.split_once('@') {
            Some((name, number)) => {
                self == Self::GitHub
                    && is_plain(name)
                    && !number.is_empty()
                    && number.chars().all(|c| c.is_ascii_digit())
            }
            None => is_plain(name),
        }
    }
}

impl Trigger {
    fn parse(text: &str) -> Option<Self> {
        let (kind, name) = match text.strip_prefix("refs/heads/") {
            Some(name) => (Self::Branch as fn(String) -> Self, name),
            None => match text.strip_prefix("refs/tags/") {
                Some(name) => (Self::Tag as fn(String) -> Self, name),
                None => (Self::Environment as fn(String) -> Self, text.strip_prefix("environment:")?),
            },
        };
        // `$` begins a variable of IAM; git allows none of the others in the name of a reference.
        let is_allowed = |c: char| !c.is_control() && !matches!(c, ' ' | '$' | '\\' | '^' | '~' | '[' | '"');
        let has_colon = name.contains(':') && !text.starts_with("environment:");
        (!name.is_empty() && name.chars().all(is_allowed) && !has_colon).then(|| kind(name.to_owned()))
    }
}

impl Pipeline {
    /// Whether the pipeline is that of the branch `main` because no other was named.
    pub fn is_default_branch(&self) -> bool {
        self.trigger.is_none()
    }

    /// The path within the CI system, such as `OWNER/REPO`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the subject has GitHub's names without the numbers that keep them from being reused.
    pub fn has_reusable_name(&self) -> bool {
        self.issuer == Issuer::GitHub && !self.path.contains('@')
    }

    /// The address of the issuer and the audience, for `aws iam create-open-id-connect-provider`.
    pub fn provider(&self) -> (String, &'static str) {
        (format!("https://{}", self.issuer.host()), self.issuer.audience())
    }

    /// The subject of the pipeline's tokens.
    fn subject(&self) -> String {
        let path = &self.path;
        let main = Trigger::Branch("main".to_owned());
        let trigger = self.trigger.as_ref().unwrap_or(&main);
        match self.issuer {
            Issuer::GitHub => match trigger {
                Trigger::Branch(name) => format!("repo:{path}:ref:refs/heads/{name}"),
                Trigger::Tag(name) => format!("repo:{path}:ref:refs/tags/{name}"),
                // "If the environment name contains `:`, it is replaced by %3A" (GitHub).
                Trigger::Environment(name) => {
                    format!("repo:{path}:environment:{}", name.replace(':', "%3A"))
                }
            },
            Issuer::GitLab => {
                let (kind, name) = match trigger {
                    Trigger::Tag(name) => ("tag", name),
                    Trigger::Branch(name) | Trigger::Environment(name) => ("branch", name),
                };
                format!("project_path:{path}:ref_type:{kind}:ref:{name}")
            }
            Issuer::Buildkite => {
                let (organization, pipeline) = path.split_once('/').unwrap_or((path, ""));
                let reference = match trigger {
                    Trigger::Tag(name) => format!("refs/tags/{name}"),
                    Trigger::Branch(name) | Trigger::Environment(name) => format!("refs/heads/{name}"),
                };
                // Names of references have no colon, so that a branch cannot pose as another one.
                format!("organization:{organization}:pipeline:{pipeline}:ref:{reference}:commit:*:step:*")
            }
        }
    }
}

/// A trust policy of a role (IAM user guide, "Create a role for OpenID Connect federation").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TrustPolicy {
    /// The version of the policy language.
    #[cfg_attr(test, schemars(extend("const" = "2012-10-17")))]
    version: &'static str,
    /// One statement for each CI system.
    #[cfg_attr(test, schemars(length(min = 1)))]
    statement: Vec<TrustStatement>,
}

/// A statement that lets pipelines of a CI system assume the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
struct TrustStatement {
    /// The identifier of the statement.
    #[cfg_attr(test, schemars(extend("enum" = ["GitHub", "GitLab", "Buildkite"])))]
    sid: &'static str,
    /// The effect. No statement denies actions.
    #[cfg_attr(test, schemars(extend("const" = "Allow")))]
    effect: &'static str,
    /// The identity provider.
    principal: Federated,
    /// The action.
    #[cfg_attr(test, schemars(extend("const" = "sts:AssumeRoleWithWebIdentity")))]
    action: &'static str,
    /// The audience and the subjects of the tokens.
    condition: TrustCondition,
}

/// An identity provider of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
struct Federated {
    /// The ARN of the provider.
    federated: String,
}

/// What the tokens must say. A key has the host of the issuer before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
struct TrustCondition {
    /// Keys whose value must be one of these.
    string_equals: BTreeMap<String, Vec<String>>,
    /// Keys whose value must match one of these, in which `*` stands for any text. Absent if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    string_like: BTreeMap<String, Vec<String>>,
}

impl TrustPolicy {
    /// The policy of a role in `account` that any of `pipelines` may assume.
    pub fn new(account: &RegistryId, region: &str, pipelines: &[Pipeline]) -> Self {
        let mut subjects = BTreeMap::<Issuer, Vec<String>>::new();
        for pipeline in pipelines {
            let of_issuer = subjects.entry(pipeline.issuer).or_default();
            let subject = pipeline.subject();
            if !of_issuer.contains(&subject) {
                of_issuer.push(subject);
            }
        }
        let statement = subjects
            .into_iter()
            .map(|(issuer, subjects)| TrustStatement::new(issuer, subjects, account, partition(region)));
        Self { version: "2012-10-17", statement: statement.collect() }
    }
}

impl TrustStatement {
    fn new(issuer: Issuer, subjects: Vec<String>, account: &RegistryId, partition: &str) -> Self {
        let host = issuer.host();
        let mut condition = TrustCondition::default();
        condition.string_equals.insert(format!("{host}:aud"), vec![issuer.audience().to_owned()]);
        let compared = match issuer {
            Issuer::Buildkite => &mut condition.string_like,
            Issuer::GitHub | Issuer::GitLab => &mut condition.string_equals,
        };
        compared.insert(format!("{host}:sub"), subjects);
        Self {
            sid: issuer.sid(),
            effect: "Allow",
            principal: Federated {
                federated: format!("arn:{partition}:iam::{account}:oidc-provider/{host}"),
            },
            action: "sts:AssumeRoleWithWebIdentity",
            condition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_exact_for_each_system() {
        for (text, wanted) in [
            ("github:o/r", "repo:o/r:ref:refs/heads/main"),
            ("github:o/r@refs/heads/release/1", "repo:o/r:ref:refs/heads/release/1"),
            ("github:o/r@refs/heads/a@1", "repo:o/r:ref:refs/heads/a@1"),
            ("github:o/r@refs/tags/v1.0.0", "repo:o/r:ref:refs/tags/v1.0.0"),
            ("github:o/r@environment:prod", "repo:o/r:environment:prod"),
            ("github:o/r@environment:a:b", "repo:o/r:environment:a%3Ab"),
            ("github:o@12/r@34", "repo:o@12/r@34:ref:refs/heads/main"),
            ("github:o@12/r@34@environment:prod", "repo:o@12/r@34:environment:prod"),
            ("gitlab:g/sub/p", "project_path:g/sub/p:ref_type:branch:ref:main"),
            ("gitlab:g/p@refs/tags/v1", "project_path:g/p:ref_type:tag:ref:v1"),
            ("buildkite:o/p", "organization:o:pipeline:p:ref:refs/heads/main:commit:*:step:*"),
            ("buildkite:o/p@refs/tags/v1", "organization:o:pipeline:p:ref:refs/tags/v1:commit:*:step:*"),
        ] {
            assert_eq!(text.parse::<Pipeline>().map(|it| it.subject()).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn pipeline_that_is_not_exact_is_refused() {
        for text in [
            "",
            "github",
            "github:",
            "github:o",
            "github:o/",
            "github:o/r/x",
            "github:/r",
            "github:o/r@",
            "github:o/r@main",
            "github:o/r@refs/heads/",
            "github:o/r@refs/heads/a b",
            "github:o/r@refs/heads/${aws:username}",
            "github:o r/x",
            "github:o/r@refs/heads/a:b",
            "github:o@x/r",
            "gitlab:g@1/p",
            "gitlab:p",
            "bitbucket:o/r",
            "buildkite:o/p/q",
            "github:o/r\n@refs/heads/x",
            "github:o/r@environment:",
        ] {
            assert_eq!(text.parse::<Pipeline>(), Err(InvalidPipeline::Syntax(text.to_owned())), "{text}");
        }
        for text in ["github:o/*", "github:*/r", "github:o/r@refs/heads/*", "gitlab:g/?", "buildkite:o/*"] {
            assert_eq!(text.parse::<Pipeline>(), Err(InvalidPipeline::Wildcard(text.to_owned())), "{text}");
        }
        assert_eq!(
            "gitlab:g/p@environment:x".parse::<Pipeline>(),
            Err(InvalidPipeline::Environment("GitLab"))
        );
    }
}
