//! What a workspace needs to use this tool: which files change, and why each setting is as it is.
//!
//! [`look`] reads a workspace into [`Surroundings`], and [`propose`] makes a [`Proposal`] of them, without touching anything.

mod diff;
pub mod look;
mod manifests;
mod names;
mod registry;
mod services;
mod ways;

pub use diff::unified;

use crate::aws::caller::Caller;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The name of the folder of the workspace.
    pub folder: String,
    /// The packages, sorted by name.
    pub packages: Vec<PackageFound>,
    /// The text of the root manifest.
    pub root_manifest: String,
    /// The texts of the other files that may change, by their paths; `None` for one that is not there.
    pub cargo_config: Option<String>,
    /// Whether that is `.cargo/config`, which cargo prefers to `.cargo/config.toml`.
    pub has_old_cargo_config: bool,
    pub repositories: Option<String>,
    pub lifecycle_policy: Option<String>,
    pub gitignore: Option<String>,
    /// `Cargo.lock`.
    pub lock: Option<String>,
    /// The manifest of a package in the folder `xtask`, whether or not it is a member.
    pub xtask: Option<String>,
    /// Whether the workspace is in a git repository.
    pub has_git: bool,
    /// What the environment says about AWS.
    pub caller: Caller,
}

impl Surroundings {
    /// The file with the configuration of cargo.
    fn cargo_config_path(&self) -> &'static str {
        cargo_config_path(self.has_old_cargo_config)
    }
}

fn cargo_config_path(is_old: bool) -> &'static str {
    if is_old { ".cargo/config" } else { ".cargo/config.toml" }
}

/// A package of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageFound {
    pub name: String,
    pub version: String,
    /// The path of the manifest, relative to the root.
    pub manifest: String,
    pub text: String,
    /// The names of the binary targets.
    pub bins: Vec<String>,
    pub has_dockerfile: bool,
    /// Whether a plain `cargo build` compiles it.
    pub is_default_member: bool,
    /// Whether commits have changed the package after the one that set its version. `None` without git.
    pub changed_since_version: Option<bool>,
}

/// How the tool gets into a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Way {
    /// `cargo install`: nothing in the workspace depends on the tool
    #[default]
    Installed,
    /// An xtask that is a workspace of its own, with its own lock file and profiles
    Workspace,
    /// An xtask that is a member of this workspace
    Member,
}

/// Where the tool comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The folder of the package `xtask-ecr`, relative to the root of the workspace or absolute.
    Path(String),
    /// The address of a git repository.
    Git(String),
}

/// A file that is made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path, relative to the root of the workspace.
    pub path: String,
    /// `None` if there is no such file.
    pub old: Option<String>,
    pub new: String,
}

/// A setting, with the reason for its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub setting: String,
    pub value: String,
    pub reason: String,
    /// How to have it otherwise.
    pub change: String,
}

/// What the workspace would be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    pub changes: Vec<FileChange>,
    pub choices: Vec<Choice>,
    /// What cannot be written, or what the user should know.
    pub notes: Vec<String>,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProposal {
    #[error("no package of the workspace has a binary, so that there is nothing to make an image of")]
    NoBinary,
    #[error("an xtask depends on the tool, and --source does not say where it is")]
    NoSource,
    #[error("`{path}` cannot be changed: {reason}")]
    Unreadable { path: String, reason: String },
}

impl NoProposal {
    /// What the user can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoBinary => "add src/main.rs to a package, or a [[bin]] table",
            Self::NoSource => {
                "pass --source PATH with a checkout of the tool, or --source URL of its git repository"
            }
            Self::Unreadable { .. } => "correct the file first: `cargo metadata` says more about it",
        }
    }
}

/// What the workspace needs.
///
/// # Errors
/// Nothing can be pushed, it is not known where the tool is, or a file cannot be read as what it should be.
pub fn propose(found: &Surroundings, way: Way, source: Option<&Source>) -> Result<Proposal, NoProposal> {
    let mut proposal = Proposal::default();
    services::add(found, &mut proposal)?;
    add_project(found, &mut proposal);
    registry::add(found, &mut proposal);
    add_lifecycle_policy(found, &mut proposal);
    ways::add(found, way, source, &mut proposal)?;
    add_gitignore(found, &mut proposal);
    proposal.changes.retain(|it| it.old.as_deref() != Some(it.new.as_str()));
    Ok(proposal)
}

