//! Where each setting comes from, and what it takes the place of.

use std::collections::BTreeSet;
use std::fmt;

use ecr_types::document::{Located, Place, Problems};

use super::resolve::{ConfiguredService, Resolver};
use super::{Configuration, PolicyFiles};
use crate::config::metadata::{ImageMetadata, WorkspaceMetadata};
use crate::config::settings::{PolicySource, RepositorySettings};
use crate::config::tag_template::TagTemplate;

/// A setting: the value that counts, and the values that it overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The service that has it; `None` for a setting of the workspace.
    pub service: Option<ServiceName>,
    /// The key, as it is written in a manifest, with its table: `image.ports`.
    pub key: String,
    /// The values, the one that counts first. There is at least one.
    pub values: Vec<(String, Origin)>,
}

/// What a service is selected by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// Its package.
    pub package: String,
    /// Its own name, which is that of the package unless the package has several services.
    pub name: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of the configuration.
    Place(Place),
    /// A flag or an environment variable.
    Named(&'static str),
    /// What counts if nothing is configured.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => place.fmt(f),
            Self::Named(name) => f.write_str(name),
            Self::BuiltIn => f.write_str("built-in"),
        }
    }
}

/// What is set outside of the files.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// `--region`.
    pub region_flag: Option<String>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`, by its name.
    pub region_variable: Option<(&'static str, String)>,
    /// `--aws-profile`.
    pub profile_flag: Option<String>,
    /// `AWS_PROFILE`.
    pub profile_variable: Option<String>,
}

/// The values of a setting, from the highest precedence down. A value is taken once, though it may have been inherited.
#[derive(Default)]
struct Layers {
    values: Vec<(String, Origin)>,
    seen: BTreeSet<Place>,
}

impl Layers {
    fn named(mut self, name: &'static str, value: Option<&String>) -> Self {
        self.values.extend(value.map(|it| (it.clone(), Origin::Named(name))));
        self
    }

    fn located<T>(mut self, value: Option<&Located<T>>, text: impl Fn(&T) -> String) -> Self {
        if let Some(value) = value.filter(|it| self.seen.insert(it.place.clone())) {
            self.values.push((text(&value.value), Origin::Place(value.place.clone())));
        }
        self
    }

    fn built_in(mut self, value: &str) -> Self {
        self.values.push((value.to_owned(), Origin::BuiltIn));
        self
    }
}

/// Explains the settings of a configuration in its environment, and those of its services. `base` is the configuration without
/// the environment.
pub fn explain(
    configuration: &Configuration,
    base: &Configuration,
    files: &PolicyFiles,
    outside: &Outside,
    problems: &Problems,
) -> Vec<Explained> {
    let resolver = Resolver::new(configuration, files, problems);
    let mut all = of_workspace(configuration, &base.workspace, outside);
    for service in resolver.services() {
        all.extend(resolver.explain(&service, &base.workspace));
    }
    all
}

const UNSET: &str = "not set";

fn of_workspace(
    configuration: &Configuration,
    base: &WorkspaceMetadata,
    outside: &Outside,
) -> Vec<Explained> {
    let (workspace, environment) = (&configuration.workspace, configuration.environment.as_ref());
    let layers = Layers::default;
    let text = String::clone;
    let of_environment = |get: fn(&crate::config::metadata::Environment) -> Option<&Located<String>>| {
        environment.and_then(get)
    };
    let region_variable = outside.region_variable.as_ref();
    let rows = [
        (
            "project",
            layers()
                .located(workspace.project.as_ref(), text)
                .located(configuration.definitions.project.as_ref(), text)
                .built_in(UNSET),
        ),
        (
            "region",
            layers()
                .named("--region", outside.region_flag.as_ref())
                .located(of_environment(|it| it.region.as_ref()), text)
                .named(region_variable.map_or("", |it| it.0), region_variable.map(|it| &it.1))
                .located(base.region.as_ref(), text)
                .built_in("that of the AWS profile"),
        ),
        (
            "aws-profile",
            layers()
                .named("--aws-profile", outside.profile_flag.as_ref())
                .located(of_environment(|it| it.profile.as_ref()), text)
                .named("AWS_PROFILE", outside.profile_variable.as_ref())
                .built_in("default"),
        ),
        (
            "account-id",
            layers()
                .located(workspace.account_id.as_ref(), ToString::to_string)
                .located(base.account_id.as_ref(), ToString::to_string)
                .built_in("any account"),
        ),
        (
            "prefix",
            layers()
                .located(workspace.prefix.as_ref(), text)
                .located(base.prefix.as_ref(), text)
                .built_in("\"\""),
        ),
        ("default-environment", layers().located(base.default_environment.as_ref(), text).built_in(UNSET)),
        (
            "repositories",
            layers().located(base.repositories.as_ref(), text).built_in("ecr/repositories.json"),
        ),
        ("scan-ignore", layers().located(base.scan_ignore.as_ref(), text).built_in("ecr/scan-ignore.toml")),
        ("price-per-gb-month", layers().located(base.price.as_ref(), ToString::to_string).built_in("0.10")),
    ];
    rows.into_iter()
        .map(|(key, it)| Explained { service: None, key: key.to_owned(), values: it.values })
        .collect()
}

impl Resolver<'_> {
    fn explain(&self, service: &ConfiguredService<'_>, base: &WorkspaceMetadata) -> Vec<Explained> {
        let own = service.metadata;
        let package = service.member.metadata.as_ref().unwrap_or(own);
        let derived = self.derived_name(service);
        let entry = self.override_of(service, derived.as_ref());
        let defaults = |workspace: &WorkspaceMetadata| RepositorySettings {
            lifecycle_policy: workspace.lifecycle_policy.clone(),
            tags: workspace.tags.clone(),
            protect: workspace.protect.clone(),
            ..RepositorySettings::default()
        };
        let (in_environment, without) = (defaults(&self.configuration.workspace), defaults(base));
        let of_entry = entry.map(|it| &it.settings);
        let settings: Vec<_> = of_entry
            .into_iter()
            .chain([&own.settings, &package.settings, &in_environment, &without])
            .collect();
        let images = [&own.image, &package.image, &self.configuration.workspace.image];
        let repository = Layers::default()
            .located(entry.and_then(|it| it.name.as_ref()), ToString::to_string)
            .located(own.repository.as_ref(), ToString::to_string)
            .built_in(&derived.map(|it| it.to_string()).unwrap_or_default());
        let rows = std::iter::once(("repository".to_owned(), repository));
        let rows = rows.chain(of_settings(&settings)).chain(of_image(&images, &service.member.package));
        let service = ServiceName { package: service.member.package.name.clone(), name: service.name() };
        rows.map(|(key, it)| Explained { service: Some(service.clone()), key, values: it.values }).collect()
    }
}

type Row = (String, Layers);

fn of_settings(layers: &[&RepositorySettings]) -> Vec<Row> {
    fn row<T>(
        layers: &[&RepositorySettings],
        key: &str,
        get: impl Fn(&RepositorySettings) -> Option<&Located<T>>,
        text: impl Fn(&T) -> String,
        built_in: &str,
    ) -> Row {
        let all = layers.iter().fold(Layers::default(), |all, it| all.located(get(it), &text));
        (key.to_owned(), all.built_in(built_in))
    }
    let policy = |it: &PolicySource| match it {
        PolicySource::File(path) => path.clone(),
        PolicySource::Inline(_) => "(inline)".to_owned(),
        PolicySource::Absent => "false".to_owned(),
    };
    let text = ToString::to_string;
    let mut rows = vec![
        row(
            layers,
            "image-tag-mutability",
            |it| it.image_tag_mutability.as_ref(),
            ToString::to_string,
            "IMMUTABLE",
        ),
        row(layers, "mutability-exclusions", |it| it.mutability_exclusions.as_ref(), |it| list(it), "[]"),
        row(layers, "scan-on-push", |it| it.scan_on_push.as_ref(), ToString::to_string, "true"),
        row(layers, "encryption", |it| it.encryption.as_ref(), |it| it.as_str().to_owned(), "any"),
        row(layers, "kms-key", |it| it.kms_key.as_ref(), String::clone, UNSET),
        row(layers, "lifecycle-policy", |it| it.lifecycle_policy.as_ref(), policy, "left as it is"),
        row(layers, "repository-policy", |it| it.repository_policy.as_ref(), policy, "left as it is"),
        row(layers, "protect", |it| it.protect.as_ref(), text, "false"),
    ];
    let keys: BTreeSet<_> = layers.iter().flat_map(|it| it.tags.keys()).collect();
    for key in keys {
        let all =
            layers.iter().fold(Layers::default(), |all, it| all.located(it.tags.get(key), String::clone));
        rows.push((format!("tags.{key}"), all));
    }
    rows
}

fn of_image(layers: &[&ImageMetadata], package: &super::Package) -> Vec<Row> {
    fn row<T>(
        layers: &[&ImageMetadata],
        key: &str,
        get: impl Fn(&ImageMetadata) -> Option<&Located<T>>,
        text: impl Fn(&T) -> String,
        built_in: &str,
    ) -> Row {
        let all = layers.iter().fold(Layers::default(), |all, it| all.located(get(it), &text));
        (format!("image.{key}"), all.built_in(built_in))
    }
    fn values<T: fmt::Display>(all: &[Located<T>]) -> String {
        list(&all.iter().map(|it| it.value.to_string()).collect::<Vec<_>>())
    }
    let bin = match package.bins.as_slice() {
        [only] => only,
        _ => &package.name,
    };
    let files = |all: &Vec<crate::config::metadata::FileCopy>| {
        list(&all.iter().map(|it| format!("{} -> {}", it.from.value, it.to.value)).collect::<Vec<_>>())
    };
    let mut rows = vec![
        row(layers, "bin", |it| it.bin.as_ref(), String::clone, bin),
        row(
            layers,
            "tags",
            |it| it.tags.as_ref(),
            |it: &Vec<Located<TagTemplate>>| values(it),
            "[\"{version}\"]",
        ),
        row(layers, "ports", |it| it.ports.as_ref(), |it| format!("{it:?}"), "[]"),
        row(layers, "args", |it| it.args.as_ref(), |it| values(it), "[]"),
        row(layers, "user", |it| it.user.as_ref(), String::clone, "65532:65532"),
        row(layers, "workdir", |it| it.workdir.as_ref(), String::clone, "/"),
        row(layers, "base", |it| it.base.as_ref(), String::clone, "scratch"),
        row(
            layers,
            "platforms",
            |it| it.platforms.as_ref(),
            |it| list(&it.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "that of this machine",
        ),
        row(
            layers,
            "compression",
            |it| it.compression.as_ref(),
            |it| format!("{it:?}").to_lowercase(),
            "gzip",
        ),
        row(layers, "files", |it| it.files.as_ref(), files, "[]"),
        row(layers, "features", |it| it.features.as_ref(), |it| values(it), "[]"),
        row(
            layers,
            "no-default-features",
            |it| it.no_default_features.as_ref(),
            ToString::to_string,
            "false",
        ),
        row(
            layers,
            "dockerfile",
            |it| it.dockerfile.as_ref(),
            String::clone,
            if package.has_dockerfile { "Dockerfile" } else { UNSET },
        ),
        row(layers, "context", |it| it.context.as_ref(), String::clone, "the root of the workspace"),
    ];
    for (table, get) in [
        ("env", (|it| &it.env) as fn(&ImageMetadata) -> &std::collections::BTreeMap<String, Located<String>>),
        ("labels", |it| &it.labels),
    ] {
        let keys: BTreeSet<_> = layers.iter().flat_map(|it| get(it).keys()).collect();
        for key in keys {
            let all =
                layers.iter().fold(Layers::default(), |all, it| all.located(get(it).get(key), String::clone));
            rows.push((format!("image.{table}.{key}"), all));
        }
    }
    rows
}

/// `["a", "b"]`.
fn list(values: &[impl AsRef<str>]) -> String {
    let quoted: Vec<_> = values.iter().map(|it| format!("\"{}\"", it.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}
