//! Blobs against the manifests that name them: what is loose is removed, and every digest can be verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::lock::Lock;
use super::model::{Change, Model};
use super::store::{blob_path, blobs_folder, read_model};
use crate::image::{is_index, listed_digests};
use crate::name::Digest;

/// Reads what an older state did not keep of its images: the blobs that each names.
pub fn complete(folder: &Path, model: &mut Model) {
    for (digest, image) in model.images_mut().filter(|(_, it)| it.layers.is_empty() && it.children.is_empty())
    {
        let text = fs::read(blob_path(folder, digest)).unwrap_or_default();
        let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
        if is_index(&image.media_type) {
            image.children = listed_digests(&manifest, "manifests");
        } else {
            let config = manifest["config"]["digest"].as_str().and_then(|it| it.parse().ok());
            image.layers = config.into_iter().chain(listed_digests(&manifest, "layers")).collect();
        }
    }
}

/// Forgets blobs that no manifest has named for longer than `age`, and removes the files that nothing names.
pub fn sweep(folder: &Path, model: &mut Model, age: Duration) -> Result<()> {
    let blobs = blobs_folder(folder);
    let is_old = |digest: &Digest| {
        let modified = fs::metadata(blob_path(folder, digest)).and_then(|it| it.modified());
        modified.is_ok_and(|it| SystemTime::now().duration_since(it).is_ok_and(|it| it > age))
    };
    let mut loose = Vec::new();
    for (key, registry) in model.registries() {
        for (name, repository) in &registry.repositories {
            let layers = repository.loose_layers().into_iter().filter(|it| is_old(it));
            loose.extend(layers.map(|it| Change::DeleteLayer(key.clone(), name.clone(), it.clone())));
        }
    }
    loose.into_iter().for_each(|it| model.apply(it));
    let named: BTreeSet<String> = named(model).keys().map(|it| it.hex().to_owned()).collect();
    for entry in fs::read_dir(&blobs).with_context(|| format!("failed to read `{}`", blobs.display()))? {
        let entry = entry.context("failed to read a folder")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = format!("sha256:{name}").parse::<Digest>().is_ok() || name.starts_with(".tmp-");
        if is_ours && !named.contains(&name) {
            // A file that stays is only a waste of space.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Every blob and manifest that some repository has, with one that has it.
fn named(model: &Model) -> BTreeMap<Digest, String> {
    let mut named = BTreeMap::new();
    for (key, registry) in model.registries() {
        for (name, repository) in &registry.repositories {
            for digest in repository.layers.keys().chain(repository.images.keys()) {
                named.entry(digest.clone()).or_insert_with(|| format!("{key}/{name}"));
            }
        }
    }
    named
}

/// Verifies every digest of the state in `folder`, and changes nothing: how many blobs are whole, and a line for each
/// that is not. The lock keeps writers out meanwhile.
pub fn check(folder: &Path, _lock: Lock) -> Result<(usize, Vec<String>)> {
    let model = read_model(folder)?;
    let (mut whole, mut damaged) = (0, Vec::new());
    for (digest, place) in named(&model) {
        match hash(&blob_path(folder, &digest)) {
            Ok(found) if found == digest => whole += 1,
            Ok(found) => damaged.push(format!("{digest} of {place} has become {found}")),
            Err(error) => damaged.push(format!("{digest} of {place} cannot be read: {error}")),
        }
    }
    Ok((whole, damaged))
}

fn hash(path: &Path) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(Digest::from_hash(&hasher.finalize()))
}
