//! The replication of images to other registries of the same state, when they are pushed (Amazon ECR user guide, "Private
//! image replication"). A copy is not replicated further.

use anyhow::Result;
use ecr_types::policy::{Decision, Policy, PolicyKind, Request};
use ecr_types::{Digest, ImageTag, RepositoryName};
use serde_json::Value;

use super::creation::{Scenario, create};
use super::model::{Image, Layer, RegistryKey, Replication, Repository, StorageClass};
use super::store::{Queries, Transaction};

/// An image that was pushed.
pub struct Pushed<'a> {
    pub registry: &'a RegistryKey,
    pub name: &'a RepositoryName,
    pub repository: &'a Repository,
    pub digest: &'a Digest,
    pub tag: Option<&'a ImageTag>,
    /// In seconds since 1970.
    pub now: f64,
}

/// Why an image was not copied: the caller may not write to the destination (aws/containers-roadmap#2675).
const DENIED: &str = "DESTINATION_REGISTRY_ACCESS_DENIED";

/// Copies an image to the destinations of all rules that are about its repository.
///
/// # Errors
/// The state cannot be read or written.
pub fn replicate(transaction: &mut Transaction<'_>, pushed: &Pushed<'_>) -> Result<Vec<Replication>> {
    let rules = transaction.registry(pushed.registry)?.replication;
    let mut replications: Vec<Replication> = Vec::new();
    for destination in rules.iter().filter(|it| is_about(it, pushed.name)).flat_map(destinations) {
        let RegistryKey { region, account } = destination.clone();
        if replications.iter().any(|it| it.region == region && it.registry_id == account) {
            continue;
        }
        let is_copied = copy(transaction, pushed, &destination)?;
        replications.push(Replication {
            region,
            registry_id: account,
            status: if is_copied { "COMPLETE" } else { "FAILED" }.to_owned(),
            failure_code: (!is_copied).then(|| DENIED.to_owned()),
        });
    }
    Ok(replications)
}

/// Whether a rule is about a repository. One without filters is about all.
fn is_about(rule: &Value, name: &RepositoryName) -> bool {
    let filters = rule["repositoryFilters"].as_array();
    let prefixes = |filters: &Vec<Value>| {
        filters.iter().filter_map(|it| it["filter"].as_str()).any(|it| name.as_str().starts_with(it))
    };
    filters.is_none_or(prefixes)
}

fn destinations(rule: &Value) -> impl Iterator<Item = RegistryKey> {
    rule["destinations"].as_array().into_iter().flatten().filter_map(|it| {
        let region = it["region"].as_str()?.parse().ok()?;
        Some(RegistryKey { account: it["registryId"].as_str()?.parse().ok()?, region })
    })
}

/// Copies an image to a registry. It is `false` if the registry does not allow it.
fn copy(transaction: &mut Transaction<'_>, pushed: &Pushed<'_>, destination: &RegistryKey) -> Result<bool> {
    if !allows(transaction, pushed, destination, "ecr:ReplicateImage")? {
        return Ok(false);
    }
    let target = match transaction.repository(destination, pushed.name)? {
        Some(target) => target,
        None if !allows(transaction, pushed, destination, "ecr:CreateRepository")? => return Ok(false),
        None => match create(transaction, destination, pushed.name, Scenario::Replication, pushed.now)? {
            Some(target) => target,
            None => return Ok(false),
        },
    };
    copy_images(transaction, pushed, &target)?;
    if let Some(tag) = pushed.tag {
        let settings = &target.settings;
        let is_taken = transaction.tagged(target.id, tag)?.is_some();
        let is_protected = settings.image_tag_mutability.protects(&settings.exclusion_filters, tag.as_str());
        // An immutable tag of the destination stays, and the copy has none.
        if !(is_taken && is_protected) {
            transaction.put_tag(target.id, tag, pushed.digest)?;
        }
    }
    Ok(true)
}

/// Whether a registry allows another one to write to it. One of the same account always does.
fn allows(
    transaction: &Transaction<'_>,
    pushed: &Pushed<'_>,
    destination: &RegistryKey,
    action: &str,
) -> Result<bool> {
    if destination.account == pushed.registry.account {
        return Ok(true);
    }
    let policy = transaction.registry(destination)?.policy;
    let Some(Ok(policy)) = policy.map(|it| Policy::parse(&it, PolicyKind::Registry)) else {
        return Ok(false);
    };
    let caller = format!("arn:aws:iam::{}:root", pushed.registry.account);
    let resource = destination.arn_of(pushed.name);
    let request = Request { caller: &caller, action, resource: &resource, is_secure: true };
    Ok(matches!(policy.decide(&request), Decision::Allowed | Decision::AllowedToAccount))
}

/// Copies a manifest, what it names, and its blobs.
fn copy_images(transaction: &mut Transaction<'_>, pushed: &Pushed<'_>, target: &Repository) -> Result<()> {
    let mut left = vec![pushed.digest.clone()];
    while let Some(digest) = left.pop() {
        left.extend(copy_image(transaction, pushed, target, &digest)?);
    }
    Ok(())
}

/// Copies a manifest and its blobs, and returns the manifests that it names. A copy that was archived is restored.
fn copy_image(
    transaction: &mut Transaction<'_>,
    pushed: &Pushed<'_>,
    target: &Repository,
    digest: &Digest,
) -> Result<Vec<Digest>> {
    let source = pushed.repository.id;
    if let Some(image) = transaction.image(target.id, digest)? {
        if image.storage_class == StorageClass::Archive {
            let image = Image { storage_class: StorageClass::Standard, ..image };
            transaction.put_image(target.id, digest, &image)?;
        }
        return Ok(Vec::new());
    }
    let Some(image) = transaction.image(source, digest)? else { return Ok(Vec::new()) };
    for digest in &image.layers {
        if let (Some(layer), None) =
            (transaction.layer(source, digest)?, transaction.layer(target.id, digest)?)
        {
            transaction.put_layer(target.id, digest, &Layer::new(layer.size))?;
        }
    }
    let text = transaction.manifest(source, digest)?.unwrap_or_default();
    let children = image.children.clone();
    let copy = Image {
        pushed_at: pushed.now,
        last_pulled_at: None,
        scan_requested_at: None,
        storage_class: StorageClass::Standard,
        archived_at: None,
        activated_at: None,
        replications: Vec::new(),
        checked_at: None,
        ..image
    };
    transaction.add_image(target.id, digest, &copy, &text)?;
    Ok(children)
}
