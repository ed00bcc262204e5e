//! The images that files of `--images` name.

use ecr_types::RepositoryName;

use super::Images;
use crate::aws::private_registry::PrivateRegistry;
use crate::cli::commands::tagged::{Missing, Wanted};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::config::desired::Desired;
use crate::config::files;
use crate::config::tag_template::{Revision, TagValues};
use crate::deployment::{DeployedImage, PushedImage, PushedImages};

/// Reads the files. No registry is asked.
pub(super) fn images(
    flags: &flags::Resolve,
    desired: &Desired,
    wanted: Vec<Wanted>,
) -> Result<Images, Failure> {
    let mut pushed = PushedImages::default();
    for path in &flags.images {
        let (name, text) = (path.display().to_string(), files::read_list(path)?);
        pushed.add(&name, &text).map_err(|error| {
            let failure = Failure::from(anyhow::Error::new(error).context(format!("`{name}` has no images")));
            failure.with_help("pass what `push --format json` has printed, or a file of `push --image-refs`")
        })?;
    }
    let files: Vec<_> = flags.images.iter().map(|it| it.display().to_string()).collect();
    let source = Source { flags, desired, pushed, files: ecr_types::human::listed(&files) };
    Ok(wanted.into_iter().map(|it| (it.repository.clone(), source.image(&it))).collect())
}

struct Source<'a> {
    flags: &'a flags::Resolve,
    desired: &'a Desired,
    pushed: PushedImages,
    /// The names of the files, for messages.
    files: String,
}

impl Source<'_> {
    fn image(&self, wanted: &Wanted) -> Result<DeployedImage, Missing> {
        let name = &wanted.repository;
        match self.pushed.of(name.as_str()) {
            [image] => self.deployed(wanted, image),
            [] => Err(self.missing(wanted)),
            [first, second, ..] => {
                let text = |it: &PushedImage| format!("`{}` says {}/{name}@{}", it.file, it.host, it.digest);
                Err(Missing {
                    message: format!("`{name}` has two images: {}, and {}", text(first), text(second)),
                    help: Some(
                        "pass only files that pushes of one commit to one registry have written".to_owned(),
                    ),
                })
            }
        }
    }

    fn deployed(&self, wanted: &Wanted, image: &PushedImage) -> Result<DeployedImage, Missing> {
        let account = PrivateRegistry::of_host(&image.host).map(|it| it.account);
        if let (Some(pinned), Some(account)) = (&self.desired.account_id, account)
            && account != *pinned
        {
            return Err(Missing {
                message: format!(
                    "`{}` is about the registry of account {account}, and the configuration is pinned to account {pinned}",
                    image.file
                ),
                help: Some("pass the file of a push to the same environment".to_owned()),
            });
        }
        Ok(wanted.deployed(image.host.clone(), self.tag(wanted, image)?, image.digest.clone()))
    }

    /// The tag of `--tag`, which the image must have, else its first one.
    fn tag(&self, wanted: &Wanted, image: &PushedImage) -> Result<Option<ecr_types::ImageTag>, Missing> {
        let Some(template) = &self.flags.tag else { return Ok(image.tags.first().cloned()) };
        let version = wanted.service.as_ref().map_or("", |it| &it.package.version);
        let revision = Revision::default();
        let values = TagValues { version, revision: &revision, digest: Some(&image.digest) };
        let tag = template.render(&values).map_err(|it| Missing { message: it.to_string(), help: None })?;
        match image.tags.contains(&tag) {
            true => Ok(Some(tag)),
            false => Err(Missing {
                message: format!(
                    "`{}` does not say that the image of `{}` has the tag `{tag}`",
                    image.file, wanted.repository
                ),
                help: Some("leave --tag out, or leave --images out to ask the registry".to_owned()),
            }),
        }
    }

    fn missing(&self, wanted: &Wanted) -> Missing {
        let name: &RepositoryName = &wanted.repository;
        let message = match self.pushed.failure(name.as_str()) {
            Some(failure) => format!("`{name}` has no image: {failure}"),
            None => format!("{} names no image of `{name}`", self.files),
        };
        let help = wanted
            .service
            .as_ref()
            .map(|it| format!("push it, too: `cargo xtask push -p {} --format json`", it.name));
        Missing { message, help }
    }
}

/// A placeholder asks for a tag that a list of references does not have.
pub(super) fn without_tag(image: &DeployedImage) -> Missing {
    Missing {
        message: format!("the tag of `{}` is not known: a list of digest references has none", image.name()),
        help: Some("pass what `push --format json` has printed with --images".to_owned()),
    }
}
