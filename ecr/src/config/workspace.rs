//! Loading a workspace: `cargo metadata`, manifests and configuration files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};
use ecr_lifecycle::Environments;
use ecr_types::document::{Place, Problem, Problems};
use thiserror::Error;

use crate::adoption::{Surroundings, look};
use crate::config::desired::{self, Configuration, Desired, Explained, Outside, PolicyFiles};
use crate::config::environments::{self, EnvironmentChoice, EnvironmentName, NameSource, NoEnvironment};
use crate::config::files;
use crate::config::metadata::Environment;
use crate::config::reader::{REPOSITORIES, Reader, unreadable};
use crate::config::settings::PolicySource;
use crate::process::{self, Patience, ProcessError};

/// A workspace with its configuration.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the root manifest.
    pub root: PathBuf,
    /// The target folder of cargo.
    pub target: PathBuf,
    /// The folder for what cargo makes on the way, if it is another one (The Cargo Book, `build.build-dir`).
    pub build: Option<PathBuf>,
    pub desired: Desired,
    /// The manifests of all members.
    pub manifests: Vec<PathBuf>,
    /// The manifests of packages that are no members, and that members depend on by path.
    pub outside: Vec<PathBuf>,
    /// The members and what they depend on by path, by their folders.
    pub path_packages: BTreeMap<PathBuf, PathPackage>,
    /// The files of the configuration that no image depends on, relative to the root.
    pub policies: BTreeSet<String>,
    /// All environments of the workspace, for warnings about what they run.
    pub environments: Environments,
    /// The names of the environments.
    pub environment_names: Vec<String>,
}

/// A package with those that it depends on by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPackage {
    /// The folders of dependencies and build dependencies.
    pub dependencies: BTreeSet<PathBuf>,
    /// The folders of development dependencies.
    pub dev_dependencies: BTreeSet<PathBuf>,
    /// Whether it depends on crates of a registry or a git repository, not only for development.
    pub has_crates: bool,
    pub has_build_script: bool,
}

/// The environment that the flag `--environment` names, else the variable `XTASK_ECR_ENVIRONMENT`. An empty text names none.
pub fn named_environment(flag: Option<&str>) -> Option<EnvironmentName> {
    let named =
        |name: String, origin| Some(EnvironmentName { name, origin }).filter(|it| !it.name.is_empty());
    let variable = || std::env::var(environments::VARIABLE).ok();
    named(flag.unwrap_or_default().to_owned(), NameSource::Flag)
        .or_else(|| named(variable()?, NameSource::Variable))
}

/// The settings of a workspace with their origins, in one environment.
#[derive(Debug)]
pub struct Explanation {
    /// The name of the environment; `None` without one.
    pub environment: Option<String>,
    pub settings: Vec<Explained>,
    /// Tables of manifests that are probably mistyped, for warnings.
    pub near_misses: Vec<Problem>,
}

/// The variables that have a say beside the files: the region and the profile.
pub fn outside(region_flag: Option<String>, profile_flag: Option<String>) -> Outside {
    let variable = |name: &'static str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let region = |name: &'static str| Some((name, variable(name)?));
    Outside {
        region_flag,
        region_variable: region("AWS_REGION").or_else(|| region("AWS_DEFAULT_REGION")),
        profile_flag,
        profile_variable: variable("AWS_PROFILE"),
    }
}

/// The root of a workspace, and what is there, whether or not it uses this tool.
///
/// # Errors
/// `cargo metadata` fails, or a file cannot be read.
pub fn surroundings(
    manifest_path: Option<&Path>,
    patience: &Patience,
) -> Result<(PathBuf, Surroundings), anyhow::Error> {
    let metadata = metadata(manifest_path, patience)?;
    let found = look::look(&metadata, patience)?;
    Ok((metadata.workspace_root.into_std_path_buf(), found))
}

/// The lifecycle policies of a workspace.
#[derive(Debug)]
pub struct LifecyclePolicies {
    /// The position and the text of each policy.
    pub policies: Vec<(Place, String)>,
    pub environments: Environments,
    /// Tables of manifests that are probably mistyped, for warnings.
    pub near_misses: Vec<Problem>,
}

