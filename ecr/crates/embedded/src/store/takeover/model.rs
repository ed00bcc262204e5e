//! The records of versions 1 to 3 in memory, and the changes in their journal.

use std::collections::{BTreeMap, BTreeSet};

use ecr_types::{Digest, ImageTag, RepositoryName};
use serde::Deserialize;

use crate::model::{Image, RegistryKey, RepositorySettings};

#[derive(Debug, Default, Deserialize)]
pub struct OldModel {
    pub registries: BTreeMap<RegistryKey, OldRegistry>,
}

#[derive(Debug, Default, Deserialize)]
pub struct OldRegistry {
    pub repositories: BTreeMap<RepositoryName, OldRepository>,
    pub scanning: Option<serde_json::Value>,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub struct OldRepository {
    pub settings: RepositorySettings,
    #[serde(default)]
    pub images: BTreeMap<Digest, Image>,
    #[serde(default)]
    pub image_tags: BTreeMap<ImageTag, Digest>,
    #[serde(default)]
    pub layers: BTreeMap<Digest, u64>,
}

/// A change in the journal.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Change {
    PutSettings(RegistryKey, RepositoryName, Box<RepositorySettings>),
    DeleteRepository(RegistryKey, RepositoryName),
    PutLayer(RegistryKey, RepositoryName, Digest, u64),
    PutImage(RegistryKey, RepositoryName, Digest, Box<Image>),
    PutTag(RegistryKey, RepositoryName, ImageTag, Digest),
    DeleteTag(RegistryKey, RepositoryName, ImageTag),
    DeleteImage(RegistryKey, RepositoryName, Digest),
    DeleteLayer(RegistryKey, RepositoryName, Digest),
    PutScanning(RegistryKey, serde_json::Value),
    PutSetting(RegistryKey, String, String),
}

impl OldModel {
    /// Applies a change. One of a repository that does not exist has no effect, as the snapshot may have the change already.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutSettings(key, name, settings) => self.put_settings(key, name, *settings),
            Change::DeleteRepository(key, name) => drop(self.registry(key).repositories.remove(&name)),
            Change::PutLayer(key, name, digest, size) => {
                self.change(&key, &name, |it| {
                    it.layers.insert(digest, size);
                });
            }
            Change::PutImage(key, name, digest, image) => {
                self.change(&key, &name, |it| drop(it.images.insert(digest, *image)));
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
            Change::PutSetting(key, name, value) => drop(self.registry(key).settings.insert(name, value)),
            Change::PutScanning(key, scanning) => self.registry(key).scanning = Some(scanning),
        }
    }

    fn registry(&mut self, key: RegistryKey) -> &mut OldRegistry {
        self.registries.entry(key).or_default()
    }

    fn put_settings(&mut self, key: RegistryKey, name: RepositoryName, settings: RepositorySettings) {
        let repositories = &mut self.registry(key).repositories;
        match repositories.get_mut(&name) {
            Some(repository) => repository.settings = settings,
            None => drop(repositories.insert(
                name,
                OldRepository {
                    settings,
                    images: BTreeMap::new(),
                    image_tags: BTreeMap::new(),
                    layers: BTreeMap::new(),
                },
            )),
        }
    }

    fn change(&mut self, key: &RegistryKey, name: &RepositoryName, change: impl FnOnce(&mut OldRepository)) {
        let registry = self.registries.get_mut(key);
        if let Some(repository) = registry.and_then(|it| it.repositories.get_mut(name)) {
            change(repository);
        }
    }
}

impl OldRepository {
    fn delete_image(&mut self, digest: &Digest) {
        let Some(image) = self.images.remove(digest) else { return };
        self.image_tags.retain(|_, it| it != digest);
        let still_named: BTreeSet<_> = self.images.values().flat_map(|it| &it.layers).collect();
        let gone: Vec<_> = image.layers.iter().filter(|it| !still_named.contains(it)).collect();
        self.layers.retain(|it, _| !gone.contains(&it));
    }
}
