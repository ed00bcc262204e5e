//! Looks images up by tags: those that a flag names, else the configured ones.

use anyhow::Context;
use ecr_lifecycle::{Image, StorageClass};
use ecr_types::error::one_line;
use ecr_types::{Digest, ImageTag, RepositoryName};

use super::session::Session;
use crate::aws::ServiceError;
use crate::build::git;
use crate::cli::error::Failure;
use crate::cli::help::help_for;
use crate::cli::shell::Shell;
use crate::config::desired::Service;
use crate::config::tag_template::{Revision, TagTemplate, TagValues};
use crate::config::workspace::Workspace;
use crate::deployment::DeployedImage;

/// A repository whose image is wanted, with its service.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub repository: RepositoryName,
    pub service: Option<Service>,
}

/// Why there is no image of a repository.
#[derive(Debug, Clone)]
pub struct Missing {
    pub message: String,
    pub help: Option<String>,
}

/// An image with the tag by which it was found.
#[derive(Debug, Clone)]
pub struct TaggedImage {
    pub tag: ImageTag,
    pub digest: Digest,
    /// What is known of it; `None` if `ecr:DescribeImages` is denied.
    pub image: Option<Image>,
}

/// Looks up images in a registry.
pub struct TagLookup<'a> {
    pub session: &'a Session<'a>,
    /// The tag of `--tag`.
    pub tag: Option<&'a TagTemplate>,
    /// The values of placeholders.
    pub revision: Revision,
}

impl Wanted {
    /// A service.
    pub fn service(service: &Service) -> Self {
        Self { repository: service.repository.clone(), service: Some(service.clone()) }
    }

    /// The name of the package.
    pub fn package(&self) -> Option<&str> {
        self.service.as_ref().map(|it| it.package.name.as_str())
    }

    /// The name of the service, else that of the repository.
    pub fn name(&self) -> &str {
        self.service.as_ref().map_or(self.repository.as_str(), |it| &it.name)
    }

    /// The image of the repository with a digest.
    pub fn deployed(&self, host: String, tag: Option<ImageTag>, digest: Digest) -> DeployedImage {
        let service = self.service.as_ref().map(|it| it.key.clone());
        let (package, repository) = (self.package().map(str::to_owned), self.repository.clone());
        DeployedImage { package, service, repository, host, tag, digest }
    }

    /// The tags to look for: those of the command line, else the configured ones.
    pub fn templates(&self, given: &[TagTemplate]) -> Vec<TagTemplate> {
        match (given, &self.service) {
            ([], Some(service)) => service.tag_templates(),
            _ => given.to_vec(),
        }
    }
}

impl Missing {
    /// A failure to read a repository.
    pub fn failed(name: &RepositoryName, error: &anyhow::Error) -> Self {
        let message = format!("`{name}` cannot be read: {}", one_line(error.as_ref()));
        Self { message, help: help_for(error) }
    }

    /// An image that cannot be pulled.
    pub fn archived(name: &RepositoryName, version: &str, digest: &Digest) -> Self {
        let help = format!(
            "restore it, which takes about 20 minutes: `aws ecr update-image-storage-class --repository-name {name} \
             --image-id imageDigest={digest} --target-storage-class STANDARD`"
        );
        Self {
            message: format!("the image `{name}{version}` is archived, and cannot be pulled"),
            help: Some(help),
        }
    }
}

/// The revision of the working tree, if a tag needs it.
///
/// # Errors
/// git refuses to read the working tree, or does not end.
pub async fn revision(
    shell: &Shell,
    workspace: &Workspace,
    wanted: &[Wanted],
    given: &[TagTemplate],
    limit: std::time::Duration,
) -> Result<Revision, Failure> {
    let needs_git = wanted.iter().flat_map(|it| it.templates(given)).any(|it| it.needs_revision());
    let (root, patience) = (workspace.root.clone(), shell.patience(limit));
    let tree = tokio::task::spawn_blocking(move || match needs_git {
        true => git::working_tree(&root, None, &patience),
        false => Ok(None),
    });
    let tree = tree.await.context("git was interrupted")??;
    Ok(git::revision(tree.as_ref()))
}

