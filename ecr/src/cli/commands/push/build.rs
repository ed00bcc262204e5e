//! One service -> its image: compile, layers, config, manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};
use ecr_oci::cache::{self, LayerCache};
use ecr_oci::image::assemble::{Image, Index, Settings};
use ecr_oci::image::base::BaseImage;
use ecr_oci::image::bundle::{Blob, Bundle, Content, RawManifest};
use ecr_oci::image::compression::Compression;
use ecr_oci::image::layer::{Files, Layer};
use ecr_oci::image::scratch;
use ecr_oci::image::zstd;
use ecr_oci::reference::Reference;
use ecr_types::human::size;
use ecr_types::media_type::OCI_MANIFEST;
use ecr_types::{Descriptor, Digest, Platform};

use super::bases::{BaseCache, Bases};
use super::docker::{Way, Ways};
use crate::build::compile::{self, Binary, Executable, Toolchain};
use crate::build::docker::{Build, Workshop};
use crate::cli::shell::Shell;
use crate::config::desired::Service;

/// What all services are built with.
pub(super) struct Builder {
    pub options: compile::Options,
    pub toolchain: Toolchain,
    pub cache: LayerCache,
    /// `--platform`: wins over what services say.
    pub platforms: Vec<Platform>,
    /// `--binary`: platforms that are built elsewhere.
    pub binaries: BTreeMap<Platform, PathBuf>,
    /// Those of them that were read.
    pub given: Mutex<BTreeMap<(String, Platform), Binary>>,
    /// How layers are compressed, whatever services say.
    pub compression: Option<Compression>,
    /// Who builds what.
    pub ways: Ways,
    pub base_cache: BaseCache,
}

/// An image that is ready to be pushed.
#[derive(Debug)]
pub(super) struct Built {
    /// One for each platform.
    pub images: Vec<(Platform, Image)>,
    /// What lists them, where there are several: Lambda and ECR's scanner want a plain manifest for a single one.
    pub index: Option<Index>,
    /// Configs and layers, each once.
    pub blobs: Vec<Blob>,
    /// Those that come with a base.
    pub inherited: BTreeSet<Digest>,
    /// The base whose media types could not be kept.
    retyped: Option<String>,
    binaries: Vec<Binary>,
}

impl Builder {
    /// Compiles a service and makes its image, for each platform.
    pub(super) fn build(&self, service: &Service, bases: &Bases) -> Result<Built> {
        let (mut images, mut binaries, mut blobs) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (mut inherited, mut retyped) = (BTreeSet::new(), None);
        for platform in self.platforms(service) {
            let parent = bases.get(base_of(service), &platform)?;
            let binary = self.binary(service, &platform)?;
            if let Some(parent) = parent {
                self.check_libraries(parent, &binary)?;
            }
            let layers = self.layers(service, &binary, self.compression(service))?;
            let image = Image::assemble(&platform, &settings(service, &binary), &layers, parent);
            let is_retyped = |it: &&BaseImage| it.is_docker && image.media_type == OCI_MANIFEST;
            retyped = retyped.or(parent.filter(is_retyped).map(|it| it.name.clone()));
            let own = self.blobs(&image, &layers).into_iter().chain(self.blobs_of(parent));
            blobs.extend(own.map(|it| (it.digest.clone(), it)));
            inherited.extend(parent.iter().flat_map(|it| &it.layers).map(|it| it.digest.clone()));
            images.push((platform, image));
            binaries.push(binary);
        }
        let list = images.iter().map(|(platform, image)| (platform, image));
        let index = (images.len() > 1).then(|| Index::assemble(list));
        Ok(Built { images, index, blobs: blobs.into_values().collect(), inherited, retyped, binaries })
    }

