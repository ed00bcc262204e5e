//! What a state begins with: repositories and images from a file in JSON, for tests.
//!
//! ```json
//! { "repositories": [ {
//!     "name": "my-app",
//!     "imageTagMutability": "IMMUTABLE",
//!     "scanOnPush": true,
//!     "lifecyclePolicy": { "rules": [] },
//!     "tags": { "team": "web" },
//!     "images": [
//!       { "tags": ["1.0.0"], "pushedAt": "2026-01-31T12:00:00Z" },
//!       { "tags": ["build-{n}"], "age": "90d", "repeat": 1000, "scan": { "imageScanStatus": { "status": "COMPLETE" } } },
//!       { "artifactType": "application/vnd.cyclonedx+json", "subject": "1.0.0" } ] } ] }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ecr_lifecycle::Document;
use ecr_types::media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use ecr_types::policy::{Policy, PolicyKind};
use ecr_types::{
    Descriptor, Digest, EncryptionType, ImageTag, ImageTagMutability, Manifest, RepositoryName, Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{Image, Layer, RegistryKey, Repository, RepositorySettings, StorageClass};
use super::shared::Shared;
use super::store::{Queries, Transaction, write_whole};

/// What a state begins with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    repositories: Vec<SeedRepository>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SeedRepository {
    name: RepositoryName,
    /// The registry, `ACCOUNT/REGION`. The default is that of the server.
    registry: Option<RegistryKey>,
    image_tag_mutability: Option<String>,
    #[serde(default)]
    exclusion_filters: Vec<String>,
    #[serde(default)]
    scan_on_push: bool,
    encryption_type: Option<String>,
    lifecycle_policy: Option<Value>,
    repository_policy: Option<Value>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    images: Vec<SeedImage>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SeedImage {
    /// `{n}` is the number of the image among those of `repeat`, from 1.
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default = "one")]
    repeat: u32,
    pushed_at: Option<Timestamp>,
    /// The time since the push, such as `90d` or `12h`. Those of `repeat` are a second apart, the last one the youngest.
    age: Option<String>,
    last_pulled_at: Option<Timestamp>,
    /// The number of bytes of the layer. They are zeros.
    size: Option<u64>,
    #[serde(default)]
    archived: bool,
    artifact_type: Option<String>,
    /// A tag of an earlier image, to which this artifact is attached.
    subject: Option<ImageTag>,
    /// The findings, in the form of the files in the folder `scans`.
    scan: Option<Value>,
}

fn one() -> u32 {
    1
}

/// The record of the repository that is being filled. One that a process has left half filled is made again.
const SEEDING: &str = "seeding";
/// The number of images that are written in one transaction.
const BATCH: usize = 1000;
/// The maximum number of bytes of a layer, which is made in memory.
const MAX_LAYER: u64 = 1 << 30;

impl Seed {
    /// Reads a seed.
    ///
    /// # Errors
    /// The text is not JSON in this form.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// Adds the repositories to a state. One that exists is left as it is.
    ///
    /// # Errors
    /// A setting is not valid, or the state cannot be written.
    pub fn apply(&self, shared: &Shared) -> Result<()> {
        for repository in &self.repositories {
            repository
                .apply(shared)
                .with_context(|| format!("repository `{}` of the seed", repository.name))?;
        }
        Ok(())
    }
}

impl SeedRepository {
    fn apply(&self, shared: &Shared) -> Result<()> {
        let settings = self.settings(shared.now())?;
        let key = self.registry.clone().unwrap_or_else(|| RegistryKey {
            account: shared.settings.account.clone(),
            region: shared.settings.region.clone(),
        });
        let own = format!("{key}/{}", self.name);
        let created = shared.store.write(|transaction| {
            if let Some(repository) = transaction.repository(&key, &self.name)? {
                if transaction.meta(SEEDING)?.as_ref() != Some(&own) {
                    return Ok(None);
                }
                transaction.delete_repository(&key, &self.name, &repository)?;
            }
            transaction.put_meta(SEEDING, &own)?;
            transaction.create_repository(&key, &self.name, settings).map(Some)
        })?;
        let Some(repository) = created else { return Ok(()) };
        for (n, image) in self.images.iter().enumerate() {
            image.apply(shared, &repository).with_context(|| format!("image {}", n + 1))?;
        }
        shared.store.write(|it| it.remove_meta(SEEDING))
    }

