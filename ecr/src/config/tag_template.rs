//! Image tags with the placeholders `{version}`, `{git-sha}`, `{git-short-sha}` and `{digest}`.

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
         (known: {{version}}, {{git-sha}}, {{git-short-sha}}, {{digest}})"
    )]
    Placeholder {
        template: String,
        /// The text between the braces.
        name: String,
    },
    #[error("tag `{0}` needs a git commit, but there is none")]
    NoCommit(String),
    #[error("tag `{0}` needs a built image")]
    NoImage(String),
    /// A template without placeholders is not a valid tag.
    #[error(transparent)]
    Text(InvalidName),
    /// A rendered template is not a valid tag.
    #[error("tag `{template}`: {cause}")]
    Rendered { template: String, cause: InvalidName },
}

/// The values of the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct TagValues<'a> {
    /// The version of the package.
    pub version: &'a str,
    /// The commit in 40 hexadecimal digits. `None` outside of a git repository.
    pub git_sha: Option<&'a str>,
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

    /// Whether the template contains a commit.
    pub fn needs_git(&self) -> bool {
        self.parts.iter().any(|it| matches!(it, Part::GitSha | Part::GitShortSha))
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

    fn part<'a>(&'a self, part: &'a Part, values: &TagValues<'a>) -> Result<&'a str, InvalidTag> {
        let commit = || values.git_sha.ok_or_else(|| InvalidTag::NoCommit(self.text.clone()));
        match part {
            Part::Text(text) => Ok(text),
            Part::Version => Ok(values.version),
            Part::GitSha => commit(),
            Part::GitShortSha => commit().map(|sha| sha.get(..12).unwrap_or(sha)),
            Part::Digest => {
                values.digest.map(Digest::short).ok_or_else(|| InvalidTag::NoImage(self.text.clone()))
            }
        }
    }
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
        let values = TagValues { version: "1.0.0", git_sha: Some(&sha), digest: Some(&digest) };
        self.render(&values).map(drop)
    }
}

fn placeholder(text: &str, name: &str) -> Result<Part, InvalidTag> {
    match name {
        "version" => Ok(Part::Version),
        "git-sha" => Ok(Part::GitSha),
        "git-short-sha" => Ok(Part::GitShortSha),
        "digest" => Ok(Part::Digest),
        _ => Err(InvalidTag::Placeholder { template: text.to_owned(), name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> String {
        let digest = Digest::of(b"");
        let values = TagValues {
            version: "1.2.3+build.4",
            git_sha: Some("0123456789abcdef0123456789abcdef01234567"),
            digest: Some(&digest),
        };
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
        let values = TagValues { version: "1.0.0", git_sha: None, digest: None };
        let error = "{git-sha}".parse::<TagTemplate>().unwrap().render(&values).unwrap_err();
        assert_eq!(error.to_string(), "tag `{git-sha}` needs a git commit, but there is none");
    }
}
