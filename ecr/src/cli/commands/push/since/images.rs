//! The images that services have which are not affected, and the commits of images.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use ecr_lifecycle::{Image, StorageClass};
use ecr_types::error::one_line;
use ecr_types::{Digest, RepositoryName};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use super::{Affected, Base, Since};
use crate::affected::Reason;
use crate::aws::{Aws, Manifests, ServiceError};
use crate::build::git;
use crate::cli::commands::push::Job;
use crate::config::tag_template::{Revision, TagTemplate, TagValues};

/// What becomes of a service.
#[derive(Debug, Clone)]
pub(in crate::cli::commands::push) enum Verdict {
    /// It is built, for these reasons.
    Affected(Vec<Reason>),
    /// It has an image already.
    Unaffected(FoundImage),
}

/// An image in the registry.
#[derive(Debug, Clone)]
pub(in crate::cli::commands::push) struct FoundImage {
    pub digest: Digest,
    /// The media type of its manifest, if the API tells it.
    pub media_type: Option<String>,
}

/// An image, and the commit that it is of.
struct Candidate {
    image: Image,
    commit: String,
}

/// The manifest annotation and label with the commit of an image (OCI image specification, "Pre-Defined Annotation Keys").
const REVISION: &str = "org.opencontainers.image.revision";

/// Judges services, by the index of the job.
///
/// # Errors
/// git cannot be run, or fails.
pub(in crate::cli::commands::push) async fn verdicts(
    since: &Arc<Since>,
    aws: &Aws,
    jobs: &[&Job],
    concurrency: usize,
) -> Result<BTreeMap<usize, Verdict>> {
    let mut known: BTreeMap<String, Affected> = BTreeMap::new();
    if let Base::Commit { commit, .. } = &since.base {
        known.insert(commit.clone(), since.affected(commit.clone()).await?);
    }
    let base = match &since.base {
        Base::Commit { commit, .. } => known.get(commit).cloned().unwrap_or_default(),
        Base::Nothing | Base::Published => Affected::new(),
    };
    let judge = async |job: &Job| {
        let reasons = base.get(&job.index).cloned().unwrap_or_default();
        let found = match (&since.base, reasons.is_empty()) {
            (_, false) => Err(reasons),
            (Base::Nothing, _) => Err(vec![Reason::Other("there is no commit before".to_owned())]),
            (Base::Commit { name, commit }, _) => since.image_of(aws, job, name, commit).await,
            (Base::Published, _) => since.published_image(aws, job).await,
        };
        (job.index, found)
    };
    let found: Vec<_> =
        stream::iter(jobs.iter().map(|it| judge(it))).buffer_unordered(concurrency).collect().await;
    let mut verdicts = BTreeMap::new();
    for (index, found) in found {
        let verdict = match found {
            Err(reasons) => Verdict::Affected(reasons),
            Ok(candidate) => {
                if !known.contains_key(&candidate.commit) {
                    known.insert(candidate.commit.clone(), since.affected(candidate.commit.clone()).await?);
                }
                let reasons = known[&candidate.commit].get(&index).cloned().unwrap_or_default();
                let Image { digest, media_type, .. } = candidate.image;
                match reasons.is_empty() {
                    true => Verdict::Unaffected(FoundImage { digest, media_type }),
                    false => Verdict::Affected(reasons),
                }
            }
        };
        verdicts.insert(index, verdict);
    }
    Ok(verdicts)
}

impl Since {
    /// The image of a commit: under a tag that names the commit, or under a tag of the service. What commit the latter is of is
    /// known by the time of its push only: it is at most as new as the last commit before.
    async fn image_of(
        &self,
        aws: &Aws,
        job: &Job,
        name: &str,
        commit: &str,
    ) -> Result<Candidate, Vec<Reason>> {
        let mut templates = job.tags.clone();
        templates.extend(job.service.tag_templates().into_iter().filter(|it| !job.tags.contains(it)));
        let revision = Revision { commit: Some(commit.to_owned()), ..git::revision(None) };
        let values = TagValues { version: &job.service.package.version, revision: &revision, digest: None };
        let mut tags = Vec::new();
        for template in &templates {
            let Ok(tag) = template.render(&values) else { continue };
            match aws.tagged_image(&job.service.repository, tag.as_str()).await {
                Ok(Some(image)) if image.storage_class == StorageClass::Standard => {
                    return self.dated(image, template, commit);
                }
                Ok(_) => tags.push(format!("`{tag}`")),
                Err(error) => return Err(unknown(aws, job, &error)),
            }
        }
        let text = match tags.is_empty() {
            true => format!(
                "none of its tags is known before its image is built, so that no image of {name} is found"
            ),
            false => format!("there is no image of {name}, under {}", tags.join(", ")),
        };
        Err(vec![Reason::Other(text)])
    }

