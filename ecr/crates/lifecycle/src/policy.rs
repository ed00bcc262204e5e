//! A policy as a value: what ECR accepted, and nothing else.

use serde_json::{Value, json};

/// A lifecycle policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Its rules, sorted by priority; each priority stands once.
    pub rules: Vec<Rule>,
}

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `rulePriority`, from 1: the lower number is applied first.
    pub priority: i64,
    /// `description`.
    pub description: Option<String>,
    /// `tagStatus` with its list.
    pub tags: TagFilter,
    /// `countType` with `countNumber`.
    pub count: Count,
    /// `action`.
    pub action: Action,
}

/// Which images a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFilter {
    /// `tagged` with `tagPrefixList`: a tag for each prefix.
    Prefixes(Vec<String>),
    /// `tagged` with `tagPatternList`: a tag for each pattern.
    Patterns(Vec<String>),
    /// `untagged`.
    Untagged,
    /// `any`.
    Any,
}

/// When a rule takes an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// `imageCountMoreThan`: beyond so many, from the youngest.
    ImageCountMoreThan(i64),
    /// `sinceImagePushed`, in days.
    SinceImagePushed(i64),
    /// `sinceImagePulled`, in days.
    SinceImagePulled(i64),
    /// `sinceImageTransitioned`, in days since it was archived.
    SinceImageTransitioned(i64),
}

/// What a rule does with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `expire`: delete it.
    Expire,
    /// `transition`: move it to the archive.
    Transition,
}

/// Where an image is stored (`storageClass`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum StorageClass {
    /// `standard`.
    #[default]
    Standard,
    /// `archive`.
    Archive,
}

impl StorageClass {
    /// The word in policies and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Archive => "archive",
        }
    }
}

impl Count {
    /// `countType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageCountMoreThan(_) => "imageCountMoreThan",
            Self::SinceImagePushed(_) => "sinceImagePushed",
            Self::SinceImagePulled(_) => "sinceImagePulled",
            Self::SinceImageTransitioned(_) => "sinceImageTransitioned",
        }
    }

    /// `countNumber`.
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
    /// The images that the rule sees: only `sinceImageTransitioned` looks into the archive
    /// (lifecycle_policy_parameters, "storageClass").
    pub fn storage_class(&self) -> StorageClass {
        match self.count {
            Count::SinceImageTransitioned(_) => StorageClass::Archive,
            _ => StorageClass::Standard,
        }
    }

    /// The list of tags, with the key that it stands under.
    pub fn list(&self) -> Option<(&'static str, &[String])> {
        match &self.tags {
            TagFilter::Prefixes(list) => Some(("tagPrefixList", list)),
            TagFilter::Patterns(list) => Some(("tagPatternList", list)),
            TagFilter::Untagged | TagFilter::Any => None,
        }
    }

    /// The rule as a policy's text has it.
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
    /// Whether the times of pulls decide over images. Then reading manifests, which ECR counts as a pull, changes what the
    /// policy does.
    pub fn depends_on_pulls(&self) -> bool {
        self.rules.iter().any(|it| matches!(it.count, Count::SinceImagePulled(_)))
    }

    /// The policy as ECR takes it.
    pub fn to_json(&self) -> Value {
        json!({"rules": self.rules.iter().map(Rule::to_json).collect::<Vec<_>>()})
    }
}
