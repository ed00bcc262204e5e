//! The compilation of several services.
//!
//! The registry is asked before services are compiled for the first time: a repository that is missing is told at once. Services
//! that were compiled before are compiled while it answers, which takes longer than cargo if little has changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Poll, ready};

use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

use super::{Job, Push};
use crate::build::compile::Stop;
use crate::cli::shell::{Shell, Steps};

/// A compilation in the background. cargo ends with it.
pub(super) struct Compilation {
    /// The indexes of the jobs.
    jobs: Vec<usize>,
    /// Tells that the registry takes the images.
    is_wanted: std::sync::mpsc::Sender<()>,
    told: mpsc::UnboundedReceiver<Told>,
    stop: Stop,
}

/// What a compilation of several services tells.
enum Told {
    /// The executables of the service with this number are there.
    Ready(usize),
    Warnings(String),
}

impl Compilation {
    /// Begins to compile the services of jobs, if they were compiled before; else it waits for [`Compilation::ready`]. One by
    /// itself is compiled when its image is built.
    pub(super) fn start(push: &Push<'_>, jobs: &[&Job]) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let (is_wanted, wanted) = std::sync::mpsc::channel();
        let stop = Stop::default();
        if jobs.len() > 1 {
            let services: Vec<_> = jobs.iter().map(|it| it.service.clone()).collect();
            let (builder, printer) = (Arc::clone(&push.builder), push.shell.line_printer());
            let stop = stop.clone();
            tokio::task::spawn_blocking(move || {
                // Nobody receives after an interruption.
                let ready = |n| drop(sender.send(Told::Ready(n)));
                let warnings = |text: &str| drop(sender.send(Told::Warnings(text.to_owned())));
                if builder.were_compiled(&services) || wanted.recv().is_ok() {
                    builder.compile_together(&services, &stop, ready, warnings, &printer);
                }
            });
        }
        Self { jobs: indexes(jobs), is_wanted, told, stop }
    }

    /// The compilation of exactly these jobs: the one that has begun, unless the registry refuses some of its services.
    pub(super) fn of(push: &Push<'_>, jobs: &[&Job], begun: Option<Self>) -> Self {
        let fitting = begun.filter(|it| it.jobs == indexes(jobs));
        fitting.unwrap_or_else(|| Self::start(push, jobs))
    }

    /// The registry takes the images: gives the number of each service as soon as its image can be built.
    pub(super) fn ready<'a>(mut self, shell: &'a Shell) -> impl Stream<Item = usize> + 'a {
        // One that has begun does not wait for it.
        let _ = self.is_wanted.send(());
        let mut left: BTreeSet<usize> = (0..self.jobs.len()).collect();
        let mut steps = (left.len() > 1).then(|| shell.steps(left.len()));
        stream::poll_fn(move |context| {
            loop {
                return match ready!(self.told.poll_recv(context)) {
                    Some(Told::Warnings(text)) => {
                        shell.program_output(text.trim_end());
                        continue;
                    }
                    Some(Told::Ready(n)) => {
                        left.remove(&n);
                        steps.iter().for_each(Steps::advance);
                        Poll::Ready(Some(n))
                    }
                    // Those that cargo has not compiled together are compiled by themselves, and cargo draws its own line.
                    None => {
                        steps = None;
                        Poll::Ready(left.pop_first())
                    }
                };
            }
        })
    }
}

impl Drop for Compilation {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn indexes(jobs: &[&Job]) -> Vec<usize> {
    jobs.iter().map(|it| it.index).collect()
}
