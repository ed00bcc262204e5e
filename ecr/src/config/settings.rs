//! The settings of a repository, which come from a manifest or from `repositories.json`.

use std::collections::BTreeMap;

use ecr_types::document::{Located, Problems};
use ecr_types::{EncryptionType, ImageTagMutability};

/// The source of the text of a policy.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicySource {
    /// A file, relative to the root of the workspace.
    File(String),
    /// JSON within the configuration.
    Inline(serde_json::Value),
    /// `false`: the repository must not have the policy.
    Absent,
}

/// The settings of one repository. `None` defers to a source of lower precedence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RepositorySettings {
    /// Whether tags can be moved.
    ///
    /// Value: `IMMUTABLE`, `IMMUTABLE_WITH_EXCLUSION`, `MUTABLE` or `MUTABLE_WITH_EXCLUSION`. Default: `IMMUTABLE`.
    pub image_tag_mutability: Option<Located<ImageTagMutability>>,
    /// The tags for which the opposite holds, with the `_WITH_EXCLUSION` values: 1 to 5 patterns with the wildcard
    /// `*`.
    ///
    /// Value: list of patterns.
    pub mutability_exclusions: Option<Located<Vec<String>>>,
    /// Whether ECR scans each image that is pushed.
    ///
    /// Default: `true`.
    pub scan_on_push: Option<Located<bool>>,
    /// The encryption of a new repository, which ECR cannot change later.
    ///
    /// Value: `AES256`, `KMS` or `KMS_DSSE`. Default: `AES256`.
    pub encryption: Option<Located<EncryptionType>>,
    /// The key of the encryption with KMS.
    ///
    /// Value: ARN, ID or alias. Default: the key of AWS.
    pub kms_key: Option<Located<String>>,
    /// The lifecycle policy of the repository; `false` is none.
    ///
    /// Default: the workspace's.
    pub lifecycle_policy: Option<Located<PolicySource>>,
    /// Who else may use the repository.
    ///
    /// Value: path. Default: not changed.
    pub repository_policy: Option<Located<PolicySource>>,
    /// Resource tags, which are added to the workspace's.
    pub tags: BTreeMap<String, Located<String>>,
    /// Whether `ecr delete` refuses the repository.
    ///
    /// Default: `false`.
    pub protect: Option<Located<bool>>,
}

impl RepositorySettings {
    /// The settings of `self`, completed with those of `lower`. Resource tags are merged by key.
    pub fn or(self, lower: Self) -> Self {
        let mut tags = lower.tags;
        tags.extend(self.tags);
        // Exclusion filters depend on the mutability, and the KMS key on the encryption: if `self` replaces the latter,
        // the former of `lower` no longer apply.
        let exclusions = match self.image_tag_mutability {
            Some(_) => self.mutability_exclusions,
            None => self.mutability_exclusions.or(lower.mutability_exclusions),
        };
        let kms_key = match self.encryption {
            Some(_) => self.kms_key,
            None => self.kms_key.or(lower.kms_key),
        };
        Self {
            image_tag_mutability: self.image_tag_mutability.or(lower.image_tag_mutability),
            mutability_exclusions: exclusions,
            scan_on_push: self.scan_on_push.or(lower.scan_on_push),
            encryption: self.encryption.or(lower.encryption),
            kms_key,
            lifecycle_policy: self.lifecycle_policy.or(lower.lifecycle_policy),
            repository_policy: self.repository_policy.or(lower.repository_policy),
            tags,
            protect: self.protect.or(lower.protect),
        }
    }

    /// Reports combinations of values that ECR does not allow.
    pub fn check(&self, problems: &Problems) {
        self.check_exclusions(problems);
        self.check_kms_key(problems);
        self.check_tags(problems);
    }

    fn check_exclusions(&self, problems: &Problems) {
        let mutability = self.image_tag_mutability.as_ref();
        let takes_filters = mutability.is_some_and(|it| it.value.takes_filters());
        match (&self.mutability_exclusions, mutability) {
            (Some(filters), _) if !takes_filters => problems.add_with_help(
                &filters.place,
                "exclusion filters are allowed only with the mutability IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION",
                "set the mutability to IMMUTABLE_WITH_EXCLUSION, or remove the filters",
            ),
            (Some(filters), _) if !(1..=5).contains(&filters.value.len()) => {
                problems.add(&filters.place, format!("1 to 5 exclusion filters are allowed, found {}", filters.value.len()));
            }
            (None, Some(mutability)) if takes_filters => problems.add(
                &mutability.place,
                format!("{} needs 1 to 5 exclusion filters", mutability.value),
            ),
            _ => {}
        }
        let filters = self.mutability_exclusions.iter();
        for filter in filters.flat_map(|it| &it.value).filter(|it| !is_exclusion_filter(it)) {
            let place = self.mutability_exclusions.as_ref().map(|it| &it.place);
            let message = format!(
                "`{filter}` is not a valid exclusion filter (1 to 128 letters, digits, `.`, `_`, `-` and at most two `*`)"
            );
            place.inspect(|place| problems.add(place, message));
        }
    }

    fn check_kms_key(&self, problems: &Problems) {
        let uses_kms = self.encryption.as_ref().is_some_and(|it| it.value != EncryptionType::Aes256);
        if let (Some(key), false) = (&self.kms_key, uses_kms) {
            problems.add(&key.place, "a KMS key is allowed only with the encryption KMS or KMS_DSSE");
        }
    }

    fn check_tags(&self, problems: &Problems) {
        for (key, value) in &self.tags {
            if let Some(reason) = invalid_tag(key, &value.value) {
                problems.add(&value.place, format!("resource tag `{key}`: {reason}"));
            }
        }
    }
}

/// The keys of the resource tags that this tool writes. They record the owner of a repository.
pub const RESERVED_TAGS: [&str; 4] = ["ManagedBy", "Project", "Service", "Description"];

fn invalid_tag(key: &str, value: &str) -> Option<String> {
    let allowed = "letters, digits, spaces and + - = . _ : / @";
    if RESERVED_TAGS.contains(&key) {
        Some("this key is reserved: the tool itself writes it".to_owned())
    } else if key.to_ascii_lowercase().starts_with("aws:") {
        Some("keys that begin with `aws:` are reserved for AWS".to_owned())
    } else if key.is_empty() || key.chars().count() > 128 {
        Some("a key has 1 to 128 characters".to_owned())
    } else if value.chars().count() > 256 {
        Some("a value has at most 256 characters".to_owned())
    } else if !key.chars().chain(value.chars()).all(is_resource_tag_character) {
        Some(format!("only {allowed} are allowed"))
    } else {
        None
    }
}

/// Whether AWS allows `c` in resource tags (AWS, "Tagging a private repository", "Tag restrictions").
pub fn is_resource_tag_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ' ' | '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
}

/// Whether ECR accepts the filter: `^[0-9a-zA-Z._*-]{1,128}$` (service model) with at most two wildcards (user guide).
fn is_exclusion_filter(filter: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
    (1..=128).contains(&filter.len()) && filter.chars().all(allowed) && filter.matches('*').count() <= 2
}
