//! The results of services, recorded as they become known, so that an interrupted push can tell them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use ecr_types::lock;

use super::Job;
use super::outcome::{ServiceResult, report};
use crate::cli::error::Exit;
use crate::cli::report::PushEntry;
use crate::cli::shell::Shell;

/// The results so far.
pub(super) struct Results {
    /// What is said of a service whose delivery was interrupted.
    interrupted: &'static str,
    done: Mutex<Vec<ServiceResult>>,
    /// The services whose images are being delivered, by their position.
    begun: Mutex<BTreeSet<usize>>,
}

impl Results {
    /// No results yet. `interrupted` is the error of a service whose delivery is interrupted.
    pub(super) fn new(interrupted: &'static str) -> Self {
        Self { interrupted, done: Mutex::default(), begun: Mutex::default() }
    }

    /// Records that the delivery of a service begins.
    pub(super) fn begin(&self, job: &Job) {
        lock(&self.begun).insert(job.index);
    }

    /// Prints and records a result.
    pub(super) fn add(&self, shell: &Shell, done: ServiceResult) {
        report(shell, &done);
        lock(&self.done).push(done);
    }

    /// The results of all jobs. One without a result was interrupted, and is printed here.
    pub(super) fn of_all<'a>(
        self,
        shell: &Shell,
        jobs: impl IntoIterator<Item = &'a Job>,
    ) -> Vec<ServiceResult> {
        let mut done = self.done.into_inner().unwrap_or_default();
        let begun = self.begun.into_inner().unwrap_or_default();
        let known: BTreeSet<_> = done.iter().map(|it| it.index).collect();
        for job in jobs.into_iter().filter(|it| !known.contains(&it.index)) {
            let reason = match begun.contains(&job.index) {
                true => self.interrupted,
                false => "interrupted before it was delivered",
            };
            let result = ServiceResult::interrupted(job, reason);
            report(shell, &result);
            done.push(result);
        }
        done
    }
}

impl ServiceResult {
    /// The result of a service whose push was interrupted.
    pub(super) fn interrupted(job: &Job, reason: &'static str) -> Self {
        let failed = Self::failed(job, &anyhow::Error::msg(reason));
        Self { exit: Exit::Interrupted, ..failed }
    }

    /// Marks an image in the registry to which the scan gate was not applied.
    pub(super) fn interrupt_gate(&mut self) {
        if self.entry.scans.is_none() {
            self.interrupt("interrupted before its scan was read");
        }
    }

    /// Marks an image in the registry to which the signing gate was not applied.
    pub(super) fn interrupt_signing_gate(&mut self) {
        if self.entry.signatures.is_none() {
            self.interrupt("interrupted before its signature was read");
        }
    }

    fn interrupt(&mut self, reason: &str) {
        let PushEntry { outcome, error, .. } = &mut self.entry;
        let is_there = outcome.is_in_registry();
        if is_there && error.is_none() {
            *error = Some(reason.to_owned());
            self.exit = Exit::Interrupted;
        }
    }
}