    fn settings(&self, now: f64) -> Result<RepositorySettings> {
        let lifecycle_policy = self.lifecycle_policy.as_ref().map(text);
        lifecycle_policy.as_deref().map_or(Ok(()), check_lifecycle)?;
        let repository_policy = self.repository_policy.as_ref().map(text);
        repository_policy.as_deref().map_or(Ok(()), check_repository)?;
        let mutability = self.image_tag_mutability.as_deref().map(str::parse).transpose()?;
        let encryption = self.encryption_type.as_deref().map(str::parse).transpose()?;
        Ok(RepositorySettings {
            image_tag_mutability: mutability.unwrap_or(ImageTagMutability::Mutable),
            exclusion_filters: self.exclusion_filters.clone(),
            scan_on_push: self.scan_on_push,
            encryption_type: encryption.unwrap_or(EncryptionType::Aes256),
            lifecycle_policy,
            repository_policy,
            tags: self.tags.clone(),
            ..RepositorySettings::new(now)
        })
    }
}

/// The text of a policy, which is written as JSON or as text.
fn text(policy: &Value) -> String {
    policy.as_str().map_or_else(|| policy.to_string(), str::to_owned)
}

fn check_lifecycle(text: &str) -> Result<()> {
    let problems = Document::parse("lifecyclePolicy", text).err().unwrap_or_default();
    problems.first().map_or(Ok(()), |it| bail!("lifecyclePolicy: {}", it.constraint()))
}

fn check_repository(text: &str) -> Result<()> {
    let problems = Policy::parse(text, PolicyKind::Repository).err().unwrap_or_default();
    problems.first().map_or(Ok(()), |it| bail!("repositoryPolicy: {it}"))
}

impl SeedImage {
    fn apply(&self, shared: &Shared, repository: &Repository) -> Result<()> {
        let (config, layer) = self.blobs(shared, repository)?;
        let first_pushed_at = self.pushed_at(shared.now())?;
        let images = Images { seed: self, shared, repository, config, layer, first_pushed_at };
        let numbers: Vec<_> = (0..self.repeat).collect();
        numbers.chunks(BATCH).try_for_each(|batch| {
            shared.store.write(|transaction| batch.iter().try_for_each(|n| images.add(transaction, *n)))
        })
    }

    /// The time of the first push, in seconds since 1970.
    fn pushed_at(&self, now: f64) -> Result<f64> {
        let age = self.age.as_deref().map(parse_age).transpose()?;
        Ok(match (self.pushed_at, age) {
            (Some(_), Some(_)) => bail!("either `pushedAt` or `age`"),
            (Some(at), None) => at.seconds() as f64,
            (None, age) => now - age.unwrap_or_default().as_secs_f64() - f64::from(self.repeat - 1),
        })
    }

    /// Stores a config, and a layer with one file.
    fn blobs(&self, shared: &Shared, repository: &Repository) -> Result<(Descriptor, Descriptor)> {
        ensure!(self.repeat > 0, "`repeat` is at least 1");
        let size = self.size.unwrap_or_default();
        ensure!(size <= MAX_LAYER, "`size` is at most {MAX_LAYER}");
        let layer = layer(usize::try_from(size)?)?;
        let diff_id = Digest::of(&layer);
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/seed"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        let store = |media_type: &str, bytes: &[u8]| -> Result<Descriptor> {
            let digest = Digest::of(bytes);
            write_whole(&shared.store.blobs().path(&digest), bytes)?;
            let layer = Layer::new(bytes.len() as u64);
            shared.store.write(|it| it.put_layer(repository.id, &digest, &layer))?;
            Ok(Descriptor::new(media_type, digest, layer.size))
        };
        let config = config.to_string().into_bytes();
        Ok((store(OCI_CONFIG, &config)?, store(OCI_LAYER, &layer)?))
    }
}

