//! The result of each service, and how it is printed.

use std::time::Duration;

use ecr_types::ImageTag;
use ecr_types::error::one_line;
use ecr_types::human::{counted, size};

use super::Job;
use crate::cli::error::Exit;
use crate::cli::help::help_for;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::cli::shell::Shell;
use crate::config::desired::Service;

/// The result of a service.
pub(super) struct ServiceResult {
    /// The position of the service in the output.
    pub index: usize,
    pub entry: PushEntry,
    pub exit: Exit,
    pub help: Option<String>,
}

impl ServiceResult {
    pub(super) fn succeeded(job: &Job, entry: PushEntry) -> Self {
        Self { index: job.index, entry, exit: Exit::Done, help: None }
    }

    /// A failure, with the help for its error.
    pub(super) fn failed(job: &Job, error: &anyhow::Error) -> Self {
        let entry =
            PushEntry { error: Some(one_line(error.as_ref())), ..entry(&job.service, PushOutcome::Failed) };
        Self { index: job.index, entry, exit: Exit::Failed, help: help_for(error) }
    }

    /// The same, with an entry that describes the image.
    pub(super) fn failed_with(job: &Job, entry: PushEntry, error: &anyhow::Error) -> Self {
        let failed = Self::failed(job, error);
        let entry = PushEntry { error: failed.entry.error, outcome: PushOutcome::Failed, ..entry };
        Self { entry, ..failed }
    }

    /// A conflict: an immutable tag points to another image.
    pub(super) fn conflict(job: &Job, entry: PushEntry, reason: String) -> Self {
        let folder = &job.service.package.folder;
        let manifest =
            if folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
        let help = format!(
            "bump the version in {manifest}, or push another tag, such as `--tag '{{version}}-{{digest}}'`, \
             which never conflicts"
        );
        let entry = PushEntry { outcome: PushOutcome::Conflict, error: Some(reason), ..entry };
        Self { index: job.index, entry, exit: Exit::Conflict, help: Some(help) }
    }
}

pub(super) fn entry(service: &Service, outcome: PushOutcome) -> PushEntry {
    PushEntry {
        package: service.package.name.clone(),
        service: service.key.clone(),
        repository: service.repository.clone(),
        outcome,
        tags: Vec::new(),
        digest: None,
        reference: None,
        platforms: Vec::new(),
        compressed_bytes: 0,
        uploaded_bytes: 0,
        mounted_bytes: 0,
        skipped_bytes: 0,
        scans: None,
        signatures: None,
        names: None,
        error: None,
    }
}

pub(super) fn report(shell: &Shell, done: &ServiceResult) {
    let entry = &done.entry;
    let tags = entry.tags.iter().map(ImageTag::as_str).collect::<Vec<_>>().join(", ");
    let name = format!("{} {tags}", entry.name());
    let error = entry.error.as_deref().unwrap_or_default();
    match entry.outcome {
        PushOutcome::Pushed => {
            let skipped = match entry.skipped_bytes {
                0 => String::new(),
                bytes => format!(", {} already present", size(bytes)),
            };
            let mounted = match entry.mounted_bytes {
                0 => String::new(),
                bytes => format!(", {} mounted", size(bytes)),
            };
            let uploaded = size(entry.uploaded_bytes);
            shell.status("Pushed", format!("{name} ({uploaded} uploaded{mounted}{skipped})"));
        }
        PushOutcome::Unchanged => shell.status("Unchanged", name),
        PushOutcome::Unaffected => shell.status("Unaffected", name),
        PushOutcome::DryRun => {
            let digest = entry.digest.as_ref().map(ToString::to_string).unwrap_or_default();
            shell.status("Dry run", format!("{name} ({}, {digest})", size(entry.compressed_bytes)));
        }
        PushOutcome::Exported => {
            let bytes = size(entry.compressed_bytes);
            shell.status("Exported", format!("{name} ({bytes})"));
        }
        PushOutcome::Conflict => shell.bad_status("Conflict", format!("{name}: {error}")),
        PushOutcome::Failed => shell.bad_status("Failed", format!("{}: {error}", entry.name())),
    }
    if let Some(help) = &done.help {
        shell.help(help);
    }
}

pub(super) fn summary(shell: &Shell, done: &[ServiceResult], took: Duration) {
    let words = [
        (PushOutcome::Pushed, "pushed"),
        (PushOutcome::Unchanged, "unchanged"),
        (PushOutcome::Unaffected, "unaffected"),
        (PushOutcome::DryRun, "built"),
        (PushOutcome::Exported, "exported"),
        (PushOutcome::Conflict, "in conflict"),
        (PushOutcome::Failed, "failed"),
    ];
    let counts =
        words.map(|(outcome, word)| (done.iter().filter(|it| it.entry.outcome == outcome).count(), word));
    let seconds = took.as_secs_f64();
    shell.status("Finished", format!("{} in {seconds:.2}s", counted(done.len(), "image", &counts)));
}
