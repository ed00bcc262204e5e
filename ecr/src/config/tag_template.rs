//! Image tags with placeholders: `{version}`, `{git-sha}`, `{git-short-sha}`, `{branch}`, `{pr}` and `{digest}`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use ecr_types::{Digest, ImageTag, InvalidName};
use thiserror::Error;

/// A tag with placeholders, from the configuration or the flag `--tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Version,
    GitSha,
    GitShortSha,
    Branch,
    PullRequest,
    Digest,
}

/// Why a text is not a valid template, or a template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTag {
    #[error("tag `{0}`: `{{` without `}}`")]
    Unclosed(String),
    /// Unknown placeholder.
    #[error(
        "tag `{template}`: unknown placeholder `{{{name}}}` \
         (known: {{version}}, {{git-sha}}, {{git-short-sha}}, {{branch}}, {{pr}}, {{digest}})"
    )]
    Placeholder {
        template: String,
        /// The text between the braces.
        name: String,
    },
    #[error("tag `{0}` needs a git commit, but there is none")]
    NoCommit(String),
    #[error(
        "tag `{0}` needs a branch, but a commit is checked out without one, and no variable of CI names one"
    )]
    NoBranch(String),
    #[error("tag `{0}` needs a pull request, but the variables of CI name none")]
    NoPullRequest(String),
    #[error("tag `{0}` needs a built image")]
    NoImage(String),
    /// A template without placeholders is not a valid tag.
    #[error(transparent)]
    Text(InvalidName),
    /// A rendered template is not a valid tag.
    #[error("tag `{template}`: {cause}")]
    Rendered { template: String, cause: InvalidName },
}

/// What is built, as git and CI name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revision {
    /// The commit in 40 hexadecimal digits. `None` outside of a git repository.
    pub commit: Option<String>,
    /// The name of the branch, such as `feature/login`.
    pub branch: Option<String>,
    /// The number of the pull request (GitLab: merge request).
    pub pull_request: Option<String>,
}

impl Revision {
    /// The revision of a commit, of which nothing else is known.
    pub fn of_commit(commit: Option<&str>) -> Self {
        Self { commit: commit.map(str::to_owned), ..Self::default() }
    }
}

/// The values of the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct TagValues<'a> {
    /// The version of the package.
    pub version: &'a str,
    /// The revision that is built.
    pub revision: &'a Revision,
    /// The digest of the image. `None` before it is built.
    pub digest: Option<&'a Digest>,
}

impl TagTemplate {
    /// The default template `{version}`.
    pub fn version() -> Self {
        Self { text: "{version}".to_owned(), parts: vec![Part::Version] }
    }

    /// Whether the tag can be rendered only after the build.
    pub fn needs_digest(&self) -> bool {
        self.parts.contains(&Part::Digest)
    }

    /// Whether the tag names a commit.
    pub fn needs_git(&self) -> bool {
        self.parts.iter().any(|it| matches!(it, Part::GitSha | Part::GitShortSha))
    }

    /// Whether the tag depends on what is checked out: a commit, or a branch.
    pub fn needs_revision(&self) -> bool {
        self.needs_git() || self.parts.contains(&Part::Branch)
    }

    /// Replaces the placeholders.
    ///
    /// # Errors
    /// A placeholder has no value, or the result is not a valid tag.
    pub fn render(&self, values: &TagValues<'_>) -> Result<ImageTag, InvalidTag> {
        let parts: Result<Vec<_>, _> = self.parts.iter().map(|part| self.part(part, values)).collect();
        // `+` separates build metadata in a version, but is not allowed in a tag. Helm and Docker's tools write `_`
        // instead.
        let text = parts?.concat().replace('+', "_");
        text.parse().map_err(|cause| match self.text == text {
            true => InvalidTag::Text(cause),
            false => InvalidTag::Rendered { template: self.text.clone(), cause },
        })
    }

    fn part<'a>(&'a self, part: &'a Part, values: &TagValues<'a>) -> Result<Cow<'a, str>, InvalidTag> {
        let text = || self.text.clone();
        let commit = || values.revision.commit.as_deref().ok_or_else(|| InvalidTag::NoCommit(text()));
        let value = match part {
            Part::Text(text) => text,
            Part::Version => values.version,
            Part::GitSha => commit()?,
            Part::GitShortSha => commit().map(|sha| sha.get(..12).unwrap_or(sha))?,
            Part::Branch => {
                let branch = values.revision.branch.as_deref();
                return branch.map(|it| in_tag(it).into()).ok_or_else(|| InvalidTag::NoBranch(text()));
            }
            Part::PullRequest => {
                let number = values.revision.pull_request.as_deref();
                number.ok_or_else(|| InvalidTag::NoPullRequest(text()))?
            }
            Part::Digest => values.digest.map(Digest::short).ok_or_else(|| InvalidTag::NoImage(text()))?,
        };
        Ok(value.into())
    }
}

