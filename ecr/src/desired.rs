//! (members, definitions) -> [`Desired`]: typos and conflicts end here.

use std::collections::BTreeMap;

use crate::definitions::{Definition, Definitions};
use crate::lifecycle::policy;
use crate::metadata::{ImageMetadata, PackageMetadata, WorkspaceMetadata};
use crate::name::{RegistryId, RepositoryName};
use crate::settings::{
    EncryptionType, ImageTagMutability, PolicySource, RepositorySettings, is_tag_character,
};
use crate::source::{Located, Place, Problems, did_you_mean};

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

/// Texts of the policy files that the configuration names: the text, or why it cannot be read.
pub type PolicyFiles = BTreeMap<String, Result<String, String>>;

/// The state that the registry shall have, and the services whose images go into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The project's name; without one nothing is foreign.
    pub project: Option<String>,
    /// The region that the workspace names.
    pub region: Option<String>,
    /// The only account in which anything may be written.
    pub account_id: Option<RegistryId>,
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
    pub lifecycle_policy: Option<Policy>,
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

/// A policy that shall or shall not be there.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// There shall be none.
    Absent,
    /// This text, verbatim.
    Text(String),
}

impl Policy {
    fn into_text(self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text),
        }
    }
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

impl Configuration {
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

/// The desired state. Problems are added to `problems`; while any stands, the result is not to be used.
pub fn resolve(configuration: &Configuration, files: &PolicyFiles, problems: &Problems) -> Desired {
    let resolver = Resolver { configuration, files, problems };
    let (services, mut repositories): (Vec<_>, Vec<_>) =
        configuration.members.iter().filter_map(|it| resolver.service(it)).unzip();
    repositories.extend(resolver.further_repositories());
    resolver.check_duplicates(&mut repositories);
    Desired {
        project: resolver.project(),
        region: configuration.workspace.region.as_ref().map(|it| it.value.clone()),
        account_id: configuration.workspace.account_id.as_ref().map(|it| it.value.clone()),
        repositories: repositories.into_iter().map(|(repository, _)| repository).collect(),
        services,
    }
}

struct Resolver<'a> {
    configuration: &'a Configuration,
    files: &'a PolicyFiles,
    problems: &'a Problems,
}

/// What a repository is made from, wherever it was defined.
struct Origin<'a> {
    name: RepositoryName,
    place: &'a Place,
    package: Option<&'a str>,
    description: Option<&'a str>,
    settings: RepositorySettings,
}

type Placed = (DesiredRepository, Place);

impl<'a> Resolver<'a> {
    fn project(&self) -> Option<String> {
        let here = self.configuration.workspace.project.as_ref();
        let there = self.configuration.definitions.project.as_ref();
        if let (Some(here), Some(there)) = (here, there)
            && here.value != there.value
        {
            let message =
                format!("project `{}` differs from project `{}` in {}", there.value, here.value, here.place);
            self.problems.add_with_help(&there.place, message, "name the project in one of the two files");
        }
        here.or(there).map(|it| it.value.clone())
    }

    fn service(&self, member: &'a Member) -> Option<(Service, Placed)> {
        let metadata = member.metadata.as_ref()?;
        let derived = self.derived_name(member, metadata);
        let entry = self.override_of(member, derived.as_ref());
        let name = entry.and_then(|it| it.name.as_ref()).map(|it| it.value.clone()).or(derived)?;
        let settings = entry.map(|it| it.settings.clone()).unwrap_or_default();
        let description = entry.and_then(|it| it.description.as_ref()).map(|it| it.value.as_str());
        let repository = self.repository(Origin {
            name: name.clone(),
            place: &metadata.place,
            package: Some(&member.package.name),
            description: description.or(member.package.description.as_deref()),
            settings: settings.or(metadata.settings.clone()),
        });
        let service = Service {
            package: member.package.clone(),
            repository: name,
            image: metadata.image.clone().or(self.configuration.workspace.image.clone()),
            place: metadata.place.clone(),
        };
        Some((service, repository))
    }

    /// `repository` of the metadata, else prefix and package name.
    fn derived_name(&self, member: &Member, metadata: &PackageMetadata) -> Option<RepositoryName> {
        if let Some(name) = &metadata.repository {
            return Some(name.value.clone());
        }
        let prefix = self.configuration.workspace.prefix.as_ref().map_or("", |it| &it.value);
        let name = format!("{prefix}{}", member.package.name);
        let report = |error: crate::name::InvalidName| {
            let help = "name it in [package.metadata.ecr]: repository = \"...\"";
            self.problems.add_with_help(&metadata.place, error.to_string(), help);
        };
        name.parse().map_err(report).ok()
    }

