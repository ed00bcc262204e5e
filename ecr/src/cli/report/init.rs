//! The document of `ecr init`.

use serde::Serialize;

use crate::adoption::{Choice, FileChange, Proposal, unified};

/// What a workspace needs to use the tool.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InitReport {
    /// The settings, each with its reason.
    pub settings: Vec<InitSetting>,
    /// The files that are made or changed.
    pub files: Vec<InitFile>,
    /// What was left as it is, and what is to be done by hand.
    pub notes: Vec<String>,
    /// Whether the files were written.
    pub written: bool,
}

/// A setting that would be made.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InitSetting {
    /// What is set.
    pub setting: String,
    /// The value.
    pub value: String,
    /// Why it is this value.
    pub why: String,
    /// How to have another one.
    pub change: String,
}

/// A file that is made or changed.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InitFile {
    /// The path, relative to the root of the workspace.
    pub path: String,
    /// Whether there is no such file yet.
    pub created: bool,
    /// The change, in the unified format of `diff`.
    pub diff: String,
}

impl From<&Choice> for InitSetting {
    fn from(choice: &Choice) -> Self {
        let Choice { setting, value, reason, change } = choice.clone();
        Self { setting, value, why: reason, change }
    }
}

impl From<&FileChange> for InitFile {
    fn from(change: &FileChange) -> Self {
        Self { path: change.path.clone(), created: change.old.is_none(), diff: unified(change) }
    }
}

impl InitReport {
    pub fn new(proposal: &Proposal, written: bool) -> Self {
        Self {
            settings: proposal.choices.iter().map(InitSetting::from).collect(),
            files: proposal.changes.iter().map(InitFile::from).collect(),
            notes: proposal.notes.clone(),
            written,
        }
    }

    /// The settings for people: what, why, and how to have it otherwise.
    pub fn lines(&self) -> Vec<String> {
        let setting = |it: &InitSetting| {
            [
                format!("{}: {}", it.setting, it.value),
                format!("    why: {}", it.why),
                format!("    to change it: {}", it.change),
            ]
        };
        self.settings.iter().flat_map(setting).collect()
    }
}
