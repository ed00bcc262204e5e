//! The records of the state: registries, repositories, images and blobs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use ecr_types::{
    Digest, EncryptionType, ImageTagMutability, InvalidName, Region, RegistryId, RepositoryName, ScanningRule,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The key of a registry. Each account has one registry in each region. As text it is `000000000000/us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RegistryKey {
    pub account: RegistryId,
    pub region: Region,
}

impl RegistryKey {
    /// The ARN of a repository.
    pub fn arn_of(&self, name: &RepositoryName) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.account)
    }

    /// The registry of a host like ECR's, `ACCOUNT.dkr.ecr.REGION.localhost:PORT`; `None` for other hosts.
    pub fn of_host(host: &str) -> Option<Self> {
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        Some(Self { account: account.parse().ok()?, region: rest.split('.').next()?.parse().ok()? })
    }
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

/// What is set for a registry as a whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Registry {
    /// `RegistryScanningConfiguration` of the service model, if it was set.
    #[serde(default)]
    pub scanning: Option<Value>,
    /// Account settings that differ from the default, by name (`PutAccountSetting`).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The text of the registry policy, unchanged.
    #[serde(default)]
    pub policy: Option<String>,
    /// Repository creation templates by prefix, each a `RepositoryCreationTemplate` of the service model.
    #[serde(default)]
    pub templates: BTreeMap<String, Value>,
    /// Pull-through cache rules by prefix, each a `PullThroughCacheRule` of the service model.
    #[serde(default)]
    pub cache_rules: BTreeMap<String, Value>,
    /// The rules of `ReplicationConfiguration`.
    #[serde(default)]
    pub replication: Vec<Value>,
    /// The ARNs of the principals whose pulls are not recorded, each with its time in seconds since 1970.
    #[serde(default)]
    pub pull_time_exclusions: BTreeMap<String, f64>,
    /// `SigningConfiguration` of the service model.
    #[serde(default)]
    pub signing: Option<Value>,
}

/// The number by which rows name a repository. A repository that is deleted and created again has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepositoryId(u64);

impl RepositoryId {
    /// The number in big-endian order.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`RepositoryId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Repository {
    pub id: RepositoryId,
    #[serde(flatten)]
    pub settings: RepositorySettings,
}

impl Repository {
    /// Reads a record. Nearly every request does: twice through the text takes a third of the time of `flatten`, which reads
    /// all members into a map first.
    ///
    /// # Errors
    /// It is not the JSON of a repository.
    pub fn parse(record: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Identified {
            id: RepositoryId,
        }
        let Identified { id } = serde_json::from_slice(record)?;
        Ok(Self { id, settings: serde_json::from_slice(record)? })
    }
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
    /// The text of the repository policy, in the form in which ECR returns it.
    pub repository_policy: Option<String>,
    /// Resource tags.
    pub tags: BTreeMap<String, String>,
}

impl RepositorySettings {
    /// The settings of a repository that is created without any. `now` is in seconds since 1970.
    pub fn new(now: f64) -> Self {
        Self {
            created_at: now,
            image_tag_mutability: ImageTagMutability::Mutable,
            exclusion_filters: Vec::new(),
            scan_on_push: false,
            encryption_type: EncryptionType::Aes256,
            kms_key: None,
            lifecycle_policy: None,
            repository_policy: None,
            tags: BTreeMap::new(),
        }
    }
}

/// The number of manifests of a repository, and the sum of their sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub images: u64,
    pub bytes: u64,
    /// The number of those that are or were archived. All others are active, whatever the time.
    #[serde(default)]
    pub archived: u64,
}

/// A blob that was uploaded to or mounted into a repository. Repositories of ECR do not share blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// In bytes.
    pub size: u64,
    /// By the clock of the system, in seconds since 1970.
    #[serde(default)]
    pub uploaded_at: u64,
}

impl Layer {
    /// A blob that is uploaded now.
    pub fn new(size: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { size, uploaded_at: now.as_secs() }
    }
}

/// A manifest that was pushed: an image, an index or an artifact.
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
    /// The storage class (`UpdateImageStorageClass`).
    #[serde(default)]
    pub storage_class: StorageClass,
    /// The time of the last archiving, in seconds since 1970.
    #[serde(default)]
    pub archived_at: Option<f64>,
    /// The time at which the last restore is or was complete, in seconds since 1970.
    #[serde(default)]
    pub activated_at: Option<f64>,
    /// The copies in other registries.
    #[serde(default)]
    pub replications: Vec<Replication>,
    /// The time at which an upstream registry was last asked for this image, in seconds since 1970.
    #[serde(default)]
    pub checked_at: Option<f64>,
}

/// A copy of an image in another registry (service model, `ImageReplicationStatus`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    pub region: Region,
    pub registry_id: RegistryId,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
}

/// Where an image is stored (service model, `TargetStorageClass`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StorageClass {
    #[default]
    Standard,
    Archive,
}

impl Image {
    /// `imageStatus` at the time `now`, in seconds since 1970.
    pub fn status(&self, now: f64) -> &'static str {
        match self.storage_class {
            StorageClass::Archive => "ARCHIVED",
            StorageClass::Standard if self.activated_at.is_some_and(|it| it > now) => "ACTIVATING",
            StorageClass::Standard => "ACTIVE",
        }
    }
}

impl Registry {
    /// The scanning rule of the registry that scans a repository (service model, `RegistryScanningRule`): continuous scanning
    /// comes before scanning on push (Amazon ECR user guide, "Scanning filters").
    pub fn scanning_rule(&self, name: &RepositoryName) -> Option<&Value> {
        let rules = self.scanning.as_ref()?["rules"].as_array()?;
        let (continuous, others): (Vec<_>, Vec<_>) =
            rules.iter().partition(|it| it["scanFrequency"] == "CONTINUOUS_SCAN");
        continuous.into_iter().chain(others).find(|rule| {
            let filters = rule["repositoryFilters"].as_array().into_iter().flatten();
            let rule = ScanningRule {
                frequency: rule["scanFrequency"].as_str().unwrap_or_default().to_owned(),
                filters: filters.filter_map(|it| Some(it["filter"].as_str()?.to_owned())).collect(),
            };
            rule.scans(name)
        })
    }

    /// Whether Amazon Inspector scans the images.
    pub fn is_enhanced(&self) -> bool {
        self.scanning.as_ref().is_some_and(|it| it["scanType"] == "ENHANCED")
    }

    /// Whether the registry's scanning rules scan images of a repository when they are pushed.
    pub fn scans(&self, name: &RepositoryName) -> bool {
        self.scanning_rule(name).is_some_and(|rule| rule["scanFrequency"] != "MANUAL")
    }
}
