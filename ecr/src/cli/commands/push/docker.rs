//! Services that docker or podman builds: with their Dockerfile, or with one that is made around the binary.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ecr_oci::image::assemble::Settings;
use ecr_oci::registry::{RegistryClient, RegistryErrorKind};
use ecr_types::{Digest, ImageTag};

use super::export::Export;
use super::outcome::{Done, entry, failed};
use super::repositories::Place;
use super::{Job, Push, Stage, upload};
use crate::aws::AuthorizationToken;
use crate::build::advice::advice;
use crate::build::docker::ignore::DockerIgnore;
use crate::build::docker::{Build, Engine, Open, Source, Workshop};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::config::desired::Service;
use crate::config::workspace::Workspace;

/// Who builds a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// This program.
    Native,
    /// docker, with a Dockerfile of the workspace.
    Dockerfile(Recipe),
    /// docker, with a Dockerfile around the binary that this program builds.
    Wrapped,
}

/// A Dockerfile and its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    dockerfile: PathBuf,
    context: PathBuf,
}

/// What services are built with docker for.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub root: PathBuf,
    pub builder: Option<flags::BuilderKind>,
    /// What stays out of every context, whatever `.dockerignore` says.
    pub kept_out: Vec<PathBuf>,
    pub args: Vec<String>,
    pub platform: Option<String>,
    /// Whether a builder of buildx builds and pushes in one.
    pub is_remote: bool,
}

impl Ways {
    pub(super) fn new(flags: &flags::Push, workspace: &Workspace) -> Result<Self, Failure> {
        if flags.builder == Some(flags::BuilderKind::Docker)
            && flags.platform.len() > 1
            && flags.engine_builder.is_none()
        {
            let failure = Failure::new("docker builds for one platform at a time");
            return Err(failure
                .with_help("build natively, name one platform, or one of buildx: --engine-builder NAME"));
        }
        let state = flags.common.registry.data.clone();
        let kept_out = [workspace.target.clone(), workspace.root.join("target"), workspace.root.join(".git")];
        Ok(Self {
            root: workspace.root.clone(),
            builder: flags.builder,
            kept_out: kept_out.into_iter().chain(state).collect(),
            args: flags.engine_args.clone(),
            is_remote: flags.engine_builder.is_some(),
            platform: Some(flags.platform.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
                .filter(|it| !it.is_empty()),
        })
    }

    /// Who builds a service: the flag says, else whether it has a Dockerfile.
    pub(super) fn of(&self, service: &Service) -> Result<Way> {
        let folder = self.root.join(&service.package.folder);
        let named = service.image.dockerfile.as_ref().map(|it| folder.join(&it.value));
        let own = service.package.has_dockerfile.then(|| folder.join("Dockerfile"));
        let dockerfile = match (self.builder, named.or(own)) {
            (Some(flags::BuilderKind::Native), _) | (None, None) => return Ok(Way::Native),
            (Some(flags::BuilderKind::Docker), None) => return Ok(Way::Wrapped),
            (_, Some(dockerfile)) => dockerfile,
        };
        if !dockerfile.is_file() {
            let place = service.image.dockerfile.as_ref().map_or(&service.place, |it| &it.place);
            bail!("{place}: there is no Dockerfile `{}`", dockerfile.display());
        }
        let context = service.image.context.as_ref().map(|it| folder.join(&it.value));
        Ok(Way::Dockerfile(Recipe { dockerfile, context: context.unwrap_or_else(|| self.root.clone()) }))
    }

    /// What to hand to docker for a Dockerfile of the workspace.
    pub(super) fn build(&self, recipe: &Recipe) -> Result<Build> {
        let context = std::fs::canonicalize(&recipe.context);
        let context = context.with_context(|| format!("no build context `{}`", recipe.context.display()))?;
        let dockerfile = std::fs::canonicalize(&recipe.dockerfile)?;
        let text = std::fs::read_to_string(context.join(".dockerignore")).unwrap_or_default();
        let mut ignore = DockerIgnore::parse(&text);
        for path in &self.kept_out {
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if let Some(inside) = path.strip_prefix(&context).ok().and_then(Path::to_str) {
                ignore.exclude(inside);
            }
        }
        // One that lies outside, or is ignored itself, goes beside the files.
        let inside = dockerfile.strip_prefix(&context).ok().and_then(Path::to_str);
        let inside = inside.filter(|it| !ignore.excludes(it)).map(str::to_owned);
        let read = || std::fs::read_to_string(&dockerfile);
        let dockerfile = match inside {
            Some(path) => Ok(path),
            None => Err(read().with_context(|| format!("failed to read `{}`", dockerfile.display()))?),
        };
        let (platform, args) = (self.platform.clone(), self.args.clone());
        Ok(Build { source: Source::Folder(context, ignore), dockerfile, platform, args })
    }

    /// What to hand to docker for a binary: layers that are there already, and how the process starts.
    pub(super) fn wrap(&self, base: &str, layers: Vec<PathBuf>, settings: &Settings) -> Build {
        let named = layers.into_iter().enumerate().map(|(n, path)| (format!("layer-{n}.tar.gz"), path));
        let files: Vec<_> = named.collect();
        let names = files.iter().map(|(name, _)| name.as_str());
        let dockerfile = Err(dockerfile(base, names, settings));
        let (platform, args) = (self.platform.clone(), self.args.clone());
        Build { source: Source::Files(files), dockerfile, platform, args }
    }
}

/// The Dockerfile around a binary. `ADD` unpacks archives.
fn dockerfile<'a>(base: &str, layers: impl Iterator<Item = &'a str>, settings: &Settings) -> String {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"));
    let list = |items: &[String]| serde_json::to_string(items).unwrap_or_default();
    let mut lines = vec![format!("FROM {base}")];
    lines.extend(layers.map(|it| format!("ADD {it} /")));
    lines.extend(settings.env.iter().map(|(key, value)| format!("ENV {key}={}", quoted(value))));
    lines.extend(settings.labels.iter().map(|(key, value)| format!("LABEL {key}={}", quoted(value))));
    lines.extend(settings.ports.iter().map(|it| format!("EXPOSE {it}/tcp")));
    lines.push(format!("WORKDIR {}", settings.workdir.as_deref().unwrap_or("/")));
    lines.push(format!("USER {}", settings.user));
    lines.push(format!("ENTRYPOINT {}", list(std::slice::from_ref(&settings.entrypoint))));
    lines.extend((!settings.args.is_empty()).then(|| format!("CMD {}", list(&settings.args))));
    lines.join("\n") + "\n"
}

