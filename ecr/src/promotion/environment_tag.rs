//! The tags by which an environment runs images.

use std::fmt;
use std::str::FromStr;

use ecr_types::{ImageTag, InvalidName};

/// The tag that a promotion puts on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentTag {
    /// A new tag for each promotion, with a number that grows: `prod-{n}` is `prod-0001`, `prod-0002` and so on. No tag moves,
    /// so that it works where tags are immutable, and the registry keeps the history.
    Numbered {
        /// What stands before the number.
        prefix: String,
    },
    /// One tag, which moves from image to image.
    Moving(ImageTag),
}

/// A text that is no environment tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvironmentTag {
    #[error("`{0}`: the placeholder of a promotion is `{{n}}`, once and at the end, such as prod-{{n}}")]
    Placeholder(String),
    #[error(transparent)]
    Tag(#[from] InvalidName),
}

const NUMBER: &str = "{n}";
/// The number of digits of small numbers, so that tags are sorted by their names.
const DIGITS: usize = 4;

impl EnvironmentTag {
    /// That of an environment which configures none: `NAME-{n}`.
    pub fn of(environment: &str) -> Self {
        // A tag begins with a letter, a digit or `_`; the names of environments may begin with a dot.
        Self::Numbered { prefix: format!("{}-", environment.trim_start_matches('.')) }
    }

    /// The tag without its number, such as `prod`.
    pub fn name(&self) -> &str {
        match self {
            Self::Numbered { prefix } => prefix.trim_end_matches(['-', '.', '_']),
            Self::Moving(tag) => tag.as_str(),
        }
    }

    /// The number of a tag of this kind; `None` for other tags, and for a tag that moves.
    pub fn number(&self, tag: &str) -> Option<u64> {
        let Self::Numbered { prefix } = self else { return None };
        let digits = tag.strip_prefix(prefix.as_str())?;
        let is_number = digits.len() >= DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    }

    /// The tag of the promotion that follows the one with the number `last`.
    ///
    /// # Errors
    /// The tag would be longer than tags are.
    pub fn after(&self, last: Option<u64>) -> Result<ImageTag, InvalidName> {
        match self {
            Self::Numbered { prefix } => {
                format!("{prefix}{:0DIGITS$}", last.unwrap_or_default().saturating_add(1)).parse()
            }
            Self::Moving(tag) => Ok(tag.clone()),
        }
    }

    /// The tag of the image that a moving tag was on before, which moves with it.
    pub fn previous(&self) -> Option<ImageTag> {
        match self {
            Self::Numbered { .. } => None,
            Self::Moving(tag) => format!("{tag}-previous").parse().ok(),
        }
    }

    /// The tags that must be allowed to move.
    pub fn moving(&self) -> Vec<String> {
        match self {
            Self::Numbered { .. } => Vec::new(),
            Self::Moving(tag) => {
                std::iter::once(tag.to_string()).chain(self.previous().map(|it| it.to_string())).collect()
            }
        }
    }
}

impl FromStr for EnvironmentTag {
    type Err = InvalidEnvironmentTag;

    fn from_str(text: &str) -> Result<Self, InvalidEnvironmentTag> {
        let prefix = text.strip_suffix(NUMBER);
        if prefix.unwrap_or(text).contains(['{', '}']) {
            return Err(InvalidEnvironmentTag::Placeholder(text.to_owned()));
        }
        match prefix {
            Some(prefix) => {
                let tag = Self::Numbered { prefix: prefix.to_owned() };
                // A number alone would be that of a version as well.
                if prefix.is_empty() {
                    return Err(InvalidEnvironmentTag::Placeholder(text.to_owned()));
                }
                tag.after(None)?;
                Ok(tag)
            }
            None => Ok(Self::Moving(text.parse()?)),
        }
    }
}

impl fmt::Display for EnvironmentTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered { prefix } => write!(f, "{prefix}{NUMBER}"),
            Self::Moving(tag) => tag.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_tags_follow_one_another() {
        let tag = EnvironmentTag::of("prod");
        assert_eq!(tag.to_string(), "prod-{n}");
        assert_eq!(tag, "prod-{n}".parse().unwrap());
        let after = |last| tag.after(last).unwrap().to_string();
        assert_eq!(
            (after(None), after(Some(41)), after(Some(9999))),
            ("prod-0001".into(), "prod-0042".into(), "prod-10000".into())
        );
        for (text, number) in [
            ("prod-0042", Some(42)),
            ("prod-10000", Some(10_000)),
            ("prod-42", None),
            ("prod-00x2", None),
            ("prod-", None),
            ("prod", None),
            ("prod-eu-0001", None),
            ("prod-99999999999999999999", None),
        ] {
            assert_eq!(tag.number(text), number, "{text}");
        }
        assert_eq!(EnvironmentTag::of(".x").after(None).unwrap().as_str(), "x-0001");
    }

    #[test]
    fn moving_tag_has_one_for_the_image_before() {
        let tag: EnvironmentTag = "prod".parse().unwrap();
        assert_eq!(tag.moving(), ["prod", "prod-previous"]);
        assert_eq!((tag.number("prod"), tag.after(Some(3)).unwrap().as_str()), (None, "prod"));
    }

    #[test]
    fn other_placeholders_are_refused() {
        for text in ["{n}", "prod-{n}-x", "{version}-{n}", "a b", "", "-{n}", "{n"] {
            assert!(text.parse::<EnvironmentTag>().is_err(), "{text}");
        }
    }
}
