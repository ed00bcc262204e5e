//! Services -> images, one after the other; meanwhile the registry is asked about their tags.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;

use super::bases::{Bases, Login};
use super::build::{Product, product};
use super::docker::Way;
use super::lookups::{Answers, Tag, look_up};
use super::outcome::{Done, failed};
use super::repositories::Place;
use super::{Job, Push, Stage};
use crate::build::advice::advice;
use crate::build::docker::Open;
use crate::config::tag_template::TagTemplate;

impl Push<'_> {
    /// Compiles service by service (cargo uses all cores for each), and makes the images. Gives what was found of their
    /// tags.
    pub(super) async fn make(&mut self) -> Answers {
        let (stages, held) = tokio::join!(self.build(), self.look_up());
        for (job, stage) in self.jobs.iter_mut().zip(stages) {
            if let Some(stage) = stage {
                job.stage = stage;
            }
        }
        held
    }

    /// What becomes of each job; `None` for one that is not to be built.
    async fn build(&self) -> Vec<Option<Stage>> {
        let began = SystemTime::now();
        let bases = Arc::new(self.bases().await);
        let mut stages = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            stages.push(match &job.stage {
                Stage::Ready(place) => Some(self.build_one(job, place.clone(), bases.clone()).await),
                _ => None,
            });
        }
        self.builder.cache.forget(began);
        stages
    }

    async fn build_one(&self, job: &Job, place: Place, bases: Arc<Bases>) -> Stage {
        let (builder, service) = (self.builder.clone(), job.service.clone());
        let workshop = self.workshop.as_ref().map(Open::share);
        let built =
            tokio::task::spawn_blocking(move || product(&builder, &bases, workshop.as_deref(), &service));
        match built.await.context("the build was interrupted").and_then(|it| it) {
            Ok(Product::Native(built)) => {
                built.tell(self.shell, &job.service);
                Stage::Built(place, built)
            }
            Ok(Product::Docker(id)) => Stage::Docker(place, id),
            Ok(Product::Remote(build)) => Stage::Remote(place, build),
            Err(error) => {
                let help = advice(&format!("{error:#}")).map(str::to_owned);
                Stage::Done(Box::new(Done { help, ..failed(&job.service, &error) }))
            }
        }
    }

    /// The base images of the services that are built here.
    async fn bases(&self) -> Bases {
        let mut bases = Bases::new(self.own_login());
        for job in self.jobs.iter().filter(|it| matches!(it.stage, Stage::Ready(_))) {
            if self.builder.ways.of(&job.service).is_ok_and(|it| it == Way::Native) {
                let wanted = self.builder.bases(&job.service);
                bases.pull(wanted, &self.builder.base_cache, self.shell).await;
            }
        }
        bases
    }

    /// What opens this very registry for a base that lies in it.
    fn own_login(&self) -> Option<Login> {
        let password = self.token.as_ref()?.password.clone();
        Some(Login { host: self.host.clone()?, credentials: ("AWS".to_owned(), password) })
    }

    /// Asks what those tags hold that do not depend on what is built, and that stay where they are. Others are asked for
    /// when they are about to be written.
    async fn look_up(&self) -> Answers {
        let Some(registry) = &self.registry else { return Answers::default() };
        look_up(registry, self.jobs.iter().flat_map(|it| self.fixed_tags(it)).collect()).await
    }

    fn fixed_tags(&self, job: &Job) -> Vec<Tag> {
        let Stage::Ready(place) = &job.stage else { return Vec::new() };
        if job.tags.iter().any(TagTemplate::needs_digest) {
            return Vec::new();
        }
        let tags = self.tags(job, None).unwrap_or_default().into_iter();
        let kept = tags.filter(|it| place.protects(it.as_str()));
        kept.map(|it| (job.service.repository.clone(), it)).collect()
    }
}
