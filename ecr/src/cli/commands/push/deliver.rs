//! What is built -> where it goes: a registry, an OCI layout, docker or podman.

use std::collections::BTreeSet;

use anyhow::Context;
use ecr_oci::reference::Reference;
use futures_util::stream::{self, StreamExt};

use super::build::{Built, base_of};
use super::lookups::Answers;
use super::outcome::{Done, entry, failed, tell};
use super::repositories::Place;
use super::siblings::{Siblings, leaders};
use super::{Job, Push, Stage, upload};
use crate::build::advice::advice;
use crate::cli::error::Exit;
use crate::cli::report::{PushEntry, PushOutcome};

/// Images that are sent side by side.
const PARALLEL: usize = 4;

impl Push<'_> {
    /// Pushes the images side by side; first those that hold what others share.
    pub(super) async fn upload(&mut self, held: Answers) -> Vec<Done> {
        let held = &held;
        let siblings = &self.siblings();
        let jobs = std::mem::take(&mut self.jobs);
        let leaders = if self.registry.is_some() { leaders(&jobs) } else { BTreeSet::new() };
        let (first, then): (Vec<_>, Vec<_>) =
            jobs.into_iter().enumerate().partition(|(n, _)| leaders.contains(n));
        let this = &*self;
        let deliver = |(n, job): (usize, Job)| async move { (n, this.deliver(job, siblings, held).await) };
        let mut done: Vec<_> =
            stream::iter(first.into_iter().map(deliver)).buffered(PARALLEL).collect().await;
        done.extend(stream::iter(then.into_iter().map(deliver)).buffered(PARALLEL).collect::<Vec<_>>().await);
        done.sort_by_key(|(n, _)| *n);
        done.into_iter().map(|(_, done)| done).collect()
    }

    async fn deliver(&self, job: Job, siblings: &Siblings, held: &Answers) -> Done {
        let done = match job.stage {
            Stage::Done(done) => *done,
            Stage::Built(ref place, ref built) => self.upload_one(&job, place, built, siblings, held).await,
            Stage::Docker(ref place, ref id) => self.push_docker(&job, place, id).await,
            Stage::Remote(ref place, ref build) => self.push_remote(&job, place, build).await,
            Stage::Ready(_) => failed(&job.service, &anyhow::anyhow!("it was not built")),
        };
        tell(self.shell, &done);
        done
    }

    /// The repositories that may have what is to be sent; those of bases in the same registry surely have it.
    fn siblings(&self) -> Siblings {
        let desired = self.session.iter().flat_map(|it| &it.desired().repositories);
        let siblings = Siblings::among(desired.map(|it| it.name.clone()).collect());
        for job in &self.jobs {
            let Stage::Built(_, built) = &job.stage else { continue };
            let base = base_of(&job.service).parse::<Reference>().ok();
            let base = base.filter(|it| self.host.as_ref() == Some(&it.host));
            if let Some(name) = base.and_then(|it| it.name.parse().ok()) {
                siblings.add(&built.inherited, &name);
            }
        }
        siblings
    }

    async fn upload_one(
        &self,
        job: &Job,
        place: &Place,
        built: &Built,
        siblings: &Siblings,
        held: &Answers,
    ) -> Done {
        let tags = match self.tags(job, Some(built.digest())) {
            Ok(tags) => tags,
            Err(reason) => return failed(&job.service, &anyhow::anyhow!(reason)),
        };
        let entry = PushEntry {
            tags: tags.clone(),
            digest: Some(built.digest().clone()),
            reference: self.reference(&job.service, built.digest()),
            platforms: built.images.iter().map(|(platform, _)| platform.to_string()).collect(),
            compressed_bytes: built.blobs.iter().map(|it| it.size).sum(),
            ..entry(&job.service, PushOutcome::DryRun)
        };
        match &self.registry {
            None => self.export_one(job, built, entry).await,
            Some(registry) => {
                let denials = self.session.as_ref().map(|it| it.aws.denials());
                let upload = upload::Upload {
                    registry,
                    shell: self.shell,
                    denials,
                    job,
                    place,
                    built,
                    tags: &tags,
                    siblings,
                    held,
                };
                upload.run(entry).await
            }
        }
    }

    /// Writes an image where it goes instead of a registry; nowhere, in a dry run.
    async fn export_one(&self, job: &Job, built: &Built, mut entry: PushEntry) -> Done {
        let Some(export) = self.export.clone().filter(|_| !self.flags.dry_run) else {
            return Done { entry, exit: Exit::Done, help: None };
        };
        let names = entry.tags.iter().map(|tag| format!("{}:{tag}", job.service.repository)).collect();
        let bundle = built.bundle(names);
        let written = tokio::task::spawn_blocking(move || export.write(&bundle)).await;
        match written.context("the export was interrupted").and_then(|it| it) {
            Ok(names) => {
                entry.outcome = PushOutcome::Exported;
                entry.names = Some(names);
                Done { entry, exit: Exit::Done, help: None }
            }
            Err(error) => {
                let help = advice(&format!("{error:#}")).map(str::to_owned);
                Done { help, ..failed(&job.service, &error) }
            }
        }
    }
}