/// The maximum length of a branch in a tag. A tag has at most 128 characters, and templates have other parts.
const MAX_BRANCH: usize = 100;

/// The name of a branch with the characters that tags can have: each run of others is a `-`, as in docker/metadata-action. A
/// long name ends in digits of its hash, so that two that begin alike stay two.
fn in_tag(branch: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let parts: Vec<_> = branch.split(|c| !is_allowed(c)).filter(|it| !it.is_empty()).collect();
    let text = parts.join("-");
    let text = text.trim_start_matches(['.', '-']);
    if (1..=MAX_BRANCH).contains(&text.len()) {
        return text.to_owned();
    }
    let digest = Digest::of(branch.as_bytes());
    let hash = &digest.short()[..8];
    let begin = &text[..text.len().min(MAX_BRANCH - 9)];
    format!("{begin}-{hash}").trim_start_matches('-').to_owned()
}

impl fmt::Display for TagTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for TagTemplate {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| InvalidTag::Unclosed(text.to_owned()))?;
            parts.extend((!before.is_empty()).then(|| Part::Text(before.to_owned())));
            parts.push(placeholder(text, name)?);
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Text(rest.to_owned())));
        let template = Self { text: text.to_owned(), parts };
        template.check_text()?;
        Ok(template)
    }
}

impl TagTemplate {
    /// Rejects a template that cannot be a valid tag, by rendering it with sample values.
    fn check_text(&self) -> Result<(), InvalidTag> {
        let digest = Digest::of(b"");
        let sha = "0".repeat(40);
        let revision = Revision {
            commit: Some(sha),
            branch: Some("main".to_owned()),
            pull_request: Some("1".to_owned()),
        };
        let values = TagValues { version: "1.0.0", revision: &revision, digest: Some(&digest) };
        self.render(&values).map(drop)
    }
}

fn placeholder(text: &str, name: &str) -> Result<Part, InvalidTag> {
    match name {
        "version" => Ok(Part::Version),
        "git-sha" => Ok(Part::GitSha),
        "git-short-sha" => Ok(Part::GitShortSha),
        "branch" => Ok(Part::Branch),
        "pr" => Ok(Part::PullRequest),
        "digest" => Ok(Part::Digest),
        _ => Err(InvalidTag::Placeholder { template: text.to_owned(), name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> String {
        let digest = Digest::of(b"");
        let revision = Revision {
            commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            branch: Some("feature/#12 login".to_owned()),
            pull_request: Some("12".to_owned()),
        };
        let values = TagValues { version: "1.2.3+build.4", revision: &revision, digest: Some(&digest) };
        match template.parse::<TagTemplate>() {
            Ok(template) => template.render(&values).map_or_else(|it| it.to_string(), |tag| tag.to_string()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn template_placeholders_are_replaced() {
        assert_eq!(render("{version}"), "1.2.3_build.4");
        assert_eq!(render("v{version}-{git-short-sha}"), "v1.2.3_build.4-0123456789ab");
        assert_eq!(render("{digest}"), "e3b0c44298fc");
        assert_eq!(render("latest"), "latest");
        assert_eq!(render("{branch}"), "feature-12-login");
        assert_eq!(render("pr-{pr}"), "pr-12");
    }

    #[test]
    fn branch_is_made_a_valid_tag() {
        for (branch, wanted) in [
            ("main", "main"),
            ("feature/login", "feature-login"),
            ("dependabot/npm_and_yarn/@scope/x-1.0", "dependabot-npm_and_yarn-scope-x-1.0"),
            ("/.hidden", "hidden"),
            ("-x", "x"),
            ("Ärger", "rger"),
        ] {
            assert_eq!(in_tag(branch), wanted);
            assert!(in_tag(branch).parse::<ImageTag>().is_ok());
        }
        assert!(in_tag("日本").parse::<ImageTag>().is_ok());
        let (one, two) = (in_tag(&("x".repeat(200) + "1")), in_tag(&("x".repeat(200) + "2")));
        assert!(one.len() == MAX_BRANCH && two.len() == MAX_BRANCH && one != two);
    }

    #[test]
    fn template_that_cannot_be_a_tag_is_refused() {
        assert!(render("{versoin}").contains("unknown placeholder `{versoin}`"));
        assert!(render("{version").contains("without `}`"));
        assert!(render("a b").contains("not a valid image tag"));
        assert!(render("").contains("not a valid image tag"));
    }

    #[test]
    fn template_without_a_value_names_it() {
        let revision = Revision::default();
        let values = TagValues { version: "1.0.0", revision: &revision, digest: None };
        let error =
            |text: &str| text.parse::<TagTemplate>().unwrap().render(&values).unwrap_err().to_string();
        assert_eq!(error("{git-sha}"), "tag `{git-sha}` needs a git commit, but there is none");
        assert!(error("{branch}").starts_with("tag `{branch}` needs a branch, but"));
        assert!(error("pr-{pr}").starts_with("tag `pr-{pr}` needs a pull request, but"));
    }
}
