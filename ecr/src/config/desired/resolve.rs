//! Merging manifests and `repositories.json`. Each conflict between them is reported once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ecr_lifecycle::Document;
use ecr_types::document::{Located, Node, Place, Problem, Problems, Value, did_you_mean, parse_json};
use ecr_types::policy::{Policy, PolicyKind, PolicyProblem};
use ecr_types::text::NotText;
use ecr_types::{ImageTagMutability, RepositoryName};

use super::{
    BaseMirrors, Configuration, Desired, DesiredRepository, Encryption, LifecyclePolicy, MANAGED_BY, Member,
    PolicyFiles, Service,
};
use super::{binaries, duplicates};
use crate::config::definitions::RepositoryDefinition;
use crate::config::metadata::PackageMetadata;
use crate::config::settings::{PolicySource, RepositorySettings, is_resource_tag_character};

/// Computes the desired state. If a problem is added to `problems`, the result must not be used.
pub fn resolve(configuration: &Configuration, files: &PolicyFiles, problems: &Problems) -> Desired {
    let resolver = Resolver::new(configuration, files, problems);
    let (services, mut repositories): (Vec<_>, Vec<_>) =
        resolver.services().filter_map(|it| resolver.service(&it)).unzip();
    repositories.extend(resolver.standalone_repositories());
    duplicates::check_services(&services, problems);
    duplicates::check_repositories(&mut repositories, problems);
    Desired {
        project: resolver.project(),
        environment: configuration.environment.clone(),
        region: configuration.workspace.region.as_ref().map(|it| it.value.clone()),
        price: configuration.workspace.price.as_ref().map(|it| it.value),
        scan_ignore: configuration.workspace.scan_ignore.clone(),
        account_id: configuration.workspace.account_id.as_ref().map(|it| it.value.clone()),
        repositories: repositories.into_iter().map(|(repository, _)| repository).collect(),
        services,
        registry: resolver.registry(),
        base_mirrors: BaseMirrors::new(&configuration.workspace.base_mirrors, problems),
        near_misses: configuration.near_misses.clone(),
    }
}

/// The maximum number of tags of a resource (AWS, "Tagging a private repository", "Tag restrictions").
const MAX_RESOURCE_TAGS: usize = 50;

pub(super) struct Resolver<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) files: &'a PolicyFiles,
    pub(super) problems: &'a Problems,
    /// The valid lifecycle policies by file. Most repositories of a workspace have the same one.
    lifecycle_policies: RefCell<BTreeMap<String, Document>>,
}

/// The input for a [`DesiredRepository`], from a manifest or `repositories.json`.
struct RepositorySource<'a> {
    name: RepositoryName,
    place: &'a Place,
    package: Option<&'a str>,
    /// The name of its service.
    service: Option<String>,
    description: Option<&'a str>,
    settings: RepositorySettings,
}

/// A table that makes a package, or one of its binaries, a service.
pub(super) struct ConfiguredService<'a> {
    pub(super) member: &'a Member,
    /// The key below `services`; `None` if the package is one service.
    key: Option<&'a str>,
    pub(super) metadata: &'a PackageMetadata,
}

impl ConfiguredService<'_> {
    /// See [`Service::name`].
    pub(super) fn name(&self) -> String {
        let package = &self.member.package.name;
        self.key.map_or_else(|| package.clone(), |it| format!("{package}-{it}"))
    }
}

pub(super) type LocatedRepository = (DesiredRepository, Place);

impl<'a> Resolver<'a> {
    pub(super) fn new(
        configuration: &'a Configuration,
        files: &'a PolicyFiles,
        problems: &'a Problems,
    ) -> Self {
        Self { configuration, files, problems, lifecycle_policies: RefCell::default() }
    }