impl TagLookup<'_> {
    /// The image of a repository. All tags that are known before a build must name it.
    pub async fn find(&self, wanted: &Wanted) -> Result<TaggedImage, Missing> {
        let mut found: Option<TaggedImage> = None;
        for tag in self.tags(wanted)? {
            let image = self.tagged(wanted, &tag).await?;
            match &found {
                Some(first) if first.digest != image.digest => {
                    return Err(contradiction(wanted, first, &image));
                }
                Some(_) => {}
                None => found = Some(image),
            }
        }
        found.ok_or_else(|| no_tag(wanted))
    }

    fn tags(&self, wanted: &Wanted) -> Result<Vec<ImageTag>, Missing> {
        let version = wanted.service.as_ref().map_or("", |it| &it.package.version);
        let values = TagValues { version, revision: &self.revision, digest: None };
        let templates = wanted.templates(self.tag.map(std::slice::from_ref).unwrap_or_default());
        let known = templates.iter().filter(|it| !it.needs_digest());
        let rendered = known.map(|it| it.render(&values)).collect::<Result<_, _>>();
        rendered.map_err(|it| Missing { message: it.to_string(), help: None })
    }

    async fn tagged(&self, wanted: &Wanted, tag: &ImageTag) -> Result<TaggedImage, Missing> {
        let (aws, name) = (&self.session.aws, &wanted.repository);
        let found = match aws.tagged_image(name, tag.as_str()).await {
            Ok(Some(image)) if image.storage_class == StorageClass::Archive => {
                return Err(Missing::archived(name, &format!(":{tag}"), &image.digest));
            }
            Ok(image) => Ok(image.map(|it| (it.digest.clone(), Some(it)))),
            // ECR records the other way to ask as a pull.
            Err(error) if error.is_denied() => {
                let skipped = "digests were read with ecr:BatchGetImage, which ECR records as a pull";
                aws.denials().add(error.operation(), skipped, name.as_str());
                let digest = aws.tagged_digest(name, tag.as_str()).await;
                digest.map(|it| it.map(|digest| (digest, None)))
            }
            Err(error) => Err(error),
        };
        let found = found.map_err(|it: ServiceError| Missing::failed(name, &it.into()))?;
        let (digest, image) = found.ok_or_else(|| self.not_pushed(wanted, tag))?;
        Ok(TaggedImage { tag: tag.clone(), digest, image })
    }

    /// The repository does not exist.
    pub fn absent(&self, wanted: &Wanted) -> Missing {
        let flags = self.session.registry_flags();
        let help =
            format!("`cargo xtask ecr create{flags}` creates it, and `cargo xtask push{flags}` fills it");
        Missing {
            message: format!("the repository `{}` does not exist", wanted.repository),
            help: Some(help),
        }
    }

    fn not_pushed(&self, wanted: &Wanted, tag: &ImageTag) -> Missing {
        let flags = self.session.registry_flags();
        let help = match (wanted.service.as_ref().map(|it| &it.name), &self.tag) {
            (Some(package), None) => {
                format!("push it with `cargo xtask push -p {package}{flags}`, or name another tag with --tag")
            }
            (Some(package), Some(tag)) => format!(
                "push it with `cargo xtask push -p {package} --tag '{tag}'{flags}`; `cargo xtask ecr images -p \
                 {package}{flags}` lists the tags that are there"
            ),
            (None, _) => format!("`cargo xtask ecr images{flags}` lists the tags that are there"),
        };
        Missing {
            message: format!("`{}` has no image with the tag `{tag}`", wanted.repository),
            help: Some(help),
        }
    }
}

fn no_tag(wanted: &Wanted) -> Missing {
    let name = &wanted.repository;
    let (message, help) = match &wanted.service {
        Some(_) => (
            format!(
                "the tags of `{name}` contain the digest of an image, so that none is known before it is built"
            ),
            "pass the document of `push --format json` with --images, or a tag with --tag",
        ),
        None => (
            format!("`{name}` belongs to no service, so that no tag of it is configured"),
            "pass a tag with --tag",
        ),
    };
    Missing { message, help: Some(help.to_owned()) }
}

fn contradiction(wanted: &Wanted, first: &TaggedImage, second: &TaggedImage) -> Missing {
    let message = format!(
        "the tags of `{}` name two images: `{}` is {}, and `{}` is {}",
        wanted.repository, first.tag, first.digest, second.tag, second.digest
    );
    Missing { message, help: Some(format!("choose one with --tag, such as `--tag {}`", second.tag)) }
}
