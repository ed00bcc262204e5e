//! What environments run, and rules that take it.

use serde_json::json;

use super::super::{Action, Count, Image, Lint, Rule};
use super::{of, selects};

/// The names of environments. An image that an environment runs has a tag that is such a name, or begins with it and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environments(Vec<String>);

/// Names of environments whose tags most teams move from image to image.
const USUAL: [&str; 6] = ["prod", "production", "live", "stable", "staging", "stage"];

impl Environments {
    /// These names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The tag by which an environment runs an image.
    pub fn tag<'a>(&self, image: &'a Image) -> Option<&'a str> {
        let is_of = |tag: &str, name: &str| {
            tag.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let mut tags = image.tags.iter().map(String::as_str);
        tags.find(|tag| self.0.iter().any(|name| is_of(tag, name)))
    }

    /// An age that a retag does not renew: "the push date doesn't change" when a tag is added (aws/containers-roadmap#2746).
    /// A rule for any tag is reported for known environments only, since nothing says that others promote images.
    pub(super) fn age_ignores_retag(&self, rule: &Rule, earlier: &[Rule]) -> Option<Lint> {
        let Count::SinceImagePushed(days) = rule.count else { return None };
        if rule.action != Action::Expire {
            return None;
        }
        let usual = USUAL.iter().copied().filter(|_| rule.list().is_some_and(|(_, list)| !selects_all(list)));
        let mut names = self.0.iter().map(String::as_str).chain(usual);
        let name = names.find(|it| selects(rule, it) && !earlier.iter().any(|rule| selects(rule, it)))?;
        let message = format!(
            "the age of an image is that of its push: an older image that is tagged `{name}` today goes {days} days after \
             it was pushed, and not {days} days after today"
        );
        let selection = json!({"tagStatus": "tagged", "tagPatternList": [format!("{name}*")],
                               "countType": "imageCountMoreThan", "countNumber": 50});
        let help = format!(
            "count the images of that tag instead, in a rule with a smaller `rulePriority`, such as {selection}"
        );
        Some(of("age-ignores-retag", rule, message, help))
    }
}

fn selects_all(list: &[String]) -> bool {
    list.iter().all(|it| it.is_empty() || it == "*")
}
