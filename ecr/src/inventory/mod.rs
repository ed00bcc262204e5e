//! The images of a repository, their relations, and the storage that they use.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use ecr_lifecycle::{Image, StorageClass};
use ecr_types::media_type::{DOCKER_CONFIG, OCI_CONFIG};
use ecr_types::{Digest, Manifest};
use serde::Serialize;

use crate::scan::Counts;

mod figures;
pub use figures::{AfterLifecycle, Figures};

/// The images of a repository, sorted by push time with the newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    /// The properties that lifecycle policies evaluate.
    pub images: Vec<Image>,
    /// The other properties of the images, in the same order.
    pub details: Vec<Detail>,
    /// The indices of the images in the order of their digests.
    by_digest: Vec<u32>,
    /// The blobs of all manifests that were read.
    blobs: BlobTable,
}

/// The properties of an image that lifecycle policies do not evaluate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detail {
    /// The API value of `artifactMediaType`.
    pub artifact_type: Option<String>,
    /// The API value of `imageScanStatus.status`.
    pub scan_status: Option<String>,
    /// Findings by severity, if `DescribeImages` returns them.
    pub counts: Option<Counts>,
    /// Whether an index lists it as an attestation, as `docker buildx` does.
    pub is_attestation: bool,
    /// The indices of its blobs. `None` if the manifest was not read or has no blobs.
    blobs: Option<Box<[u32]>>,
}

/// The part of a manifest that is relevant for an inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestContents {
    /// The manifests that an index lists.
    pub children: Vec<Digest>,
    /// The attestations among them.
    pub attestations: Vec<Digest>,
    /// The config and the layers, with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
}

/// Numbers the blobs, so that many images with shared layers need little memory.
#[derive(Debug, Clone, Default, PartialEq)]
struct BlobTable {
    numbers: HashMap<Digest, u32>,
    sizes: Vec<u64>,
}

/// An image in a tree. Artifacts are below their subject, and the images of an index are below the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The index of the image in the inventory.
    pub image: usize,
    /// 0 for a root of the tree.
    pub depth: usize,
}

/// The number of images and the storage that they use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The number of images, artifacts and indexes.
    pub images: u64,
    /// The size in bytes of the blobs in the standard storage class. A blob of several images in a repository
    /// is counted once, unless `isUpperBound` is true.
    pub stored_bytes: u64,
    /// Whether some manifests could not be read. A blob of several images is then counted for each of them.
    pub is_upper_bound: bool,
    /// The size in bytes of the archived images. It is not part of `storedBytes`, because the archive has
    /// another price.
    pub archived_bytes: u64,
}

/// The media types of the config of a container image. ECR returns them as `artifactMediaType`.
const CONFIGS: [&str; 2] = [OCI_CONFIG, DOCKER_CONFIG];

impl ManifestContents {
    /// Parses an image manifest or index. A text that is not a manifest has no contents.
    pub fn parse(text: &str) -> Self {
        let Ok(manifest) = Manifest::parse(text.as_bytes(), None) else { return Self::default() };
        let children = || manifest.children().iter();
        let attestations = children().filter(|it| it.is_attestation());
        Self {
            attestations: attestations.map(|it| it.digest.clone()).collect(),
            children: children().map(|it| it.digest.clone()).collect(),
            blobs: manifest.blobs().map(|it| (it.digest.clone(), it.size)).collect(),
        }
    }
}

impl Detail {
    /// The properties that `DescribeImages` returns. Those of the manifest are added by [`Inventory::add_manifests`].
    pub fn new(artifact_type: Option<String>, scan_status: Option<String>, counts: Option<Counts>) -> Self {
        Self { artifact_type, scan_status, counts, is_attestation: false, blobs: None }
    }
}

impl Inventory {
    /// Creates an inventory from images in any order.
    pub fn new(mut listed: Vec<(Image, Detail)>) -> Self {
        listed.sort_by(|(a, _), (b, _)| {
            (Reverse(a.pushed_at), &a.digest).cmp(&(Reverse(b.pushed_at), &b.digest))
        });
        let (images, details): (Vec<Image>, _) = listed.into_iter().unzip();
        // A repository has at most 100,000 images (ECR service quotas).
        let mut by_digest: Vec<u32> = (0..images.len() as u32).collect();
        by_digest.sort_by_key(|n| &images[*n as usize].digest);
        Self { images, details, by_digest, blobs: BlobTable::default() }
    }

