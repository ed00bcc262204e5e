//! One workspace for all cases, and copies of the states of a registry in which they begin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::scans::basic_scan;
use crate::support::{Output, POLICY, Registry, Workspace, files_below, static_binary};

/// The state of the registry before a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    /// There is no repository.
    Empty,
    /// The repositories have the defaults of ECR.
    Plain,
    /// The repositories are as configured.
    Created,
    /// They hold the images of the workspace, with their scans.
    Pushed,
}

/// The workspace and the states. The workspace is only read: cases have target folders of their own.
pub struct Stage {
    workspace: Workspace,
    states: tempfile::TempDir,
}

pub static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

/// A value that no output may have.
const SECRET_KEY: &str = "planted-secret-access-key";
/// The binaries of both services.
pub const BINARIES: &str = if cfg!(target_arch = "aarch64") { "linux/arm64=bin" } else { "linux/amd64=bin" };
const SERVICES: [&str; 2] = ["my-app", "my-app-worker"];
/// The time in which a command ends that has nothing to wait for.
const PROMPT: Duration = Duration::from_secs(60);

impl Stage {
    fn new() -> Self {
        let workspace = Workspace::example();
        for (n, name) in SERVICES.iter().enumerate() {
            let binary = static_binary(std::env::consts::ARCH, 30_000 + n);
            workspace.file(&format!("bin/{name}"), binary);
        }
        let stage = Self { workspace, states: tempfile::tempdir().unwrap() };
        stage.prepare(Before::Empty, |_| ());
        stage.prepare(Before::Plain, |case| SERVICES.iter().for_each(|it| case.registry.create_plain(it)));
        stage.prepare(Before::Created, |case| drop(case.good(&["ecr", "create"])));
        stage.prepare(Before::Pushed, |case| {
            let args = ["push", "--create", "--binary", BINARIES, "--format", "json"];
            let report = case.good(&args).json();
            for image in report["images"].as_array().unwrap() {
                let scan = basic_scan(&[("CVE-2024-1", "HIGH")]);
                case.registry.scan(image["digest"].as_str().unwrap(), &scan);
            }
        });
        stage
    }

    fn prepare(&self, before: Before, make: impl FnOnce(&Case)) {
        let case = Case::on(&self.workspace, tempfile::tempdir().unwrap());
        make(&case);
        let Case { folder, registry, .. } = case;
        drop(registry);
        copy(&folder.path().join("state"), &self.folder(before));
    }

    fn folder(&self, before: Before) -> PathBuf {
        self.states.path().join(format!("{before:?}"))
    }

    /// A registry in this state, and folders for one command.
    pub fn case(&self, before: Before) -> Case<'_> {
        let folder = tempfile::tempdir().unwrap();
        copy(&self.folder(before), &folder.path().join("state"));
        Case::on(&self.workspace, folder)
    }
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// A registry of its own for one case.
pub struct Case<'a> {
    workspace: &'a Workspace,
    pub registry: Registry,
    folder: tempfile::TempDir,
}

impl<'a> Case<'a> {
    fn on(workspace: &'a Workspace, folder: tempfile::TempDir) -> Self {
        fs::create_dir_all(folder.path().join("tmp")).unwrap();
        let registry = Registry::on(&folder.path().join("state"));
        Self { workspace, registry, folder }
    }

    /// Runs a command on an endpoint, at most for so long.
    pub fn run(&self, endpoint: &str, args: &[&str], bound: Duration) -> Output {
        let path = |it: &str| self.folder.path().join(it).display().to_string();
        let command = self.workspace.command(args).env("AWS_ENDPOINT_URL", endpoint);
        let command = command.env("CARGO_TARGET_DIR", &path("target")).env("TMPDIR", &path("tmp"));
        command.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).run_within(bound)
    }

    fn good(&self, args: &[&str]) -> Output {
        self.run(&self.registry.url(), args, PROMPT).good()
    }

    /// What commands left in the folder for temporary files.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        files_below(&self.folder.path().join("tmp"))
    }

    /// What a write of a command changes: repositories, their settings, and the digests of their tags.
    pub fn state(&self) -> Value {
        let described = self.registry.sdk(async |ecr| ecr.describe_repositories().send().await);
        let mut state = BTreeMap::new();
        for repository in described.repositories() {
            let name = repository.repository_name().unwrap();
            state.insert(name.to_owned(), self.repository(name, repository));
        }
        json!(state)
    }

    fn repository(&self, name: &str, found: &aws_sdk_ecr::types::Repository) -> Value {
        let registry = &self.registry;
        let policy =
            registry.try_sdk(async |ecr| ecr.get_lifecycle_policy().repository_name(name).send().await);
        let arn = found.repository_arn().unwrap();
        let tags = registry.sdk(async |ecr| ecr.list_tags_for_resource().resource_arn(arn).send().await);
        let tags: BTreeMap<_, _> = tags.tags().iter().map(|it| (it.key(), it.value())).collect();
        let images = registry.sdk(async |ecr| ecr.list_images().repository_name(name).send().await);
        let images: BTreeSet<_> =
            images.image_ids().iter().map(|it| (it.image_tag(), it.image_digest())).collect();
        let scanning = found.image_scanning_configuration().map(|it| it.scan_on_push());
        json!({
            "imageTagMutability": found.image_tag_mutability().map(|it| it.as_str()),
            "scanOnPush": scanning,
            "hasPolicy": policy.is_ok_and(|it| it.lifecycle_policy_text() == Some(POLICY)),
            "tags": tags,
            "images": images,
        })
    }
}

/// What must not be in an output: the key, and what the registry gave out.
pub fn leaks(output: &Output, secrets: &[String]) -> bool {
    let text = format!("{}{}", output.stdout, output.stderr);
    secrets.iter().map(String::as_str).chain([SECRET_KEY]).any(|it| text.contains(it))
}
