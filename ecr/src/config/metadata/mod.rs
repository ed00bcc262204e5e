//! The tables `[workspace.metadata.ecr]` and `[package.metadata.ecr]` of manifests.

use std::collections::BTreeMap;

use ecr_types::document::{Entry, Fields, Located, Node, Place, Problems, Value};
use ecr_types::{Region, RegistryId, RepositoryName};

use crate::config::InvalidSetting;
use crate::config::price::Price;
use crate::config::settings::{PolicySource, RepositorySettings};

mod environment;
mod image;
mod near_miss;
mod registry;
pub use environment::Environment;
pub use image::{FileCopy, ImageMetadata, SourceDateEpoch};
pub use near_miss::near_misses;
pub use registry::RegistryMetadata;

/// `[workspace.metadata.ecr]`: the settings of the workspace. All keys are optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkspaceMetadata {
    /// The value of the resource tag `Project`, which marks the repositories of this workspace.
    ///
    /// Default: `project` of `repositories.json`.
    pub project: Option<Located<String>>,
    /// The region of the registry; `--region` and `AWS_REGION` win over it.
    ///
    /// Value: AWS region. Default: that of the AWS profile.
    pub region: Option<Located<String>>,
    /// The only account to which commands write.
    ///
    /// Default: any account.
    pub account_id: Option<Located<RegistryId>>,
    /// What is put before every repository name that is derived from a package.
    pub prefix: Option<Located<String>>,
    /// The file with overrides and further repositories.
    ///
    /// Value: path. Default: `ecr/repositories.json`, if it exists.
    pub repositories: Option<Located<String>>,
    /// The lifecycle policy of all repositories; `false` is none.
    ///
    /// Default: `ecr/lifecycle-policy.json`, if it exists.
    pub lifecycle_policy: Option<Located<PolicySource>>,
    /// The price of storage in `ecr status` and `ecr images`.
    ///
    /// Value: number, in USD. Default: 0.10.
    pub price: Option<Located<Price>>,
    /// The file with findings that the scan gate ignores until a date.
    ///
    /// Value: path. Default: `ecr/scan-ignore.toml`, if it exists.
    pub scan_ignore: Option<Located<String>>,
    /// Resource tags of every repository.
    pub tags: BTreeMap<String, Located<String>>,
    /// Defaults of the images of all services, see below.
    pub image: ImageMetadata,
    /// The environments by name, see below.
    ///
    /// Value: table of tables.
    pub environments: Vec<Environment>,
    /// The environment of commands that name none.
    ///
    /// Value: name.
    pub default_environment: Option<Located<String>>,
    /// Settings of the whole registry, see below.
    pub registry: RegistryMetadata,
    /// From the registry of a base image to the registry and path that it is pulled from.
    pub base_mirrors: BTreeMap<String, Located<String>>,
    /// Whether `ecr delete` refuses the repositories that do not say otherwise. Only an environment sets it.
    pub protect: Option<Located<bool>>,
}

impl WorkspaceMetadata {
    /// Reads the table from the root manifest.
    pub fn read(manifest: &Node, problems: &Problems) -> Self {
        let Some(node) = manifest.get_path(&["workspace", "metadata", "ecr"]) else {
            return Self::default();
        };
        let mut fields = Fields::new(node, "[workspace.metadata.ecr]", problems);
        let metadata = Self {
            project: fields.parsed::<Project>("project").map(|it| it.map(|project| project.0)),
            region: fields.parsed::<Region>("region").map(|it| it.map(|region| region.to_string())),
            account_id: fields.parsed("account-id"),
            prefix: fields.parsed::<Prefix>("prefix").map(|it| it.map(|prefix| prefix.0)),
            repositories: fields.string("repositories"),
            lifecycle_policy: lifecycle_policy(&mut fields, "", problems),
            price: fields.number("price-per-gb-month"),
            scan_ignore: fields.string("scan-ignore"),
            tags: fields.string_map("tags"),
            image: ImageMetadata::read_workspace(&mut fields, problems),
            environments: environment::read_all(&mut fields, problems),
            default_environment: fields.string("default-environment"),
            registry: RegistryMetadata::read(&mut fields),
            base_mirrors: fields.string_map("base-mirrors"),
            protect: None,
        };
        fields.finish();
        metadata
    }
}

/// `[package.metadata.ecr]`, which makes the package a service.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageMetadata {
    pub place: Place,
    /// The repository of the images.
    ///
    /// Default: the prefix of the workspace and the name of the package.
    pub repository: Option<Located<RepositoryName>>,
    pub settings: RepositorySettings,
    /// What the image contains: the keys of `[package.metadata.ecr.image]`.
    pub image: ImageMetadata,
    /// Files that the image depends on, and that neither cargo nor the keys of the image show, for `push --since`.
    ///
    /// Value: list of patterns.
    pub affected_by: Vec<Located<String>>,
    /// The services of a package with several, completed with the settings above them, see below.
    ///
    /// Value: table of tables.
    pub services: Vec<ServiceMetadata>,
}

/// `[package.metadata.ecr.services.NAME]`, one of several services of a package.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceMetadata {
    pub name: String,
    pub metadata: PackageMetadata,
}