    fn find(&self, digest: &Digest) -> Option<usize> {
        let found = self.by_digest.binary_search_by_key(&digest, |n| &self.images[*n as usize].digest);
        found.ok().map(|at| self.by_digest[at] as usize)
    }

    /// Adds the contents of the manifests of images.
    pub fn add_manifests(&mut self, manifests: impl IntoIterator<Item = (Digest, ManifestContents)>) {
        for (digest, manifest) in manifests {
            let Some(n) = self.find(&digest) else { continue };
            for attestation in manifest.attestations.iter().filter_map(|it| self.find(it)).collect::<Vec<_>>()
            {
                self.details[attestation].is_attestation = true;
            }
            let is_index = self.images[n].is_index();
            let blobs = manifest.blobs.iter().map(|(digest, size)| self.blobs.number(digest, *size));
            let blobs: Box<[u32]> = blobs.collect();
            self.details[n].blobs = Some(blobs).filter(|it| is_index || !it.is_empty());
            if self.images[n].children.is_none() {
                self.images[n].children = Some(manifest.children);
            }
        }
    }

    /// The tree of images in the order of display: the newest first, and what belongs to an image below it.
    pub fn rows(&self) -> Vec<Row> {
        let mut below: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut has_parent = vec![false; self.images.len()];
        let mut attach = |parent: usize, n: usize| {
            if parent != n && !has_parent[n] {
                has_parent[n] = true;
                below.entry(parent).or_default().push(n);
            }
        };
        for (parent, image) in self.images.iter().enumerate() {
            image.children().iter().filter_map(|it| self.find(it)).for_each(|n| attach(parent, n));
        }
        for (n, image) in self.images.iter().enumerate() {
            image.subject.iter().filter_map(|it| self.find(it)).for_each(|parent| attach(parent, n));
        }
        // A cycle has no root, so that all images are used as roots at the end, in order to lose none.
        let mut rows = Vec::with_capacity(self.images.len());
        let mut is_shown = vec![false; self.images.len()];
        let roots = (0..self.images.len()).filter(|n| !has_parent[*n]).chain(0..self.images.len());
        for root in roots {
            let mut open = vec![(root, 0)];
            while let Some((n, depth)) = open.pop() {
                if std::mem::replace(&mut is_shown[n], true) {
                    continue;
                }
                rows.push(Row { image: n, depth });
                open.extend(below.get(&n).into_iter().flatten().rev().map(|it| (*it, depth + 1)));
            }
        }
        rows
    }

    /// The images that an index lists, including those of nested indexes.
    pub fn listed_by(&self, n: usize) -> BTreeSet<usize> {
        let mut listed = BTreeSet::new();
        let mut open = vec![n];
        while let Some(n) = open.pop() {
            let children = self.images[n].children().iter().filter_map(|it| self.find(it));
            open.extend(children.filter(|it| listed.insert(*it)).collect::<Vec<_>>());
        }
        listed
    }

    /// Whether it is a container image or an index, as opposed to a signature, SBOM, chart or build cache.
    pub fn is_runnable(&self, n: usize) -> bool {
        let (image, detail) = (&self.images[n], &self.details[n]);
        // The tag scheme of cosign and of the OCI referrers fallback: `sha256-HEX`, with or without a suffix.
        let is_scheme = |tag: &String| tag.strip_prefix("sha256-").is_some_and(|it| it.len() >= 64);
        let is_artifact = detail.artifact_type.as_deref().is_some_and(|it| !CONFIGS.contains(&it));
        image.subject.is_none() && !is_artifact && !detail.is_attestation && !image.tags.iter().any(is_scheme)
    }

    /// The newest runnable image that is a root of the tree. Tagged images are preferred.
    pub fn newest(&self) -> Option<usize> {
        let rows = self.rows();
        let own = || rows.iter().filter(|it| it.depth == 0 && self.is_runnable(it.image));
        let tagged = own().find(|it| !self.images[it.image].tags.is_empty());
        tagged.or_else(|| own().next()).map(|it| it.image)
    }

    /// The blobs of all manifests that were read, with their sizes in bytes.
    pub fn blobs(&self) -> impl Iterator<Item = (&Digest, u64)> {
        self.blobs.numbers.iter().map(|(digest, n)| (digest, self.blobs.sizes[*n as usize]))
    }

