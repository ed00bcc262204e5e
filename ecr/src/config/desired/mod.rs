//! (members, definitions) -> [`Desired`]: typos and conflicts end here.

use std::collections::BTreeMap;
use std::io;

use ecr_lifecycle::Document;
use ecr_types::document::{Located, Place};
use ecr_types::{EncryptionType, ImageTagMutability, RegistryId, RepositoryName};

use crate::config::definitions::Definitions;
use crate::config::metadata::{ImageMetadata, PackageMetadata, WorkspaceMetadata};
use crate::config::price::Price;
use crate::config::settings::PolicySource;
use crate::config::tag_template::TagTemplate;

mod resolve;
pub use resolve::resolve;

/// The value of the resource tag `ManagedBy`.
pub const MANAGED_BY: &str = "cargo-xtask-ecr";

/// What the configuration files say, each read by itself.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// `[workspace.metadata.ecr]`.
    pub workspace: WorkspaceMetadata,
    /// The members of the workspace, sorted by name.
    pub members: Vec<Member>,
    /// `repositories.json`; empty where there is none.
    pub definitions: Definitions,
}

/// A member of the workspace.
#[derive(Debug, Clone)]
pub struct Member {
    /// What cargo says of the package.
    pub package: Package,
    /// `[package.metadata.ecr]`: makes it a service.
    pub metadata: Option<PackageMetadata>,
}

/// What `cargo metadata` says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its description.
    pub description: Option<String>,
    /// Its license expression.
    pub license: Option<String>,
    /// The URL of its sources.
    pub repository: Option<String>,
    /// The manifest's folder, relative to the workspace's root.
    pub folder: String,
    /// Its binary targets.
    pub bins: Vec<String>,
    /// Whether the package's folder holds a `Dockerfile`.
    pub has_dockerfile: bool,
}

/// Texts of the policy files that the configuration names, or why they cannot be read.
pub type PolicyFiles = BTreeMap<String, io::Result<String>>;

/// The state that the registry shall have, and the services whose images go into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The project's name; without one nothing is foreign.
    pub project: Option<String>,
    /// The region that the workspace names.
    pub region: Option<String>,
    /// The only account in which anything may be written.
    pub account_id: Option<RegistryId>,
    /// What a GB of storage costs in a month, where the workspace says.
    pub price: Option<Price>,
    /// The file of findings that the scan gate lets through, where the workspace names one.
    pub scan_ignore: Option<Located<String>>,
    /// The repositories, sorted by name.
    pub repositories: Vec<DesiredRepository>,
    /// The services, sorted by package name.
    pub services: Vec<Service>,
}

/// One repository as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredRepository {
    /// Its name.
    pub name: RepositoryName,
    /// The service that it belongs to.
    pub package: Option<String>,
    /// Whether tags may be moved.
    pub image_tag_mutability: ImageTagMutability,
    /// Patterns of tags that are the exception to it.
    pub exclusion_filters: Vec<String>,
    /// Whether ECR scans images when they are pushed.
    pub scan_on_push: bool,
    /// Encryption, where the configuration cares.
    pub encryption: Option<Encryption>,
    /// The lifecycle policy; `None` leaves alone what is there.
    pub lifecycle_policy: Option<LifecyclePolicy>,
    /// The repository policy; `None` leaves alone what is there.
    pub repository_policy: Option<String>,
    /// Resource tags, our own among them.
    pub tags: BTreeMap<String, String>,
    /// Whether `ecr delete` must leave it alone.
    pub protect: bool,
}

/// Encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// The kind.
    pub kind: EncryptionType,
    /// The KMS key, where one is named.
    pub kms_key: Option<String>,
}

/// What the configuration says of a repository's lifecycle policy.
#[derive(Debug, Clone, PartialEq)]
pub enum LifecyclePolicy {
    /// There shall be none.
    Absent,
    /// There shall be this one.
    Document(Document),
}

/// A package whose image is pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// What cargo says of it.
    pub package: Package,
    /// Its repository.
    pub repository: RepositoryName,
    /// How its image is made.
    pub image: ImageMetadata,
    /// Where its metadata table stands, for messages.
    pub place: Place,
}

impl Service {
    /// The tags to push, if no flag names others.
    pub fn tag_templates(&self) -> Vec<TagTemplate> {
        match &self.image.tags {
            Some(tags) => tags.value.iter().map(|it| it.value.clone()).collect(),
            None => vec![TagTemplate::version()],
        }
    }
}

impl Configuration {
    /// Where lifecycle policies come from, each source once for each place that names it.
    pub fn lifecycle_sources(&self) -> impl Iterator<Item = &Located<PolicySource>> {
        let members = self.members.iter().filter_map(|it| it.metadata.as_ref()).map(|it| &it.settings);
        let settings = members.chain(self.definitions.repositories.iter().map(|it| &it.settings));
        let own = settings.filter_map(|it| it.lifecycle_policy.as_ref());
        self.workspace.lifecycle_policy.iter().chain(own)
    }

    /// The policy files that are to be read before [`resolve`], by path relative to the workspace's root.
    pub fn policy_files(&self) -> Vec<&str> {
        let settings = self.members.iter().filter_map(|it| it.metadata.as_ref()).map(|it| &it.settings);
        let settings = settings.chain(self.definitions.repositories.iter().map(|it| &it.settings));
        let sources = settings.flat_map(|it| [&it.lifecycle_policy, &it.repository_policy]);
        let sources = sources.chain([&self.workspace.lifecycle_policy]).flatten();
        let files = sources.filter_map(|it| match &it.value {
            PolicySource::File(path) => Some(path.as_str()),
            _ => None,
        });
        files.collect()
    }
}