impl Push<'_> {
    /// Makes docker or podman ready, if a service needs it: with a token for the registry, where there is one. Where that
    /// fails, the services that need it have failed.
    pub(super) async fn open_workshop(&mut self, token: Option<&AuthorizationToken>) -> Result<(), Failure> {
        let needs_docker = |it: &Job| {
            let way = self.builder.ways.of(&it.service);
            matches!(it.stage, Stage::Ready(_)) && way.is_ok_and(|way| way != Way::Native)
        };
        let needing: Vec<_> = (0..self.jobs.len()).filter(|n| needs_docker(&self.jobs[*n])).collect();
        if needing.is_empty() {
            return match self.flags.engine_args.is_empty() {
                true => Ok(()),
                false => {
                    Err(Failure::new("there is no `docker build` that the arguments after `--` could go to")
                        .with_help("no service has a Dockerfile; --builder docker builds without one"))
                }
            };
        }
        match self.workshop(token).await {
            Ok(workshop) => self.workshop = Some(workshop),
            Err(failure) => {
                for n in needing {
                    let reason = [vec![failure.message.clone()], failure.causes.clone()].concat().join(": ");
                    let done = failed(&self.jobs[n].service, &anyhow::anyhow!(reason));
                    self.jobs[n].stage = Stage::Done(Box::new(Done { help: failure.help.clone(), ..done }));
                }
            }
        }
        Ok(())
    }

    async fn workshop(&self, token: Option<&AuthorizationToken>) -> Result<Open, Failure> {
        if self.export.as_ref().is_some_and(Export::has_layout) {
            let failure = Failure::new("what docker builds cannot be written to an OCI layout");
            return Err(failure.with_help("load it with --load, or leave it out with -p or --exclude"));
        }
        let (engine, talk) = (engine(self.flags)?, self.shell.talker());
        let name = engine.name().to_owned();
        let host = token.map(|it| it.host().to_owned());
        let password = token.map(|it| it.password.clone());
        let opening = tokio::task::spawn_blocking(move || {
            let workshop = Workshop::new(engine, host.as_deref().unwrap_or_default(), talk)?;
            if let (Some(host), Some(password)) = (host, password) {
                workshop.log_in(&host, "AWS", &password)?;
            }
            anyhow::Ok(Open::new(workshop))
        });
        opening.await.context("the login was interrupted")?.map_err(|error| {
            let help = advice(&format!("{error:#}"));
            let failure = Failure::from(error.context(format!("failed to make {name} ready")));
            match help {
                Some(help) => failure.with_help(help),
                None => failure,
            }
        })
    }

    /// Pushes what docker has built, or names it where it is to stay with docker.
    pub(super) async fn push_docker(&self, job: &Job, place: &Place, id: &Digest) -> Done {
        let tags = match self.tags(job, Some(id)) {
            Ok(tags) => tags,
            Err(reason) => return failed(&job.service, &anyhow::anyhow!(reason)),
        };
        let platform = self.builder.platforms(&job.service).remove(0).to_string();
        let platforms = vec![platform];
        let entry = PushEntry { tags: tags.clone(), platforms, ..entry(&job.service, PushOutcome::DryRun) };
        let Some(workshop) = self.workshop.as_ref().map(Open::share) else {
            return failed(&job.service, &anyhow::anyhow!("docker is not ready"));
        };
        let (Some(registry), Some(host)) = (&self.registry, &self.host) else {
            return self.keep_in_docker(job, workshop, id, entry).await;
        };
        let push = DockerPush { registry, workshop, host, job, place, id, tags: &tags };
        let mut done = push.run(entry, upload::advice_about(job)).await;
        done.entry.reference = done.entry.digest.as_ref().and_then(|it| self.reference(&job.service, it));
        done
    }

    async fn keep_in_docker(
        &self,
        job: &Job,
        workshop: Arc<Workshop>,
        id: &Digest,
        entry: PushEntry,
    ) -> Done {
        if self.flags.dry_run {
            return Done { entry, exit: Exit::Done, help: None };
        }
        let names: Vec<_> =
            entry.tags.iter().map(|tag| format!("{}:{tag}", job.service.repository)).collect();
        let (id, wanted) = (id.clone(), names.clone());
        let named =
            tokio::task::spawn_blocking(move || wanted.iter().try_for_each(|it| workshop.tag(&id, it)));
        match named.await.context("naming the image was interrupted").and_then(|it| it) {
            Ok(()) => {
                let entry = PushEntry { outcome: PushOutcome::Exported, names: Some(names), ..entry };
                Done { entry, exit: Exit::Done, help: None }
            }
            Err(error) => failed(&job.service, &error),
        }
    }
}