impl Proposal {
    fn choose(
        &mut self,
        setting: &str,
        value: impl Into<String>,
        reason: impl Into<String>,
        change: impl Into<String>,
    ) {
        let (value, reason, change) = (value.into(), reason.into(), change.into());
        self.choices.push(Choice { setting: setting.to_owned(), value, reason, change });
    }

    /// The text of a file, after the changes so far.
    fn text<'a>(&'a self, path: &str, old: &'a str) -> &'a str {
        self.changes.iter().find(|it| it.path == path).map_or(old, |it| &it.new)
    }

    /// Changes a file that is there, in place of the changes so far: they are in `new`.
    fn change(&mut self, path: &str, old: &str, new: String) {
        self.changes.retain(|it| it.path != path);
        self.changes.push(FileChange { path: path.to_owned(), old: Some(old.to_owned()), new });
    }

    fn create(&mut self, path: &str, new: String) {
        self.changes.push(FileChange { path: path.to_owned(), old: None, new });
    }
}

const ROOT: &str = "Cargo.toml";
const REPOSITORIES: &str = "ecr/repositories.json";
const LIFECYCLE_POLICY: &str = "ecr/lifecycle-policy.json";

fn add_project(found: &Surroundings, proposal: &mut Proposal) {
    if found.root_manifest.contains("[workspace.metadata.ecr]") {
        return proposal
            .notes
            .push("the workspace has a table [workspace.metadata.ecr], which stays as it is".to_owned());
    }
    if found.repositories.is_some() {
        return proposal.notes.push(format!(
            "{REPOSITORIES} is there and stays as it is: its entries complete the services, and its `project` is that of the workspace"
        ));
    }
    let project = &names::project(&found.folder);
    proposal.choose(
        "project",
        project,
        "the name of the folder; it marks the repositories as those of this workspace, and `ecr delete` asks for it",
        format!("`project` in {REPOSITORIES}"),
    );
    let text = serde_json::json!({ "project": project, "repositories": [] });
    proposal.create(REPOSITORIES, serde_json::to_string_pretty(&text).unwrap_or_default() + "\n");
}

/// It keeps everything that a team goes back to, and does not let a repository grow for ever.
const POLICY: &str = r#"{
  "rules": [
    {
      "rulePriority": 1,
      "description": "Expire untagged images after 14 days",
      "selection": {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 14
      },
      "action": {
        "type": "expire"
      }
    },
    {
      "rulePriority": 2,
      "description": "Keep the last 50 images",
      "selection": {
        "tagStatus": "any",
        "countType": "imageCountMoreThan",
        "countNumber": 50
      },
      "action": {
        "type": "expire"
      }
    }
  ]
}
"#;

fn add_lifecycle_policy(found: &Surroundings, proposal: &mut Proposal) {
    if found.lifecycle_policy.is_some() {
        return proposal
            .notes
            .push(format!("{LIFECYCLE_POLICY} is there and stays as it is; `ecr lifecycle check` reads it"));
    }
    proposal.choose(
        "lifecycle policy",
        "untagged images go after 14 days, and the last 50 stay",
        "without one, a repository grows for ever",
        format!("{LIFECYCLE_POLICY}; `lifecycle-policy = false` is none"),
    );
    proposal.create(LIFECYCLE_POLICY, POLICY.to_owned());
}

fn add_gitignore(found: &Surroundings, proposal: &mut Proposal) {
    let old = found.gitignore.as_deref().unwrap_or_default();
    let is_target = |line: &str| {
        matches!(line.trim(), "target" | "/target" | "target/" | "/target/" | "**/target" | "**/target/")
    };
    if !found.has_git || old.lines().any(is_target) {
        return;
    }
    proposal.choose(
        ".gitignore",
        "/target",
        "images are pushed of a clean tree, and builds write there",
        "the file",
    );
    let new = manifests::appended(old, "/target\n");
    proposal.changes.push(FileChange { path: ".gitignore".to_owned(), old: found.gitignore.clone(), new });
}

#[cfg(test)]
mod tests;
