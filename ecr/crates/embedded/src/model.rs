//! The state of all registries in memory, and the changes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ecr_types::{
    Digest, EncryptionType, ImageTag, ImageTagMutability, InvalidName, Region, RegistryId, RepositoryName,
    ScanningRule,
};
use serde::{Deserialize, Serialize};

/// All registries: one for each account and region in which something was changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Model {
    registries: BTreeMap<RegistryKey, Registry>,
}

/// The key of a registry. Each account has one registry in each region. As text it is `000000000000/us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RegistryKey {
    pub account: RegistryId,
    pub region: Region,
}

impl fmt::Display for RegistryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

impl FromStr for RegistryKey {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (account, region) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self { account: account.parse()?, region: region.parse()? })
    }
}

impl From<RegistryKey> for String {
    fn from(key: RegistryKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for RegistryKey {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Registry {
    pub repositories: BTreeMap<RepositoryName, Repository>,
    /// `RegistryScanningConfiguration` of the service model, if it was set.
    pub scanning: Option<serde_json::Value>,
    /// Account settings that differ from the default, by name (`PutAccountSetting`).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repository {
    pub settings: RepositorySettings,
    /// Images, indexes and artifacts by the digest of their manifest.
    #[serde(default)]
    pub images: BTreeMap<Digest, Image>,
    /// Tags, each with the digest of one of `images`.
    #[serde(default)]
    pub image_tags: BTreeMap<ImageTag, Digest>,
    /// The sizes in bytes of the blobs that were uploaded to or mounted into this repository. Repositories of ECR do not share
    /// blobs.
    #[serde(default)]
    pub layers: BTreeMap<Digest, u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepositorySettings {
    /// In seconds since 1970.
    pub created_at: f64,
    pub image_tag_mutability: ImageTagMutability,
    /// The filters of `imageTagMutabilityExclusionFilters`.
    pub exclusion_filters: Vec<String>,
    pub scan_on_push: bool,
    /// The type of encryption at rest. It is recorded only; blobs are not encrypted.
    pub encryption_type: EncryptionType,
    pub kms_key: Option<String>,
    /// The text of the lifecycle policy, unchanged.
    pub lifecycle_policy: Option<String>,
    /// The text of the repository policy, unchanged.
    pub repository_policy: Option<String>,
    /// Resource tags.
    pub tags: BTreeMap<String, String>,
}

/// A manifest that was pushed: an image, an index or an artifact. Its text is stored as a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub media_type: String,
    /// In seconds since 1970.
    pub pushed_at: f64,
    /// `imageSizeInBytes`: the sum of the sizes of config and layers; for an index, the size of its largest image.
    pub size: u64,
    /// The size of the manifest in bytes.
    pub manifest_size: u64,
    /// `artifactType`, else the media type of the config.
    pub artifact_media_type: Option<String>,
    /// The image to which this artifact is attached.
    pub subject: Option<Digest>,
    /// The manifests that this index references.
    #[serde(default)]
    pub children: Vec<Digest>,
    /// The config and the layers of this image.
    #[serde(default)]
    pub layers: Vec<Digest>,
    /// The time of the last recorded pull, in seconds since 1970.
    #[serde(default)]
    pub last_pulled_at: Option<f64>,
    /// The time of the last scan on push or `StartImageScan`, in seconds since 1970.
    #[serde(default)]
    pub scan_requested_at: Option<f64>,
}

/// A change of the state. A list of changes is a transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Change {
    /// Creates a repository, or replaces its settings.
    PutSettings(RegistryKey, RepositoryName, Box<RepositorySettings>),
    /// Removes a repository with its images and blobs.
    DeleteRepository(RegistryKey, RepositoryName),
    /// Adds a blob, with its size in bytes.
    PutLayer(RegistryKey, RepositoryName, Digest, u64),
    /// Adds or replaces a manifest.
    PutImage(RegistryKey, RepositoryName, Digest, Image),
    /// Points a tag to a manifest.
    PutTag(RegistryKey, RepositoryName, ImageTag, Digest),
    /// Removes a tag. Its image stays.
    DeleteTag(RegistryKey, RepositoryName, ImageTag),
    /// Removes a manifest, its tags, and the blobs that no other manifest of the repository references.
    DeleteImage(RegistryKey, RepositoryName, Digest),
    /// Removes a blob that no manifest references.
    DeleteLayer(RegistryKey, RepositoryName, Digest),
    /// Replaces the registry's scanning configuration.
    PutScanning(RegistryKey, serde_json::Value),
    /// Sets an account setting.
    PutSetting(RegistryKey, String, String),
}

impl Model {
    /// A registry; `None` if nothing was changed in it.
    pub fn registry(&self, key: &RegistryKey) -> Option<&Registry> {
        self.registries.get(key)
    }

    pub fn repository(&self, key: &RegistryKey, name: &RepositoryName) -> Option<&Repository> {
        self.registry(key)?.repositories.get(name)
    }

    pub fn registries(&self) -> &BTreeMap<RegistryKey, Registry> {
        &self.registries
    }

    /// All images of all registries, for the migration of older states.
    pub fn images_mut(&mut self) -> impl Iterator<Item = (&Digest, &mut Image)> {
        let repositories = self.registries.values_mut().flat_map(|it| it.repositories.values_mut());
        repositories.flat_map(|it| it.images.iter_mut())
    }

    /// Whether a repository has the blob as a layer, config or manifest.
    pub fn names_blob(&self, digest: &Digest) -> bool {
        let mut repositories = self.registries.values().flat_map(|it| it.repositories.values());
        repositories.any(|it| it.layers.contains_key(digest) || it.images.contains_key(digest))
    }

    /// Applies a change. A change of a repository that does not exist has no effect, as a journal can be replayed on a snapshot
    /// that contains its changes already.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutSettings(key, name, settings) => self.put_settings(key, name, *settings),
            Change::DeleteRepository(key, name) => {
                self.registries.entry(key).or_default().repositories.remove(&name);
            }
            Change::PutLayer(key, name, digest, size) => {
                self.change(&key, &name, |it| {
                    it.layers.insert(digest, size);
                });
            }
            Change::PutImage(key, name, digest, image) => {
                self.change(&key, &name, |it| drop(it.images.insert(digest, image)));
            }
            Change::PutTag(key, name, tag, digest) => {
                self.change(&key, &name, |it| drop(it.image_tags.insert(tag, digest)));
            }
            Change::DeleteTag(key, name, tag) => {
                self.change(&key, &name, |it| drop(it.image_tags.remove(&tag)));
            }
            Change::DeleteImage(key, name, digest) => self.change(&key, &name, |it| it.delete_image(&digest)),
            Change::DeleteLayer(key, name, digest) => {
                self.change(&key, &name, |it| {
                    it.layers.remove(&digest);
                });
            }
            Change::PutSetting(key, name, value) => {
                self.registries.entry(key).or_default().settings.insert(name, value);
            }
            Change::PutScanning(key, scanning) => {
                self.registries.entry(key).or_default().scanning = Some(scanning);
            }
        }
    }

