//! What the registries hold, as plain values, and the changes that lead from one state to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ecr_types::{
    Digest, EncryptionType, ImageTag, ImageTagMutability, InvalidName, Region, RegistryId, RepositoryName,
    ScanningRule,
};
use serde::{Deserialize, Serialize};

/// All registries: one for each account and region that was ever addressed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Model {
    registries: BTreeMap<RegistryKey, Registry>,
}

/// Which registry: each account has one in each region. Written `000000000000/us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RegistryKey {
    /// The account.
    pub account: RegistryId,
    /// The region.
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

/// One registry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Registry {
    /// Its repositories.
    pub repositories: BTreeMap<RepositoryName, Repository>,
    /// The registry's own scanning configuration, in the API's shape.
    pub scanning: Option<serde_json::Value>,
    /// Account settings that were changed.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// One repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repository {
    /// What the control plane sets.
    pub settings: Settings,
    /// Manifests by digest.
    #[serde(default)]
    pub images: BTreeMap<Digest, Image>,
    /// Tags, each pointing to one of `images`.
    #[serde(default)]
    pub image_tags: BTreeMap<ImageTag, Digest>,
    /// Sizes of the blobs that were uploaded here; ECR shares none between repositories.
    #[serde(default)]
    pub layers: BTreeMap<Digest, u64>,
}

/// The settings of a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Seconds since 1970.
    pub created_at: f64,
    /// Whether tags may be moved.
    pub image_tag_mutability: ImageTagMutability,
    /// Patterns of tags that are the exception to it.
    pub exclusion_filters: Vec<String>,
    /// Whether images are to be scanned when they are pushed.
    pub scan_on_push: bool,
    /// Encryption at rest, which is recorded and not done.
    pub encryption_type: EncryptionType,
    /// The KMS key.
    pub kms_key: Option<String>,
    /// The lifecycle policy's text, verbatim.
    pub lifecycle_policy: Option<String>,
    /// The repository policy's text, verbatim.
    pub repository_policy: Option<String>,
    /// Resource tags.
    pub tags: BTreeMap<String, String>,
}

/// A manifest that was pushed. Its bytes are a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The manifest's media type.
    pub media_type: String,
    /// Seconds since 1970.
    pub pushed_at: f64,
    /// The sizes of config and layers, together.
    pub size: u64,
    /// The manifest's own size.
    pub manifest_size: u64,
    /// `artifactType`, or the config's media type.
    pub artifact_media_type: Option<String>,
    /// The image that this one is attached to.
    pub subject: Option<Digest>,
    /// The images that this index lists.
    #[serde(default)]
    pub children: Vec<Digest>,
    /// Its config and layers.
    #[serde(default)]
    pub layers: Vec<Digest>,
    /// When it was last fetched by a client, in seconds since 1970.
    #[serde(default)]
    pub last_pulled_at: Option<f64>,
    /// When a scan was last asked for, by a push or by a request, in seconds since 1970.
    #[serde(default)]
    pub scan_requested_at: Option<f64>,
}

/// One change. A list of them is written and takes effect as a whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Change {
    /// Creates a repository, or replaces its settings.
    PutSettings(RegistryKey, RepositoryName, Box<Settings>),
    /// Removes a repository and all that it holds.
    DeleteRepository(RegistryKey, RepositoryName),
    /// Records a blob.
    PutLayer(RegistryKey, RepositoryName, Digest, u64),
    /// Records a manifest.
    PutImage(RegistryKey, RepositoryName, Digest, Image),
    /// Points a tag to a manifest.
    PutTag(RegistryKey, RepositoryName, ImageTag, Digest),
    /// Removes a tag; its image stays.
    DeleteTag(RegistryKey, RepositoryName, ImageTag),
    /// Removes a manifest, its tags, and the blobs that no other manifest of the repository names.
    DeleteImage(RegistryKey, RepositoryName, Digest),
    /// Removes a blob that no manifest names.
    DeleteLayer(RegistryKey, RepositoryName, Digest),
    /// Replaces the registry's scanning configuration.
    PutScanning(RegistryKey, serde_json::Value),
    /// Sets an account setting.
    PutSetting(RegistryKey, String, String),
}

impl Model {
    /// The registry of an account and region, if anything was ever written to it.
    pub fn registry(&self, key: &RegistryKey) -> Option<&Registry> {
        self.registries.get(key)
    }

    /// A repository.
    pub fn repository(&self, key: &RegistryKey, name: &RepositoryName) -> Option<&Repository> {
        self.registry(key)?.repositories.get(name)
    }

    /// Every registry.
    pub fn registries(&self) -> &BTreeMap<RegistryKey, Registry> {
        &self.registries
    }

    /// Every image, to be completed.
    pub fn images_mut(&mut self) -> impl Iterator<Item = (&Digest, &mut Image)> {
        let repositories = self.registries.values_mut().flat_map(|it| it.repositories.values_mut());
        repositories.flat_map(|it| it.images.iter_mut())
    }

    /// Whether any repository still needs the blob.
    pub fn names_blob(&self, digest: &Digest) -> bool {
        let mut repositories = self.registries.values().flat_map(|it| it.repositories.values());
        repositories.any(|it| it.layers.contains_key(digest) || it.images.contains_key(digest))
    }

    /// Makes a change. A change to a repository that is not there does nothing: a journal may be replayed over
    /// a snapshot that is already ahead of it.
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

    fn put_settings(&mut self, key: RegistryKey, name: RepositoryName, settings: Settings) {
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
    /// The registry's scanning rule that covers a repository, in the API's shape.
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

    /// Whether the registry's own rules scan images of a repository when they are pushed.
    pub fn scans(&self, name: &RepositoryName) -> bool {
        self.scanning_rule(name).is_some_and(|rule| rule["scanFrequency"] != "MANUAL")
    }
}

impl Repository {
    fn new(settings: Settings) -> Self {
        Self { settings, images: BTreeMap::new(), image_tags: BTreeMap::new(), layers: BTreeMap::new() }
    }

    /// The tags of a manifest, sorted.
    pub fn tags_of<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a ImageTag> {
        self.image_tags.iter().filter(move |(_, it)| *it == digest).map(|(tag, _)| tag)
    }

    /// Blobs that no manifest names.
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