    /// Makes the layers of a service whose binaries are given, and that stands on no other image.
    pub(super) fn warm(&self, service: &Service) {
        let is_own = self.ways.of(service).is_ok_and(|it| it == Way::Native) && base_of(service) == "scratch";
        let given = self.platforms(service).into_iter().filter(|it| is_own && self.binaries.contains_key(it));
        for platform in given {
            let layers = self.binary(service, &platform);
            // What is wrong comes up again where it is told.
            let _ = layers.and_then(|it| self.layers(service, &it, self.compression(service)));
        }
    }

    /// The platforms of a service: the flag's, else its own, else those that are given, else the host's.
    pub(super) fn platforms(&self, service: &Service) -> Vec<Platform> {
        let configured = service.image.platforms.iter().flat_map(|it| it.value.clone());
        let mut wanted: Vec<_> = match self.platforms.as_slice() {
            [] => configured.collect(),
            flag => flag.to_vec(),
        };
        if wanted.is_empty() {
            wanted.extend(self.binaries.keys().cloned());
        }
        if wanted.is_empty() {
            wanted.push(self.toolchain.platform().clone());
        }
        let mut seen = BTreeSet::new();
        wanted.retain(|it| seen.insert(it.clone()));
        wanted
    }

    fn binary(&self, service: &Service, platform: &Platform) -> Result<Binary> {
        let binary = self.bare_binary(service, platform)?;
        // Another base brings its own.
        if base_of(service) == "scratch" {
            compile::with_libraries(&self.options, binary)
        } else {
            Ok(binary)
        }
    }

    fn bare_binary(&self, service: &Service, platform: &Platform) -> Result<Binary> {
        if let Some(path) = self.binaries.get(platform) {
            let mut read = self.given.lock().unwrap_or_else(|it| it.into_inner());
            let key = (service.package.name.clone(), platform.clone());
            if let Some(known) = read.get(&key) {
                return Ok(known.clone());
            }
            let binary = compile::given(&self.options, service, platform, path)?;
            read.insert(key, binary.clone());
            return Ok(binary);
        }
        let target = self.toolchain.target(platform)?;
        compile::build(&self.options, &target, service)
    }

    /// What changes least comes first: base, libraries, files, binary.
    fn layers(
        &self,
        service: &Service,
        binary: &Binary,
        compression: Compression,
    ) -> Result<Vec<(&'static str, Layer)>> {
        let mut libraries = Files::default();
        for library in &binary.libraries {
            add_executable(&mut libraries, &library.file, &library.path);
        }
        let mut files = Files::default();
        for copy in service.image.files.iter().flat_map(|it| &it.value) {
            let from = self.options.root.join(&service.package.folder).join(&copy.from.value);
            let context = || format!("{}: failed to copy `{}`", copy.from.place, copy.from.value);
            cache::add(&mut files, &from, &copy.to.value).with_context(context)?;
        }
        let mut executable = Files::default();
        add_executable(&mut executable, &binary.file, &entrypoint(binary));
        let base = if base_of(service) == "scratch" { scratch::scratch() } else { Files::default() };
        let all = [
            ("xtask-ecr: base scratch", base),
            ("xtask-ecr: shared libraries", libraries),
            ("xtask-ecr: files", files),
            ("xtask-ecr: binary", executable),
        ];
        let wanted = all.into_iter().filter(|(_, files)| !files.is_empty());
        wanted.map(|(text, files)| Ok((text, self.cache.layer(&files, compression)?))).collect()
    }

    fn compression(&self, service: &Service) -> Compression {
        self.compression.or(service.image.compression.as_ref().map(|it| it.value)).unwrap_or_default()
    }

    /// A binary with shared libraries finds them in the base, or does not start.
    fn check_libraries(&self, parent: &BaseImage, binary: &Binary) -> Result<()> {
        if binary.file.elf.is_static() {
            return Ok(());
        }
        let paths: Vec<_> = parent.layers.iter().map(|it| self.base_cache.path(&it.digest)).collect();
        let parent = BaseImage { files: cache::tree(&paths)?, ..parent.clone() };
        parent.runs(&binary.file.elf).map_err(|missing| {
            anyhow::anyhow!(
                "`{}` needs {}, which base `{}` does not have: take a base that has them, or link statically (base \
                 `scratch` carries what is missing)",
                binary.file.path.display(),
                missing.join(", "),
                parent.name
            )
        })
    }

