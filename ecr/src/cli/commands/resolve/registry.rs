//! The images that the registry has under tags.

use anyhow::Context;
use ecr_lifecycle::StorageClass;
use ecr_types::error::one_line;
use ecr_types::{Digest, ImageTag};
use futures_util::stream::{self, StreamExt};

use super::{Images, Missing, Wanted};
use crate::aws::{Aws, Reads, ServiceError};
use crate::build::git;
use crate::cli::commands::session::{Connection, Session};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::help::help_for;
use crate::cli::shell::Shell;
use crate::config::tag_template::{Revision, TagTemplate, TagValues};
use crate::config::workspace::Workspace;
use crate::deployment::DeployedImage;

/// Looks the images up by their tags: that of `--tag`, else the configured ones.
pub(super) async fn images(
    flags: &flags::Resolve,
    shell: &Shell,
    workspace: Workspace,
    wanted: Vec<Wanted>,
) -> Result<Images, Failure> {
    let revision = revision(flags, shell, &workspace, &wanted).await?;
    let connection = Connection::open(shell, &flags.common, &workspace).await?;
    let names: Vec<_> = wanted.iter().map(|it| it.repository.clone()).collect();
    let read = async |aws: &Aws| aws.observe(&names, |_| Reads::default()).await;
    let (session, observed) = Session::identify_and_read(shell, workspace, connection, read).await?;
    let (observed, mut failures) = observed.context("failed to read the repositories")?;
    session.print_header(&observed).await?;
    let lookup = Lookup { flags, session: &session, revision };
    let each = wanted.iter().map(|it| (it, failures.remove(&it.repository))).map(|(it, failure)| {
        let found = observed.repositories.get(&it.repository);
        let lookup = &lookup;
        async move {
            let image = match (failure, found) {
                (Some(error), _) => Err(failed(it, &error.into())),
                (None, Some(found)) => lookup.image(it, &found.uri).await,
                (None, None) => Err(lookup.absent(it)),
            };
            (it.repository.clone(), image)
        }
    });
    let images = stream::iter(each).buffer_unordered(session.aws_concurrency()).collect().await;
    session.warn_of_denials();
    Ok(images)
}

/// The revision of the working tree, if a tag needs it.
async fn revision(
    flags: &flags::Resolve,
    shell: &Shell,
    workspace: &Workspace,
    wanted: &[Wanted],
) -> Result<Revision, Failure> {
    let needs_git = wanted.iter().flat_map(|it| templates(flags, it)).any(|it| it.needs_revision());
    let (root, patience) = (workspace.root.clone(), shell.patience(flags.common.registry.network_timeout));
    let tree = tokio::task::spawn_blocking(move || match needs_git {
        true => git::working_tree(&root, &patience),
        false => Ok(None),
    });
    let tree = tree.await.context("git was interrupted")??;
    Ok(git::revision(tree.as_ref()))
}

fn templates(flags: &flags::Resolve, wanted: &Wanted) -> Vec<TagTemplate> {
    match (&flags.tag, &wanted.service) {
        (Some(tag), _) => vec![tag.clone()],
        (None, Some(service)) => service.tag_templates(),
        (None, None) => Vec::new(),
    }
}

struct Lookup<'a> {
    flags: &'a flags::Resolve,
    session: &'a Session<'a>,
    revision: Revision,
}

