//! Building the image of a service natively: compiling, layers, config and manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use ecr_oci::bases::BaseCache;
use ecr_oci::cache::{LayerCache, OnRead};
use ecr_oci::image::assemble::{Image, ImageSettings, Index};
use ecr_oci::image::base::BaseImage;
use ecr_oci::image::bundle::{Blob, Bundle, Content, RawManifest};
use ecr_oci::image::compression::{Compression, Compressor};
use ecr_oci::image::layer::{Files, Layer};
use ecr_oci::image::scratch;
use ecr_oci::image::tree::FileTree;
use ecr_oci::sweep::sweep;
use ecr_oci::trees::TreeCache;
use ecr_types::document::Problem;
use ecr_types::media_type::OCI_MANIFEST;
use ecr_types::{Descriptor, Digest, Platform, lock};

use crate::build::check;
use crate::build::compile::prebuilt::PrebuiltPaths;
use crate::build::compile::{self, Binary, Compiled, Toolchain};
use crate::build::files::FilesError;
use crate::build::layers::{LayerFiles, LayerSource, LowerLayers, check_libraries};
use crate::config::desired::Service;

/// Builds the images of services with the same options.
pub struct ImageBuilder {
    pub options: compile::Options,
    pub toolchain: Toolchain,
    pub layers: LayerCache,
    /// Is told of files of services that are read.
    pub on_read: OnRead,
    pub bases: BaseCache,
    /// The files of base images.
    pub trees: TreeCache,
    /// The platforms to build for. Empty if the services decide.
    pub platforms: Vec<Platform>,
    /// The paths of prebuilt binaries, from `--binary`.
    pub binaries: PrebuiltPaths,
    /// The compression of layers. `None` if the services decide.
    pub compression: Option<Compressor>,
    /// The prebuilt binaries that were already read, by package and platform.
    pub prebuilt: Mutex<BTreeMap<(String, Platform), Binary>>,
    /// The executables that were built together, by package and platform.
    pub compiled: Mutex<BTreeMap<(String, Platform), Compiled>>,
    /// Held by the cargo that builds one service. Several would only wait for each other.
    pub cargo: Mutex<()>,
}

/// The image of a service that was built natively.
#[derive(Debug)]
pub struct NativeImage {
    first: (Platform, Image),
    others: Vec<(Platform, Image)>,
    /// The index, if there are several platforms. AWS Lambda and the scanner of ECR need an image manifest, so that a
    /// single image has no index.
    index: Option<Index>,
    /// Configs and layers without duplicates.
    pub blobs: Vec<Blob>,
    /// The layers of base images.
    pub inherited: BTreeSet<Digest>,
    /// The base image whose Docker media types were converted to those of OCI.
    pub converted_base: Option<String>,
    /// The layers that are not those of base images, each with the text of its history entry.
    pub own_layers: Vec<(&'static str, Digest)>,
    pub binaries: Vec<Binary>,
}

/// The platforms of a service, at least one, each with a value of type `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platforms<T> {
    pub first: (Platform, T),
    pub others: Vec<(Platform, T)>,
}

impl<T> Platforms<T> {
    pub fn iter(&self) -> impl Iterator<Item = &Platform> {
        std::iter::once(&self.first).chain(&self.others).map(|(platform, _)| platform)
    }
}

/// A compiled binary for a generated Dockerfile.
pub struct WrappedBinary {
    /// The base image of the service.
    pub base: String,
    /// The paths of the layers, which are compressed with gzip.
    pub layers: Vec<PathBuf>,
    /// The runtime settings of the image, such as its entrypoint.
    pub settings: ImageSettings,
}

