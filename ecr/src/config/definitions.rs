//! `repositories.json`: settings that override those of manifests, and repositories that belong to no package.
//!
//! The keys are those of the API, so that output of `aws ecr describe-repositories` can be pasted.

use std::collections::BTreeMap;

use ecr_types::RepositoryName;
use ecr_types::document::{Fields, Located, Node, Place, Problems, Value};

use crate::config::metadata::{Project, join};
use crate::config::settings::{PolicySource, RepositorySettings};

/// The content of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// The value of the resource tag `Project`.
    ///
    /// Default: `project` of the root manifest.
    pub project: Option<Located<String>>,
    /// Overrides, and repositories that no package owns, in the order of the file.
    ///
    /// Value: list of objects.
    pub repositories: Vec<RepositoryDefinition>,
}

/// An entry: a repository of its own, or an override for the repository of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositoryDefinition {
    pub place: Place,
    /// The repository that is overridden or added.
    ///
    /// Default: that of `package`.
    pub name: Option<Located<RepositoryName>>,
    /// The service whose repository is overridden.
    ///
    /// Value: name of a service.
    pub package: Option<Located<String>>,
    /// The value of the resource tag `Description`.
    pub description: Option<Located<String>>,
    pub settings: RepositorySettings,
}

impl Definitions {
    /// Reads the parsed file. Paths in it are relative to `folder`, which is relative to the root of the workspace.
    pub fn read(file: &Node, folder: &str, problems: &Problems) -> Self {
        let mut fields = Fields::new(file, "the file", problems);
        let project = fields.parsed::<Project>("project").map(|it| it.map(|project| project.0));
        let entry = |node, problems| RepositoryDefinition::read(node, folder, problems);
        let repositories = fields.list("repositories", entry).map(|it| it.value).unwrap_or_default();
        fields.finish();
        Self { project, repositories }
    }
}

impl RepositoryDefinition {
    fn read(node: &Node, folder: &str, problems: &Problems) -> Option<Self> {
        let mut fields = Fields::new(node, "an entry of `repositories`", problems);
        let name_is_given = fields.node("name").is_some() || fields.node("package").is_some();
        if !name_is_given && matches!(node.value, Value::Table(_)) {
            problems.add(&node.place, "an entry of `repositories` needs a `name` or a `package`");
        }
        let (encryption, kms_key) = encryption(&mut fields);
        let definition = Self {
            place: node.place.clone(),
            name: fields.parsed("name"),
            package: fields.string("package"),
            description: fields.string("description"),
            settings: RepositorySettings {
                image_tag_mutability: fields.parsed("imageTagMutability"),
                mutability_exclusions: fields.list("imageTagMutabilityExclusionFilters", exclusion_filter),
                scan_on_push: scan_on_push(&mut fields),
                encryption,
                kms_key,
                lifecycle_policy: policy(&mut fields, "lifecyclePolicy", folder, problems),
                repository_policy: policy(&mut fields, "repositoryPolicy", folder, problems),
                tags: tags(&mut fields),
                protect: fields.boolean("protect"),
            },
        };
        fields.finish();
        Some(definition)
    }
}

/// `{"filterType": "WILDCARD", "filter": "latest*"}`.
fn exclusion_filter(node: &Node, problems: &Problems) -> Option<String> {
    let mut fields = Fields::new(node, "an exclusion filter", problems);
    if let Some(kind) = fields.string("filterType").filter(|it| it.value != "WILDCARD") {
        problems.add(&kind.place, format!("`{}` is not a filter type: the only one is WILDCARD", kind.value));
    }
    let filter = fields.string("filter");
    if fields.node("filter").is_none() {
        problems.add(&node.place, "an exclusion filter needs a `filter`");
    }
    fields.finish();
    filter.map(|it| it.value)
}

fn scan_on_push(fields: &mut Fields<'_>) -> Option<Located<bool>> {
    let mut scanning = fields.fields("imageScanningConfiguration")?;
    let value = scanning.boolean("scanOnPush");
    scanning.finish();
    value
}

fn encryption(
    fields: &mut Fields<'_>,
) -> (Option<Located<ecr_types::EncryptionType>>, Option<Located<String>>) {
    let Some(mut encryption) = fields.fields("encryptionConfiguration") else { return (None, None) };
    let found = (encryption.parsed("encryptionType"), encryption.string("kmsKey"));
    encryption.finish();
    found
}

/// Reads a policy: a path relative to `folder`, an object, or, for a lifecycle policy, `false`.
fn policy(
    fields: &mut Fields<'_>,
    key: &'static str,
    folder: &str,
    problems: &Problems,
) -> Option<Located<PolicySource>> {
    let node = fields.node(key)?;
    let may_be_absent = key == "lifecyclePolicy";
    let value = match &node.value {
        Value::Boolean(false) if may_be_absent => PolicySource::Absent,
        Value::String(path) => PolicySource::File(join(folder, path)),
        Value::Table(_) => PolicySource::Inline(node.to_json()),
        _ => {
            let wanted = if may_be_absent { "a path, an object or false" } else { "a path or an object" };
            problems.add(&node.place, format!("`{key}` must be {wanted}, found {}", node.kind()));
            return None;
        }
    };
    Some(Located { place: node.place.clone(), value })
}

/// Reads resource tags in the format of the API: `[{"Key": "team", "Value": "web"}]`.
fn tags(fields: &mut Fields<'_>) -> BTreeMap<String, Located<String>> {
    let tags = fields.list("tags", |node, problems| {
        let mut fields = Fields::new(node, "a resource tag", problems);
        let (key, value) = (fields.string("Key"), fields.string("Value"));
        if fields.node("Key").is_none() || fields.node("Value").is_none() {
            problems.add(&node.place, "a resource tag needs `Key` and `Value`");
        }
        fields.finish();
        Some((key?.value, value?))
    });
    let mut read = BTreeMap::<String, Located<String>>::new();
    for (key, value) in tags.into_iter().flat_map(|it| it.value) {
        if let Some(earlier) = read.get(&key) {
            let message = format!("duplicate tag key `{key}` in `tags`: here and in {}", earlier.place);
            fields.problems().add(&value.place, message);
        }
        read.insert(key, value);
    }
    read
}