/// The images of an entry, which have the same blobs.
struct Images<'a> {
    seed: &'a SeedImage,
    shared: &'a Shared,
    repository: &'a Repository,
    config: Descriptor,
    layer: Descriptor,
    /// In seconds since 1970.
    first_pushed_at: f64,
}

impl Images<'_> {
    /// Adds the image with this number, which is counted from 0.
    fn add(&self, transaction: &mut Transaction<'_>, n: u32) -> Result<()> {
        let (seed, id) = (self.seed, self.repository.id);
        let manifest = self.manifest(transaction, n)?;
        let text = manifest.to_string().into_bytes();
        let digest = Digest::of(&text);
        ensure!(!transaction.has_image(id, &digest)?, "another image of the seed is the same");
        let image = self.image(&Manifest::parse(&text, None)?, text.len(), n);
        transaction.add_image(id, &digest, &image, &text)?;
        for tag in &seed.tags {
            let tag = tag.replace("{n}", &(n + 1).to_string()).parse()?;
            transaction.put_tag(id, &tag, &digest)?;
        }
        if let Some(scan) = &seed.scan {
            let path = self.shared.scan_path(&digest);
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            write_whole(&path, scan.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn manifest(&self, transaction: &Transaction<'_>, n: u32) -> Result<Value> {
        let SeedImage { tags, artifact_type, subject, .. } = self.seed;
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.config,
            "layers": [self.layer],
            // Images with the same blobs are different ones.
            "annotations": {"org.opencontainers.image.title": format!("seed {n} {tags:?} {artifact_type:?}")},
        });
        if let Some(kind) = artifact_type {
            manifest["artifactType"] = json!(kind);
        }
        if let Some(subject) = subject {
            let digest = transaction.tagged(self.repository.id, subject)?;
            let digest = digest.with_context(|| format!("no earlier image has the tag `{subject}`"))?;
            let image = transaction.image(self.repository.id, &digest)?.context("the subject is gone")?;
            manifest["subject"] = json!(Descriptor::new(image.media_type, digest, image.manifest_size));
        }
        Ok(manifest)
    }

    /// What is recorded of the image with this number, whose manifest has `size` bytes.
    fn image(&self, manifest: &Manifest, size: usize, n: u32) -> Image {
        let (seed, pushed_at) = (self.seed, self.first_pushed_at + f64::from(n));
        let is_scanned = self.repository.settings.scan_on_push || seed.scan.is_some();
        Image {
            media_type: OCI_MANIFEST.to_owned(),
            pushed_at,
            size: self.config.size + self.layer.size,
            manifest_size: size as u64,
            artifact_media_type: manifest.artifact_type().map(str::to_owned),
            subject: manifest.subject().map(|it| it.digest.clone()),
            children: Vec::new(),
            layers: vec![self.config.digest.clone(), self.layer.digest.clone()],
            last_pulled_at: seed.last_pulled_at.map(|it| it.seconds() as f64),
            scan_requested_at: is_scanned.then_some(pushed_at),
            storage_class: if seed.archived { StorageClass::Archive } else { StorageClass::Standard },
            archived_at: seed.archived.then_some(pushed_at),
            activated_at: None,
            replications: Vec::new(),
            checked_at: None,
        }
    }
}

/// A layer with the file `/seed` of this size, as a tar archive.
fn layer(size: usize) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, "seed", &*vec![0; size])?;
    Ok(archive.into_inner()?)
}

/// A time such as `90d`, `12h`, `30m` or `5s`.
fn parse_age(text: &str) -> Result<Duration> {
    let unit = |suffix: char| match suffix {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(60 * 60),
        'd' => Some(24 * 60 * 60),
        _ => None,
    };
    let (number, seconds) = text
        .char_indices()
        .last()
        .and_then(|(at, suffix)| Some((text[..at].parse::<u64>().ok()?, unit(suffix)?)))
        .with_context(|| format!("`{text}` is not an age such as 90d, 12h, 30m or 5s"))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}