impl Lookup<'_> {
    /// The image of a repository with the address `uri`. All tags that are known before a build must name it.
    async fn image(&self, wanted: &Wanted, uri: &str) -> Result<DeployedImage, Missing> {
        let mut found: Option<(ImageTag, Digest)> = None;
        for tag in self.tags(wanted)? {
            let digest = self.digest(wanted, &tag).await?;
            match &found {
                Some((first, other)) if *other != digest => {
                    return Err(contradiction(wanted, (first, other), (&tag, &digest)));
                }
                Some(_) => {}
                None => found = Some((tag, digest)),
            }
        }
        let (tag, digest) = found.ok_or_else(|| no_tag(wanted))?;
        let uri = self.session.display_reference(uri);
        let host = uri.split_once('/').map_or(uri.as_str(), |(host, _)| host).to_owned();
        Ok(DeployedImage {
            package: wanted.service.as_ref().map(|it| it.package.name.clone()),
            repository: wanted.repository.clone(),
            host,
            tag: Some(tag),
            digest,
        })
    }

    fn tags(&self, wanted: &Wanted) -> Result<Vec<ImageTag>, Missing> {
        let version = wanted.service.as_ref().map_or("", |it| &it.package.version);
        let values = TagValues { version, revision: &self.revision, digest: None };
        let templates = templates(self.flags, wanted);
        let known = templates.iter().filter(|it| !it.needs_digest());
        let rendered = known.map(|it| it.render(&values)).collect::<Result<_, _>>();
        rendered.map_err(|it| Missing { message: it.to_string(), help: None })
    }

    async fn digest(&self, wanted: &Wanted, tag: &ImageTag) -> Result<Digest, Missing> {
        let (aws, name) = (&self.session.aws, &wanted.repository);
        let described = match aws.tagged_image(name, tag.as_str()).await {
            Ok(Some(image)) if image.storage_class == StorageClass::Archive => {
                return Err(archived(wanted, tag, &image.digest));
            }
            Ok(image) => Ok(image.map(|it| it.digest)),
            // ECR records the other way to ask as a pull.
            Err(error) if error.is_denied() => {
                let skipped = "digests were read with ecr:BatchGetImage, which ECR records as a pull";
                aws.denials().add(error.operation(), skipped, name.as_str());
                aws.tagged_digest(name, tag.as_str()).await
            }
            Err(error) => Err(error),
        };
        described
            .map_err(|it: ServiceError| failed(wanted, &it.into()))?
            .ok_or_else(|| self.not_pushed(wanted, tag))
    }

    fn absent(&self, wanted: &Wanted) -> Missing {
        let flags = self.session.registry_flags();
        Missing {
            message: format!("the repository `{}` does not exist", wanted.repository),
            help: Some(format!(
                "`cargo xtask ecr create{flags}` creates it, and `cargo xtask push{flags}` fills it"
            )),
        }
    }

    fn not_pushed(&self, wanted: &Wanted, tag: &ImageTag) -> Missing {
        let flags = self.session.registry_flags();
        let help = match (&wanted.service, &self.flags.tag) {
            (Some(service), None) => format!(
                "push it with `cargo xtask push -p {}{flags}`, or name another tag with --tag",
                service.package.name
            ),
            (Some(service), Some(tag)) => format!(
                "push it with `cargo xtask push -p {} --tag '{tag}'{flags}`; `cargo xtask ecr images -p {}{flags}` lists the tags that are there",
                service.package.name, service.package.name
            ),
            (None, _) => format!("`cargo xtask ecr images{flags}` lists the tags that are there"),
        };
        Missing {
            message: format!("`{}` has no image with the tag `{tag}`", wanted.repository),
            help: Some(help),
        }
    }
}

fn failed(wanted: &Wanted, error: &anyhow::Error) -> Missing {
    let message = format!("`{}` cannot be read: {}", wanted.repository, one_line(error.as_ref()));
    Missing { message, help: help_for(error) }
}

fn no_tag(wanted: &Wanted) -> Missing {
    let name = &wanted.repository;
    match &wanted.service {
        Some(_) => Missing {
            message: format!(
                "the tags of `{name}` contain the digest of an image, so that none is known before it is built"
            ),
            help: Some(
                "pass the document of `push --format json` with --images, or a tag with --tag".to_owned(),
            ),
        },
        None => Missing {
            message: format!("`{name}` belongs to no service, so that no tag of it is configured"),
            help: Some("pass a tag with --tag".to_owned()),
        },
    }
}

fn contradiction(wanted: &Wanted, first: (&ImageTag, &Digest), second: (&ImageTag, &Digest)) -> Missing {
    Missing {
        message: format!(
            "the tags of `{}` name two images: `{}` is {}, and `{}` is {}",
            wanted.repository, first.0, first.1, second.0, second.1
        ),
        help: Some(format!("choose one with --tag, such as `--tag {}`", second.0)),
    }
}

fn archived(wanted: &Wanted, tag: &ImageTag, digest: &Digest) -> Missing {
    let name = &wanted.repository;
    Missing {
        message: format!("the image `{name}:{tag}` is archived, and cannot be pulled"),
        help: Some(format!(
            "restore it, which takes about 20 minutes: `aws ecr update-image-storage-class --repository-name {name} \
             --image-id imageDigest={digest} --target-storage-class STANDARD`"
        )),
    }
}