    fn project(&self) -> Option<String> {
        let manifest = self.configuration.workspace.project.as_ref();
        let definitions = self.configuration.definitions.project.as_ref();
        if let (Some(first), Some(second)) = (manifest, definitions)
            && first.value != second.value
        {
            let message = format!(
                "project `{}` differs from project `{}` in {}",
                second.value, first.value, first.place
            );
            self.problems.add_with_help(
                &second.place,
                message,
                "name the project in only one of the two files",
            );
        }
        manifest.or(definitions).map(|it| it.value.clone())
    }

    fn service(&self, service: &ConfiguredService<'a>) -> Option<(Service, LocatedRepository)> {
        let ConfiguredService { member, metadata, .. } = service;
        binaries::check(&member.package, metadata, self.problems);
        let derived = self.derived_name(service);
        let entry = self.override_of(service, derived.as_ref());
        let name = entry.and_then(|it| it.name.as_ref()).map(|it| it.value.clone()).or(derived)?;
        let settings = entry.map(|it| it.settings.clone()).unwrap_or_default();
        let description = entry.and_then(|it| it.description.as_ref()).map(|it| it.value.as_str());
        let repository = self.repository(RepositorySource {
            name: name.clone(),
            place: &metadata.place,
            package: Some(&member.package.name),
            service: Some(service.name()),
            description: description.or(member.package.description.as_deref()),
            settings: settings.or(metadata.settings.clone()),
        });
        let service = Service {
            package: member.package.clone(),
            name: service.name(),
            key: service.key.unwrap_or(&member.package.name).to_owned(),
            repository: name,
            image: metadata.image.clone().or(self.configuration.workspace.image.clone()),
            affected_by: metadata.affected_by.clone(),
            place: metadata.place.clone(),
        };
        Some((service, repository))
    }

    /// The key `repository` of the metadata, or the prefix followed by the name of the service.
    fn derived_text(&self, service: &ConfiguredService<'_>) -> String {
        let prefix = self.configuration.workspace.prefix.as_ref().map_or("", |it| &it.value);
        let default = || format!("{prefix}{}", service.name());
        service.metadata.repository.as_ref().map_or_else(default, |it| it.value.to_string())
    }

    pub(super) fn derived_name(&self, service: &ConfiguredService<'_>) -> Option<RepositoryName> {
        let report = |error: ecr_types::InvalidName| {
            let table = service.key.map(|it| format!(".services.{it}")).unwrap_or_default();
            let help = format!("name it in [package.metadata.ecr{table}]: repository = \"...\"");
            self.problems.add_with_help(&service.metadata.place, error.to_string(), help);
        };
        self.derived_text(service).parse().map_err(report).ok()
    }