    fn blobs_of(&self, parent: Option<&BaseImage>) -> Vec<Blob> {
        let layers = parent.iter().flat_map(|it| &it.layers);
        let blob = |it: &Descriptor| Blob {
            digest: it.digest.clone(),
            size: it.size,
            content: Content::File(self.base_cache.path(&it.digest)),
        };
        layers.map(blob).collect()
    }

    /// What is needed of bases for a service that is built here.
    pub(super) fn bases(&self, service: &Service) -> Vec<(String, Platform)> {
        let name = base_of(service).to_owned();
        self.platforms(service).into_iter().map(|it| (name.clone(), it)).collect()
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
            content: Content::File(self.cache.blob(&layer.digest)),
        };
        layers.iter().map(layer).chain([config]).collect()
    }
}

/// What became of a build.
pub(super) enum Product {
    Native(Box<Built>),
    /// docker has it, under this ID.
    Docker(Digest),
    /// A builder of buildx is to build and push it, in one.
    Remote(Box<Build>),
}

pub(super) fn product(
    builder: &Builder,
    bases: &Bases,
    workshop: Option<&Workshop>,
    service: &Service,
) -> Result<Product> {
    let recipe = match builder.ways.of(service)? {
        Way::Native => return Ok(Product::Native(Box::new(builder.build(service, bases)?))),
        Way::Dockerfile(recipe) => builder.ways.build(&recipe)?,
        Way::Wrapped => builder.wrapped(service)?,
    };
    if builder.ways.is_remote {
        return Ok(Product::Remote(Box::new(recipe)));
    }
    let workshop = workshop.context("docker is not ready")?;
    workshop.build(&recipe).map(Product::Docker)
}

impl Builder {
    /// What docker makes an image of around a service's binary.
    pub(super) fn wrapped(&self, service: &Service) -> Result<Build> {
        let platform = self.platforms(service).remove(0);
        // docker pulls the base, so nobody has looked into it: what the binary needs goes with it.
        let binary = compile::with_libraries(&self.options, self.bare_binary(service, &platform)?)?;
        // What docker's ADD unpacks.
        let layers = self.layers(service, &binary, Compression::Gzip)?;
        let layers = layers.iter().map(|(_, layer)| self.cache.blob(&layer.digest)).collect();
        Ok(self.ways.wrap(base_of(service), layers, &settings(service, &binary)))
    }
}

/// The base that a service names.
pub(super) fn base_of(service: &Service) -> &str {
    service.image.base.as_ref().map_or("scratch", |it| &it.value)
}

impl Built {
    /// The digest of the service's image: of the index, where there is one.
    pub(super) fn digest(&self) -> &Digest {
        match &self.index {
            Some(index) => &index.digest,
            None => &self.images[0].1.digest,
        }
    }

    /// What tags point to.
    pub(super) fn manifest(&self) -> RawManifest {
        match &self.index {
            Some(index) => RawManifest::index(index.manifest.clone()),
            None => RawManifest::of(&self.images[0].1),
        }
    }

