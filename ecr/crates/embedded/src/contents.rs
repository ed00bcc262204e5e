//! What a manifest names, which has to be there.

use ecr_types::media_type::DOCKER_LAYER_GZIP;
use ecr_types::{Descriptor, Digest, ImageIndex, Manifest};

use super::images::{NewImage, PutError};
use super::model::{Image, Repository, StorageClass};
use super::schema1;
use super::store::{Blobs, Queries, Rows};

/// The maximum number of layers of an image (nuonco/nuon#2348, which measured it; spinframework/spin#1787).
const MAX_LAYERS: usize = 500;

/// What is recorded of a manifest, but for its size and its times. One with missing blobs or manifests is rejected.
pub fn describe(
    rows: &impl Rows,
    blobs: &Blobs,
    repository: &Repository,
    new: &NewImage,
) -> Result<Image, PutError> {
    if let Some(schema1) = schema1::parse(&new.bytes) {
        let layers = schema1.layers.into_iter().map(|it| Descriptor::new(DOCKER_LAYER_GZIP, it, 0));
        let contents = check_blobs(rows, blobs, repository, &layers.collect::<Vec<_>>())?;
        return Ok(contents.into_image(schema1.media_type));
    }
    let named_type = new.media_type.as_deref();
    let manifest = Manifest::parse(&new.bytes, named_type).map_err(PutError::Invalid)?;
    // A registry does not guess the type.
    let media_type = manifest.declared_media_type(named_type).map_err(PutError::Invalid)?.to_owned();
    let contents = match &manifest {
        Manifest::Image(image) if image.layers.len() > MAX_LAYERS => return Err(PutError::TooManyLayers),
        Manifest::Image(image) => {
            let all: Vec<_> = std::iter::once(&image.config).chain(&image.layers).cloned().collect();
            check_blobs(rows, blobs, repository, &all)?
        }
        Manifest::Index(index) => check_children(rows, repository, index)?,
    };
    Ok(Image {
        artifact_media_type: manifest.artifact_type().map(str::to_owned),
        subject: manifest.subject().map(|it| it.digest.clone()),
        ..contents.into_image(&media_type)
    })
}

/// What a manifest references. `size` is in bytes, as ECR shows it.
struct Contents {
    size: u64,
    children: Vec<Digest>,
    layers: Vec<Digest>,
}

impl Contents {
    fn into_image(self, media_type: &str) -> Image {
        Image {
            media_type: media_type.to_owned(),
            pushed_at: 0.0,
            size: self.size,
            manifest_size: 0,
            artifact_media_type: None,
            subject: None,
            children: self.children,
            layers: self.layers,
            last_pulled_at: None,
            scan_requested_at: None,
            storage_class: StorageClass::Standard,
            archived_at: None,
            activated_at: None,
            replications: Vec::new(),
            checked_at: None,
        }
    }
}

/// The config and the layers of an image.
fn check_blobs(
    rows: &impl Rows,
    blobs: &Blobs,
    repository: &Repository,
    descriptors: &[Descriptor],
) -> Result<Contents, PutError> {
    let (mut size, mut layers, mut missing) = (0, Vec::new(), Vec::new());
    for descriptor in descriptors {
        match rows.layer(repository.id, &descriptor.digest)?.filter(|_| blobs.has(&descriptor.digest)) {
            Some(layer) => {
                size += layer.size;
                layers.push(descriptor.digest.clone());
            }
            None if descriptor.is_nondistributable() => {}
            None => missing.push(descriptor.digest.clone()),
        }
    }
    if missing.is_empty() {
        Ok(Contents { size, children: Vec::new(), layers })
    } else {
        Err(PutError::LayersMissing(missing))
    }
}

/// The manifests of an index. Its size is that of its largest image (ECR API, `imageSizeInBytes`).
fn check_children(
    rows: &impl Rows,
    repository: &Repository,
    index: &ImageIndex,
) -> Result<Contents, PutError> {
    let (mut size, mut missing) = (0, Vec::new());
    let children: Vec<_> = index.manifests.iter().map(|it| it.digest.clone()).collect();
    for child in &children {
        match rows.image(repository.id, child)? {
            Some(image) => size = image.size.max(size),
            None => missing.push(child.clone()),
        }
    }
    if missing.is_empty() {
        Ok(Contents { size, children, layers: Vec::new() })
    } else {
        Err(PutError::ChildrenMissing(missing))
    }
}