impl ImageBuilder {
    /// Compiles a service and assembles its image for each platform. The base `scratch` is `None`.
    ///
    /// # Errors
    /// The service does not compile, its files cannot be read, or its base image lacks a library.
    pub fn build(
        &self,
        service: &Service,
        platforms: Platforms<Option<Arc<BaseImage>>>,
    ) -> Result<NativeImage> {
        let mut parts = ImageParts::default();
        let (platform, base) = platforms.first;
        let first = self.add_platform(service, platform, base.as_deref(), &mut parts)?;
        let others = platforms.others.into_iter();
        let others =
            others.map(|(platform, base)| self.add_platform(service, platform, base.as_deref(), &mut parts));
        let others = others.collect::<Result<Vec<_>>>()?;
        let list = std::iter::once(&first).chain(&others).map(|(platform, image)| (platform, image));
        let index = (!others.is_empty()).then(|| Index::assemble(list));
        let ImageParts { binaries, blobs, inherited, converted_base, own_layers } = parts;
        let blobs = blobs.into_values().collect();
        Ok(NativeImage { first, others, index, blobs, inherited, converted_base, own_layers, binaries })
    }

    fn add_platform(
        &self,
        service: &Service,
        platform: Platform,
        base: Option<&BaseImage>,
        parts: &mut ImageParts,
    ) -> Result<(Platform, Image)> {
        let below = base.map(|it| self.tree(it)).transpose()?;
        let lower = below.as_deref().map_or(LowerLayers::Scratch, LowerLayers::Base);
        self.source(service).check(&lower)?;
        let binary = self.binary(service, &platform)?;
        let (files, tree) = self.source(service).files(&binary, &lower)?;
        if let Some(base) = base {
            check_libraries(base, &tree, service, &binary)?;
        }
        let layers = self.layers(&files, self.compression(service))?;
        let image = Image::assemble(&platform, &settings(service, &binary), &layers, base);
        if let Some(base) = base.filter(|it| it.is_docker && image.media_type == OCI_MANIFEST) {
            parts.converted_base.get_or_insert_with(|| base.name.clone());
        }
        let own = self.blobs(&image, &layers).into_iter().chain(self.blobs_of(base));
        parts.blobs.extend(own.map(|it| (it.digest.clone(), it)));
        parts.inherited.extend(base.iter().flat_map(|it| &it.layers).map(|it| it.digest.clone()));
        parts.own_layers.extend(layers.iter().map(|(text, layer)| (*text, layer.digest.clone())));
        parts.binaries.push(binary);
        Ok((platform, image))
    }

    /// Creates the layers of a service with prebuilt binaries and the base `scratch` in advance, because they need
    /// neither the compiler nor the network. Errors are ignored here, because [`ImageBuilder::build`] reports them.
    pub fn prepare_layers(&self, service: &Service) {
        let is_own = base_of(service) == "scratch";
        let platforms = self.platforms(service);
        let given = platforms.iter().filter(|it| is_own && self.binaries.contains_key(*it));
        for platform in given {
            let binary = self.binary(service, platform);
            let files = binary.and_then(|it| self.source(service).files(&it, &LowerLayers::Scratch));
            let _ = files.and_then(|(files, _)| self.layers(&files, self.compression(service)));
        }
    }

    /// Compiles a service for a generated Dockerfile.
    ///
    /// # Errors
    /// The service does not compile, or its files cannot be read.
    pub fn wrap(&self, service: &Service) -> Result<WrappedBinary> {
        let (platform, ()) = self.platforms(service).first;
        // Docker pulls the base image, so that its libraries are unknown here. The image gets those of this machine.
        let binary =
            compile::with_libraries(&self.options, self.binary_without_libraries(service, &platform)?)?;
        let lower = if base_of(service) == "scratch" { LowerLayers::Scratch } else { LowerLayers::Unknown };
        // `ADD` unpacks gzip archives in all versions of Docker.
        let (files, _) = self.source(service).files(&binary, &lower)?;
        let layers = self.layers(&files, Compression::Gzip.into())?;
        Ok(WrappedBinary {
            base: base_of(service).to_owned(),
            layers: layers.iter().map(|(_, layer)| self.layers.blob(&layer.digest)).collect(),
            settings: settings(service, &binary),
        })
    }