/// The engine that the flags name, else the first that is installed.
pub(super) fn engine(flags: &flags::Push) -> Result<Engine, Failure> {
    Engine::find(flags.engine.as_deref()).ok_or_else(crate::cli::commands::login::no_engine)
}

/// The push of an image that docker built.
pub(super) struct DockerPush<'a> {
    pub registry: &'a RegistryClient,
    pub workshop: Arc<Workshop>,
    pub host: &'a str,
    pub job: &'a Job,
    pub place: &'a Place,
    pub id: &'a Digest,
    pub tags: &'a [ImageTag],
}

impl DockerPush<'_> {
    /// Compares tags, pushes what is missing, and fills in `entry`.
    pub(super) async fn run(&self, mut entry: PushEntry, on_conflict: String) -> Done {
        let (outcome, exit, error, help) = match self.push(&mut entry).await {
            Ok(Pushed::Done(outcome)) => (outcome, self.place.exit(), None, None),
            Ok(Pushed::Conflict(reason)) => {
                (PushOutcome::Conflict, Exit::Conflict, Some(reason), Some(on_conflict))
            }
            Err(error) => {
                let text = format!("{error:#}");
                let help = advice(&text).map(str::to_owned);
                (PushOutcome::Failed, Exit::Failed, Some(text), help)
            }
        };
        Done { entry: PushEntry { outcome, error, ..entry }, exit, help }
    }

    async fn push(&self, entry: &mut PushEntry) -> Result<Pushed> {
        let name = &self.job.service.repository;
        let mut missing = Vec::new();
        for tag in self.tags {
            match self.registry.image(name, tag.as_str()).await {
                // The ID is the digest of the config, or of the manifest where docker keeps images as containerd does.
                Ok(Some(found)) if found.config.as_ref() == Some(self.id) || found.digest == *self.id => {
                    entry.digest = Some(found.digest);
                }
                Ok(Some(found)) if self.place.protects(tag.as_str()) => {
                    return Ok(Pushed::Conflict(format!(
                        "tag `{tag}` is immutable and holds {}; docker has built another image, {}",
                        found.digest, self.id
                    )));
                }
                Ok(_) => missing.push(tag),
                Err(error) if error.kind() == RegistryErrorKind::Denied => missing.push(tag),
                Err(error) => return Err(error.into()),
            }
        }
        for tag in &missing {
            entry.digest = Some(self.push_tag(tag).await?);
        }
        Ok(Pushed::Done(if missing.is_empty() { PushOutcome::Unchanged } else { PushOutcome::Pushed }))
    }

    async fn push_tag(&self, tag: &ImageTag) -> Result<Digest> {
        let name = format!("{}/{}:{tag}", self.host, self.job.service.repository);
        let (workshop, id) = (self.workshop.clone(), self.id.clone());
        let pushing = tokio::task::spawn_blocking(move || {
            workshop.tag(&id, &name)?;
            workshop.push(&name)
        });
        let told = pushing.await.context("the push was interrupted")??;
        let asked = match told {
            Some(digest) => Some(digest),
            None => self.registry.digest(&self.job.service.repository, tag.as_str()).await?,
        };
        asked.context("the registry does not have the tag that was pushed")
    }
}

enum Pushed {
    Done(PushOutcome),
    Conflict(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_around_a_binary() {
        let settings = Settings {
            entrypoint: "/usr/local/bin/app".to_owned(),
            args: vec!["--port".to_owned(), "80".to_owned()],
            env: [("GREETING".to_owned(), "say \"hi\" for $5".to_owned())].into(),
            ports: vec![80],
            user: "65532:65532".to_owned(),
            ..Settings::default()
        };
        expect_test::expect![[r#"
            FROM scratch
            ADD layer-0.tar.gz /
            ENV GREETING="say \"hi\" for \$5"
            EXPOSE 80/tcp
            WORKDIR /
            USER 65532:65532
            ENTRYPOINT ["/usr/local/bin/app"]
            CMD ["--port","80"]
        "#]]
        .assert_eq(&dockerfile("scratch", ["layer-0.tar.gz"].into_iter(), &settings));
    }
}
