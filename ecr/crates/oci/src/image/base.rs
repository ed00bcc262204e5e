//! Base images other than `scratch`.

use std::collections::BTreeMap;

use ecr_types::{Descriptor, Digest, ImageManifest, media_type};
use serde_json::{Value, json};
use thiserror::Error;

/// A base image for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseImage {
    /// The reference as the user wrote it. It is in the history entries of a base image without history.
    pub name: String,
    /// The digest of the manifest of the platform.
    pub digest: Digest,
    /// The layers, from the lowest to the highest.
    pub layers: Vec<Descriptor>,
    /// Whether the media types are Docker's. Those of one image must not be mixed.
    pub is_docker: bool,
    /// The config (OCI image specification, "Image Configuration").
    pub config: Value,
}

/// The numbers of layers in the config and in the manifest of a base image differ.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the config lists {config} layers, but the manifest lists {manifest}")]
pub struct LayersDiffer {
    config: usize,
    manifest: usize,
}

impl BaseImage {
    /// A base image from its manifest and config.
    ///
    /// # Errors
    /// The numbers of layers in the config (`rootfs.diff_ids`) and in the manifest differ.
    pub fn new(
        name: &str,
        digest: Digest,
        manifest: ImageManifest,
        config: Value,
    ) -> Result<Self, LayersDiffer> {
        let layers = manifest.layers;
        let diff_ids = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
        if diff_ids != layers.len() {
            return Err(LayersDiffer { config: diff_ids, manifest: layers.len() });
        }
        let is_docker = manifest.media_type.as_deref().is_some_and(media_type::is_docker);
        Ok(Self { name: name.to_owned(), digest, layers, is_docker, config })
    }
}

/// The environment variables of a config (`config.Env`).
pub fn environment(config: &Value) -> BTreeMap<String, String> {
    let entries = config["config"]["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    entries
        .filter_map(|it| it.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The labels of a config, from the value of `config.Labels`. Values that are not strings are left out.
pub fn labels(labels: &Value) -> BTreeMap<String, String> {
    let labels = labels.as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The history of a base image. Without one, each layer has an entry with the name of the base image.
pub fn history(base: &BaseImage) -> Vec<Value> {
    match base.config["history"].as_array() {
        Some(history) if !history.is_empty() => history.clone(),
        _ => base.layers.iter().map(|_| json!({"created_by": base.name})).collect(),
    }
}
