//! One service -> its image: compile, layers, config, manifest.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::compile::{self, Binary, Library, Toolchain};
use crate::desired::Service;
use crate::distribution::{Blob, Content};
use crate::image::base;
use crate::image::layer::{Files, Layer};
use crate::image::manifest::{Image, Settings};
use crate::layers::{self, LayerCache};
use crate::metadata::Platform;
use crate::shell::Shell;
use crate::words::size;

/// What all services are built with.
pub(super) struct Builder {
    pub options: compile::Options,
    pub toolchain: Toolchain,
    pub cache: LayerCache,
}

/// An image that is ready to be pushed.
#[derive(Debug)]
pub(super) struct Built {
    pub image: Image,
    pub platform: Platform,
    /// Config and layers, each once.
    pub blobs: Vec<Blob>,
    diagnostics: String,
    libraries: Vec<Library>,
    why_dynamic: Option<String>,
    /// Whether the binary carries the list of its crates.
    pub is_auditable: bool,
}

impl Builder {
    /// Compiles a service and makes its image.
    pub(super) fn build(&self, service: &Service) -> Result<Built> {
        let binary = compile::build(&self.options, &self.toolchain, service)?;
        let layers = self.layers(service, &binary)?;
        let settings = settings(service, &binary);
        let image = Image::assemble(&binary.platform, &settings, &layers);
        let blobs = self.blobs(&image, &layers);
        Ok(Built {
            image,
            platform: binary.platform,
            blobs,
            diagnostics: binary.diagnostics,
            libraries: binary.libraries,
            why_dynamic: binary.why_dynamic,
            is_auditable: binary.is_auditable,
        })
    }

    /// What changes least comes first: base, libraries, files, binary.
    fn layers(&self, service: &Service, binary: &Binary) -> Result<Vec<(&'static str, Layer)>> {
        let mut libraries = Files::default();
        for library in &binary.libraries {
            layers::add_file(&mut libraries, &library.file, &library.path, 0o755)?;
        }
        let mut files = Files::default();
        for copy in service.image.files.iter().flat_map(|it| &it.value) {
            let from = self.options.root.join(&service.package.folder).join(&copy.from.value);
            let context = || format!("{}: failed to copy `{}`", copy.from.place, copy.from.value);
            layers::add(&mut files, &from, &copy.to.value).with_context(context)?;
        }
        let mut executable = Files::default();
        layers::add_file(&mut executable, &binary.path, &entrypoint(binary), 0o755)?;
        let all = [
            ("xtask-ecr: base scratch", base::scratch()),
            ("xtask-ecr: shared libraries", libraries),
            ("xtask-ecr: files", files),
            ("xtask-ecr: binary", executable),
        ];
        let wanted = all.into_iter().filter(|(_, files)| !files.is_empty());
        wanted.map(|(text, files)| Ok((text, self.cache.layer(&files)?))).collect()
    }

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
        let mut blobs: BTreeMap<_, _> =
            layers.iter().map(layer).map(|blob| (blob.digest.clone(), blob)).collect();
        blobs.insert(config.digest.clone(), config);
        blobs.into_values().collect()
    }
}

impl Built {
    /// What a person should know of the build.
    pub(super) fn tell(&self, shell: &Shell, service: &Service) {
        if !self.diagnostics.is_empty() {
            shell.talk(self.diagnostics.trim_end());
        }
        if let Some(reason) = &self.why_dynamic {
            let names = self.libraries.iter().filter_map(|it| it.path.rsplit('/').next()).collect::<Vec<_>>();
            shell.note(format!(
                "`{}` cannot be linked statically ({reason}); its image carries {}",
                service.package.name,
                names.join(", ")
            ));
        }
        let bytes = self.blobs.iter().map(|it| it.size).sum();
        shell.verbose(
            "Assembled",
            format!("{} {} ({})", service.package.name, self.image.digest, size(bytes)),
        );
    }
}

/// Whether a service can be built at all, found out before anything else is done: it has a binary, and no key that
/// is read and checked and that this version cannot serve.
pub(super) fn check(service: &Service, host: &Platform) -> Result<()> {
    compile::bin_name(service)?;
    let image = &service.image;
    if let Some(base) = image.base.as_ref().filter(|it| it.value != "scratch") {
        bail!("{}: base `{}` is not supported by this version, only `scratch`", base.place, base.value);
    }
    if let Some(dockerfile) = &image.dockerfile {
        bail!("{}: `dockerfile` is not supported by this version, which builds natively", dockerfile.place);
    }
    if service.package.has_dockerfile {
        bail!(
            "`{}/Dockerfile` asks for docker, which this version does not support; it builds natively \
             once that file has another name",
            service.package.folder
        );
    }
    if let Some(platforms) = &image.platforms
        && platforms.value.iter().any(|it| it != host)
    {
        let wanted = platforms.value.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        bail!(
            "{}: platforms {wanted}: this version builds for the host's own platform only, which is {host}",
            platforms.place
        );
    }
    Ok(())
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
        user: image.user.as_ref().map_or_else(|| base::USER.to_owned(), |it| it.value.clone()),
        workdir: image.workdir.as_ref().map(|it| it.value.clone()),
        labels: own.chain(configured).collect(),
    }
}
