//! Takes over the state of versions 1 to 3: a snapshot in `state.json` and the changes since then in `journal.jsonl`. It is
//! done once, in one transaction; the files are kept in the folder `version-3`.

mod journal;
mod model;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ecr_types::{Digest, Manifest, RepositoryName};
use serde::Deserialize;

use super::VERSION;
use super::blobs::Blobs;
use super::database::{Database, Transaction};
use super::queries::Queries;
use crate::model::{Layer, Registry, RegistryKey};
use journal::Journal;
use model::{OldModel, OldRepository};

const SNAPSHOT: &str = "state.json";
const JOURNAL: &str = "journal.jsonl";

#[derive(Deserialize)]
struct OldState {
    secret: String,
    model: OldModel,
}

/// Whether a folder has a state of versions 1 to 3.
pub fn is_old(folder: &Path) -> bool {
    folder.join(SNAPSHOT).exists()
}

/// Copies the records of an older version to `database`, which is empty.
///
/// # Errors
/// The older records are damaged, or the new ones cannot be written.
pub fn take_over(folder: &Path, database: &Database) -> Result<()> {
    let OldState { secret, model } = load(folder)?;
    let blobs = Blobs::of_state(folder);
    database.write(|transaction| {
        for (registry, old) in &model.registries {
            let value = Registry {
                scanning: old.scanning.clone(),
                settings: old.settings.clone(),
                ..Registry::default()
            };
            transaction.put_registry(registry, &value)?;
            for (name, repository) in &old.repositories {
                copy(transaction, &blobs, registry, name, repository)?;
            }
        }
        transaction.put_meta("secret", &secret)?;
        transaction.put_meta("version", VERSION)
    })
}

fn copy(
    transaction: &mut Transaction<'_>,
    blobs: &Blobs,
    registry: &RegistryKey,
    name: &RepositoryName,
    old: &OldRepository,
) -> Result<()> {
    let id = transaction.create_repository(registry, name, old.settings.clone())?.id;
    for (digest, image) in &old.images {
        let text = match blobs.read(digest) {
            Ok(text) => text,
            // A manifest whose file was removed from outside is not there any more.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("failed to read the manifest {digest}")),
        };
        let mut image = image.clone();
        // Version 1 did not have what a manifest names.
        if let (true, Ok(manifest)) = (
            image.layers.is_empty() && image.children.is_empty(),
            Manifest::parse(&text, Some(&image.media_type)),
        ) {
            image.children = manifest.children().iter().map(|it| it.digest.clone()).collect();
            image.layers = manifest.blobs().map(|it| it.digest.clone()).collect();
        }
        transaction.add_image(id, digest, &image, &text)?;
    }
    for (tag, digest) in &old.image_tags {
        if transaction.has_image(id, digest)? {
            transaction.put_tag(id, tag, digest)?;
        }
    }
    for (digest, size) in &old.layers {
        // A loose blob is as old as its file.
        let modified = fs::metadata(blobs.path(digest)).and_then(|it| it.modified()).ok();
        let since = modified.and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
        transaction.put_layer(id, digest, &Layer { size: *size, uploaded_at: since.as_secs() })?;
    }
    Ok(())
}

/// Moves the files of a state that was taken over to the folder `version-3`, and removes those that no record names.
pub fn keep_beside(folder: &Path, database: &Database, blobs: &Blobs) -> Result<()> {
    if !is_old(folder) {
        return Ok(());
    }
    let kept = folder.join("version-3");
    let manifests = kept.join("manifests");
    fs::create_dir_all(&manifests).with_context(|| format!("failed to create `{}`", manifests.display()))?;
    let rows = database.read()?;
    for entry in fs::read_dir(blobs.folder()).context("failed to read the folder of the blobs")? {
        let name = entry.context("failed to read a folder")?.file_name().to_string_lossy().into_owned();
        let from = blobs.folder().join(&name);
        match format!("sha256:{name}").parse::<Digest>() {
            Ok(digest) if rows.is_held(&digest)? => {}
            Ok(_) => moved(&from, &manifests.join(&name))?,
            Err(_) if name.starts_with(super::blobs::UNFINISHED) => drop(fs::remove_file(from)),
            Err(_) => {}
        }
    }
    moved(&folder.join(JOURNAL), &kept.join(JOURNAL))?;
    // The last one: until then, the next process does the rest.
    moved(&folder.join(SNAPSHOT), &kept.join(SNAPSHOT))
}

fn moved(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    fs::rename(from, to).with_context(|| format!("failed to move `{}` to `{}`", from.display(), to.display()))
}

fn load(folder: &Path) -> Result<OldState> {
    let (snapshot, journal) = (folder.join(SNAPSHOT), folder.join(JOURNAL));
    let advice = "move the folder away, or name another one with --data";
    if !journal.exists() {
        bail!(
            "the embedded ECR's state in `{}` is damaged: {JOURNAL} is missing; {advice}",
            folder.display()
        );
    }
    let damaged = || format!("the embedded ECR's state in `{}` is damaged; {advice}", snapshot.display());
    let text = fs::read(&snapshot).with_context(|| format!("failed to read `{}`", snapshot.display()))?;
    let mut state = read_snapshot(&text).with_context(damaged)?;
    let text = fs::read(&journal).with_context(|| format!("failed to read `{}`", journal.display()))?;
    let Journal { transactions, damaged } = journal::read(&text);
    if let Some((line, error)) = damaged.into_iter().next() {
        return Err(error.context(format!(
            "the embedded ECR's state in `{}` is damaged at line {line}; {advice}",
            journal.display()
        )));
    }
    transactions.into_iter().flatten().for_each(|change| state.model.apply(change));
    Ok(state)
}

fn read_snapshot(text: &[u8]) -> Result<OldState> {
    let (json, has_checksum) = journal::unseal(text)?;
    let json: serde_json::Value = serde_json::from_slice(json)?;
    match json["version"].as_u64() {
        Some(3) if !has_checksum => bail!("no checksum"),
        Some(1..=3) => Ok(serde_json::from_value(json)?),
        Some(version) => bail!("version {version} is not known"),
        None => bail!("no version"),
    }
}