    fn dated(&self, image: Image, template: &TagTemplate, commit: &str) -> Result<Candidate, Vec<Reason>> {
        if template.needs_git() {
            return Ok(Candidate { image, commit: commit.to_owned() });
        }
        let pushed = image.pushed_at.seconds();
        match self.repository.commit_before(commit, pushed) {
            Ok(Some(commit)) => Ok(Candidate { image, commit }),
            Ok(None) => Err(vec![Reason::Other("its image is older than all commits".to_owned())]),
            Err(error) => Err(vec![Reason::Other(one_line(error.as_ref()))]),
        }
    }

    /// The newest tagged image, if it tells its commit, and this clone has it.
    async fn published_image(&self, aws: &Aws, job: &Job) -> Result<Candidate, Vec<Reason>> {
        let repository = &job.service.repository;
        let inventory =
            aws.inventory(repository, Manifests::None).await.map_err(|it| unknown(aws, job, &it))?;
        let other = |text: &str| vec![Reason::Other(text.to_owned())];
        let inventory =
            inventory.ok_or_else(|| other("without ecr:DescribeImages its image is not known"))?;
        let tagged =
            inventory.newest().map(|it| inventory.images[it].clone()).filter(|it| !it.tags.is_empty());
        let image = tagged.ok_or_else(|| other("no image is published"))?;
        if image.storage_class != StorageClass::Standard {
            return Err(other("its published image is in the archive"));
        }
        let mut named: Vec<String> = image.tags.iter().flat_map(|it| commits_in(it)).collect();
        if named.is_empty() {
            named
                .extend(revision(aws, repository, &image.digest).await.map_err(|it| unknown(aws, job, &it))?);
        }
        if named.is_empty() {
            let tags = image.tags.join(", ");
            let text = format!(
                "its published image ({tags}) does not tell its commit: push a tag with `{{git-sha}}`, or set the label {REVISION}"
            );
            return Err(other(&text));
        }
        for name in &named {
            if let Ok(Some(commit)) = self.repository.commit(name) {
                return Ok(Candidate { image, commit });
            }
        }
        Err(other(&format!("this clone does not have the commit {} of its published image", named[0])))
    }
}

fn unknown(aws: &Aws, job: &Job, error: &ServiceError) -> Vec<Reason> {
    if error.is_denied() {
        let built = "services were built of which it is not known whether they have an image";
        aws.denials().add(error.operation(), built, job.service.repository.as_str());
    }
    vec![Reason::Other(format!("its image is not known: {error}"))]
}

/// The commits that a tag may name: 40 hexadecimal digits, or the 12 of `{git-short-sha}`.
fn commits_in(tag: &str) -> Vec<String> {
    let words = tag.split(|c: char| !c.is_ascii_hexdigit());
    words.filter(|it| matches!(it.len(), 12 | 40)).map(str::to_ascii_lowercase).collect()
}

/// The commit that an image names: by an annotation of its manifest, or a label of its config. Of an index it is that of the
/// first image that it lists.
async fn revision(aws: &Aws, name: &RepositoryName, digest: &Digest) -> Result<Option<String>, ServiceError> {
    let mut manifest = json(&aws.manifest(name, digest).await?);
    let mut named = named_commit(&manifest["annotations"]);
    if let (None, Some(first)) = (&named, digest_of(&manifest["manifests"][0])) {
        manifest = json(&aws.manifest(name, &first).await?);
        named = named_commit(&manifest["annotations"]);
    }
    match (named, digest_of(&manifest["config"])) {
        (None, Some(config)) => {
            let config = json(&aws.config(name, &config).await?);
            Ok(named_commit(&config["config"]["Labels"]))
        }
        (named, _) => Ok(named),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor["digest"].as_str()?.parse().ok()
}

fn named_commit(table: &Value) -> Option<String> {
    let named = table[REVISION].as_str()?;
    let is_commit = (7..=64).contains(&named.len()) && named.bytes().all(|it| it.is_ascii_hexdigit());
    is_commit.then(|| named.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_in_tags_are_found() {
        let full = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(commits_in(full), [full]);
        assert_eq!(commits_in("main-0123456789AB"), ["0123456789ab"]);
        assert_eq!(commits_in("1.0.0-0123456789ab.2"), ["0123456789ab"]);
        assert!(commits_in("1.0.0").is_empty() && commits_in("deadbeef").is_empty());
    }
}
