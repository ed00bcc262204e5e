//! The desired state of a registry, which [`resolve`] computes from the [`Configuration`].

use std::collections::BTreeMap;
use std::io;

use ecr_lifecycle::{Document, Environments};
use ecr_types::document::{Located, Place, Problem};
use ecr_types::{EncryptionType, ImageTagMutability, RegistryId, RepositoryName};

use crate::config::definitions::Definitions;
use crate::config::metadata::{Environment, ImageMetadata, PackageMetadata, WorkspaceMetadata};
use crate::config::price::Price;
use crate::config::settings::{PolicySource, RepositorySettings};
use crate::config::tag_template::TagTemplate;

mod binaries;
mod duplicates;
mod explain;
mod mirrors;
mod moving_tags;
mod registry;
mod resolve;

pub use explain::{Explained, Origin, Outside, explain};
pub use mirrors::BaseMirrors;
pub use registry::{DesiredRegistry, DesiredTemplate};
pub use resolve::resolve;

/// The value of the resource tag `ManagedBy`.
pub const MANAGED_BY: &str = "cargo-xtask-ecr";

/// The contents of the configuration files before they are merged.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// `[workspace.metadata.ecr]`.
    pub workspace: WorkspaceMetadata,
    /// The members of the workspace, sorted by name.
    pub members: Vec<Member>,
    /// `repositories.json`. Empty if there is no such file.
    pub definitions: Definitions,
    /// Tables of manifests that are probably mistyped.
    pub near_misses: Vec<Problem>,
    /// The environment whose settings are part of `workspace`.
    pub environment: Option<Environment>,
}

/// A member of the workspace.
#[derive(Debug, Clone)]
pub struct Member {
    pub package: Package,
    /// `[package.metadata.ecr]`. With it, the package is a service.
    pub metadata: Option<PackageMetadata>,
}

/// The properties of a package in `cargo metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    /// The license expression.
    pub license: Option<String>,
    /// The URL of the source repository.
    pub repository: Option<String>,
    /// The folder of the manifest, relative to the root of the workspace.
    pub folder: String,
    /// The names of the binary targets.
    pub bins: Vec<String>,
    /// The features that binary targets require (The Cargo Book, "The required-features field").
    pub required_features: BTreeMap<String, Vec<String>>,
    /// The features, with what each enables.
    pub features: BTreeMap<String, Vec<String>>,
    /// Whether the folder contains a `Dockerfile`.
    pub has_dockerfile: bool,
    /// Whether cargo runs a build script, which may create files.
    pub has_build_script: bool,
    /// What decides which crates it is built from, beside the lock file: its dependencies and features. Two packages with the
    /// same text are built from the same crates.
    pub dependencies: String,
}

/// The texts of the policy files by path, or the errors of reading them.
pub type PolicyFiles = BTreeMap<String, io::Result<String>>;

/// The desired state of the registry, and the services whose images are pushed to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The name of the project. Without one, no repository belongs to another project.
    pub project: Option<String>,
    /// The environment that this is the state of.
    pub environment: Option<Environment>,
    pub region: Option<String>,
    /// The only account to which commands write.
    pub account_id: Option<RegistryId>,
    pub price: Option<Price>,
    /// The path of the file with findings that the scan gate ignores.
    pub scan_ignore: Option<Located<String>>,
    /// The repositories, sorted by name.
    pub repositories: Vec<DesiredRepository>,
    /// The services, sorted by package name.
    pub services: Vec<Service>,
    /// The settings of the whole registry.
    pub registry: DesiredRegistry,
    /// Where base images are pulled from.
    pub base_mirrors: BaseMirrors,
    /// Tables of manifests that are probably mistyped, for warnings.
    pub near_misses: Vec<Problem>,
}

/// The desired state of a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredRepository {
    pub name: RepositoryName,
    /// The package of its service.
    pub package: Option<String>,
    /// The name of its service; see [`Service::name`].
    pub service: Option<String>,
    pub image_tag_mutability: ImageTagMutability,
    /// The patterns of `imageTagMutabilityExclusionFilters`.
    pub exclusion_filters: Vec<String>,
    pub scan_on_push: bool,
    /// `None` accepts any encryption.
    pub encryption: Option<Encryption>,
    /// `None` does not change the policy.
    pub lifecycle_policy: Option<LifecyclePolicy>,
    /// The text of the policy. `None` does not change the policy.
    pub repository_policy: Option<String>,
    /// The resource tags, including those that this tool defines.
    pub tags: BTreeMap<String, String>,
    /// Whether `ecr delete` must not delete the repository.
    pub protect: bool,
}

/// Encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    pub kind: EncryptionType,
    /// The ID, alias or ARN of the KMS key.
    pub kms_key: Option<String>,
}

/// The desired state of a lifecycle policy.
#[derive(Debug, Clone, PartialEq)]
pub enum LifecyclePolicy {
    Absent,
    Document(Document),
}

/// A package with an image, or one of its binaries with an image of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub package: Package,
    /// The name, which no other service has: that of the package, followed by `-` and the key of the service's table if the
    /// package has several services.
    pub name: String,
    /// The key of the service's table, or the name of the package if it is one service.
    pub key: String,
    pub repository: RepositoryName,
    pub image: ImageMetadata,
    /// Patterns of files that the image depends on, relative to the package, and that nothing else shows.
    pub affected_by: Vec<Located<String>>,
    /// The position of the metadata table, for messages.
    pub place: Place,
}

impl Service {
    /// The templates of the tags to push, unless flags name others.
    pub fn tag_templates(&self) -> Vec<TagTemplate> {
        match &self.image.tags {
            Some(tags) => tags.value.iter().map(|it| it.value.clone()).collect(),
            None => vec![TagTemplate::version()],
        }
    }
}

impl Configuration {
    /// The settings of all repositories, as they are configured.
    fn repository_settings(&self) -> impl Iterator<Item = &RepositorySettings> {
        let members = self.members.iter().filter_map(|it| it.metadata.as_ref());
        let of_members = members.flat_map(|it| it.each()).map(|(_, it)| &it.settings);
        of_members.chain(self.definitions.repositories.iter().map(|it| &it.settings))
    }

    /// The sources of lifecycle policies. A source occurs once for each position that names it.
    pub fn lifecycle_sources(&self) -> impl Iterator<Item = &Located<PolicySource>> {
        let settings = self.repository_settings();
        let own = settings.filter_map(|it| it.lifecycle_policy.as_ref());
        let of_environments =
            self.workspace.environments.iter().filter_map(|it| it.lifecycle_policy.as_ref());
        self.workspace.lifecycle_policy.iter().chain(of_environments).chain(own)
    }

    /// The names of all environments, and those of the tags by which they run images.
    pub fn environments(&self) -> Environments {
        let names = |it: &Environment| [it.name.clone(), it.tag().name().to_owned()];
        Environments::new(self.workspace.environments.iter().flat_map(names))
    }

    /// The paths of all policy files, relative to the root of the workspace. [`resolve`] needs their texts.
    pub fn policy_files(&self) -> Vec<&str> {
        let settings = self.repository_settings();
        let sources = settings.flat_map(|it| [&it.lifecycle_policy, &it.repository_policy]);
        let of_environments = self.workspace.environments.iter().map(|it| &it.lifecycle_policy);
        let sources = sources.chain([&self.workspace.lifecycle_policy]).chain(of_environments).flatten();
        let files = sources.filter_map(|it| match &it.value {
            PolicySource::File(path) => Some(path.as_str()),
            _ => None,
        });
        files.collect()
    }
}