    fn put_settings(&mut self, key: RegistryKey, name: RepositoryName, settings: RepositorySettings) {
        let repositories = &mut self.registries.entry(key).or_default().repositories;
        match repositories.get_mut(&name) {
            Some(repository) => repository.settings = settings,
            None => drop(repositories.insert(name, Repository::new(settings))),
        }
    }

    fn change(&mut self, key: &RegistryKey, name: &RepositoryName, change: impl FnOnce(&mut Repository)) {
        let registry = self.registries.get_mut(key);
        if let Some(repository) = registry.and_then(|it| it.repositories.get_mut(name)) {
            change(repository);
        }
    }
}

impl Registry {
    /// The first scanning rule of the registry that scans a repository (service model, `RegistryScanningRule`).
    pub fn scanning_rule(&self, name: &RepositoryName) -> Option<&serde_json::Value> {
        let rules = self.scanning.as_ref()?["rules"].as_array()?;
        rules.iter().find(|rule| {
            let filters = rule["repositoryFilters"].as_array().into_iter().flatten();
            let rule = ScanningRule {
                frequency: rule["scanFrequency"].as_str().unwrap_or_default().to_owned(),
                filters: filters.filter_map(|it| Some(it["filter"].as_str()?.to_owned())).collect(),
            };
            rule.scans(name)
        })
    }

    /// Whether the registry's scanning rules scan images of a repository when they are pushed.
    pub fn scans(&self, name: &RepositoryName) -> bool {
        self.scanning_rule(name).is_some_and(|rule| rule["scanFrequency"] != "MANUAL")
    }
}

impl Repository {
    fn new(settings: RepositorySettings) -> Self {
        Self { settings, images: BTreeMap::new(), image_tags: BTreeMap::new(), layers: BTreeMap::new() }
    }

    /// The tags of a manifest, sorted.
    pub fn tags_of<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a ImageTag> {
        self.image_tags.iter().filter(move |(_, it)| *it == digest).map(|(tag, _)| tag)
    }

    /// The blobs that no manifest references.
    pub fn loose_layers(&self) -> Vec<&Digest> {
        let named: BTreeSet<_> = self.images.values().flat_map(|it| &it.layers).collect();
        self.layers.keys().filter(|it| !named.contains(it)).collect()
    }

    fn delete_image(&mut self, digest: &Digest) {
        let Some(image) = self.images.remove(digest) else { return };
        self.image_tags.retain(|_, it| it != digest);
        let still_named: BTreeSet<_> = self.images.values().flat_map(|it| &it.layers).collect();
        let gone: Vec<_> = image.layers.iter().filter(|it| !still_named.contains(it)).collect();
        self.layers.retain(|it, _| !gone.contains(&it));
    }

    /// The tags of each manifest, sorted.
    pub fn tags_by_digest(&self) -> BTreeMap<&Digest, Vec<&ImageTag>> {
        let mut tags = BTreeMap::<_, Vec<_>>::new();
        for (tag, digest) in &self.image_tags {
            tags.entry(digest).or_default().push(tag);
        }
        tags
    }
}