    /// The storage of the images for which `is_kept` returns true.
    pub fn storage(&self, is_kept: impl Fn(usize) -> bool) -> Storage {
        let mut storage = Storage::default();
        let mut is_counted = vec![false; self.blobs.sizes.len()];
        let kept = self.images.iter().zip(&self.details).enumerate().filter(|(n, _)| is_kept(*n));
        for (_, (image, detail)) in kept {
            storage.images += 1;
            if image.storage_class == StorageClass::Archive {
                storage.archived_bytes += image.size_bytes;
                continue;
            }
            match &detail.blobs {
                Some(blobs) => {
                    for n in blobs.iter().map(|it| *it as usize) {
                        if !std::mem::replace(&mut is_counted[n], true) {
                            storage.stored_bytes += self.blobs.sizes[n];
                        }
                    }
                }
                // The size of an index is the largest one of its images (API reference, `ImageDetail`), which are
                // counted themselves.
                None if image.is_index() => {}
                None => {
                    storage.stored_bytes += image.size_bytes;
                    storage.is_upper_bound = true;
                }
            }
        }
        storage
    }
}

impl BlobTable {
    fn number(&mut self, digest: &Digest, size: u64) -> u32 {
        if let Some(n) = self.numbers.get(digest) {
            return *n;
        }
        // A repository cannot contain 2³² blobs.
        let n = self.sizes.len() as u32;
        self.sizes.push(size);
        self.numbers.insert(digest.clone(), n);
        n
    }
}

impl std::ops::AddAssign for Storage {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.stored_bytes += other.stored_bytes;
        self.is_upper_bound |= other.is_upper_bound;
        self.archived_bytes += other.archived_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecr_lifecycle::Timestamp;

    fn image(name: &str, second: i32) -> (Image, Detail) {
        let image = Image {
            digest: Digest::of(name.as_bytes()),
            tags: Vec::new(),
            media_type: None,
            pushed_at: Timestamp::from_seconds(second.into()),
            last_pulled_at: None,
            size_bytes: 100,
            subject: None,
            children: None,
            storage_class: StorageClass::Standard,
            last_archived_at: None,
            last_activated_at: None,
        };
        (image, Detail::default())
    }

    fn layers(names: &[&str]) -> ManifestContents {
        ManifestContents {
            blobs: names.iter().map(|it| (Digest::of(it.as_bytes()), 10)).collect(),
            ..ManifestContents::default()
        }
    }

    #[test]
    fn inventory_rows_form_a_tree() {
        let mut index = image("index", 5);
        index.0.children = Some(vec![Digest::of(b"arm"), Digest::of(b"amd")]);
        let mut sbom = image("sbom", 9);
        sbom.0.subject = Some(Digest::of(b"amd"));
        sbom.0.tags = vec!["sha256-amd".to_owned()];
        let inventory = Inventory::new(vec![
            image("old", 1),
            image("amd", 4),
            image("arm", 4),
            index,
            sbom,
            image("new", 7),
        ]);
        let shown = |it: &Row| {
            let names = ["old", "amd", "arm", "index", "sbom", "new"];
            let digest = &inventory.images[it.image].digest;
            let name = names.into_iter().find(|it| Digest::of(it.as_bytes()) == *digest).unwrap();
            format!("{}{name}", "-".repeat(it.depth))
        };
        let rows: Vec<_> = inventory.rows().iter().map(shown).collect();
        assert_eq!(rows, ["new", "index", "-arm", "-amd", "--sbom", "old"]);
        assert_eq!(inventory.newest().map(|n| &inventory.images[n].digest), Some(&Digest::of(b"new")));
    }

    #[test]
    fn inventory_rows_of_a_cycle_lose_no_image() {
        let (mut one, mut two) = (image("one", 1), image("two", 2));
        one.0.subject = Some(two.0.digest.clone());
        two.0.subject = Some(one.0.digest.clone());
        assert_eq!(Inventory::new(vec![one, two]).rows().len(), 2);
    }

    #[test]
    fn storage_counts_shared_blobs_once() {
        let mut inventory = Inventory::new(vec![image("a", 1), image("b", 2), image("unread", 3)]);
        let manifests = [("a", layers(&["base", "one"])), ("b", layers(&["base", "two"]))];
        inventory.add_manifests(manifests.map(|(name, it)| (Digest::of(name.as_bytes()), it)));
        let all = inventory.storage(|_| true);
        assert_eq!((all.images, all.stored_bytes, all.is_upper_bound), (3, 130, true));
        let read = inventory.storage(|n| n > 0);
        assert_eq!((read.images, read.stored_bytes, read.is_upper_bound), (2, 30, false));
    }
}