    /// Completes the caches in the target folder for the next run, and removes what was not used for long.
    pub fn tend_caches(&self) {
        self.options.executables.remember_recent();
        self.layers.forget_unused();
        let folder = self.options.target.join("xtask-ecr");
        ["bases", "trees", "executables", "linkage"].iter().for_each(|it| sweep(&folder.join(it)));
    }

    /// The platforms of a service: those of the flag, of its configuration, of the prebuilt binaries, or of the host,
    /// in this order of precedence.
    pub fn platforms(&self, service: &Service) -> Platforms<()> {
        let configured = service.image.platforms.as_ref().map(|it| it.value.as_slice()).unwrap_or_default();
        let given: Vec<_> = self.binaries.keys().cloned().collect();
        let choices = [self.platforms.as_slice(), configured, &given];
        let chosen = choices.into_iter().find(|it| !it.is_empty()).unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut each = chosen.iter().filter(|it| seen.insert(*it)).map(|it| (it.clone(), ()));
        let first = each.next().unwrap_or_else(|| (self.toolchain.platform().clone(), ()));
        Platforms { first, others: each.collect() }
    }

    fn binary(&self, service: &Service, platform: &Platform) -> Result<Binary> {
        let binary = self.binary_without_libraries(service, platform)?;
        // Other base images contain the libraries.
        if base_of(service) == "scratch" {
            compile::with_libraries(&self.options, binary)
        } else {
            Ok(binary)
        }
    }

    fn binary_without_libraries(&self, service: &Service, platform: &Platform) -> Result<Binary> {
        if let Some(path) = self.binaries.get(platform) {
            let mut read = lock(&self.prebuilt);
            let key = (service.name.clone(), platform.clone());
            if let Some(known) = read.get(&key) {
                return Ok(known.clone());
            }
            let binary = compile::prebuilt(&self.options, service, platform, path)?;
            read.insert(key, binary.clone());
            return Ok(binary);
        }
        let target = self.toolchain.target(platform)?;
        let compiled = lock(&self.compiled).remove(&(service.name.clone(), platform.clone()));
        if compiled.is_some() {
            return compile::build(&self.options, &target, service, compiled);
        }
        let _guard = lock(&self.cargo);
        compile::build(&self.options, &target, service, None)
    }

    /// What is wrong with the files of a service, as far as that does not depend on its base image.
    pub fn file_problems(&self, service: &Service) -> Vec<Problem> {
        let checked = self.source(service).check(&LowerLayers::Unknown);
        // Other errors are told when the service is built.
        checked.err().and_then(|it| it.downcast::<FilesError>().ok()).map_or_else(Vec::new, |it| it.0)
    }

    /// The files of a base image.
    fn tree(&self, base: &BaseImage) -> Result<Arc<FileTree>> {
        self.trees.tree(&base.layers).with_context(|| format!("base `{}`", base.name))
    }

    fn source<'a>(&'a self, service: &'a Service) -> LayerSource<'a> {
        let compile::Options { root, executables, .. } = &self.options;
        LayerSource { root, service, executables, on_read: &self.on_read }
    }