impl Workspace {
    /// The lifecycle policies of the configuration. They are not checked.
    ///
    /// # Errors
    /// `cargo metadata` fails, the configuration has problems, or a file cannot be read.
    pub fn lifecycle_policies(
        manifest_path: Option<&Path>,
        patience: &Patience,
    ) -> Result<LifecyclePolicies, LoadError> {
        let metadata = metadata(manifest_path, patience)?;
        let root = metadata.workspace_root.as_std_path();
        let problems = Problems::default();
        let configuration = Reader { root, problems: &problems }.configuration(&metadata);
        let mut policies = BTreeMap::new();
        for source in configuration.lifecycle_sources() {
            match &source.value {
                PolicySource::Absent => {}
                PolicySource::Inline(json) => drop(policies.insert(source.place.clone(), json.to_string())),
                PolicySource::File(path) => match files::text(&root.join(path)) {
                    Ok(text) => drop(policies.insert(Place::file(path), text)),
                    Err(error) => problems.push(unreadable(&source.place, &format!("`{path}` "), &error)),
                },
            }
        }
        problems.into_result().map_err(LoadError::Problems)?;
        Ok(LifecyclePolicies {
            policies: policies.into_iter().collect(),
            environments: configuration.environments(),
            near_misses: configuration.near_misses,
        })
    }

    /// Where the settings come from, in each environment that `choice` selects.
    ///
    /// # Errors
    /// As those of [`Workspace::load`].
    pub fn explain(
        manifest_path: Option<&Path>,
        choice: &EnvironmentChoice,
        outside: &Outside,
        patience: &Patience,
    ) -> Result<Vec<Explanation>, LoadError> {
        let metadata = metadata(manifest_path, patience)?;
        let root = metadata.workspace_root.as_std_path();
        let problems = Problems::default();
        let base = Reader { root, problems: &problems }.configuration(&metadata);
        let files = policy_files(root, &base);
        resolve_all(&base, &files, &problems);
        let selected = environments::select(&base.workspace, choice)?;
        let in_each = selected.iter().map(|it| Some(*it)).chain(selected.is_empty().then_some(None));
        let explanation = |environment: Option<&Environment>| {
            let own = environment.map_or_else(|| base.clone(), |it| base.in_environment(it));
            let settings = desired::explain(&own, &base, &files, outside, &problems);
            let (environment, near_misses) =
                (environment.map(|it| it.name.clone()), base.near_misses.clone());
            Explanation { environment, settings, near_misses }
        };
        let explained = in_each.map(explanation).collect();
        problems.into_result().map_err(LoadError::Problems)?;
        Ok(explained)
    }

    /// Reads the workspace of `manifest_path`, or of the current directory, once for each environment that `choice` selects.
    /// There is at least one result.
    ///
    /// # Errors
    /// `cargo metadata` fails, the configuration has problems, also in environments that are not selected, which are reported
    /// all at once, or there is no such environment.
    pub fn load(
        manifest_path: Option<&Path>,
        choice: &EnvironmentChoice,
        patience: &Patience,
    ) -> Result<Vec<Self>, LoadError> {
        let metadata = metadata(manifest_path, patience)?;
        let root = metadata.workspace_root.clone().into_std_path_buf();
        let problems = Problems::default();
        let configuration = Reader { root: &root, problems: &problems }.configuration(&metadata);
        let files = policy_files(&root, &configuration);
        let all = resolve_all(&configuration, &files, &problems);
        problems.into_result().map_err(LoadError::Problems)?;
        let selected = environments::select(&configuration.workspace, choice)?;
        let is_selected = |it: &Desired| match &it.environment {
            Some(environment) => selected.iter().any(|it| it.name == environment.name),
            None => selected.is_empty(),
        };
        let environments = configuration.environments();
        let environment_names: Vec<_> =
            configuration.workspace.environments.iter().map(|it| it.name.clone()).collect();
        let (manifests, outside) = manifests(&metadata);
        let path_packages: BTreeMap<_, _> = metadata.packages.iter().filter_map(path_package).collect();
        let definitions = configuration.workspace.repositories.as_ref().map(|it| it.value.clone());
        let definitions = definitions.unwrap_or_else(|| REPOSITORIES.to_owned());
        let policies: BTreeSet<_> = files.keys().cloned().chain([definitions]).collect();
        let target = metadata.target_directory.into_std_path_buf();
        let build = metadata.build_directory.map(|it| it.into_std_path_buf()).filter(|it| *it != target);
        let workspace = |desired| Self {
            manifests: manifests.clone(),
            outside: outside.clone(),
            path_packages: path_packages.clone(),
            policies: policies.clone(),
            root: root.clone(),
            target: target.clone(),
            build: build.clone(),
            desired,
            environments: environments.clone(),
            environment_names: environment_names.clone(),
        };
        Ok(all.into_iter().filter(is_selected).map(workspace).collect())
    }
}

