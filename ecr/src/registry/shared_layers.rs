//! Layers that several repositories store, each for itself.

use std::collections::HashMap;

use ecr_types::Digest;

use crate::inventory::Inventory;

/// The blobs of repositories, and in how many of them each is.
#[derive(Debug, Default)]
pub struct SharedLayers(HashMap<Digest, Blob>);

#[derive(Debug)]
struct Blob {
    size: u64,
    repositories: u64,
}

impl SharedLayers {
    /// Adds the blobs of a repository whose manifests were read.
    pub fn add(&mut self, inventory: &Inventory) {
        for (digest, size) in inventory.blobs() {
            self.0.entry(digest.clone()).or_insert(Blob { size, repositories: 0 }).repositories += 1;
        }
    }

    /// The bytes that were uploaded and are stored again in further repositories, which mounting would have spared.
    pub fn repeated_bytes(&self) -> u64 {
        self.0.values().map(|it| it.size * it.repositories.saturating_sub(1)).sum()
    }
}