    fn layers(&self, files: &LayerFiles, compression: Compressor) -> Result<Vec<(&'static str, Layer)>> {
        let layer =
            |(text, files): &(&'static str, Files)| Ok((*text, self.layers.layer(files, compression)?));
        files.iter().map(layer).collect()
    }

    fn compression(&self, service: &Service) -> Compressor {
        self.compression
            .or_else(|| check::compression(service).ok())
            .unwrap_or_else(|| Compression::Gzip.into())
    }

    fn blobs_of(&self, base: Option<&BaseImage>) -> Vec<Blob> {
        let layers = base.iter().flat_map(|it| &it.layers);
        let blob = |it: &Descriptor| Blob {
            digest: it.digest.clone(),
            size: it.size,
            content: Content::File(self.bases.path(&it.digest)),
        };
        layers.map(blob).collect()
    }

    /// Config and layers.
    fn blobs(&self, image: &Image, layers: &[(&str, Layer)]) -> Vec<Blob> {
        let config = Blob {
            digest: image.config_digest.clone(),
            size: image.config.len() as u64,
            content: Content::Bytes(image.config.clone()),
        };
        let layer = |(_, layer): &(&str, Layer)| Blob {
            digest: layer.digest.clone(),
            size: layer.size,
            content: Content::File(self.layers.blob(&layer.digest)),
        };
        layers.iter().map(layer).chain([config]).collect()
    }
}

/// The parts of the images of all platforms.
#[derive(Default)]
struct ImageParts {
    binaries: Vec<Binary>,
    blobs: BTreeMap<Digest, Blob>,
    inherited: BTreeSet<Digest>,
    converted_base: Option<String>,
    own_layers: Vec<(&'static str, Digest)>,
}

/// The reference of the base image of a service, or `scratch`.
pub fn base_of(service: &Service) -> &str {
    service.image.base.as_ref().map_or("scratch", |it| &it.value)
}

impl NativeImage {
    pub fn images(&self) -> impl Iterator<Item = &(Platform, Image)> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The digest of the index, or of the image if there is only one.
    pub fn digest(&self) -> &Digest {
        match &self.index {
            Some(index) => &index.digest,
            None => &self.first.1.digest,
        }
    }

    /// The manifest that tags refer to: the index, or the image manifest if there is only one.
    pub fn manifest(&self) -> RawManifest {
        match &self.index {
            Some(index) => RawManifest::index(index.manifest.clone()),
            None => RawManifest::of(&self.first.1),
        }
    }

    /// The image manifests of the index, which must be pushed before it.
    pub fn parts(&self) -> impl Iterator<Item = (&Digest, RawManifest)> {
        let images = self.images().filter(|_| self.index.is_some());
        images.map(|(_, image)| (&image.digest, RawManifest::of(image)))
    }

    /// The total size of the blobs in bytes.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|it| it.size).sum()
    }

    /// Whether a blob is a layer that clients fetch from the URLs of its descriptor, and that is not to be uploaded (OCI image
    /// specification, "Non-Distributable Layers").
    pub fn is_elsewhere(&self, blob: &Digest) -> bool {
        let mut layers = self.images().flat_map(|(_, image)| &image.layers);
        layers.any(|it| it.digest == *blob && it.is_nondistributable() && !it.urls.is_empty())
    }

    /// The image with `names`, for an OCI layout or an engine.
    pub fn bundle(&self, names: Vec<String>) -> Bundle {
        Bundle {
            names,
            top: self.manifest(),
            parts: self.parts().map(|(_, manifest)| manifest).collect(),
            blobs: self.blobs.clone(),
            images: self.images().cloned().collect(),
        }
    }

    /// Whether all binaries contain their dependency list (cargo-auditable).
    pub fn is_auditable(&self) -> bool {
        self.binaries.iter().all(|it| it.file.elf.is_auditable)
    }
}

/// The path of a binary in the image.
pub fn entrypoint(name: &str) -> String {
    format!("/usr/local/bin/{name}")
}

fn settings(service: &Service, binary: &Binary) -> ImageSettings {
    let image = &service.image;
    let package = &service.package;
    let own = [
        ("title", Some(&package.name)),
        ("version", Some(&package.version)),
        ("source", package.repository.as_ref()),
        ("licenses", package.license.as_ref()),
    ];
    // The keys of annotations in the OCI image specification. Most tools read them from labels.
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?.clone())));
    let configured = image.labels.iter().map(|(key, value)| (key.clone(), value.value.clone()));
    ImageSettings {
        entrypoint: entrypoint(&binary.name),
        args: image.args.iter().flat_map(|it| &it.value).map(|it| it.value.clone()).collect(),
        env: image.env.iter().map(|(key, value)| (key.clone(), value.value.clone())).collect(),
        ports: image.ports.iter().flat_map(|it| it.value.clone()).collect(),
        user: image.user.as_ref().map_or_else(|| scratch::USER.to_owned(), |it| it.value.clone()),
        workdir: image.workdir.as_ref().map(|it| it.value.clone()),
        labels: own.chain(configured).collect(),
    }
}
