//! What becomes of each service, and how that is told.

use std::time::Instant;

use ecr_types::ImageTag;
use ecr_types::human::{counted, size};

use crate::cli::error::Exit;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::cli::shell::Shell;
use crate::config::desired::Service;

/// What became of a service, and the exit code that it deserves.
pub(super) struct Done {
    pub entry: PushEntry,
    pub exit: Exit,
    pub help: Option<String>,
}

pub(super) fn entry(service: &Service, outcome: PushOutcome) -> PushEntry {
    PushEntry {
        package: service.package.name.clone(),
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
        names: None,
        error: None,
    }
}

pub(super) fn failed(service: &Service, error: &anyhow::Error) -> Done {
    // Diagnostics of the compiler come with the colours of a terminal, which JSON is not.
    let error = anstream::adapter::strip_str(&format!("{error:#}")).to_string();
    let entry = PushEntry { error: Some(error), ..entry(service, PushOutcome::Failed) };
    Done { entry, exit: Exit::Failed, help: None }
}

pub(super) fn tell(shell: &Shell, done: &Done) {
    let entry = &done.entry;
    let tags = entry.tags.iter().map(ImageTag::as_str).collect::<Vec<_>>().join(", ");
    let name = format!("{} {tags}", entry.package);
    let error = entry.error.as_deref().unwrap_or_default();
    match entry.outcome {
        PushOutcome::Pushed => {
            let skipped = match entry.skipped_bytes {
                0 => String::new(),
                bytes => format!(", {} there already", size(bytes)),
            };
            let mounted = match entry.mounted_bytes {
                0 => String::new(),
                bytes => format!(", {} mounted", size(bytes)),
            };
            let uploaded = size(entry.uploaded_bytes);
            shell.status("Pushed", format!("{name} ({uploaded} uploaded{mounted}{skipped})"));
        }
        PushOutcome::Unchanged => shell.status("Unchanged", name),
        PushOutcome::DryRun => {
            let digest = entry.digest.as_ref().map(ToString::to_string).unwrap_or_default();
            shell.status("Dry run", format!("{name} ({}, {digest})", size(entry.compressed_bytes)));
        }
        PushOutcome::Exported => {
            let bytes = size(entry.compressed_bytes);
            shell.status("Exported", format!("{name} ({bytes})"));
        }
        PushOutcome::Conflict => shell.bad_status("Conflict", format!("{name}: {error}")),
        PushOutcome::Failed => shell.bad_status("Failed", format!("{}: {error}", entry.package)),
    }
    if let Some(help) = &done.help {
        shell.help(help);
    }
}

pub(super) fn summary(shell: &Shell, done: &[Done], began: Instant) {
    let words = [
        (PushOutcome::Pushed, "pushed"),
        (PushOutcome::Unchanged, "unchanged"),
        (PushOutcome::DryRun, "built"),
        (PushOutcome::Exported, "exported"),
        (PushOutcome::Conflict, "in conflict"),
        (PushOutcome::Failed, "failed"),
    ];
    let counts =
        words.map(|(outcome, word)| (done.iter().filter(|it| it.entry.outcome == outcome).count(), word));
    let seconds = began.elapsed().as_secs_f64();
    shell.status("Finished", format!("{} in {seconds:.2}s", counted(done.len(), "image", &counts)));
}