impl PackageMetadata {
    /// Reads the table from the manifest of a package. `None` if there is no table. Paths in it are relative to
    /// `folder`, the folder of the manifest, which is relative to the root of the workspace.
    pub fn read(manifest: &Node, folder: &str, problems: &Problems) -> Option<Self> {
        let node = manifest.get_path(&["package", "metadata", "ecr"])?;
        let mut fields = Fields::new(node, "[package.metadata.ecr]", problems);
        let mut metadata = Self::read_table(&mut fields, node, folder, problems);
        let services = fields.node("services");
        fields.finish();
        if let Some(node) = services {
            metadata.services = metadata.read_services(node, folder, problems);
        }
        Some(metadata)
    }

    /// The settings that a table of a package and one of a service have in common.
    fn read_table(fields: &mut Fields<'_>, node: &Node, folder: &str, problems: &Problems) -> Self {
        Self {
            place: node.place.clone(),
            repository: fields.parsed("repository"),
            settings: RepositorySettings {
                image_tag_mutability: fields.parsed("image-tag-mutability"),
                mutability_exclusions: fields
                    .strings("mutability-exclusions")
                    .map(|it| it.map(|all| all.into_iter().map(|it| it.value).collect())),
                scan_on_push: fields.boolean("scan-on-push"),
                encryption: fields.parsed("encryption"),
                kms_key: fields.string("kms-key"),
                lifecycle_policy: lifecycle_policy(fields, folder, problems),
                repository_policy: fields
                    .string("repository-policy")
                    .map(|it| it.map(|path| PolicySource::File(join(folder, &path)))),
                tags: fields.string_map("tags"),
                protect: fields.boolean("protect"),
            },
            image: ImageMetadata::read_package(fields, problems),
            affected_by: fields.strings("affected-by").map(|it| it.value).unwrap_or_default(),
            services: Vec::new(),
        }
    }

    /// Reads `services`, sorted by name.
    fn read_services(&self, node: &Node, folder: &str, problems: &Problems) -> Vec<ServiceMetadata> {
        let Value::Table(entries) = &node.value else {
            problems.add(&node.place, format!("`services` must be a table of tables, found {}", node.kind()));
            return Vec::new();
        };
        if let Some(repository) = &self.repository {
            let message = "`repository` would be that of several services";
            let help = "write it in the table of each service, or leave it out";
            problems.add_with_help(&repository.place, message, help);
        }
        let read = |entry: &Entry| {
            let title = format!("[package.metadata.ecr.services.{}]", entry.key);
            let mut fields = Fields::new(&entry.node, title, problems);
            let own = Self::read_table(&mut fields, &entry.node, folder, problems);
            fields.finish();
            ServiceMetadata { name: entry.key.clone(), metadata: own.or(self.clone(), entry) }
        };
        let mut services: Vec<_> = entries.iter().map(read).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }

    /// The settings of a service, completed with those of its package. Its binary is the one of its name.
    fn or(self, package: Self, entry: &Entry) -> Self {
        let mut image = self.image.or(ImageMetadata { bin: None, ..package.image });
        let named = || Located { place: entry.place.clone(), value: entry.key.clone() };
        image.bin.get_or_insert_with(named);
        Self {
            place: self.place,
            repository: self.repository,
            settings: self.settings.or(package.settings),
            image,
            affected_by: package.affected_by.into_iter().chain(self.affected_by).collect(),
            services: Vec::new(),
        }
    }

    /// The services of the package: those of `services`, else the package itself, which has no further name.
    pub fn each(&self) -> Vec<(Option<&str>, &Self)> {
        match self.services.is_empty() {
            true => vec![(None, self)],
            false => self.services.iter().map(|it| (Some(it.name.as_str()), &it.metadata)).collect(),
        }
    }
}

/// A text that, followed by a name, can be a repository name.
struct Prefix(String);

impl std::str::FromStr for Prefix {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let is_valid = text.is_empty() || format!("{text}x1").parse::<RepositoryName>().is_ok();
        let message = || {
            format!("`{text}` is not a valid prefix for repository names: write one such as `my-project/`")
        };
        is_valid.then(|| Self(text.to_owned())).ok_or_else(|| InvalidSetting(message()))
    }
}

/// The name of a project, which is a valid value of a resource tag.
pub(crate) struct Project(pub(crate) String);

impl std::str::FromStr for Project {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let is_valid = (1..=256).contains(&text.chars().count())
            && text.chars().all(crate::config::settings::is_resource_tag_character);
        let wanted = "1 to 256 letters, digits, spaces and + - = . _ : / @, as in a resource tag";
        is_valid
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| InvalidSetting(format!("`{text}` is not a valid project name ({wanted})")))
    }
}

/// Reads a lifecycle policy: `false`, or a path relative to `folder`.
fn lifecycle_policy(
    fields: &mut Fields<'_>,
    folder: &str,
    problems: &Problems,
) -> Option<Located<PolicySource>> {
    let node = fields.node("lifecycle-policy")?;
    let value = match &node.value {
        Value::Boolean(false) => PolicySource::Absent,
        Value::String(path) => PolicySource::File(join(folder, path)),
        _ => {
            let message = format!("`lifecycle-policy` must be a path or false, found {}", node.kind());
            problems.add(&node.place, message);
            return None;
        }
    };
    Some(Located { place: node.place.clone(), value })
}

/// Converts a path relative to `folder` to a path relative to the root of the workspace.
pub(crate) fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") }
}