    fn override_of(&self, member: &Member, derived: Option<&RepositoryName>) -> Option<&'a Definition> {
        let is_override = |it: &&Definition| match &it.package {
            Some(package) => package.value == member.package.name,
            None => it.name.as_ref().is_some_and(|name| Some(&name.value) == derived),
        };
        let mut matching = self.configuration.definitions.repositories.iter().filter(is_override);
        let first = matching.next();
        for second in matching {
            let message =
                format!("the repository of package `{}` stands twice in this file", member.package.name);
            self.problems.add(&second.place, message);
        }
        first
    }

    /// The entries of `repositories.json` that belong to no service.
    fn further_repositories(&self) -> Vec<Placed> {
        let derived = |it: &Definition| {
            let services = self.configuration.members.iter();
            services.filter_map(|member| Some((member, member.metadata.as_ref()?))).any(
                |(member, metadata)| {
                    it.package.is_none() && {
                        let prefix = self.configuration.workspace.prefix.as_ref().map_or("", |it| &it.value);
                        let default = format!("{prefix}{}", member.package.name);
                        let name =
                            metadata.repository.as_ref().map_or(default.as_str(), |it| it.value.as_str());
                        it.name.as_ref().is_some_and(|it| it.value.as_str() == name)
                    }
                },
            )
        };
        let entries = self.configuration.definitions.repositories.iter();
        entries.filter(|it| !derived(it)).filter_map(|it| self.further_repository(it)).collect()
    }

    fn further_repository(&self, entry: &'a Definition) -> Option<Placed> {
        if let Some(package) = &entry.package {
            self.check_package(package);
            return None;
        }
        Some(self.repository(Origin {
            name: entry.name.as_ref()?.value.clone(),
            place: &entry.place,
            package: None,
            description: entry.description.as_ref().map(|it| it.value.as_str()),
            settings: entry.settings.clone(),
        }))
    }

    fn check_package(&self, package: &Located<String>) {
        let members = &self.configuration.members;
        match members.iter().find(|it| it.package.name == package.value) {
            Some(member) if member.metadata.is_some() => {}
            Some(_) => self.problems.add_with_help(
                &package.place,
                format!("package `{}` is no service", package.value),
                "add an empty table [package.metadata.ecr] to its Cargo.toml",
            ),
            None => {
                let names = members.iter().map(|it| it.package.name.as_str());
                let message = format!("there is no package `{}` in the workspace", package.value);
                match did_you_mean(&package.value, names) {
                    Some(name) => {
                        self.problems.add_with_help(
                            &package.place,
                            message,
                            format!("did you mean `{name}`?"),
                        );
                    }
                    None => self.problems.add(&package.place, message),
                }
            }
        }
    }

    fn repository(&self, origin: Origin<'_>) -> Placed {
        let workspace = &self.configuration.workspace;
        let settings = origin.settings.or(RepositorySettings {
            lifecycle_policy: workspace.lifecycle_policy.clone(),
            tags: workspace.tags.clone(),
            ..RepositorySettings::default()
        });
        settings.check(self.problems);
        let mutability = settings.image_tag_mutability.map_or(ImageTagMutability::Immutable, |it| it.value);
        let kms_key = settings.kms_key.map(|it| it.value);
        let repository = DesiredRepository {
            package: origin.package.map(str::to_owned),
            image_tag_mutability: mutability,
            exclusion_filters: settings.mutability_exclusions.map(|it| it.value).unwrap_or_default(),
            scan_on_push: settings.scan_on_push.is_none_or(|it| it.value),
            encryption: settings.encryption.map(|it| Encryption { kind: it.value, kms_key }),
            lifecycle_policy: settings.lifecycle_policy.and_then(|it| self.policy(&it, Kind::Lifecycle)),
            repository_policy: settings
                .repository_policy
                .and_then(|it| self.policy(&it, Kind::Repository))
                .and_then(Policy::into_text),
            tags: self.tags(origin.package, origin.description, &settings.tags),
            protect: settings.protect.is_some_and(|it| it.value),
            name: origin.name,
        };
        (repository, origin.place.clone())
    }

    fn tags(
        &self,
        package: Option<&str>,
        description: Option<&str>,
        own: &BTreeMap<String, Located<String>>,
    ) -> BTreeMap<String, String> {
        let project = self.configuration.workspace.project.as_ref();
        let project = project.or(self.configuration.definitions.project.as_ref());
        let written = [
            ("ManagedBy", Some(MANAGED_BY.to_owned())),
            ("Project", project.map(|it| it.value.clone())),
            ("Service", package.map(str::to_owned)),
            ("Description", description.map(tag_value).filter(|it| !it.is_empty())),
        ];
        let written = written.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        own.iter().map(|(key, value)| (key.clone(), value.value.clone())).chain(written).collect()
    }

    fn policy(&self, source: &Located<PolicySource>, kind: Kind) -> Option<Policy> {
        match &source.value {
            PolicySource::Absent => Some(Policy::Absent),
            PolicySource::Inline(json) => {
                self.checked(&source.place.file, &json.to_string(), kind, Some(&source.place))
            }
            PolicySource::File(path) => match self.files.get(path) {
                Some(Ok(text)) => self.checked(path, text, kind, None),
                Some(Err(reason)) => {
                    let message = format!("{} `{path}` cannot be read: {reason}", kind.name());
                    self.problems.add(&source.place, message);
                    None
                }
                None => None,
            },
        }
    }

    fn checked(&self, file: &str, text: &str, kind: Kind, place: Option<&Place>) -> Option<Policy> {
        let problems = match kind {
            Kind::Lifecycle => policy::check(file, text),
            Kind::Repository => policy::check_json(file, text),
        };
        let is_good = problems.is_empty();
        for mut problem in problems {
            if let Some(place) = place {
                problem.place = place.clone();
            }
            self.problems.push(problem);
        }
        is_good.then(|| Policy::Text(text.trim().to_owned()))
    }

    fn check_duplicates(&self, repositories: &mut [Placed]) {
        repositories.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        for pair in repositories.windows(2) {
            let [(first, first_place), (second, second_place)] = pair else { continue };
            if first.name == second.name {
                let message =
                    format!("repository `{}` is defined twice: here and in {first_place}", second.name);
                self.problems.add(second_place, message);
            }
        }
    }
}

/// The value of the resource tag `ManagedBy`.
pub const MANAGED_BY: &str = "cargo-xtask-ecr";

#[derive(Clone, Copy)]
enum Kind {
    Lifecycle,
    Repository,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "the lifecycle policy",
            Self::Repository => "the repository policy",
        }
    }
}

/// `text` as a value that AWS accepts: other characters become `-`, and it ends after 256.
fn tag_value(text: &str) -> String {
    let replaced = text.chars().map(|c| if is_tag_character(c) { c } else { '-' });
    replaced.take(256).collect::<String>().trim().to_owned()
}
