//! Copies an image and puts its tag on it.

use std::sync::Arc;

use anyhow::{Context, Result};
use ecr_oci::image::bundle::RawManifest;
use ecr_oci::registry::{Copied, ImageCopy, RegistryClient, RegistryErrorKind};
use ecr_types::error::one_line;
use ecr_types::{Digest, ImageTag};

use super::plan::Promotion;
use super::sides::Sides;
use super::{Done, conflict, failed, succeeded};
use crate::aws::Manifests;
use crate::cli::help::help_for;
use crate::cli::report::{PromoteOutcome, PromotedEntry};
use crate::promotion::{EnvironmentTag, History};

/// The number of times that the next number is taken because another promotion has taken the one before.
const RACES: usize = 16;

/// Promotes one image, which gets `tag`.
pub(super) async fn apply(
    sides: &Sides<'_>,
    entry: PromotedEntry,
    promotion: &Promotion,
    tag: &ImageTag,
) -> Done {
    let apply = Apply { sides, promotion };
    match apply.run(tag).await {
        Ok((Tagged::Tag(tag), copied)) => {
            let entry = PromotedEntry {
                tags: vec![tag],
                uploaded_bytes: copied.uploaded_bytes,
                mounted_bytes: copied.mounted_bytes,
                skipped_bytes: copied.skipped_bytes,
                artifacts: copied.artifacts,
                ..entry
            };
            if copied.is_without_referrers {
                let text = "the registry has no list of referrers: artifacts such as SBOMs and signatures were not copied";
                sides.source().session.shell.warn(format!("{}: {text}", entry.name()));
            }
            succeeded(entry, PromoteOutcome::Promoted)
        }
        Ok((Tagged::OtherImage(error), _)) => conflict(entry, error, None),
        Err(error) => failed(entry, one_line(error.as_ref()), help_for(&error)),
    }
}

/// What became of a tag.
enum Tagged {
    Tag(ImageTag),
    /// An immutable tag has got another image meanwhile.
    OtherImage(String),
}

struct Apply<'a> {
    sides: &'a Sides<'a>,
    promotion: &'a Promotion,
}

impl Apply<'_> {
    /// Copies the image, unless it is in its own repository, and tags it. The digest in the answers is that of the image.
    async fn run(&self, tag: &ImageTag) -> Result<(Tagged, Copied)> {
        let Promotion { from, to, digest, .. } = self.promotion;
        let source = self.sides.source().reader(from)?;
        let target = self.sides.target().client()?;
        let is_one = self.sides.is_one_registry();
        let copied = match is_one && from == to {
            true => Copied::default(),
            false => {
                let bar = Arc::new(self.sides.target().session.shell.bar("Promoting", 0));
                let copy = ImageCopy {
                    source: source.clone(),
                    target: &target,
                    name: to,
                    mount_from: is_one.then_some(from),
                    on_sent: Arc::new(move |bytes| bar.advance(bytes)),
                };
                copy.run(digest).await?
            }
        };
        let raw = source.raw_manifest(digest.as_str()).await?;
        let raw = raw.with_context(|| format!("`{from}` has no image {digest}"))?;
        if let Some((theirs, previous)) = &self.promotion.replaces {
            self.keep_previous(&target, theirs, previous).await?;
        }
        Ok((self.put(&target, &raw, tag.clone()).await?, copied))
    }

    /// Moves the tag of the image before.
    async fn keep_previous(&self, target: &RegistryClient, theirs: &Digest, tag: &ImageTag) -> Result<()> {
        let name = &self.promotion.to;
        let raw = self.sides.target().reader(name)?.raw_manifest(theirs.as_str()).await?;
        // It may have been deleted meanwhile, so that there is nothing to go back to.
        match raw {
            Some(raw) => Ok(target.put_manifest(name, tag.as_str(), &raw).await?),
            None => Ok(()),
        }
    }

    /// Puts the tag on the image. A number that another promotion has taken is followed by the next.
    async fn put(&self, target: &RegistryClient, raw: &RawManifest, mut tag: ImageTag) -> Result<Tagged> {
        let name = &self.promotion.to;
        for _ in 0..RACES {
            match target.put_manifest(name, tag.as_str(), raw).await {
                Ok(()) => return Ok(Tagged::Tag(tag)),
                Err(error) if error.kind() == RegistryErrorKind::ImmutableTag => {}
                Err(error) => return Err(error.into()),
            }
            let theirs = target.digest(name, tag.as_str()).await?;
            if theirs.as_ref() == Some(&self.promotion.digest) {
                return Ok(Tagged::Tag(tag));
            }
            if let EnvironmentTag::Moving(_) = self.sides.tag {
                let theirs = theirs.map_or("another image".to_owned(), |it| it.to_string());
                return Ok(Tagged::OtherImage(format!(
                    "the tag `{tag}` is immutable and points to {theirs}"
                )));
            }
            tag = self.next().await?;
        }
        anyhow::bail!("other promotions have taken {RACES} numbers meanwhile")
    }

    /// The tag with the next number, now.
    async fn next(&self) -> Result<ImageTag> {
        let name = &self.promotion.to;
        let inventory = self.sides.target().session.aws.required_inventory(name, Manifests::None).await?;
        Ok(self.sides.tag.after(History::of(&inventory, &self.sides.tag).last)?)
    }
}