    /// What the index lists, which has to be there before it.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&Digest, RawManifest)> {
        let images = self.images.iter().filter(|_| self.index.is_some());
        images.map(|(_, image)| (&image.digest, RawManifest::of(image)))
    }

    /// The image under these names, for an end that is no registry.
    pub(super) fn bundle(&self, names: Vec<String>) -> Bundle {
        Bundle {
            names,
            top: self.manifest(),
            parts: self.parts().map(|(_, manifest)| manifest).collect(),
            blobs: self.blobs.clone(),
            images: self.images.clone(),
        }
    }

    /// Whether every binary carries the list of its crates.
    pub(super) fn is_auditable(&self) -> bool {
        self.binaries.iter().all(|it| it.file.elf.is_auditable)
    }

    /// What a person should know of the build.
    pub(super) fn tell(&self, shell: &Shell, service: &Service) {
        self.binaries.iter().for_each(|it| tell_of(it, shell, service));
        if let Some(base) = &self.retyped {
            shell.warn(format!(
                "base `{base}` has docker's media types, which know no zstd: the image of `{}` has OCI's",
                service.package.name
            ));
        }
        let bytes = self.blobs.iter().map(|it| it.size).sum();
        shell.verbose("Assembled", format!("{} {} ({})", service.package.name, self.digest(), size(bytes)));
    }
}

fn tell_of(binary: &Binary, shell: &Shell, service: &Service) {
    if !binary.diagnostics.is_empty() {
        shell.talk(binary.diagnostics.trim_end());
    }
    if let Some(reason) = &binary.why_dynamic {
        let names: Vec<_> = binary.libraries.iter().filter_map(|it| it.path.rsplit('/').next()).collect();
        let found = match names.is_empty() {
            true => "it runs with the libraries of its base".to_owned(),
            false => format!("its image carries {}", names.join(", ")),
        };
        shell.note(format!("`{}` cannot be linked statically ({reason}); {found}", service.package.name));
    }
}

/// Whether a service can be built at all, found out before anything else is done: it has a binary, targets for its
/// platforms, and no key that is read and checked and that this version cannot serve.
pub(super) fn check(service: &Service, builder: &Builder) -> Result<()> {
    let image = &service.image;
    if matches!(builder.ways.of(service)?, Way::Dockerfile(_)) {
        return Ok(());
    }
    if let Some(base) = image.base.as_ref().filter(|it| it.value != "scratch") {
        let parsed = base.value.parse::<Reference>();
        parsed.map_err(|reason| anyhow::anyhow!("{}: base: {reason}", base.place))?;
    }
    if let Some(asked) = image.compression.as_ref().filter(|it| it.value == Compression::Zstd) {
        anyhow::ensure!(zstd::IS_BUILT_IN, "{}: this xtask cannot do zstd; {}", asked.place, zstd::HOW);
    }
    compile::bin_name(service)?;
    let here = |it: &Platform| !builder.binaries.contains_key(it);
    builder
        .platforms(service)
        .iter()
        .filter(|it| here(it))
        .try_for_each(|it| builder.toolchain.target(it).map(drop))
}

fn add_executable(files: &mut Files, file: &Executable, to: &str) {
    cache::add_known(files, &file.path, to, 0o755, file.digest.clone(), file.size);
}

fn entrypoint(binary: &Binary) -> String {
    format!("/usr/local/bin/{}", binary.name)
}

fn settings(service: &Service, binary: &Binary) -> Settings {
    let image = &service.image;
    let package = &service.package;
    let own = [
        ("title", Some(&package.name)),
        ("version", Some(&package.version)),
        ("source", package.repository.as_ref()),
        ("licenses", package.license.as_ref()),
    ];
    // The keys of OCI's image annotations, which most tools read from labels.
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?.clone())));
    let configured = image.labels.iter().map(|(key, value)| (key.clone(), value.value.clone()));
    Settings {
        entrypoint: entrypoint(binary),
        args: image.args.iter().flat_map(|it| &it.value).map(|it| it.value.clone()).collect(),
        env: image.env.iter().map(|(key, value)| (key.clone(), value.value.clone())).collect(),
        ports: image.ports.iter().flat_map(|it| it.value.clone()).collect(),
        user: image.user.as_ref().map_or_else(|| scratch::USER.to_owned(), |it| it.value.clone()),
        workdir: image.workdir.as_ref().map(|it| it.value.clone()),
        labels: own.chain(configured).collect(),
    }
}
