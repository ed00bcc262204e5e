//! A validated lifecycle policy (lifecycle_policy_parameters).

use serde_json::{Value, json};

/// A lifecycle policy, without its text and positions; see [`super::Document`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules, sorted by priority. Priorities are unique.
    pub rules: Vec<Rule>,
}

/// A rule of a policy (lifecycle_policy_parameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `rulePriority`, 1 or more. Rules with lower numbers are applied first.
    pub priority: i64,
    /// `description`, free text.
    pub description: Option<String>,
    /// `tagStatus`, with `tagPrefixList` or `tagPatternList`.
    pub tags: TagFilter,
    /// `countType`, with `countNumber`.
    pub count: Count,
    /// `action`, with `targetStorageClass`.
    pub action: Action,
}

/// The images that a rule selects, by their tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFilter {
    /// `tagged` with `tagPrefixList`: images that have, for each prefix, a tag that begins with it.
    Prefixes(Vec<String>),
    /// `tagged` with `tagPatternList`: images that have, for each pattern, a tag that matches it.
    Patterns(Vec<String>),
    /// `untagged`: images without tags.
    Untagged,
    /// `any`: all images.
    Any,
}

/// The condition under which a rule applies its action to an image that it selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// `imageCountMoreThan`: the image is not among this number of youngest images.
    ImageCountMoreThan(i64),
    /// `sinceImagePushed`: the image was pushed more than this number of days ago.
    SinceImagePushed(i64),
    /// `sinceImagePulled`: the image was last pulled more than this number of days ago.
    SinceImagePulled(i64),
    /// `sinceImageTransitioned`: the image was archived more than this number of days ago.
    SinceImageTransitioned(i64),
}

/// The effect of a rule on an image (`action.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `expire`: deletes the image.
    Expire,
    /// `transition`: moves the image to the archive storage class.
    Transition,
}

/// The storage class of an image (`storageClass`; archive_restore_image).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum StorageClass {
    /// `standard`: the image can be pulled.
    #[default]
    Standard,
    /// `archive`: cheaper storage. The image must be restored before it can be pulled.
    Archive,
}

impl StorageClass {
    /// The value in policies: `standard` or `archive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Archive => "archive",
        }
    }
}

impl Count {
    /// The value of `countType`, such as `imageCountMoreThan`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageCountMoreThan(_) => "imageCountMoreThan",
            Self::SinceImagePushed(_) => "sinceImagePushed",
            Self::SinceImagePulled(_) => "sinceImagePulled",
            Self::SinceImageTransitioned(_) => "sinceImageTransitioned",
        }
    }

    /// The value of `countNumber`: a number of images or of days.
    pub fn number(self) -> i64 {
        match self {
            Self::ImageCountMoreThan(n)
            | Self::SinceImagePushed(n)
            | Self::SinceImagePulled(n)
            | Self::SinceImageTransitioned(n) => n,
        }
    }
}

impl Rule {
    /// The storage class of the images that the rule selects: the archive for `sinceImageTransitioned`, else standard
    /// (lifecycle_policy_parameters, "storageClass").
    pub fn storage_class(&self) -> StorageClass {
        match self.count {
            Count::SinceImageTransitioned(_) => StorageClass::Archive,
            _ => StorageClass::Standard,
        }
    }

    /// The key and the entries of the tag list: `tagPrefixList` or `tagPatternList`. `None` for `untagged` and `any`.
    pub fn list(&self) -> Option<(&'static str, &[String])> {
        match &self.tags {
            TagFilter::Prefixes(list) => Some(("tagPrefixList", list)),
            TagFilter::Patterns(list) => Some(("tagPatternList", list)),
            TagFilter::Untagged | TagFilter::Any => None,
        }
    }

    /// The rule as JSON, in the form of a policy's text.
    pub fn to_json(&self) -> Value {
        let status = match self.tags {
            TagFilter::Prefixes(_) | TagFilter::Patterns(_) => "tagged",
            TagFilter::Untagged => "untagged",
            TagFilter::Any => "any",
        };
        let mut selection = json!({"tagStatus": status, "countType": self.count.as_str()});
        if let Some((key, list)) = self.list() {
            selection[key] = json!(list);
        }
        if !matches!(self.count, Count::ImageCountMoreThan(_)) {
            selection["countUnit"] = json!("days");
        }
        if self.storage_class() == StorageClass::Archive {
            selection["storageClass"] = json!("archive");
        }
        selection["countNumber"] = json!(self.count.number());
        let action = match self.action {
            Action::Expire => json!({"type": "expire"}),
            Action::Transition => json!({"type": "transition", "targetStorageClass": "archive"}),
        };
        let mut rule = json!({"rulePriority": self.priority, "selection": selection, "action": action});
        if let Some(description) = &self.description {
            rule["description"] = json!(description);
        }
        rule
    }
}

impl Policy {
    /// Whether a rule depends on the time of the last pull. ECR counts the reading of a manifest as a pull, so reading
    /// manifests changes the effect of such a policy.
    pub fn depends_on_pulls(&self) -> bool {
        self.rules.iter().any(|it| matches!(it.count, Count::SinceImagePulled(_)))
    }

    /// The policy as JSON, in the form of `lifecyclePolicyText`.
    pub fn to_json(&self) -> Value {
        json!({"rules": self.rules.iter().map(Rule::to_json).collect::<Vec<_>>()})
    }
}
