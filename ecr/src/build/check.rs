//! What is checked of a service before anything is built.

use anyhow::Result;
use ecr_oci::image::compression::{Compression, Compressor};
use ecr_oci::image::zstd;
use ecr_oci::reference::Reference;

use super::compile::{self, prebuilt};
use super::image::ImageBuilder;
use crate::config::desired::Service;

impl ImageBuilder {
    /// Checks a service before the build: base reference, binary name, prebuilt binaries, installed targets,
    /// and supported compression.
    ///
    /// # Errors
    /// The service cannot be built.
    pub fn check(&self, service: &Service) -> Result<()> {
        let image = &service.image;
        if let Some(base) = image.base.as_ref().filter(|it| it.value != "scratch") {
            let parsed = base.value.parse::<Reference>();
            parsed.map_err(|reason| anyhow::anyhow!("{}: base: {reason}", base.place))?;
        }
        compression(service)?;
        if let Some(configured) = image.compression.as_ref().filter(|it| it.value == Compression::Zstd) {
            anyhow::ensure!(
                zstd::IS_BUILT_IN,
                "{}: this xtask was built without zstd; {}",
                configured.place,
                zstd::HOW
            );
        }
        let user = compile::prebuilt_user(service)?;
        self.platforms(service).iter().try_for_each(|platform| match self.binaries.get(platform) {
            Some(path) => prebuilt::file_of(platform, path, user).map(drop).map_err(Into::into),
            None => self.toolchain.target(platform).map(drop),
        })
    }
}

/// The compression of a service's layers.
///
/// # Errors
/// The compression has no such level.
pub(super) fn compression(service: &Service) -> Result<Compressor> {
    let image = &service.image;
    let compression = image.compression.as_ref().map(|it| it.value).unwrap_or_default();
    match &image.compression_level {
        None => Ok(compression.into()),
        Some(level) => Compressor::new(compression, level.value)
            .map_err(|it| anyhow::anyhow!("{}: compression-level: {it}", level.place)),
    }
}
