//! Blobs against the manifests that name them: what no manifest names is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use ecr_types::{Digest, Manifest};

use super::blobs::{Blobs, UNFINISHED};
use super::model::{Change, Model};

/// Reads what an older state did not keep of its images: the blobs that each names.
pub fn complete(blobs: &Blobs, model: &mut Model) {
    for (digest, image) in model.images_mut().filter(|(_, it)| it.layers.is_empty() && it.children.is_empty())
    {
        let text = blobs.read(digest).unwrap_or_default();
        let Ok(manifest) = Manifest::parse(&text, Some(&image.media_type)) else { continue };
        image.children = manifest.children().iter().map(|it| it.digest.clone()).collect();
        image.layers = manifest.blobs().map(|it| it.digest.clone()).collect();
    }
}

/// Forgets blobs that no manifest has named for longer than `age`, and removes the files that nothing names.
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
    let named: BTreeSet<String> = named(model).keys().map(|it| it.hex().to_owned()).collect();
    let folder = blobs.folder();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))? {
        let entry = entry.context("failed to read a folder")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = format!("sha256:{name}").parse::<Digest>().is_ok() || name.starts_with(UNFINISHED);
        if is_ours && !named.contains(&name) {
            // A file that stays is only a waste of space.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Every blob and manifest that some repository has, with one that has it.
pub fn named(model: &Model) -> BTreeMap<Digest, String> {
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
