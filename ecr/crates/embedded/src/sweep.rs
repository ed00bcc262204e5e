//! Garbage collection: the removal of blobs that are not referenced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use ecr_types::{Digest, Manifest};

use super::blobs::{Blobs, UNFINISHED};
use super::model::{Change, Model};

/// Adds the fields that older states do not have: the blobs and manifests that each image references.
pub fn complete(blobs: &Blobs, model: &mut Model) {
    for (digest, image) in model.images_mut().filter(|(_, it)| it.layers.is_empty() && it.children.is_empty())
    {
        let text = blobs.read(digest).unwrap_or_default();
        let Ok(manifest) = Manifest::parse(&text, Some(&image.media_type)) else { continue };
        image.children = manifest.children().iter().map(|it| it.digest.clone()).collect();
        image.layers = manifest.blobs().map(|it| it.digest.clone()).collect();
    }
}

/// Removes blobs that no manifest references and that are older than `age` from their repositories, and the files that no
/// repository has.
pub fn sweep(blobs: &Blobs, model: &mut Model, age: Duration) -> Result<()> {
    let is_old = |digest: &Digest| {
        let modified = fs::metadata(blobs.path(digest)).and_then(|it| it.modified());
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
    let referenced: BTreeSet<String> = referenced(model).keys().map(|it| it.hex().to_owned()).collect();
    let folder = blobs.folder();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))? {
        let entry = entry.context("failed to read a folder")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_blob = format!("sha256:{name}").parse::<Digest>().is_ok() || name.starts_with(UNFINISHED);
        if is_blob && !referenced.contains(&name) {
            // A file that cannot be removed only takes up space.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// All blobs and manifests of all repositories, each with the key and name of one repository that has it.
pub fn referenced(model: &Model) -> BTreeMap<Digest, String> {
    let mut referenced = BTreeMap::new();
    for (key, registry) in model.registries() {
        for (name, repository) in &registry.repositories {
            for digest in repository.layers.keys().chain(repository.images.keys()) {
                referenced.entry(digest.clone()).or_insert_with(|| format!("{key}/{name}"));
            }
        }
    }
    referenced
}
