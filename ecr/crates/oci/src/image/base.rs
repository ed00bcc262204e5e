//! Base images other than `scratch`, and their files.

use std::collections::BTreeMap;

use ecr_types::{Descriptor, Digest, ImageManifest, media_type};
use serde_json::{Value, json};
use thiserror::Error;

use super::elf::Elf;

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
    /// The files of all layers. Empty until they are read with [`crate::cache::tree`].
    pub files: FileTree,
}

/// The numbers of layers in the config and in the manifest of a base image differ.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the config lists {config} layers, but the manifest lists {manifest}")]
pub struct LayersDiffer {
    config: usize,
    manifest: usize,
}

/// The paths of an image, without a leading slash, and the targets of symbolic links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileTree(BTreeMap<String, Option<String>>);

impl BaseImage {
    /// A base image from its manifest and config, without files.
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
        Ok(Self { name: name.to_owned(), digest, layers, is_docker, config, files: FileTree::default() })
    }

    /// Checks that the image has the dynamic loader and the shared libraries of a binary (ld.so(8)). A binary without a loader
    /// needs none.
    ///
    /// # Errors
    /// The names of the missing files.
    pub fn runs(&self, elf: &Elf) -> Result<(), Vec<String>> {
        let Some(interpreter) = &elf.interpreter else { return Ok(()) };
        let mut missing: Vec<String> = Vec::new();
        if !self.files.has(interpreter) {
            missing.push(interpreter.clone());
        }
        let folders = library_folders(elf);
        let is_missing = |name: &&String| !folders.iter().any(|it| self.files.has(&format!("{it}/{name}")));
        missing.extend(elf.needed.iter().filter(is_missing).cloned());
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }
}

/// The folders in which a loader looks for libraries, those of Debian's multiarch included.
fn library_folders(elf: &Elf) -> Vec<String> {
    let multiarch = match elf.architecture() {
        Some("amd64") => "x86_64-linux-gnu",
        Some("arm64") => "aarch64-linux-gnu",
        Some("386") => "i386-linux-gnu",
        Some("arm") => "arm-linux-gnueabihf",
        Some("riscv64") => "riscv64-linux-gnu",
        Some("ppc64le") => "powerpc64le-linux-gnu",
        _ => "s390x-linux-gnu",
    };
    let own = elf.search.iter().filter(|it| it.starts_with('/')).cloned();
    let default = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"].map(str::to_owned);
    let arch = ["/lib", "/usr/lib"].map(|it| format!("{it}/{multiarch}"));
    own.chain(default).chain(arch).collect()
}

impl FileTree {
    /// Adds an entry of a layer: a file, a folder, or a symbolic link with its target. A whiteout removes files of lower layers
    /// (OCI image specification, "Whiteouts").
    pub fn add(&mut self, path: &str, link: Option<String>) {
        let path = path.trim_start_matches("./").trim_matches('/');
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let join = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        match name.strip_prefix(".wh.") {
            Some(".wh..opq") => self.remove_below(folder),
            Some(gone) => {
                let gone = join(gone);
                self.remove_below(&gone);
                self.0.remove(&gone);
            }
            None => drop(self.0.insert(path.to_owned(), link)),
        }
    }

    fn remove_below(&mut self, folder: &str) {
        let prefix = format!("{folder}/");
        self.0.retain(|path, _| !path.starts_with(&prefix));
    }

    /// Whether a path exists after all symbolic links are resolved.
    pub fn has(&self, path: &str) -> bool {
        let mut open: Vec<String> =
            path.split('/').filter(|it| !it.is_empty()).rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        // Linux follows at most 40 links (path_resolution(7)).
        let mut links = 0;
        while let Some(part) = open.pop() {
            match part.as_str() {
                "." => continue,
                ".." => drop(at.pop()),
                _ => at.push(part),
            }
            let Some(Some(target)) = self.0.get(&at.join("/")) else { continue };
            links += 1;
            if links > 40 {
                return false;
            }
            at.pop();
            if target.starts_with('/') {
                at.clear();
            }
            open.extend(target.split('/').filter(|it| !it.is_empty()).rev().map(str::to_owned));
        }
        let path = at.join("/");
        let below = format!("{path}/");
        self.0.contains_key(&path) || self.0.keys().any(|it| it.starts_with(&below))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_image_libraries_are_found_through_links() {
        let mut files = FileTree::default();
        for (path, link) in [
            ("lib", Some("usr/lib")),
            ("lib64", Some("usr/lib64")),
            ("./usr/lib64/ld-linux-x86-64.so.2", Some("../lib/x86_64-linux-gnu/ld.so")),
            ("usr/lib/x86_64-linux-gnu/ld.so", None),
            ("usr/lib/x86_64-linux-gnu/libc.so.6", None),
            ("usr/lib/gone.so", None),
            ("usr/lib/.wh.gone.so", None),
            ("loop", Some("loop")),
        ] {
            files.add(path, link.map(str::to_owned));
        }
        assert!(files.has("/lib64/ld-linux-x86-64.so.2") && files.has("/lib/x86_64-linux-gnu/libc.so.6"));
        assert!(!files.has("/lib/gone.so") && !files.has("/loop") && !files.has("/lib/libssl.so.3"));
        let config = json!({"rootfs": {"diff_ids": []}});
        let descriptor = Descriptor::new(media_type::OCI_CONFIG, Digest::of(b""), 0);
        let manifest = ImageManifest::new(media_type::OCI_MANIFEST, descriptor, Vec::new());
        let base = BaseImage { files, ..BaseImage::new("x", Digest::of(b""), manifest, config).unwrap() };
        let elf = |needed: &[&str]| Elf {
            machine: 62,
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
            needed: needed.iter().map(|it| (*it).to_owned()).collect(),
            ..Elf::default()
        };
        assert_eq!(base.runs(&elf(&["libc.so.6"])), Ok(()));
        assert_eq!(base.runs(&elf(&["libc.so.6", "libssl.so.3"])), Err(vec!["libssl.so.3".to_owned()]));
    }
}