/// The manifests of members, and those of their path dependencies that are no members, both sorted.
fn manifests(metadata: &Metadata) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let own = metadata.packages.iter().map(|it| it.manifest_path.clone().into_std_path_buf());
    let members: BTreeSet<_> = own.collect();
    let dependencies = metadata.packages.iter().flat_map(|it| &it.dependencies);
    let paths = dependencies.filter_map(|it| Some(it.path.as_ref()?.join("Cargo.toml").into_std_path_buf()));
    let outside: BTreeSet<_> = paths.filter(|it| !members.contains(it)).collect();
    (members.into_iter().collect(), outside.into_iter().collect())
}

fn path_package(package: &cargo_metadata::Package) -> Option<(PathBuf, PathPackage)> {
    let folder = package.manifest_path.parent()?.as_std_path().to_owned();
    let mut found = PathPackage {
        has_build_script: package.targets.iter().any(|it| it.kind.contains(&TargetKind::CustomBuild)),
        ..PathPackage::default()
    };
    for dependency in &package.dependencies {
        let path = dependency.path.as_ref().map(|it| it.as_std_path().to_owned());
        match (dependency.kind, path) {
            (DependencyKind::Development, path) => found.dev_dependencies.extend(path),
            (_, Some(path)) => drop(found.dependencies.insert(path)),
            (_, None) => found.has_crates = true,
        }
    }
    Some((folder, found))
}

/// The desired state without an environment, and that of each environment.
fn resolve_all(configuration: &Configuration, files: &PolicyFiles, problems: &Problems) -> Vec<Desired> {
    environments::check_default(&configuration.workspace, problems);
    let environments = &configuration.workspace.environments;
    let resolve = |it: &Environment| desired::resolve(&configuration.in_environment(it), files, problems);
    let each: Vec<_> = environments.iter().map(resolve).collect();
    environments::check_shared(&environments.iter().zip(&each).collect::<Vec<_>>(), problems);
    std::iter::once(desired::resolve(configuration, files, problems)).chain(each).collect()
}

/// Why a workspace cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// cargo reports an error in the workspace.
    #[error("cargo cannot read the workspace")]
    Cargo(#[source] CargoError),
    /// cargo cannot be run, or does not end.
    #[error("failed to read the workspace")]
    Process(#[source] ProcessError),
    /// The output of cargo cannot be read.
    #[error("failed to read the output of `cargo metadata`")]
    Metadata(#[source] cargo_metadata::Error),
    #[error("the configuration has problems")]
    Problems(Vec<Problem>),
    #[error(transparent)]
    Environment(#[from] NoEnvironment),
}

/// The error message of cargo.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CargoError(String);

impl CargoError {
    /// Whether the current directory is not in a workspace.
    pub fn is_missing_manifest(&self) -> bool {
        self.0.contains("could not find `Cargo.toml`")
    }
}

/// Runs `cargo metadata --no-deps`. The dependency graph is not needed, and resolving it may need the network.
fn metadata(manifest_path: Option<&Path>, patience: &Patience) -> Result<Metadata, LoadError> {
    let mut command = MetadataCommand::new();
    // What cargo says is quoted in errors.
    command.no_deps().env("CARGO_TERM_COLOR", "never");
    if let Some(path) = manifest_path {
        command.manifest_path(path);
    }
    // With `--no-deps` cargo fetches nothing, and loading the certificates of the system is two fifths of its run time.
    // If cargo did not start this process, `cargo` may be the proxy of rustup, which may have to download a toolchain.
    if std::env::var_os("CARGO").is_some_and(|it| Path::new(&it).is_absolute()) {
        command.env("SSL_CERT_FILE", "/dev/null");
    }
    let output = process::output(&mut command.cargo_command(), &[], patience).map_err(LoadError::Process)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(LoadError::Cargo(CargoError(stderr.trim().trim_start_matches("error: ").to_owned())));
    }
    MetadataCommand::parse(String::from_utf8_lossy(&output.stdout)).map_err(LoadError::Metadata)
}

fn policy_files(root: &Path, configuration: &Configuration) -> PolicyFiles {
    let read = |path: &str| files::text(&root.join(path));
    let files: BTreeMap<_, _> =
        configuration.policy_files().into_iter().map(|path| (path.to_owned(), read(path))).collect();
    files
}