    pub(super) fn override_of(
        &self,
        service: &ConfiguredService<'_>,
        derived: Option<&RepositoryName>,
    ) -> Option<&'a RepositoryDefinition> {
        let member = service.member;
        let is_override = |it: &&RepositoryDefinition| match &it.package {
            Some(package) => package.value == member.package.name && service.key.is_none(),
            None => it.name.as_ref().is_some_and(|name| Some(&name.value) == derived),
        };
        let mut matching = self.configuration.definitions.repositories.iter().filter(is_override);
        let first = matching.next();
        for duplicate in matching {
            let message = format!("duplicate entry for the repository of package `{}`", member.package.name);
            self.problems.add(&duplicate.place, message);
        }
        first
    }

    /// The repositories of `repositories.json` that do not belong to a service.
    fn standalone_repositories(&self) -> Vec<LocatedRepository> {
        let derived: Vec<String> = self.services().map(|it| self.derived_text(&it)).collect();
        let is_standalone = |entry: &&RepositoryDefinition| match (&entry.package, &entry.name) {
            (None, Some(name)) => !derived.iter().any(|it| it == name.value.as_str()),
            _ => true,
        };
        let entries = self.configuration.definitions.repositories.iter();
        entries.filter(is_standalone).filter_map(|it| self.standalone_repository(it)).collect()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = ConfiguredService<'a>> {
        let members = self.configuration.members.iter().filter_map(|it| Some((it, it.metadata.as_ref()?)));
        members.flat_map(|(member, metadata)| {
            let each = metadata.each().into_iter();
            each.map(move |(key, metadata)| ConfiguredService { member, key, metadata })
        })
    }

    fn standalone_repository(&self, entry: &'a RepositoryDefinition) -> Option<LocatedRepository> {
        if let Some(package) = &entry.package {
            self.check_package(package);
            return None;
        }
        Some(self.repository(RepositorySource {
            name: entry.name.as_ref()?.value.clone(),
            place: &entry.place,
            package: None,
            service: None,
            description: entry.description.as_ref().map(|it| it.value.as_str()),
            settings: entry.settings.clone(),
        }))
    }

    fn check_package(&self, package: &Located<String>) {
        let members = &self.configuration.members;
        match members.iter().find(|it| it.package.name == package.value) {
            Some(Member { metadata: Some(metadata), .. }) if metadata.services.is_empty() => {}
            Some(Member { metadata: Some(_), .. }) => self.problems.add_with_help(
                &package.place,
                format!("package `{}` has several services", package.value),
                "name the repository of the service that is meant with `name`",
            ),
            Some(_) => self.problems.add_with_help(
                &package.place,
                format!("package `{}` is not a service", package.value),
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

    fn repository(&self, origin: RepositorySource<'_>) -> LocatedRepository {
        let workspace = &self.configuration.workspace;
        let settings = origin.settings.clone().or(RepositorySettings {
            lifecycle_policy: workspace.lifecycle_policy.clone(),
            tags: workspace.tags.clone(),
            protect: workspace.protect.clone(),
            ..RepositorySettings::default()
        });
        settings.check(self.problems);
        let mutability = settings.image_tag_mutability.map_or(ImageTagMutability::Immutable, |it| it.value);
        let kms_key = settings.kms_key.map(|it| it.value);
        let filters = settings.mutability_exclusions.map(|it| it.value).unwrap_or_default();
        let (mutability, filters) = match origin.package {
            Some(_) => self.with_moving_tags(&origin.name, mutability, filters),
            None => (mutability, filters),
        };
        let repository = DesiredRepository {
            package: origin.package.map(str::to_owned),
            service: origin.service.clone(),
            image_tag_mutability: mutability,
            exclusion_filters: filters,
            scan_on_push: settings.scan_on_push.is_none_or(|it| it.value),
            encryption: settings.encryption.map(|it| Encryption { kind: it.value, kms_key }),
            lifecycle_policy: settings.lifecycle_policy.and_then(|it| self.lifecycle_policy(&it)),
            repository_policy: settings.repository_policy.and_then(|it| self.repository_policy(&it)),
            tags: self.tags(&origin, &settings.tags),
            protect: settings.protect.is_some_and(|it| it.value),
            name: origin.name,
        };
        (repository, origin.place.clone())
    }

    fn tags(
        &self,
        origin: &RepositorySource<'_>,
        own: &BTreeMap<String, Located<String>>,
    ) -> BTreeMap<String, String> {
        let project = self.configuration.workspace.project.as_ref();
        let project = project.or(self.configuration.definitions.project.as_ref());
        let written = [
            ("ManagedBy", Some(MANAGED_BY.to_owned())),
            ("Project", project.map(|it| it.value.clone())),
            ("Service", origin.service.clone()),
            ("Description", origin.description.map(tag_value).filter(|it| !it.is_empty())),
        ];
        let written = written.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let tags: BTreeMap<_, _> =
            own.iter().map(|(key, value)| (key.clone(), value.value.clone())).chain(written).collect();
        if tags.len() > MAX_RESOURCE_TAGS {
            let message = format!(
                "repository `{}` has {} resource tags, including those of this tool, but AWS allows at most {MAX_RESOURCE_TAGS}",
                origin.name,
                tags.len()
            );
            self.problems.add(origin.place, message);
        }
        tags
    }

    pub(super) fn lifecycle_policy(&self, source: &Located<PolicySource>) -> Option<LifecyclePolicy> {
        if source.value == PolicySource::Absent {
            return Some(LifecyclePolicy::Absent);
        }
        let help = "create the file, or name another one; `false` means no policy";
        if let PolicySource::File(path) = &source.value
            && let Some(known) = self.lifecycle_policies.borrow().get(path)
        {
            return Some(LifecyclePolicy::Document(known.clone()));
        }
        let text = self.policy_text(source, "the lifecycle policy", help)?;
        match Document::parse(&text.file, &text.text) {
            Ok(document) => {
                if text.place.is_none() {
                    self.lifecycle_policies.borrow_mut().insert(text.file, document.clone());
                }
                Some(LifecyclePolicy::Document(document))
            }
            Err(findings) => {
                self.add_problems(&text, findings.into_iter().map(Problem::from));
                None
            }
        }
    }

    fn repository_policy(&self, source: &Located<PolicySource>) -> Option<String> {
        let help = "create the file, or name another one";
        let text = self.policy_text(source, "the repository policy", help)?;
        let document = match parse_json(&text.file, &text.text) {
            Ok(document) => document,
            Err(problem) => {
                self.add_problems(&text, [problem]);
                return None;
            }
        };
        match Policy::parse(&text.text, PolicyKind::Repository) {
            Ok(_) => Some(text.text),
            Err(problems) => {
                let located = |it: PolicyProblem| Problem {
                    place: element(&document, &it.path).place.clone(),
                    message: format!("repository policy: {it}"),
                    help: None,
                };
                self.add_problems(&text, problems.into_iter().map(located));
                None
            }
        }
    }

    /// The text of a policy. `None` if the policy must be absent, or if its file cannot be read, which is reported.
    fn policy_text(&self, source: &Located<PolicySource>, name: &str, help: &str) -> Option<PolicyText> {
        match &source.value {
            PolicySource::Absent => None,
            PolicySource::Inline(json) => Some(PolicyText {
                file: source.place.file.to_string(),
                text: json.to_string(),
                place: Some(source.place.clone()),
            }),
            PolicySource::File(path) => match self.files.get(path)? {
                Ok(text) => Some(PolicyText { file: path.clone(), text: text.clone(), place: None }),
                Err(reason) => {
                    let message = format!("{name} `{path}` cannot be read: {reason}");
                    let help = NotText::of(reason).map_or(help, |it| it.help());
                    self.problems.add_with_help(&source.place, message, help);
                    None
                }
            },
        }
    }

    fn add_problems(&self, text: &PolicyText, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            let place = text.place.clone().unwrap_or_else(|| problem.place.clone());
            self.problems.push(Problem { place, ..problem });
        }
    }
}

/// The element at a path such as `Statement[0].Action`, as far as it exists.
fn element<'a>(document: &'a Node, path: &str) -> &'a Node {
    path.split(['.', '[', ']']).filter(|it| !it.is_empty()).fold(document, |node, step| {
        let item = match (&node.value, step.parse::<usize>()) {
            (Value::Array(items), Ok(n)) => items.get(n),
            _ => node.get(step),
        };
        item.unwrap_or(node)
    })
}

/// The text of a policy and its source.
struct PolicyText {
    file: String,
    text: String,
    /// The position of an inline policy, which replaces the positions within the policy.
    place: Option<Place>,
}

/// `text` as a valid value of a resource tag, in one line: single spaces replace white space, `-` replaces invalid
/// characters, and the text is cut to 256 characters.
fn tag_value(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let replaced = line.chars().map(|c| if is_resource_tag_character(c) { c } else { '-' });
    replaced.take(256).collect::<String>().trim().to_owned()
}
